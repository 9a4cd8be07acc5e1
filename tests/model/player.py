"""The player: makes calls on one steady connection, and tells the ledger what the caller learned from each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, evolve, field

from model.driver import Connection, Fault, Kind, Server
from model.ledger import POISONED, Ledger, Told
from persistentdb import (
    CommitOutcomeUnknown,
    InheritedReplay,
    MaskPing,
    NoReplay,
    Outage,
    PersistentDB,
    PersistentDBError,
    ServerUnavailable,
    TransactionLost,
)
from persistentdb.testing import fake

__all__ = ["FETCHES", "TEXTS", "Player"]

Faults = tuple[Fault, ...]

TEXTS = {
    "insert": "insert into t values (?)",
    "create": "create table t (?)",
    "call": "call p(?)",
    "select": "select ?",
    "lock": "select ? for update",
    "begin": "begin",
    "commit": "commit",
    "rollback": "rollback",
}


WRITES = ("insert", "create", "call")
ROWS = 3
"""How many each result has."""

FETCHES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "fetchone": (lambda cursor: [cursor.fetchone()], 1),
    "fetchmany": (lambda cursor: cursor.fetchmany(2), 2),
    "fetchall": (lambda cursor: cursor.fetchall(), ROWS),
    "iterate": (list, ROWS),
    "next": (lambda cursor: [next(cursor)], 1),
}
"""How rows are fetched, and how many at most."""


@define
class Handle:
    """A steady cursor, and the rows that it has still to give."""

    cursor: Any
    rows: list[tuple[int, int]] = field(factory=list[tuple[int, int]])


class WatchedPing(MaskPing[Any]):
    """The plain form, telling the server that it is under way."""

    def alive(self, connection: Any, /) -> bool:
        """Check the connection, which must never happen in a transaction."""
        server: Server = connection.server
        if server.at_stake():
            server.wrong.append("a connection was pinged inside a transaction")
        server.pinging = True
        try:
            return super().alive(connection)
        finally:
            server.pinging = False


def prepare(connection: Connection) -> None:
    """Set the session up, as the parameter `setsession` asks for."""
    connection.cursor().execute("set role")
    connection.prepared = True


class BodyError(Exception):
    """What a caller's own code raises inside a block."""


