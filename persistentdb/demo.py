"""The demo: money on the move while connections break, and the proof that none of it is lost or doubled.

Tellers, a thread each, move money between accounts. Each has a persistent connection of its own, and somebody breaks
these connections at random. A teller writes down in memory what the database has acknowledged; in the end the books
in the database must say the same. `run()` is the whole story, `Teller` is what your own code would look like.
"""

from __future__ import annotations

import os
import queue
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple, TypeAlias

from attrs import define, field, frozen

from persistentdb import CommitOutcomeUnknown, PersistentDB, SteadyConnection, TransactionLost
from persistentdb.drivers import profile_of

__all__ = ["CannotStartError", "Outcome", "Settings", "Tally", "Transfer", "audit", "run", "written_for"]

OPENING_BALANCE = 1000
LARGEST_AMOUNT = 100
MOST_ATTEMPTS = 30
"""A teller gives up after so many attempts at one transfer: with the pauses between them, after some ten seconds."""
SPARED_AFTER = 10
"""From this attempt on a transfer is left in peace, so that even `--breaks 1` comes to an end."""
LONGEST_PAUSE = 0.5  # seconds
LONGEST_FUSE = 0.003  # seconds: about as long as a transaction takes

# No key on the ledger's id: it must not be the database that keeps a doubled transfer out.
TABLES = {
    "persistentdb_demo_account": (
        "create table persistentdb_demo_account (id integer not null primary key, balance integer not null)"
    ),
    "persistentdb_demo_ledger": (
        "create table persistentdb_demo_ledger "
        "(id integer not null, source integer not null, target integer not null, amount integer not null)"
    ),
}
OPEN_ACCOUNT = "insert into persistentdb_demo_account (id, balance) values (?, ?)"
CHANGE_BALANCE = "update persistentdb_demo_account set balance = balance + ? where id = ?"
BOOK = "insert into persistentdb_demo_ledger (id, source, target, amount) values (?, ?, ?, ?)"
FIND = "select count(*) from persistentdb_demo_ledger where id = ?"
READ_BALANCES = "select id, balance from persistentdb_demo_account"
READ_LEDGER = "select id, source, target, amount from persistentdb_demo_ledger"

Balances: TypeAlias = dict[int, int]


class CannotStartError(Exception):
    """Raised when the demo cannot run on this database; nothing was changed there."""


@frozen
class Settings:
    """What is asked for on the command line.

    Attributes:
        threads: How many tellers there are.
        transfers: How many transfers each of them makes.
        accounts: How many accounts there are, at least 2.
        seed: What all lots are drawn from.
        breaks: The share of the steps at which a connection is broken, from 0 to 1.
    """

    threads: int = 8
    transfers: int = 250
    accounts: int = 20
    seed: int = 0
    breaks: float = 0.05


class Transfer(NamedTuple):
    """So much money from one account to another; a row of the ledger."""

    id: int
    source: int
    target: int
    amount: int


@define
class Tally:
    """What one teller saw.

    Attributes:
        acknowledged: The transfers that the database said were committed, or in which they were found afterwards.
        broken: Connections broken under it.
        unnoticed: Connections that were reopened without any error reaching the teller.
        run_again: Transactions that raised an error, and were run again from their beginning.
        unknown: Commits that broke in the middle.
        found: Those of them that turned out to be in the ledger.
        missing: Those of them that turned out not to be there, and were made again.
    """

    acknowledged: list[Transfer] = field(factory=list[Transfer])
    broken: int = 0
    unnoticed: int = 0
    run_again: int = 0
    unknown: int = 0
    found: int = 0
    missing: int = 0


@frozen
class Outcome:
    """What came of it.

    Attributes:
        tallies: What each teller saw.
        opening: The balance of each account before.
        closing: The balance of each account afterwards, as the database has it.
        ledger: The ledger, as the database has it.
        seconds: How long the tellers worked.
        differences: What does not agree, a sentence each; none is the proof.
    """

    tallies: list[Tally]
    opening: Balances
    closing: Balances
    ledger: list[Transfer]
    seconds: float
    differences: list[str]


# --- The SQL, in the words of any driver ------------------------------------------------------------------------------

_MARKS = {"qmark": "?", "format": "%s", "pyformat": "%(v{})s", "numeric": ":{}", "named": ":v{}"}


def written_for(paramstyle: str, statement: str, values: Sequence[object]) -> tuple[str, object]:
    """Return a statement and its values as a driver wants them.

    Args:
        paramstyle: What the driver's module says of itself (PEP 249).
        statement: SQL with question marks.
        values: One for each question mark.
    """
    numbers = count(1)
    text = re.sub(r"\?", lambda _: _MARKS[paramstyle].format(next(numbers)), statement)
    if paramstyle in ("pyformat", "named"):
        return text, {f"v{number}": value for number, value in enumerate(values, 1)}
    return text, tuple(values)


