"""One connection of the driver: what is known of it, and what hangs on it.

A steady connection works on one link at a time; a reopening replaces the link as a whole, and the cursors of the old
one notice because it asks for attention from then on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Any
from weakref import WeakSet

from attrs import frozen

from persistentdb._fork import identity_of, make_way, watch_fork
from persistentdb._gate import Gate
from persistentdb._inherited import abandon, refuse_inherited
from persistentdb._opening import close_quietly, logger
from persistentdb._recovery import Operation, Pending
from persistentdb._statements import Effect, changes_schema, effect_of, may_commit, text_of
from persistentdb.drivers import UNKNOWN, DriverProfile, profile_of
from persistentdb.drivers.profile import look_at
from persistentdb.exceptions import PersistentDBError
from persistentdb.failures import FailureClassifier
from persistentdb.outcome import OutcomeResolver
from persistentdb.ping import MaskPing, Ping, PingStrategy
from persistentdb.replay import ReplayPolicy

__all__ = ["Link", "Terms"]

# By their own names: looking a member up in its class costs more than the comparison.
NOTHING, READS, WORK, EXPLICIT = Pending

# As plain integers: an operation on an IntFlag costs more than everything else that is done for a cursor.
_REQUEST, _CURSOR, _EXECUTE = (int(event) for event in (Ping.REQUEST, Ping.CURSOR, Ping.EXECUTE))


@frozen
class Terms:
    """What was agreed with `PersistentDB`'s constructor, the same for all connections of one database.

    Attributes:
        gate: Opens and prepares connections of the driver, and spreads the word of a loss.
        ping: When and how a connection is checked.
        failures: Which errors mean a loss.
        replay: What is sent again after a loss.
        maxusage: Uses after which a connection is replaced; 0 is unlimited.
        closeable: Whether `close()` closes.
        outcome: Finds out what became of a commit, if anything does.
    """

    gate: Gate
    ping: PingStrategy[Any]
    failures: FailureClassifier
    replay: ReplayPolicy
    maxusage: int
    closeable: bool
    outcome: OutcomeResolver[Any] | None


class Link:
    """One connection of the driver.

    Attributes:
        connection: The driver's connection.
        drivers_begin: Its own `begin`, None where it has none.
        profile: What is known of the driver.
        terms: What was agreed with the constructor.
        usage: How many statements were sent.
        watch, watch_cursor, watch_request: Whether a statement, a new cursor, a request for the connection needs
            attention first. This is all that the hot path looks at; `refresh()` folds everything else into it.
        pending: What hangs on the connection, as far as it is tracked.
        gone: Lost, suspect, replaced or closed: never used again.
        inherited: What the poison tells of was not lost: it is the parent process's, which goes on with it.
        ordered: Another thread wants the connection to be given up; only its owner acts on it.
        poison: The error to raise until the lost transaction is ended, with the driver's error that lost it.
        by_sql: The transaction was opened by a statement in autocommit, and is ended by one.
        prepared: The transaction is prepared for a two-phase commit, and outlives the connection.
        running: How many calls of the driver are under way that may call back, such as an executemany with a generator.
        readable: Whether there is something to read from the socket; None where there is none to look at.
        socket_identity: What tells the socket from all other files, even after its number has gone to another.
        guards_commit: There is something to be done right before a commit: a look at the socket, a mark.
        proven_at: The time of the last proof of life, in seconds on the clock.
        clock: Returns the time in seconds; the ping strategy's own clock, if it has one.
        mortal: The database itself dies with the connection.
        generation: How many losses the gate knew of when this was opened, or last found alive in spite of a doubt.
        mark: What the resolver of commits recognises the transaction by; None where there is none.
        whole: Nothing of the transaction was ended on the way, since `keep_whole()` asked to watch for it.
        doubted: Another connection, no younger than this, was lost meanwhile: look before the next use.
    """

    __slots__ = (
        "__weakref__",
        "_asks_again",
        "_closed",
        "_due",
        "_effect",
        "_in_process",
        "_process",
        "_recycles",
        "_settled_usage",
        "_tracks",
        "_window",
        "by_sql",
        "clock",
        "connection",
        "cursor_class",
        "cursor_type",
        "doubted",
        "drivers_begin",
        "generation",
        "gone",
        "guards_commit",
        "inherited",
        "mark",
        "mortal",
        "open_cursors",
        "ordered",
        "pending",
        "poison",
        "prepared",
        "profile",
        "proven_at",
        "readable",
        "running",
        "socket_identity",
        "terms",
        "usage",
        "watch",
        "watch_cursor",
        "watch_request",
        "whole",
    )

    connection: Any
    profile: DriverProfile
    terms: Terms
    usage: int
    watch: bool
    watch_cursor: bool
    watch_request: bool
    pending: Pending
    gone: bool
    inherited: bool
    ordered: bool
    by_sql: bool
    prepared: bool
    running: int
    mortal: bool
    readable: Callable[[], object] | None
    socket_identity: tuple[int, int] | None
    guards_commit: bool
    proven_at: float
    clock: Callable[[], float]
    generation: int
    doubted: bool
    whole: bool

    def __init__(self, terms: Terms) -> None:
        self.generation = terms.gate.generation
        self._process = os.getpid()
        self._closed = True  # until there is something to close
        make_way()
        connection = terms.gate.open()
        try:
            self._meet(connection, terms)
        except BaseException:
            close_quietly(connection)
            raise

    def _meet(self, connection: Any, terms: Terms) -> None:
        """Learn everything about a connection that was just opened."""
        self.connection = connection
        self.drivers_begin: Callable[..., Any] | None = getattr(connection, "begin", None)
        self.profile = profile = profile_of(connection)
        self.terms = terms
        self.usage = self._settled_usage = self.running = 0
        self.pending = NOTHING
        self._effect: Effect | None = None
        self.gone = self.ordered = self.doubted = self.by_sql = self.prepared = self.inherited = False
        self.mark: object = None
        self.poison: tuple[type[PersistentDBError], BaseException | None] | None = None
        self.clock = terms.ping.clock if isinstance(terms.ping, MaskPing) else monotonic
        self.proven_at = self.clock()
        self.mortal = profile.dies_with_connection(connection)
        refuse_inherited(self)
        descriptor = -1 if profile.fileno is None else profile.fileno(connection)
        self.readable = None if profile.fileno is None else look_at(descriptor)
        self.socket_identity = identity_of(descriptor)
        self.guards_commit = self.readable is not None or terms.outcome is not None
        # sqlite3 tells by itself what is pending, unless it always is in a transaction (autocommit=False).
        self._tracks = not profile.transaction_is_work or profile.in_transaction(connection) is True
        self._in_process = profile.in_process
        self._recycles = terms.maxusage > 0 and not self.mortal
        self.cursor_type: type | None = None
        self.cursor_class: Any = None
        hides_rows = profile is UNKNOWN or profile.cursor_is_streaming is not None
        self.open_cursors: WeakSet[Any] | None = WeakSet() if hides_rows or self._recycles else None
        self._asks_again = not isinstance(terms.ping, MaskPing)
        self._due = self._ask_strategy()
        self._window = terms.ping.window if isinstance(terms.ping, MaskPing) else 0.0
        self.refresh()
        terms.gate.joined(self)
        self._closed = False
        watch_fork(self)

    def _ask_strategy(self) -> int:
        """Return the mask of the events at which the ping strategy wants to check."""
        if self._in_process and isinstance(self.terms.ping, MaskPing) and self.terms.ping.check is None:
            return 0  # every call proves the life of a database in this process; only the user's own check is asked
        return sum(int(event) for event in (Ping.REQUEST, Ping.CURSOR, Ping.EXECUTE) if self.terms.ping.due(event))

    def refresh(self) -> None:
        """Fold everything that may ask for attention into the three attributes of the hot path."""
        if self.pending is EXPLICIT:
            self.watch = self.watch_cursor = self.watch_request = False
        else:
            due = self._due
            self.watch = self._tracks or self._recycles or due & _EXECUTE != 0
            self.watch_cursor = due & _CURSOR != 0
            self.watch_request = due & _REQUEST != 0
        # Last, so that an order that came in the middle of this is not overlooked.
        if self.gone or self.ordered or self.doubted or self.poison is not None:
            self.watch = self.watch_cursor = self.watch_request = True

    def escaped(self) -> None:
        """The caller took the driver's connection in hand, and may close it: from now on our statements are tracked."""
        if not self._tracks and not self.gone:
            self.pending = self.hanging()
            self._tracks = True
            self.refresh()

    def settings_changed(self, autocommit: bool | None = None) -> None:
        """The caller set something on the connection: it may have switched autocommit, which was as told before."""
        if autocommit is False and self.profile.autocommit_commits and self.profile.autocommit(self.connection) is True:
            self.ended()
        self._tracks = self._tracks or self.profile.in_transaction(self.connection) is True
        self.refresh()

    def order(self) -> None:
        """Ask the owner, from another thread, to give the connection up at the next safe moment."""
        self.ordered = True
        self.watch = self.watch_cursor = self.watch_request = True

    def doubt(self) -> None:
        """Ask the owner, from another thread, to look before the next use whether the connection still lives."""
        self.doubted = True
        self.watch = self.watch_cursor = self.watch_request = True

    def tell_others(self) -> None:
        """This was lost, so the server may be gone: the connections of other threads are looked at."""
        if not self._in_process:
            self.terms.gate.lost(self)

    # What hangs on the connection

    def hanging(self) -> Pending:
        """Return what would be lost with the connection now; the driver is asked, without a round trip."""
        self._fold()
        if self.pending is EXPLICIT or self.gone:
            return self.pending
        open_now = self.profile.in_transaction(self.connection)
        if self.mortal and self.profile.is_closed(self.connection):
            self.pending = WORK
        elif open_now is False:
            self.pending = NOTHING
            self.by_sql = False
        elif self._committed_by_setting(open_now):
            self.pending = NOTHING
        elif open_now and (self.pending is NOTHING or (self.profile.transaction_is_work and not self._tracks)):
            # Opened past us, or a driver for which an open transaction means work.
            self.pending = NOTHING if self.profile.always_open(self.connection) else WORK
            if not self.profile.transaction_is_work and self.profile.autocommit(self.connection) is True:
                self.by_sql = True  # the driver's own commit() may do nothing in autocommit
        return self.pending

    def _committed_by_setting(self, open_now: bool | None) -> bool:
        """Whether the work was committed by switching to autocommit, by a method or by SQL."""
        profile = self.profile
        return (
            profile.autocommit_commits
            and self.pending is WORK
            and not (open_now or self.by_sql)
            and profile.autocommit(self.connection) is True
        )

    def at_stake(self, operation: Operation) -> Pending:
        """Return what hung on the connection before the operation that has just failed."""
        sending = operation is Operation.STATEMENT
        if not sending:
            self._fold()
        if self.prepared:
            return NOTHING
        pending = self.pending
        if (
            not self._tracks
            and self.usage - self._settled_usage > sending
            and self.profile.in_transaction(self.connection) is not False
        ):
            pending = max(pending, WORK)
        return max(pending, WORK) if self.mortal else pending

    def track(self, operation: object) -> None:
        """Note what a statement that is about to be sent leaves behind."""
        text = text_of(operation)
        effect = effect_of(text)
        if self.pending is NOTHING and self.profile.autocommit(self.connection) is True:
            if effect is Effect.OPENS:
                self.by_sql = True
            else:
                effect = Effect.ENDS
        if effect is Effect.WORK and self.profile.committing and changes_schema(text):
            effect = Effect.ENDS
        if self.pending is EXPLICIT and (effect is Effect.ENDS or may_commit(text, self.profile.committing)):
            self.whole = False
        self._effect = effect

    def forget_effect(self) -> None:
        """The statement failed on a living session: it ended nothing, and opened nothing."""
        if self._effect in (Effect.ENDS, Effect.OPENS):
            self.by_sql = self.by_sql and self.pending is not NOTHING
            self._effect = None

    def _fold(self) -> None:
        effect = self._effect
        if effect is None or self.pending is EXPLICIT:
            self._effect = None
            return
        if effect is Effect.ENDS:
            self.pending = NOTHING
            self.by_sql = False
        elif effect is Effect.READS:
            self.pending = max(self.pending, WORK if self.profile.reads_are_work(self.connection) else READS)
        else:
            self.pending = WORK
        self._effect = None  # last: an interrupt before it folds once more

    def begun(self, *, by_sql: bool) -> None:
        """The caller has opened a transaction."""
        self._effect = None
        self.by_sql = by_sql
        self.pending = EXPLICIT
        self.watch = self.watch_cursor = self.watch_request = self.ordered

    def keep_whole(self) -> None:
        """Watch, until the transaction ends, whether a statement ends it, or a part of it."""
        self.whole = self.watch = True

    def ended(self) -> None:
        """The transaction is over, in whatever way."""
        self._settled_usage = self.usage
        self.whole = False
        if self.pending is NOTHING and not self.watch:
            return  # a driver that does the tracking, and no begin(): nothing else has changed
        self._effect = self.poison = self.mark = None
        self.pending = NOTHING
        self.by_sql = self.prepared = False
        if not self._in_process:
            self.proven_at = self.clock()
        if self._asks_again:
            try:
                self._due = self._ask_strategy()
            except Exception:  # noqa: BLE001  the user's own code may raise anything
                # An error out of a commit that was made would have its work done twice; the last answer stands.
                logger.exception("the ping strategy's due() failed")
        self.refresh()

    def read_to_the_end(self, cursor: object) -> None:
        """A cursor has no rows left that a replacement of the connection would cut short."""
        if self.open_cursors is not None:
            self.open_cursors.discard(cursor)

    def lose(self, poison: tuple[type[PersistentDBError], BaseException | None] | None) -> None:
        """Never use the connection again; raise the poison, if any, until the caller ends the transaction."""
        self.gone = True
        self.poison = poison
        self._effect = None
        if poison is None:
            self.pending = NOTHING
        self.refresh()

    # Its end

    def close(self) -> None:
        """Close the driver's connection and never use it again; a dead one may refuse, which changes nothing."""
        self.gone = True
        self._effect = None
        self.pending = NOTHING
        self.refresh()
        self.abandon()
        if self._closed:
            return
        self._closed = True
        self.profile.let_go(self.connection)
        close_quietly(self.connection)
        if self.open_cursors is not None:
            self.open_cursors.clear()

    def abandon(self, getpid: Callable[[], int] = os.getpid) -> None:
        """In a child process: never use, and never close, what the parent opened (X5)."""
        if not self._closed and getpid() != self._process:
            self._closed = True
            abandon(self)

    # In a child the thread-local data of the parent's other threads is dropped before any function is called there.
    __del__ = abandon
