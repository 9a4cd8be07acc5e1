"""psycopg 3: it knows whether its session is gone, and whether a transaction is open."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from persistentdb._recovery import Verdict
from persistentdb.drivers.postgresql import POSTGRESQL_ENDS, POSTGRESQL_REFUSALS
from persistentdb.drivers.profile import DriverProfile
from persistentdb.drivers.rules import Rule

__all__ = ["PSYCOPG"]

# libpq's PGTransactionStatusType
_IDLE, _ACTIVE, _IN_ERROR, _UNKNOWN = 0, 1, 3, 4
# psycopg.IsolationLevel
_REPEATABLE_READ = 3
# libpq's ExecStatusType of an empty query
_EMPTY_QUERY = 0


def _is_closed(connection: Any) -> bool:
    return bool(connection.closed)


def _out_of_step(error: BaseException) -> bool:
    """It waits for the socket by itself, and raises this before libpq has seen that anything is wrong."""
    return "connection socket closed" in str(error)


def _code(error: BaseException) -> object:
    return getattr(error, "sqlstate", None)


def _in_transaction(connection: Any) -> bool | None:
    status = connection.pgconn.transaction_status
    return None if status == _UNKNOWN else status != _IDLE


def _is_aborted(connection: Any) -> bool:
    return bool(connection.pgconn.transaction_status == _IN_ERROR)


def _keeps_a_snapshot(connection: Any) -> bool:
    return (connection.isolation_level or 0) >= _REPEATABLE_READ


def _autocommit(connection: Any) -> bool | None:
    return bool(connection.autocommit)


def _fileno(connection: Any) -> int:
    return int(connection.fileno())


def _drain(connection: Any) -> None:
    """Take in what the server sent; the second read meets the end of the stream behind a farewell.

    Notifications are handed to whoever waits for them, as psycopg does when it reads a reply.
    """
    pgconn = connection.pgconn
    pgconn.consume_input()
    pgconn.consume_input()
    while told := pgconn.notifies():
        if pgconn.notify_handler is not None:
            pgconn.notify_handler(told)


def _ping(connection: Any) -> None:
    """Send an empty query below psycopg's own transaction handling, so that none is opened."""
    pgconn = connection.pgconn
    result = pgconn.exec_(b"")
    if result.status != _EMPTY_QUERY:
        raise connection.OperationalError(
            f"the server does not answer: {pgconn.error_message.decode(errors='replace')}"
        )


def _is_streaming(connection: Any) -> bool:
    """`Cursor.stream()` and `copy()` keep the session active, a pipeline holds results back."""
    pgconn = connection.pgconn
    return bool(pgconn.transaction_status == _ACTIVE or pgconn.pipeline_status)


def _let_go_of_cursor(cursor: Any) -> None:
    """A server-side cursor that is not closed warns when it is destroyed."""
    cursor.close()


PSYCOPG = DriverProfile(
    name="psycopg",
    is_closed=_is_closed,
    closed_is_truth=True,
    rules=(
        Rule(Verdict.LOST_UNSENT, text="the connection is closed", why="closed before the request"),
        *POSTGRESQL_ENDS,
        *POSTGRESQL_REFUSALS,
    ),
    code=_code,
    out_of_step=_out_of_step,
    in_transaction=_in_transaction,
    is_aborted=_is_aborted,
    reads_are_work=_keeps_a_snapshot,
    autocommit=_autocommit,
    fileno=_fileno,
    drain=_drain,
    ping=_ping,
    is_streaming=_is_streaming,
    let_go_of_cursor=_let_go_of_cursor,
    session_methods=MappingProxyType(
        {
            "add_notice_handler": 1,
            "add_notify_handler": 1,
            "set_autocommit": 0,
            "set_deferrable": 0,
            "set_isolation_level": 0,
            "set_read_only": 0,
        }
    ),
    unsetting_methods=MappingProxyType(
        {"remove_notice_handler": "add_notice_handler", "remove_notify_handler": "add_notify_handler"}
    ),
    statement_methods=("copy", "stream"),
)
