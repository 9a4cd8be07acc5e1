"""The tellers: each makes its transfers as a careful program would, and writes down what it was told of each."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

from persistentdb import CommitOutcomeUnknown, PersistentDBError, SteadyConnection
from persistentdb._demo_bank import BOOK, CHANGE_BALANCE, READ_BALANCES, Bank, written_for

from .audit import LEFT_OPEN, MAY_HAVE_EXECUTED
from .children import Children
from .ground import BY_CALL, BY_STATEMENT, Desk
from .journal import Journal, Word
from .plan import ACCOUNTS, IN_AUTOCOMMIT, OPENING_BALANCE, Style, Task

__all__ = ["Clerk", "Teller", "WrongAnswerError"]

ECHO = "select balance * 0 + cast(? as integer) from persistentdb_demo_account where id = ?"
PAUSE = 0.02  # seconds after a failure, so that an outage does not fill the journal


class WrongAnswerError(Exception):
    """Raised when a query was answered, and the answer is not the answer to it."""


class Clerk:
    """Makes transfers, in a teller's thread or in a child.

    Args:
        name: Who it is, for the journal.
        desk: The driver and the PersistentDBs.
        journal: Where it writes down what it was told.
        children: Those it forks.

    Attributes:
        busy_since: When the present attempt began, on the monotonic clock; None between two attempts.
    """

    def __init__(self, name: str, desk: Desk, journal: Journal, children: Children) -> None:
        self.name, self.desk, self.journal, self.children = name, desk, journal, children
        self.busy_since: float | None = None
        self._cursors: dict[int, Any] = {}

    def carry_out(self, task: Task, pause: Callable[[float], object]) -> None:
        """Make a transfer; try it again only after it certainly was not made."""
        if task.fork and not task.fork.inside:
            self.children.fork(self, task.fork)
        for attempt in range(1 + task.again):
            if attempt:
                pause(PAUSE * attempt)
            word = self._attempt(task)
            if word is not Word.REFUSED:
                return
        pause(PAUSE)

    def leave_open(self, task: Task) -> None:
        """Make a transfer but for its commit, for whoever is about to die: it is certainly not made."""
        self._note(task, Word.TRYING, f"{task.transfer}, to be left open")
        with suppress(*self.desk.errors, PersistentDBError):  # it came to less then
            db = self.desk.in_transactions.persist.connection()
            db.begin()
            self.move(db, task)
        self._note(task, Word.REFUSED, LEFT_OPEN)

    def _attempt(self, task: Task) -> Word:
        self.busy_since = time.monotonic()
        looks = task.style is Style.LOOK
        if not looks:
            self._note(task, Word.TRYING, f"{task.transfer} in {'autocommit' if task.autocommit else 'transactions'}")
        try:
            self._by_style(task)
        except Exception as error:
            word = self._told(task, error)
        else:
            word = Word.LOOKED if looks else Word.MADE
            self._note(task, word, f"{task.style.value} over {self.desk.driver}")
        self.busy_since = None
        return word

    def _told(self, task: Task, error: Exception) -> Word:
        """Return what an error says of the transfer; one that must not come at all is raised on."""
        notes = "; ".join(getattr(error, "__notes__", []))
        cause = f" <- {type(error.__cause__).__name__}: {error.__cause__}" if error.__cause__ else ""
        text = f"{type(error).__name__}: {error}{cause} [{notes}]"
        if not isinstance(error, (*self.desk.errors, PersistentDBError)):
            self._note(task, Word.WRONG, "".join(traceback.format_exception(error)))
            raise error
        doubtful = isinstance(error, CommitOutcomeUnknown)
        if task.style in IN_AUTOCOMMIT:
            doubtful = doubtful or MAY_HAVE_EXECUTED in notes
        word = Word.UNKNOWN if doubtful else Word.REFUSED
        if task.style is not Style.LOOK:
            self._note(task, word, text)
        return word

    def _end(self, db: SteadyConnection[Any], task: Task) -> None:
        """End what has failed: whatever was lost, this must succeed."""
        try:
            if task.closes:
                db.close()
            else:
                db.rollback()
        except Exception:
            self._note(task, Word.WRONG, "rollback() or close() after a failure\n" + traceback.format_exc())
            raise

    def _note(self, task: Task, word: Word, text: str = "") -> None:
        self.journal.write(self.name, task.transfer, word, text)

    # The styles

    def _by_style(self, task: Task) -> None:
        bank = self.desk.bank(autocommit=task.autocommit)
        if task.style is Style.RUN:
            bank.persist.run(self.move, task)
            return
        db = bank.persist.connection()
        if task.style is Style.BLOCK:
            with db.transaction():
                self.move(db, task)
        elif task.style is Style.WITH:
            with db:
                self.move(db, task)
        else:
            try:
                self._by_hand(db, bank, task)
            except BaseException:
                self._end(db, task)
                raise

    def _by_hand(self, db: SteadyConnection[Any], bank: Bank, task: Task) -> None:
        """The styles in which the caller itself ends what has failed."""
        if task.style is Style.LOOK:
            self._look(db, bank)
        elif task.style in IN_AUTOCOMMIT:
            self._at_once(db, bank, task)
        else:
            if task.style is Style.BEGIN:
                db.begin()
            self.move(db, task)
            db.commit()

    def move(self, db: SteadyConnection[Any], task: Task) -> None:
        """Make a transfer in a transaction, by the statements that the task names in its order."""
        bank, (identifier, source, target, amount) = self.desk.bank(autocommit=task.autocommit), task.transfer
        changes = sorted([(source, -amount), (target, amount)])
        cursor = self._cursor(db, bank, task)
        for step in task.order:
            if step == 2:  # the ledger
                bank.execute(cursor, BOOK, *task.transfer)
            elif not task.many:
                account, change = changes[step]
                bank.execute(cursor, CHANGE_BALANCE, change, account)
            elif step == 0:
                pairs = [(change, account) for account, change in changes]
                self._execute_many(bank, cursor, pairs)
        if task.echo:
            bank.execute(cursor, ECHO, identifier, source)
            answer = cursor.fetchall()
            if [tuple(row) for row in answer] != [(identifier,)]:
                raise WrongAnswerError(f"asked for {identifier}, got {answer}")
        if task.fork and task.fork.inside:
            self.children.fork(self, task.fork, db)
        if not task.keeps_cursor:
            cursor.close()

    @staticmethod
    def _execute_many(bank: Bank, cursor: Any, pairs: list[tuple[int, int]]) -> None:
        written = [written_for(bank.driver.paramstyle, CHANGE_BALANCE, pair) for pair in pairs]
        cursor.executemany(written[0][0], [values for _, values in written])

    def _cursor(self, db: SteadyConnection[Any], bank: Bank, task: Task) -> Any:
        """Return a new cursor, or the old one over whatever has happened to its connection meanwhile."""
        if not task.keeps_cursor:
            return db.cursor()
        if id(bank) not in self._cursors:
            self._cursors[id(bank)] = db.cursor()
        return self._cursors[id(bank)]

    def _look(self, db: SteadyConnection[Any], bank: Bank) -> None:
        """Read all balances: money is neither made nor destroyed at any moment, and no row is missing."""
        with closing(db.cursor()) as cursor:
            bank.execute(cursor, READ_BALANCES)
            balances = {int(account): int(balance) for account, balance in cursor.fetchall()}
        db.rollback()
        if balances.keys() != set(ACCOUNTS) or sum(balances.values()) != OPENING_BALANCE * len(ACCOUNTS):
            raise WrongAnswerError(f"there are {len(balances)} accounts with {sum(balances.values())} in all")

    def _at_once(self, db: SteadyConnection[Any], bank: Bank, task: Task) -> None:
        """Make a transfer by one statement in autocommit."""
        _, source, target, amount = task.transfer
        cursor = self._cursor(db, bank, task)
        if task.style is Style.CALL:
            bank.execute(cursor, BY_CALL[self.desk.server], *task.transfer)
        elif self.desk.server == "postgres":
            values = (source, amount, amount, source, target, *task.transfer)
            bank.execute(cursor, BY_STATEMENT["postgres"], *values)
        else:
            bank.execute(cursor, BY_STATEMENT["mariadb"], *task.transfer)
        if not task.keeps_cursor:
            cursor.close()


class Teller(threading.Thread):
    """A thread that works through its tasks until it is told to stop.

    Args:
        clerk: What makes the transfers.
        tasks: What there is to do.
        may_stop: Set when the time is over.

    Attributes:
        failure: What must not have happened, and ended its work.
    """

    def __init__(self, clerk: Clerk, tasks: Iterator[Task], may_stop: threading.Event) -> None:
        super().__init__(name=clerk.name, daemon=True)
        self.clerk = clerk
        self.failure: BaseException | None = None
        self._tasks, self._may_stop = tasks, may_stop

    def run(self) -> None:
        """Work."""
        try:
            for task in self._tasks:
                if self._may_stop.is_set():
                    break
                self.clerk.carry_out(task, self._may_stop.wait)
                self.clerk.children.reap(self.clerk)
            self.clerk.children.reap(self.clerk, to_the_end=True)
        except BaseException as error:
            self.failure = error