@frozen
class Bank:
    """The persistent connections, and the driver they are made by.

    Attributes:
        persist: Gives each thread its own connection.
        driver: The driver's module, for its `paramstyle` and its `Error`.
    """

    persist: PersistentDB[Any]
    driver: Any

    def execute(self, cursor: Any, statement: str, *values: object) -> None:
        """Run a statement that is written with question marks."""
        if values:
            cursor.execute(*written_for(self.driver.paramstyle, statement, values))
        else:
            cursor.execute(statement)

    def read(self, statement: str) -> list[Any]:
        """Return all rows of a query, and leave no transaction open."""
        db = self.persist.connection()
        cursor = db.cursor()
        cursor.execute(statement)
        rows: list[Any] = cursor.fetchall()
        db.rollback()
        return rows


# --- The teller: this is what your own code would look like -----------------------------------------------------------


class Teller(threading.Thread):
    """A thread that moves money, whatever happens to its connection.

    Args:
        bank: Where.
        transfers: What it has to do.
        line: What may break under it.
        lots: Decides when.
        breaks: The share of the steps at which the line breaks.
        stop: Set when the demo is to end early.
    """

    def __init__(
        self,
        bank: Bank,
        transfers: Iterable[Transfer],
        line: Line,
        lots: random.Random,
        breaks: float,
        stop: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self.tally = line.tally
        self.failure: Exception | None = None
        self._bank, self._transfers, self._line = bank, transfers, line
        self._lots, self._breaks, self._stop_early = lots, breaks, stop

    def run(self) -> None:
        """Work through the transfers; what cannot be done ends up in `failure`."""
        try:
            for transfer in self._transfers:
                if self._stop_early.is_set():
                    break
                self._carry_out(transfer)
        except Exception as error:  # noqa: BLE001  the main thread tells of it
            self.failure = error
        finally:
            self._line.hang_up()

    def _carry_out(self, transfer: Transfer) -> None:
        """Make a transfer, however often that has to be tried: exactly once is what the books must show."""
        doubtful = False
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                if doubtful and self._is_booked(transfer):
                    break
                doubtful = False
                self._move(transfer, self._breaks if attempt <= SPARED_AFTER else 0)
                break
            except CommitOutcomeUnknown:
                # It may have happened, so doing it again could double it: first we have to look.
                doubtful = True
                self.tally.unknown += 1
                self._line.noticed = True
            except (TransactionLost, self._bank.driver.Error):
                # It has certainly not happened: the transaction is rolled back, and is run again from its beginning.
                if attempt == MOST_ATTEMPTS:
                    raise
                self.tally.run_again += 1
                self._line.noticed = True
            time.sleep(min(LONGEST_PAUSE, 0.0005 * 2**attempt))
        else:
            raise TimeoutError(f"nothing came of transfer {transfer.id} in {MOST_ATTEMPTS} attempts")
        self.tally.acknowledged.append(transfer)

    def _move(self, transfer: Transfer, breaks: float) -> None:
        """Change both balances and book it, all in one transaction."""
        db = self._bank.persist.connection()
        self._step(db, breaks)
        with db.transaction():
            cursor = db.cursor()
            # In the order of the accounts: two tellers never wait for each other.
            for account, change in sorted([(transfer.source, -transfer.amount), (transfer.target, transfer.amount)]):
                self._bank.execute(cursor, CHANGE_BALANCE, change, account)
                self._step(db, breaks)
            self._bank.execute(cursor, BOOK, *transfer)
            self._step(db, breaks)

    def _is_booked(self, transfer: Transfer) -> bool:
        """Look whether a transfer of unknown outcome is in the ledger."""
        db = self._bank.persist.connection()
        db.begin()
        try:
            cursor = db.cursor()
            # The server may still be busy with the lost commit. It holds the accounts until it is through with it, one
            # way or the other; so we wait for one of them before we look.
            self._bank.execute(cursor, CHANGE_BALANCE, 0, transfer.source)
            self._bank.execute(cursor, FIND, transfer.id)
            booked = bool(cursor.fetchone()[0])
        finally:
            db.rollback()
        if booked:
            self.tally.found += 1
        else:
            self.tally.missing += 1
        return booked

    def _step(self, db: SteadyConnection[Any], breaks: float) -> None:
        """A step at which the connection may break."""
        self._line.look(db.driver_connection)
        if self._lots.random() < breaks:
            self._line.doom()


# --- The saboteur -----------------------------------------------------------------------------------------------------


class Line:
    """The driver's connection under one teller; without a socket, it is the teller's own thread that closes it.

    Args:
        tally: Where breaks and reopenings are counted.
    """

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.noticed = False
        self._connection: Any = None
        self._broken = False

    def look(self, connection: Any) -> bool:
        """Look at the driver's connection; return whether it is another one than the last time."""
        renewed = connection is not self._connection
        if renewed:
            if self._connection is not None and not self.noticed:
                self.tally.unnoticed += 1
            self._connection, self._broken = connection, False
        self.noticed = False
        return renewed

    def doom(self) -> None:
        """Break the connection, now or soon."""
        if not self._broken:
            self._connection.close()
            self._broken = True
            self.tally.broken += 1

    def hang_up(self) -> None:
        """Let go of the connection."""
        self._connection = None


class SocketLine(Line):
    """A line to a server, which the saboteur cuts at some moment while the teller is at work.

    Args:
        tally: Where breaks and reopenings are counted.
        fileno: Gives the socket's file descriptor of a driver's connection.
        saboteur: Who cuts it.
    """

    def __init__(self, tally: Tally, fileno: Callable[[Any], int], saboteur: Saboteur) -> None:
        super().__init__(tally)
        self._fileno = fileno
        self._saboteur = saboteur
        self._lock = threading.Lock()
        self._doomed = False
        self._socket: socket.socket | None = None

    def look(self, connection: Any) -> bool:
        """Look at the driver's connection, and keep a hold on the socket of a new one."""
        renewed = super().look(connection)
        if renewed:
            # A duplicate: by the time the saboteur comes, the driver's own descriptor may be another thread's.
            self._hold(socket.socket(fileno=os.dup(self._fileno(connection))))
        return renewed

    def doom(self) -> None:
        """Send the saboteur, who comes when he comes."""
        if not self._doomed:
            self._doomed = True
            self._saboteur.orders.put(self)

    def cut(self) -> None:
        """Cut the line under the teller; called in the saboteur's thread."""
        self._doomed = False
        with self._lock:
            line, self._socket = self._socket, None
        if line is None:
            return
        with line, suppress(OSError):  # it may be dead already, without our help
            line.shutdown(socket.SHUT_RDWR)
            self.tally.broken += 1

    def hang_up(self) -> None:
        """Let go of the connection and its socket."""
        super().hang_up()
        self._hold(None)

    def _hold(self, new: socket.socket | None) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = new


class Saboteur(threading.Thread):
    """Cuts the lines it is sent to, each after a random while.

    Args:
        lots: Decides how long it waits.
    """

    def __init__(self, lots: random.Random) -> None:
        super().__init__(daemon=True)
        self.orders: queue.SimpleQueue[SocketLine | None] = queue.SimpleQueue()
        self._lots = lots

    def run(self) -> None:
        """Work until the order is None."""
        while (line := self.orders.get()) is not None:
            time.sleep(self._lots.uniform(0, LONGEST_FUSE))
            line.cut()


# --- The whole story --------------------------------------------------------------------------------------------------


def run(
    persist: PersistentDB[Any], settings: Settings, progress: Callable[[int, int], object] = lambda _done, _all: None
) -> Outcome:
    """Create the tables, let the tellers work, audit the books, and drop the tables.

    Args:
        persist: The database.
        settings: How much of everything.
        progress: Called some ten times a second with the transfers done and the transfers in all.

    Raises:
        CannotStartError: The tables are there already, or cannot be made, or the driver is unknown to us.
    """
    bank = Bank(persist, _driver_of(persist.connection()))
    opening = dict.fromkeys(range(1, settings.accounts + 1), OPENING_BALANCE)
    with _tables(bank, opening):
        began = time.monotonic()
        tellers = _work(bank, settings, progress)
        seconds = time.monotonic() - began
        closing: Balances = {int(account): int(balance) for account, balance in bank.read(READ_BALANCES)}
        ledger = [Transfer(*map(int, row)) for row in bank.read(READ_LEDGER)]
    tallies = [teller.tally for teller in tellers]
    acknowledged = [transfer for tally in tallies for transfer in tally.acknowledged]
    gave_up = [
        f"thread {number} gave up: {type(teller.failure).__name__}: {teller.failure}"
        for number, teller in enumerate(tellers, 1)
        if teller.failure is not None
    ]
    differences = gave_up + list(audit(acknowledged, ledger, opening, closing))
    return Outcome(tallies, opening, closing, ledger, seconds, differences)


def _work(bank: Bank, settings: Settings, progress: Callable[[int, int], object]) -> list[Teller]:
    """Let all tellers work, until they are done or somebody interrupts us."""
    fileno = profile_of(bank.persist.connection().driver_connection).fileno
    saboteur, stop = Saboteur(_lots(settings, "saboteur")), threading.Event()
    tellers: list[Teller] = []
    for number in range(1, settings.threads + 1):
        line = Line(Tally()) if fileno is None else SocketLine(Tally(), fileno, saboteur)
        transfers = _transfers(settings, number)
        lots = _lots(settings, f"breaks under teller {number}")
        tellers.append(Teller(bank, transfers, line, lots, settings.breaks, stop))
    threads = [saboteur, *tellers]
    try:
        for thread in threads:
            thread.start()
        while any(teller.is_alive() for teller in tellers):
            time.sleep(0.1)
            progress(sum(len(one.tally.acknowledged) for one in tellers), settings.threads * settings.transfers)
    finally:
        stop.set()
        saboteur.orders.put(None)
        for thread in threads:
            if thread.ident is not None:  # it was started
                thread.join()
    return tellers


def audit(
    acknowledged: Iterable[Transfer], ledger: Sequence[Transfer], opening: Mapping[int, int], closing: Mapping[int, int]
) -> Iterator[str]:
    """Yield a sentence for everything that does not agree: none, if nothing is lost and nothing is doubled.

    Args:
        acknowledged: The transfers that the tellers know to be committed.
        ledger: The transfers that the database knows.
        opening: The balance of each account before.
        closing: The balance of each account afterwards.
    """
    known, booked = Counter(acknowledged), Counter(ledger)
    for transfer, times in (known - booked).items():
        yield f"lost: {transfer} was acknowledged, and is missing from the ledger ({times} x)"
    for transfer, times in (booked - known).items():
        yield f"too much: {transfer} is in the ledger without having been acknowledged ({times} x)"
    for identifier, times in Counter(transfer.id for transfer in ledger).items():
        if times > 1:
            yield f"doubled: the ledger has id {identifier} {times} times"
    expected = Counter(opening)  # a Counter, for an account that nobody opened starts at 0
    for transfer in ledger:
        expected[transfer.source] -= transfer.amount
        expected[transfer.target] += transfer.amount
    for account in sorted(expected.keys() | closing.keys()):
        if expected[account] != closing.get(account):
            yield f"account {account} has {closing.get(account)}, by the ledger it should have {expected[account]}"
    if sum(opening.values()) != sum(closing.values()):
        yield f"all balances together were {sum(opening.values())}, and are {sum(closing.values())}"


def _lots(settings: Settings, purpose: str) -> random.Random:
    return random.Random(f"{settings.seed}: {purpose}")  # noqa: S311  to be drawn again is what these are for


def _transfers(settings: Settings, teller: int) -> Iterator[Transfer]:
    """Draw what a teller has to do: the same for the same seed, whatever breaks."""
    lots = _lots(settings, f"transfers of teller {teller}")
    first = (teller - 1) * settings.transfers + 1
    for identifier in range(first, first + settings.transfers):
        source, target = lots.sample(range(1, settings.accounts + 1), 2)
        yield Transfer(identifier, source, target, lots.randint(1, LARGEST_AMOUNT))


# --- The tables -------------------------------------------------------------------------------------------------------


def _driver_of(db: SteadyConnection[Any]) -> Any:
    """Return the driver's module; the creator may be a function of the user's own, so the connection is asked."""
    connection = db.driver_connection
    driver: Any = module_of_connection(connection)
    if getattr(driver, "paramstyle", None) not in _MARKS:
        raise CannotStartError(
            f"no paramstyle is to be found for {type(connection).__module__}.{type(connection).__qualname__}, "
            "so the demo does not know how to write its statements for this driver"
        )
    return driver


@contextmanager
def _tables(bank: Bank, opening: Balances) -> Generator[None]:
    """Create both tables and open the accounts; drop at the end what was created here."""
    for name in TABLES:
        if _exists(bank, name):
            raise CannotStartError(
                f"the table {name} exists already: another demo is at work on this database, or one was killed. "
                f"Wait for its end, or drop the tables {' and '.join(TABLES)} by hand"
            )
    with ExitStack() as to_be_dropped:
        for name, create in TABLES.items():
            try:
                _define(bank, create)
            except bank.driver.Error as error:
                raise CannotStartError(f"the table {name} cannot be created: {error}") from error
            to_be_dropped.callback(_define, bank, f"drop table {name}")
        db = bank.persist.connection()
        with db.transaction():
            for account, balance in opening.items():
                bank.execute(db.cursor(), OPEN_ACCOUNT, account, balance)
        yield


def _exists(bank: Bank, table: str) -> bool:
    """Whether a table is there: the only question that every database understands is to read from it."""
    try:
        bank.read(f"select 1 from {table} where 1 = 0")  # noqa: S608  the name is one of ours
    except bank.driver.Error:
        bank.persist.connection().rollback()
        return False
    return True


def _define(bank: Bank, statement: str) -> None:
    db = bank.persist.connection()
    db.rollback()  # what Ctrl-C may have left behind
    with db.transaction():
        db.cursor().execute(statement)
