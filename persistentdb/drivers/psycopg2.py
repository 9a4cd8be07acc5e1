"""psycopg2: it knows its transaction's status, and that its session is gone once it has met the loss."""

from __future__ import annotations

from contextlib import closing
from types import MappingProxyType
from typing import Any

from persistentdb._recovery import Verdict
from persistentdb.drivers.postgresql import POSTGRESQL_REFUSALS
from persistentdb.drivers.profile import DriverProfile
from persistentdb.drivers.rules import Rule

__all__ = ["PSYCOPG2"]

# libpq's PGTransactionStatusType
# psycopg2.extensions.ISOLATION_LEVEL_*
_REPEATABLE_READ, _SERIALIZABLE = 2, 3
_IDLE, _ACTIVE, _IN_ERROR, _UNKNOWN = 0, 1, 3, 4


def _is_closed(connection: Any) -> bool:
    """0: open, 1: closed by the client, 2: broken."""
    return bool(connection.closed)


def _code(error: BaseException) -> object:
    return getattr(error, "pgcode", None)


def _in_transaction(connection: Any) -> bool | None:
    status = connection.get_transaction_status()
    return None if status == _UNKNOWN else status != _IDLE


def _is_aborted(connection: Any) -> bool:
    return bool(connection.get_transaction_status() == _IN_ERROR)


def _keeps_a_snapshot(connection: Any) -> bool:
    return connection.isolation_level in (_REPEATABLE_READ, _SERIALIZABLE)


def _autocommit(connection: Any) -> bool | None:
    return bool(connection.autocommit)


def _fileno(connection: Any) -> int:
    return int(connection.fileno())


def _drain(connection: Any) -> None:
    """Take in what the server sent; the second read meets the end of the stream behind a farewell."""
    connection.poll()
    connection.poll()


def _ping(connection: Any) -> None:
    """Ask in autocommit, so that no transaction is opened; switching it is local while none is open."""
    autocommit = connection.autocommit
    connection.autocommit = True
    try:
        with closing(connection.cursor()) as cursor:
            cursor.execute("select 1")
    finally:
        if not connection.closed:
            connection.autocommit = autocommit


def _is_streaming(connection: Any) -> bool:
    return bool(connection.get_transaction_status() == _ACTIVE)


PSYCOPG2 = DriverProfile(
    name="psycopg2",
    is_closed=_is_closed,
    closed_is_truth=True,
    rules=(
        Rule(Verdict.LOST_UNSENT, text="already closed", why="connection or cursor closed before the request"),
        *POSTGRESQL_REFUSALS,
    ),
    code=_code,
    sqlstate=_code,
    in_transaction=_in_transaction,
    is_aborted=_is_aborted,
    reads_are_work=_keeps_a_snapshot,
    autocommit=_autocommit,
    fileno=_fileno,
    drain=_drain,
    ping=_ping,
    is_streaming=_is_streaming,
    session_methods=MappingProxyType({"set_client_encoding": 0, "set_isolation_level": 0, "set_session": 0}),
    statement_methods=("copy_expert", "copy_from", "copy_to"),
)
