"""The children that tellers fork: they work over the inherited PersistentDBs, and end in every way there is."""

from __future__ import annotations

import atexit
import multiprocessing
import multiprocessing.util
import os
import signal
import time
import traceback
import warnings
from collections import Counter
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import evolve, frozen

from persistentdb import SteadyConnection, TransactionLost

from .journal import Word
from .plan import Exit, Fork, Style

if TYPE_CHECKING:
    from .teller import Clerk

__all__ = ["BOUND", "Child", "Children"]

BOUND = 40.0
"""Seconds after which whatever has not come to its end hangs."""

STATUS = {Exit.KILL: -signal.SIGKILL, Exit.TERM: -signal.SIGTERM, Exit.KILL_IN_TRANSACTION: -signal.SIGKILL}


@frozen
class Child:
    """A child that has not been collected yet.

    Attributes:
        pid: Its number.
        fork: What it does and how it ends.
        born: When, on the monotonic clock.
        process: What `multiprocessing` knows of it, if that has forked it.
    """

    pid: int
    fork: Fork
    born: float
    process: BaseProcess | None

    def status(self) -> int | None:
        """Return how it ended, a signal as a negative number; None as long as it lives."""
        if self.process is not None:
            return self.process.exitcode
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None


class Children:
    """The children of one teller.

    Attributes:
        ended: How often each way was gone to its end.
    """

    def __init__(self) -> None:
        self.ended: Counter[Exit] = Counter()
        self._living: list[Child] = []
        self._forked: set[Fork] = set()

    def fork(self, clerk: Clerk, fork: Fork, db: SteadyConnection[Any] | None = None) -> None:
        """Fork a child, the first time that it is asked for: a transaction that is run again forks none.

        Args:
            clerk: The parent.
            fork: What the child does, and how it ends.
            db: The connection on which the parent is in the middle of a transaction.
        """
        if fork in self._forked:
            return
        self._forked.add(fork)
        process: BaseProcess | None = None
        if fork.way is Exit.RETURN:
            process = multiprocessing.get_context("fork").Process(target=self._live, args=(clerk, fork, db))
            process.start()
            pid = process.pid or 0
        else:
            pid = os.fork()
            if pid == 0:
                self._live_and_end(clerk, fork, db)
        place = "in a transaction" if fork.inside else "between two"
        clerk.journal.write(clerk.name, None, Word.FORKED, f"child {pid} {place}, to end by {fork.way.value}")
        self._living.append(Child(pid, fork, time.monotonic(), process))

    def reap(self, clerk: Clerk, *, to_the_end: bool = False) -> None:
        """Collect the children that have ended.

        Args:
            clerk: Their parent.
            to_the_end: Whether to wait for those that live.
        """
        while self._living:
            self._living = [child for child in self._living if not self._collect(clerk, child)]
            if not to_the_end:
                break
            time.sleep(0.01)

    def _collect(self, clerk: Clerk, child: Child) -> bool:
        status = child.status()
        if status is None and time.monotonic() - child.born < BOUND + 5:  # it dumps its own stacks before
            return False
        expected = STATUS.get(child.fork.way, 0)
        word = Word.ENDED if status == expected else Word.WRONG
        clerk.journal.write(clerk.name, None, word, f"child {child.pid}: {status}, expected {expected}")
        if status is None:
            os.kill(child.pid, signal.SIGKILL)
        elif status == expected:
            self.ended[child.fork.way] += 1
        if child.process is not None and status is not None:
            child.process.close()
        return True

    # In the child

    def _live_and_end(self, clerk: Clerk, fork: Fork, db: SteadyConnection[Any] | None) -> NoReturn:
        try:
            self._live(clerk, fork, db)
        except BaseException:
            os._exit(1)
        if fork.way is Exit.FINISH:
            raise SystemExit(0)
        if fork.way in STATUS:
            os.kill(os.getpid(), -STATUS[fork.way])
        os._exit(0)

    def _live(self, clerk: Clerk, fork: Fork, db: SteadyConnection[Any] | None) -> None:
        signal.alarm(int(BOUND))  # dumps all stacks and ends the process, see `run.Crew.work`
        atexit.unregister(multiprocessing.util._exit_function)  # it would join the children of the parent
        warnings.filterwarnings("ignore", r"subprocess \d+ is still running", ResourceWarning)  # they are the parent's
        clerk.name = f"{clerk.name}'s child {os.getpid()}"
        *most, last = fork.tasks
        dies_in_transaction = fork.way is Exit.KILL_IN_TRANSACTION
        try:
            if db is not None:
                _leave_to_the_parent(db)
            for task in most if dies_in_transaction else fork.tasks:
                clerk.carry_out(task, time.sleep)
            if dies_in_transaction:
                clerk.leave_open(evolve(last, style=Style.BEGIN, autocommit=False, keeps_cursor=False))
        except BaseException:
            clerk.journal.write(clerk.name, None, Word.WRONG, traceback.format_exc())
            raise
        signal.alarm(0)


def _leave_to_the_parent(db: SteadyConnection[Any]) -> None:
    """Let go of a transaction that the parent has begun: it cannot be committed here, and a rollback ends no more."""
    try:
        db.commit()
    except TransactionLost:
        db.rollback()
    else:
        raise AssertionError("a child has committed its parent's transaction")
