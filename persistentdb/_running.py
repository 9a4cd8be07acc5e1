"""Running a transaction as a whole, and again where that is safe (X1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import iscoroutine, isgenerator
from itertools import count
from typing import Any, TypeVar

from persistentdb._link import Link
from persistentdb._losses import refuse_poisoned
from persistentdb._recovery import Pending
from persistentdb._transactions import refuse_aborted, refuse_open_work
from persistentdb.exceptions import ServerUnavailable, TransactionLost, add_note
from persistentdb.outage import means_away
from persistentdb.rerun import Rerun
from persistentdb.steady import SteadyConnection

__all__ = ["may_rerun", "run"]

T = TypeVar("T")


def run(connect: Callable[[], SteadyConnection[Any]], rerun: Rerun, work: Callable[[SteadyConnection[Any]], T]) -> T:
    """Call a function in a transaction and commit; call it again after what certainly left nothing behind.

    Inside a transaction that was begun already the function just becomes a part of it.

    Args:
        connect: Returns the calling thread's steady connection.
        rerun: The bounds.
        work: The function; it leaves commit and rollback to us.

    Returns:
        What the function returned when its transaction was committed.

    Raises:
        TypeError: The function returned a generator or a coroutine.
        PersistentDBError: Uncommitted work is open that would be lost with a failed attempt, and not be done again; or
            the function has not let out an error that has ended the transaction on the server (PostgreSQL).
        Exception: What the function or the database raised the last time.
    """
    for failures in count(1):
        attempt = _Attempt()
        try:
            return attempt.make(connect, work)
        except Exception as error:
            if not attempt.may_rerun:
                raise
            if failures >= rerun.attempts:
                add_note(error, f"persistentdb: run() gave up after {failures} attempts")
                raise
        rerun.sleep(rerun.backoff.pause(failures))
    raise AssertionError  # count() has no end


class _Attempt:
    """One call of the function, in a transaction of its own.

    Attributes:
        may_rerun: Whether it failed in such a way that nothing of it is in the database, and another may do better.
    """

    may_rerun = False

    def make(self, connect: Callable[[], SteadyConnection[Any]], work: Callable[[SteadyConnection[Any]], T]) -> T:
        db = self._connected(connect)
        if db.link.pending is Pending.EXPLICIT:
            return _done(work(db))
        link = self._begun(db)
        try:
            result = _done(work(db))
            refuse_aborted(db.link)
            db.commit()
        except BaseException as error:
            self.may_rerun = may_rerun(error, link)
            db.abandon()
            raise
        return result

    def _connected(self, connect: Callable[[], SteadyConnection[Any]]) -> SteadyConnection[Any]:
        try:
            db = connect()
        except Exception as error:
            self.may_rerun = _is_outage(error)
            raise
        link = db.link
        refuse_poisoned(link)
        refuse_open_work(link, "run()")
        return db

    def _begun(self, db: SteadyConnection[Any]) -> Link:
        try:
            db.begin()
        except Exception as error:
            self.may_rerun = db.link.gone or _is_outage(error)
            raise
        db.link.keep_whole()
        return db.link


def _done(result: T) -> T:
    """Return what a function returned, if it has come to its end by that.

    Raises:
        TypeError: It returned what would do the work only after the commit.
    """
    if isgenerator(result) or iscoroutine(result):
        result.close()
        raise TypeError(
            f"run(): the function returned a {type(result).__name__}, whose body would run after the commit; give a "
            "plain function that has done its work when it returns"
        )
    return result


def may_rerun(error: BaseException, link: Link) -> bool:
    """Whether a transaction that failed is certainly gone as a whole, by no fault of what it did.

    Args:
        error: What came out of it; its explicit causes count too, for many a library wraps the driver's errors.
        link: The link that it was made on, not rolled back yet.
    """
    if not link.whole:
        return False
    if link.poison is None:
        return any(link.profile.is_conflict(cause) for cause in _causes(error))
    kind, loss = link.poison
    return kind is TransactionLost and any(
        cause is loss or isinstance(cause, TransactionLost) for cause in _causes(error)
    )


def _is_outage(error: Exception) -> bool:
    return isinstance(error, ServerUnavailable) or means_away(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__
