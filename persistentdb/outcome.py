"""What became of a commit during which the connection broke (X1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Protocol, TypeVar, runtime_checkable

from attrs import field, frozen
from attrs.validators import ge, instance_of, is_callable

from persistentdb.backoff import REAL
from persistentdb.dbapi import Connection
from persistentdb.exceptions import described

__all__ = ["OutcomeResolver", "PostgresOutcome", "as_outcome"]

ConnT_contra = TypeVar("ConnT_contra", bound=Connection[Any], contravariant=True)


@runtime_checkable
class OutcomeResolver(Protocol[ConnT_contra]):
    """**Protocol:** finds out whether a transaction was committed whose commit got no answer.

    Without one `commit()` raises `CommitOutcomeUnknown` then. With one it succeeds, or raises `TransactionLost`; only
    what the resolver does not know stays unknown.
    """

    def mark(self, connection: ConnT_contra, /) -> object:
        """Return what the transaction can be recognised by later; None if it cannot be.

        Asked inside the transaction, right before its commit is sent. An error leaves `commit()` as it is, and nothing
        is committed: the database may have ended the transaction by it.

        Args:
            connection: The driver's connection.
        """
        ...

    def committed(self, mark: object, connection: ConnT_contra, /) -> bool | None:
        """Return whether the transaction was committed; None if that cannot be told. An error counts as None.

        Args:
            mark: What `mark()` returned.
            connection: Another connection of the driver, new and prepared; it is closed afterwards.
        """
        ...


@frozen
class PostgresOutcome(OutcomeResolver[Connection[Any]]):
    """Asks PostgreSQL (13 or later) by `pg_xact_status`; costs one more round trip a commit.

    After a crash of the server a transaction's number may be given to another one. So "committed" is believed only of a
    server that has not started anew since. A role that may not see the server's own processes (`pg_read_all_stats`) is
    told of a restart, but not of the recovery after one session's process alone has crashed.

    Attributes:
        patience: Seconds to wait for a transaction that the server is still at work on.
        clock: Returns the time in seconds.
        sleep: Waits for so many seconds.

    Raises:
        TypeError: Something is no number, or no function.
        ValueError: A number is out of range.
    """

    patience: float = field(default=5.0, validator=[instance_of(REAL), ge(0)])
    clock: Callable[[], float] = field(default=time.monotonic, repr=False, validator=is_callable())
    sleep: Callable[[float], object] = field(default=time.sleep, repr=False, validator=is_callable())

    def mark(self, connection: Connection[Any], /) -> object:
        """Return the transaction's number, and since when the server has been running.

        It is given one if it has none yet, for a mere NOTIFY gets one only in the commit; not on a standby, where
        nothing can be changed.
        """
        number = "case when not pg_is_in_recovery() then pg_current_xact_id()::text end"
        return _only_row(connection, f"select {number} as number, {_STARTED}")

    def committed(self, mark: Any, connection: Connection[Any], /) -> bool | None:
        """Ask what became of the transaction's number; what had none, on a standby, counts as committed."""
        number, *started = mark
        if number is None:
            return True
        until = self.clock() + self.patience
        while True:
            status, *now_started = _only_row(
                connection, f"select pg_xact_status('{int(number)}'::xid8) as status, {_STARTED}"
            )
            connection.rollback()  # a question opens a transaction, too
            if status != "in progress" or self.clock() >= until:
                break
            self.sleep(_PAUSE)
        if status == "aborted":
            return False
        return True if status == "committed" and now_started == started else None


_PAUSE = 0.02
"""Seconds between two looks at a transaction that is still in progress."""

_STARTED = """\
pg_postmaster_start_time()::text as started,
(select backend_start::text from pg_stat_activity where backend_type = 'checkpointer') as recovered"""
"""The server's start, and that of a process which starts anew after each recovery."""


def _only_row(connection: Connection[Any], query: str) -> tuple[Any, ...]:
    """Return the columns of a query's row, in whatever form the connection's cursors give rows."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(query)
        row: Any = cursor.fetchone()
    if hasattr(row, "keys"):
        return tuple(row.values())
    if not issubclass(type(row), (tuple, list)):
        raise TypeError(
            f"PostgresOutcome cannot read a row that is {described(row)}: have the connection's cursors give tuples or "
            "dictionaries, and other rows by a row factory of single cursors"
        )
    return tuple(row)


def as_outcome(value: OutcomeResolver[Any] | None) -> OutcomeResolver[Any] | None:
    """Check the parameter `outcome`.

    Raises:
        TypeError: It is no resolver.
    """
    if value is not None and (isinstance(value, type) or not isinstance(value, OutcomeResolver)):
        raise TypeError(
            f"outcome={described(value)}: expected an object with mark() and committed(), such as PostgresOutcome(), "
            "or None"
        )
    return value