class Player:
    """One thread, one steady connection, up to three cursors, and everything that can happen to them.

    Args:
        kind: The family of drivers.
        autocommit: Whether connections are opened in autocommit, where the family has it.
        maxusage, closeable, replay: As for `PersistentDB`.
        mask, window: As for `MaskPing`.
    """

    def __init__(
        self, kind: type[Connection], *, autocommit: bool, mask: int, window: float, replay: Any, **terms: Any
    ) -> None:
        self.server = Server(kind, autocommit=autocommit)
        ping = WatchedPing(mask, window=window)
        self.persist: PersistentDB[Any] = PersistentDB.from_creator(
            self.server.connect,
            setsession=prepare,
            ping=ping,
            replay=replay,
            outage=Outage(clock=lambda: self.server.now),
            **terms,
        )
        self.db: Any = self.persist.connection()
        self.ledger = Ledger(kind.commits_by_the_way, kind.in_process, autocommit=autocommit and kind.has_autocommit)
        self.server.at_stake = self.ledger.at_stake
        self.replays = not isinstance(replay, NoReplay) and (isinstance(replay, InheritedReplay) or not kind.known)
        self.tokens = itertools.count(1)
        self.cursors = [Handle(self.db.cursor()), Handle(self.db.cursor(True))]
        self.block: Any = None
        self.tag: object = None
        self.outage = 0

    # One call

    def run(self, action: Callable[[], Any], faults: Faults, *, ends: bool = False) -> tuple[Told, Any]:
        """Make a call, and see to it that errors have a cause and faults an effect.

        Args:
            action: The call.
            faults: What is to go wrong within it.
            ends: It gives the transaction up anyway, and may answer a loss by success.

        Returns:
            What the caller learned, and what the call returned.
        """
        server, before = self.server, self.server.current
        self.weather()
        server.faults, server.struck = [evolve(one) for one in faults], []
        dead, stake = not before.alive, self.ledger.at_stake()
        known = self.ledger.lost or self.ledger.perhaps
        tied = stake or known or self.ledger.touched
        unseen = dead and not before.closed and bool(before.ends) and before.ends[1].fileno() != -1
        busy = bool(before.unread) or bool(self.rows_left()) or self.is_halfway()
        try:
            told, value = Told.DONE, action()
        except (Exception, KeyboardInterrupt) as error:
            told, value = self.told(error), error
        finally:
            server.faults = []
        struck = server.struck
        if told is Told.DONE:
            self.check_absolved(struck, ends=ends, stake=stake)
        elif told in (Told.BROKEN, Told.AWAY):
            sees = server.connection_type.known and not unseen and not busy
            cause = (
                struck
                or (dead and (tied or not sees))
                or (told is Told.AWAY and (server.refuse or server.failed_lately))
            )
            assert cause, f"an error without a cause: {value!r}"
        elif told in POISONED:
            assert struck or dead or known, f"a transaction is called lost that was not: {value!r}"
        elif told is Told.INTERRUPTED:
            assert any(kind is Kind.INTERRUPT for kind, _ in struck)
        return told, value

    def weather(self) -> None:
        """Let an outage last for some calls; after it, time passes."""
        self.outage = max(0, self.outage - 1)
        self.server.refuse = self.outage > 0
        if not self.outage:
            self.server.pass_time()

    def check_absolved(self, struck: list[tuple[Kind, bool]], *, ends: bool, stake: bool) -> None:
        """No error may be swallowed, except where nothing was at stake, or the transaction was given up."""
        for kind, pinging in struck:
            assert kind is not Kind.INTERRUPT, "an interrupt was swallowed"
            assert ends or not stake, f"{kind} was swallowed, with something to lose"
            assert ends or pinging or kind in (Kind.LOSS, Kind.CLOSED), f"{kind} was swallowed"

    def told(self, error: BaseException) -> Told:
        """Say what the caller learns from an error; one that no fault explains is none of these."""
        kinds = {
            CommitOutcomeUnknown: Told.UNKNOWN,
            TransactionLost: Told.LOST,
            ServerUnavailable: Told.AWAY,
            PersistentDBError: Told.MISUSED,
            KeyboardInterrupt: Told.INTERRUPTED,
        }
        for kind, told in kinds.items():
            if isinstance(error, kind):
                return told
        if "refused" in str(error):
            if self.server.current.prepared:  # else it was the setup of a connection that was never used
                self.ledger.refused(aborts=self.server.current.aborted, rolled_back="deadlock" in str(error))
            return Told.REFUSED
        if "the server is away" in str(error):
            return Told.AWAY
        if isinstance(error, (fake.OperationalError, fake.InterfaceError)):
            return Told.BROKEN
        raise error

    def rows_left(self) -> list[Handle]:
        """The cursors with rows that were not fetched."""
        return [handle for handle in self.cursors if handle.rows]

    def is_halfway(self) -> bool:
        """Whether a result that comes row by row was begun, and not fetched to its end; an error may have been that."""
        cursors = [handle.cursor.driver_cursor for handle in self.cursors]
        return any(cursor.streaming and cursor.description is not None for cursor in cursors)

    def sent(self, told: Told, *, was: Connection, stake: bool) -> None:
        """Look at the session after a statement that was done."""
        if told is not Told.DONE:
            return
        now = self.server.current
        assert not stake or now is was, "a transaction went on on another connection"
        assert now.tag == self.tag, "a setting of the caller's was not made again"
        gone = [token for token in self.ledger.unit if token not in now.uncommitted]
        assert not gone or self.ledger.aborted, f"dropped without a word: {gone}"

    # Statements

    def cursor(self, faults: Faults, *, streaming: bool) -> None:
        """Open a cursor, in the place of the oldest of three."""
        told, cursor = self.run(lambda: self.db.cursor(True) if streaming else self.db.cursor(), faults)
        self.ledger.other(told)
        if told is Told.DONE:
            self.cursors = [*self.cursors[-2:], Handle(cursor)]

    def handle(self, index: int) -> Handle:
        """Return one of the cursors, which gives up what it had still to give."""
        handle = self.cursors[index % len(self.cursors)]
        handle.rows = []
        return handle

    def execute(self, kind: str, index: int, faults: Faults) -> None:
        """Execute a statement of any kind, on any cursor; `callproc` calls a procedure."""
        handle, token = self.handle(index), next(self.tokens)
        if kind == "callproc":
            self.state(lambda: handle.cursor.callproc("p", (token,)), faults, "call", [token])
            return
        tokens = [token] if kind in WRITES else []
        told = self.state(lambda: handle.cursor.execute(TEXTS[kind], (token,)), faults, kind, tokens)
        if told is Told.DONE and kind in ("select", "lock"):
            handle.rows = [(token, number) for number in range(ROWS)]

    def executemany(self, how: str, index: int, faults: Faults) -> None:
        """Insert rows: a list of them, a generator, or one that executes something itself."""
        handle, tokens = self.handle(index), [next(self.tokens) for _ in range(ROWS)]
        rows = [(token,) for token in tokens]
        given = {"list": lambda: rows, "generator": lambda: iter(rows), "nested": lambda: self.nested(rows, index + 1)}

        def send() -> Any:
            return handle.cursor.executemany(TEXTS["insert"], given[how]())

        self.ledger.touched = self.ledger.touched or how == "nested"
        self.state(send, faults, "insert", tokens, once=how != "list")

    def nested(self, rows: list[tuple[int]], index: int) -> Iterator[tuple[int]]:
        """Yield rows, and execute a statement of its own on the way."""
        yield rows[0]
        token, alone = next(self.tokens), self.ledger.stands_alone()
        if alone:
            self.ledger.maybe.add(token)
            self.ledger.twice.update([token] if self.replays and not self.ledger.at_stake() else [])
        self.handle(index).cursor.execute(TEXTS["insert"], (token,))
        if alone:
            self.ledger.durable.add(token)
        else:
            self.ledger.unit.append(token)
        yield from rows[1:]

    def state(
        self, action: Callable[[], Any], faults: Faults, kind: str, tokens: list[int], *, once: bool = False
    ) -> Told:
        """Send a statement and note what became of it."""
        was, stake, lost = self.server.current, self.ledger.at_stake(), self.ledger.lost
        if self.replays and not stake and not once:
            self.ledger.twice.update(tokens)
        told, _ = self.run(action, faults)
        assert not lost or told in POISONED, f"a statement in a lost transaction said {told}"
        self.ledger.statement("select" if kind == "lock" else kind, tokens, told)
        self.ledger.touched = self.ledger.touched or kind == "lock"
        self.sent(told, was=was, stake=stake)
        return told

    def fetch(self, how: str, index: int, faults: Faults) -> None:
        """Fetch rows: those of the cursor's last statement, and all of them, or an error."""
        if not self.rows_left():
            self.execute("select", index, ())
        left = self.rows_left()
        if not left:
            return  # that was refused: the transaction is lost, or the server away
        handle = left[index % len(left)]
        if how == "iterate" and self.server.connection_type.in_process:
            how = "fetchall"  # there the driver's own iterator is handed out, for the sake of its speed (X4)
        fetch, count = FETCHES[how]
        current = handle.cursor.driver_cursor.connection is self.server.current
        told, rows = self.run(lambda: fetch(handle.cursor), faults) if current else self.read_old(fetch, handle)
        if told is Told.DONE:
            assert rows == handle.rows[:count], "rows are missing, or are not those of this cursor's statement"
            handle.rows = handle.rows[count:]
        else:
            handle.rows = []
            if current:
                self.ledger.other(told)

    def read_old(self, fetch: Callable[[Any], Any], handle: Handle) -> tuple[Told, Any]:
        """Fetch on a connection that was replaced: what is buffered may still be read, all else is an error."""
        try:
            return Told.DONE, fetch(handle.cursor)
        except fake.InterfaceError as error:
            return Told.BROKEN, error

    # Transactions

    def begin(self, faults: Faults) -> None:
        """Begin a transaction."""
        self.ledger.begin(self.run(self.db.begin, faults)[0])

    def commit(self, faults: Faults) -> None:
        """Commit."""
        self.ledger.commit(self.run(self.db.commit, faults)[0])

    def rollback(self, faults: Faults) -> None:
        """Roll back."""
        self.ledger.rollback(self.run(self.db.rollback, faults, ends=True)[0])

    def cancel(self, faults: Faults) -> None:
        """Cancel: it rolls back even if the driver's own `cancel` fails."""
        told, _ = self.run(self.db.cancel, faults, ends=True)
        self.ledger.rollback(told)
        if told is Told.REFUSED and faults[0].skip == 0 and hasattr(self.server.connection_type, "cancel"):
            self.ledger.end()  # the cancel was refused, not the rollback

    def close(self, faults: Faults) -> None:
        """Close: an open transaction is rolled back, whatever happens."""
        told, _ = self.run(self.db.close, faults, ends=True)
        assert told in (Told.DONE, Told.INTERRUPTED), f"close() said {told}"
        self.ledger.end()

    def enter(self, faults: Faults) -> None:
        """Enter a `transaction()` block; where begin() fails what was done before is rolled back."""
        if self.block is not None:
            return
        may_be_nested = self.ledger.explicit or self.ledger.lost or self.ledger.perhaps
        block = self.db.transaction()
        told, _ = self.run(block.__enter__, faults)
        if told is Told.MISUSED and not self.ledger.explicit:
            open_work = self.ledger.unit or self.ledger.begun or self.ledger.touched
            assert open_work, "a block was refused for the sake of nothing"
            return
        self.ledger.begin(told)
        if told is Told.DONE:
            self.block = block
        elif self.db.in_transaction:
            assert may_be_nested, "a block that was not entered left a transaction behind"
        else:
            self.ledger.end()

    def leave(self, faults: Faults, *, raises: bool) -> None:
        """Leave the `transaction()` block, else a `with db:` block, by its end or by an error: nothing is open then."""
        block, self.block = self.block or self.db, None
        if raises:
            told, result = self.run(lambda: block.__exit__(BodyError, BodyError(), None), faults, ends=True)
            assert told in (Told.DONE, Told.INTERRUPTED), f"leaving by an error said {told}"
            assert told is not Told.DONE or not result, "the caller's own error was swallowed"
        else:
            told, _ = self.run(lambda: block.__exit__(None, None, None), faults)
            self.ledger.commit(told)
        self.ledger.end()

    # What else may happen

    def request(self, faults: Faults) -> None:
        """Ask for the thread's connection again, which is the same."""
        told, same = self.run(self.persist.connection, faults)
        assert told is not Told.DONE or same is self.db
        assert told not in POISONED
        if told is not Told.DONE:
            self.ledger.other(told)

    def set(self, faults: Faults, *, autocommit: bool) -> None:
        """Switch autocommit, which in some databases commits what was done; and set something else beside it."""
        if not self.server.connection_type.has_autocommit:
            return
        commits = self.ledger.by_the_way and autocommit and not self.ledger.autocommit
        told, _ = self.run(lambda: setattr(self.db, "autocommit", autocommit), faults)
        self.ledger.setting(told, commits=commits)
        if told is Told.DONE:
            self.ledger.autocommit = autocommit
            self.set_tag(next(self.tokens))

    def set_tag(self, tag: int) -> None:
        """Set something that the client keeps to itself; it may have to open a connection for that."""
        told, _ = self.run(lambda: setattr(self.db, "tag", tag), ())
        self.ledger.other(told)
        if told is Told.DONE:
            self.tag = tag

    def end_session(self, *, seen: bool) -> None:
        """End the session, so that it can be seen at the socket or not."""
        if not self.server.connection_type.in_process:
            self.server.current.cut(seen=seen)

    def close_beneath(self) -> None:
        """Close the driver's connection, without the steady one."""
        self.db.driver_connection.close()

    def order(self) -> None:
        """Order the connection to be given up, as another thread does."""
        self.db.link.order()

    def turn_away(self) -> None:
        """Refuse new connections for the next calls."""
        self.outage = 3

    # Between two calls, and at the end

    def check(self) -> None:
        """Hold the ledger against the server, and count the connections."""
        self.ledger.check(self.server)
        left = [connection for connection in self.server.connections if not connection.closed]
        assert len(left) <= 1, "more than one connection is open"
        assert self.db.in_transaction or not self.ledger.at_stake(), "an open transaction is denied"

    def finish(self) -> None:
        """Close; nothing may be left behind, and nothing uncommitted be there."""
        try:
            self.persist.close()
            self.ledger.end()
            self.ledger.check(self.server)
            assert all(connection.closed for connection in self.server.connections), "a session is leaked"
        finally:
            self.server.free()
