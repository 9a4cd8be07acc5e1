"""pgdb (PyGreSQL): it reports losses as ProgrammingError, but libpq under it knows when the session is over."""

from __future__ import annotations

from typing import Any

from persistentdb._recovery import Verdict
from persistentdb.drivers.postgresql import POSTGRESQL_REFUSALS
from persistentdb.drivers.profile import DriverProfile
from persistentdb.drivers.rules import Rule

__all__ = ["PGDB"]

# libpq's PGTransactionStatusType
_IDLE, _ACTIVE, _IN_ERROR, _UNKNOWN = 0, 1, 3, 4


def _is_closed(connection: Any) -> bool:
    """By the client, or by a loss once it was met."""
    return bool(connection.closed)


def _code(error: BaseException) -> object:
    return getattr(error, "sqlstate", None)


def _status(connection: Any) -> int:
    return _UNKNOWN if connection._cnx is None else int(connection._cnx.transaction())


def _in_transaction(connection: Any) -> bool | None:
    """Asked of libpq: `_tnx` knows only of what the driver began. During and after a COPY libpq does not tell."""
    status = _status(connection)
    if status == _ACTIVE:
        return True if connection._tnx else None
    return None if status == _UNKNOWN else status != _IDLE


def _is_aborted(connection: Any) -> bool:
    return _status(connection) == _IN_ERROR


def _autocommit(connection: Any) -> bool | None:
    return bool(connection.autocommit)


def _fileno(connection: Any) -> int:
    return int(connection._cnx.fileno())


def _ping(connection: Any) -> None:
    """Send an empty query below the driver's own transaction handling; on a dead session it raises various things."""
    problem: Exception | None = None
    try:
        connection._cnx.query("")
    except Exception as error:  # noqa: BLE001  "Empty query" from a living session is one of them
        problem = error
    if connection.closed:
        raise connection.OperationalError("the server does not answer") from problem


def _is_streaming(connection: Any) -> bool:
    """`copy_to()` without a stream hands out rows while the server sends them; its end is met by the next request."""
    return _status(connection) == _ACTIVE


PGDB = DriverProfile(
    name="pgdb",
    is_closed=_is_closed,
    closed_is_truth=True,
    rules=(
        Rule(Verdict.LOST_UNSENT, text="Connection has been closed", why="closed by the client before the request"),
        Rule(
            Verdict.LOST_UNSENT,
            cause="LookupError",
            text="unknown encoding",
            why="lost before: without a session the driver cannot even encode the request",
        ),
        Rule(
            Verdict.LOST_UNSENT,
            cause="LookupError",
            text="Can't start transaction",
            why="lost before: the driver could not even begin the transaction that comes first",
        ),
        *POSTGRESQL_REFUSALS,
    ),
    code=_code,
    sqlstate=_code,
    in_transaction=_in_transaction,
    is_aborted=_is_aborted,
    autocommit=_autocommit,
    fileno=_fileno,
    drain=_ping,
    ping=_ping,
    is_streaming=_is_streaming,
    statement_methods=("copy_from", "copy_to"),
)
