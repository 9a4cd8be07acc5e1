"""The demo: money on the move while connections break, and the proof that none of it is lost or doubled.

Tellers, a thread each, move money between accounts. Each has a persistent connection of its own, and somebody breaks
these connections at random. A teller remembers which transfers the database has acknowledged; in the end the books in
the database must say the same. `Teller` is what your own code would look like, `run()` is the whole story.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from attrs import field, frozen

from persistentdb import CommitOutcomeUnknown, PersistentDB, SteadyConnection, TransactionLost
from persistentdb._demo_bank import (
    BOOK,
    CHANGE_BALANCE,
    FIND,
    READ_BALANCES,
    READ_LEDGER,
    Bank,
    CannotFinishError,
    Transfer,
    audit,
    bank_at,
    tables,
)
from persistentdb._demo_saboteur import Line, Saboteur, SocketLine
from persistentdb.drivers import profile_of

__all__ = ["Outcome", "Settings", "Tally", "Teller", "run"]

OPENING_BALANCE = 1000
LARGEST_AMOUNT = 100
SPARED_AFTER = 5
"""After so many attempts a transfer is left in peace, so that `--breaks 1` comes to an end, too."""
MOST_ATTEMPTS = 30
"""After so many it is given up; with the pauses between them that is some ten seconds without a database."""
LONGEST_PAUSE = 0.5  # seconds


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
    transfers: int = 750
    accounts: int = 20
    seed: int = 0
    breaks: float = 0.05


class Teller(threading.Thread):
    """A thread that moves money, whatever happens to its connection.

    Args:
        bank: The persistent connections, and the driver they are made by.
        transfers: What there is to do.
        line: What breaks the connection under it.
        lots: Decides at which steps.
        breaks: At how many of them, from 0 to 1.

    Attributes:
        acknowledged: The transfers that are certainly in the database.
        failure: What made it give up.
    """

    def __init__(
        self, bank: Bank, transfers: Iterable[Transfer], line: Line, lots: random.Random, breaks: float
    ) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[Transfer] = []
        self.failure: Exception | None = None
        self.run_again: int = 0
        self.unknown: int = 0
        self.found: int = 0
        self.missing: int = 0
        self.line = line
        self.may_stop: threading.Event = threading.Event()
        self._bank, self._transfers, self._lots, self._breaks = bank, transfers, lots, breaks

    def run(self) -> None:
        """Work through the transfers."""
        try:
            for transfer in self._transfers:
                if self.may_stop.is_set():
                    break
                self.carry_out(transfer)
        except Exception as error:  # noqa: BLE001  the main thread tells of it
            self.failure = error
        finally:
            self.line.hang_up()

    def carry_out(self, transfer: Transfer) -> None:
        """Make a transfer, however often it has to be tried: the books must show it exactly once."""
        doubtful = False
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                if not (doubtful and self.is_booked(transfer)):
                    doubtful = False
                    self.move(transfer, in_peace=attempt > SPARED_AFTER)
                self.acknowledged.append(transfer)
            except CommitOutcomeUnknown:
                # It may have been committed. To do it again could double it: the next attempt looks first.
                doubtful = True
                self.unknown += 1
            except (TransactionLost, self._bank.driver.Error, OSError):  # pg8000 lets the socket's own errors through
                # Nothing came of this attempt, certainly: the next one begins at the beginning.
                self.run_again += 1
                if attempt == MOST_ATTEMPTS:
                    raise
            else:
                return
            self.line.noticed = True
            time.sleep(min(LONGEST_PAUSE, 0.001 * 2 ** max(0, attempt - SPARED_AFTER)))
        raise TimeoutError(f"transfer {transfer.id} had no certain outcome in {MOST_ATTEMPTS} attempts")

    def move(self, transfer: Transfer, *, in_peace: bool) -> None:
        """Change both balances and write it in the ledger, all in one transaction."""
        db = self._bank.persist.connection()
        self._step(db, in_peace)
        with db.transaction():
            cursor = db.cursor()
            # In the order of the accounts, so that two tellers never wait for each other.
            for account, change in sorted([(transfer.source, -transfer.amount), (transfer.target, transfer.amount)]):
                self._bank.execute(cursor, CHANGE_BALANCE, change, account)
                self._step(db, in_peace)
            self._bank.execute(cursor, BOOK, *transfer)
            self._step(db, in_peace)

    def is_booked(self, transfer: Transfer) -> bool:
        """Look in the ledger what came of a commit that broke in the middle."""
        db = self._bank.persist.connection()
        db.begin()
        try:
            cursor = db.cursor()
            # The server may still be at work on that commit, and holds the accounts until it is through with it, one
            # way or the other. So we wait for one of them before we look.
            self._bank.execute(cursor, CHANGE_BALANCE, 0, transfer.source)
            self._bank.execute(cursor, FIND, transfer.id)
            booked = bool(cursor.fetchone()[0])
        finally:
            db.rollback()
        self.found += booked
        self.missing += not booked
        return booked

    def _step(self, db: SteadyConnection[Any], in_peace: bool) -> None:
        """Come to a point at which the connection may be broken."""
        self.line.look(db.driver_connection)
        if not in_peace and self._lots.random() < self._breaks:
            self.line.doom()


@frozen
class Tally:
    """What one teller saw.

    Attributes:
        acknowledged: Transfers that are certainly committed.
        broken: Connections that were broken under it.
        unnoticed: Connections that were reopened without any error reaching the teller.
        run_again: Transactions that raised an error, and were run again from their beginning.
        unknown: Commits that broke in the middle.
        found: Those of them that turned out to be in the ledger.
        missing: Those of them that turned out not to be there, and were made again.
    """

    acknowledged: int = 0
    broken: int = 0
    unnoticed: int = 0
    run_again: int = 0
    unknown: int = 0
    found: int = 0
    missing: int = 0


@frozen
class Outcome:
    """What came of it all.

    Attributes:
        tallies: What each teller saw.
        ledger: The ledger as the database has it.
        opening: The balance of each account before.
        closing: The balance of each account afterwards, as the database has it.
        seconds: How long the tellers worked.
        differences: What does not agree, a sentence each; that there is none is the proof.
    """

    tallies: list[Tally]
    ledger: list[Transfer]
    opening: dict[int, int]
    closing: dict[int, int]
    seconds: float = 0
    differences: list[str] = field(factory=list[str])


def run(persist: PersistentDB[Any], settings: Settings, progress: Callable[[int, int], object]) -> Outcome:
    """Create the tables, let the tellers work, audit the books, drop the tables.

    Args:
        persist: The database.
        settings: How much of everything.
        progress: Called ten times a second with the number of transfers that are done, and of all.

    Raises:
        CannotStartError: The tables are there already or cannot be created, or the driver is not known well enough.
        CannotFinishError: The database went away in the end.
    """
    bank = bank_at(persist)
    opening = dict.fromkeys(range(1, settings.accounts + 1), OPENING_BALANCE)
    try:
        with tables(bank, opening):
            began = time.monotonic()
            tellers = _work(bank, settings, progress)
            seconds = time.monotonic() - began
            closing = {int(account): int(balance) for account, balance in bank.read(READ_BALANCES)}
            ledger = [Transfer(*map(int, row)) for row in bank.read(READ_LEDGER)]
    except bank.driver.Error as error:
        raise CannotFinishError(
            f"the tables persistentdb_demo_* cannot be read or dropped: {type(error).__name__}: {error}"
        ) from error
    acknowledged = [transfer for teller in tellers for transfer in teller.acknowledged]
    differences = [
        f"thread {number} gave up: {type(teller.failure).__name__}: {teller.failure}"
        for number, teller in enumerate(tellers, 1)
        if teller.failure
    ]
    differences += audit(acknowledged, ledger, opening, closing)
    return Outcome([_tally(teller) for teller in tellers], ledger, opening, closing, seconds, differences)


def _work(bank: Bank, settings: Settings, progress: Callable[[int, int], object]) -> list[Teller]:
    """Let all tellers work until they are done, or until somebody presses Ctrl-C."""
    fileno = profile_of(bank.persist.connection().driver_connection).fileno
    saboteur = Saboteur(_lots(settings, "the saboteur"))
    tellers = [
        Teller(
            bank,
            _transfers(settings, number),
            Line() if fileno is None else SocketLine(fileno, saboteur),
            _lots(settings, f"breaks under teller {number}"),
            settings.breaks,
        )
        for number in range(1, settings.threads + 1)
    ]
    started: list[threading.Thread] = []
    try:
        for thread in (saboteur, *tellers):
            thread.start()
            started.append(thread)
        while any(teller.is_alive() for teller in tellers):
            time.sleep(0.1)
            progress(sum(len(teller.acknowledged) for teller in tellers), settings.threads * settings.transfers)
    finally:
        for teller in tellers:
            teller.may_stop.set()
        saboteur.orders.put(None)
        for thread in started:
            thread.join()
    return tellers


def _tally(teller: Teller) -> Tally:
    """Return what a teller saw; only now, for the saboteur may have come after it had ended."""
    line = teller.line
    return Tally(
        len(teller.acknowledged),
        line.broken,
        line.unnoticed,
        teller.run_again,
        teller.unknown,
        teller.found,
        teller.missing,
    )


def _lots(settings: Settings, purpose: str) -> random.Random:
    return random.Random(f"{settings.seed}: {purpose}")  # noqa: S311  that they can be drawn again is the point


def _transfers(settings: Settings, teller: int) -> Iterator[Transfer]:
    """Draw what a teller has to do: the same for the same seed, whatever breaks."""
    lots = _lots(settings, f"transfers of teller {teller}")
    first = (teller - 1) * settings.transfers + 1
    for identifier in range(first, first + settings.transfers):
        source, target = lots.sample(range(1, settings.accounts + 1), 2)
        yield Transfer(identifier, source, target, lots.randint(1, LARGEST_AMOUNT))
