"""PyMySQL: pure Python, so its socket and the server's status flags lie open."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from types import MappingProxyType
from typing import Any

from persistentdb._fork import keep_for_ever
from persistentdb.drivers.mysqlclient import MYSQL_COMMITTING, MYSQL_CONFLICTS, MYSQL_RULES, error_number
from persistentdb.drivers.profile import DriverProfile

__all__ = ["PYMYSQL"]

SERVER_STATUS_IN_TRANS = 1
CR_SERVER_LOST = 2013


def _is_closed(connection: Any) -> bool:
    return not connection.open


def _in_transaction(connection: Any) -> bool | None:
    """The flag is set by writes only, a SELECT on InnoDB opens a transaction without it: clear says nothing."""
    return True if connection.server_status & SERVER_STATUS_IN_TRANS else None


def _autocommit(connection: Any) -> bool | None:
    return bool(connection.get_autocommit())


def _fileno(connection: Any) -> int:
    return int(connection._sock.fileno())


def _ping(connection: Any) -> None:
    """Older versions reconnect unless told not to."""
    connection.ping(reconnect=False)


def _is_streaming(connection: Any) -> bool:
    """SSCursor reads its rows one by one."""
    result = connection._result
    return result is not None and bool(result.unbuffered_active)


def _let_go(connection: Any) -> None:
    """The destructor of an unbuffered result would read on, and complain of the missing socket; its reader must know.

    Once the result is not active, PyMySQL reads from it as if its rows had come to their end.
    """
    result = connection._result
    if result is not None and result.unbuffered_active:
        result.unbuffered_active = False
        result._read_rowdata_packet_unbuffered = partial(_refuse_rows, connection)


def _refuse_rows(connection: Any) -> None:
    raise connection.OperationalError(
        CR_SERVER_LOST, "the connection was lost while rows were read from the server: some are missing"
    )


def _disown(connection: Any) -> None:
    """What was read ahead answers the parent; an unbuffered result would read on when it is destroyed."""
    keep_for_ever(connection._result)
    connection._result = None
    connection._rfile = BytesIO()


PYMYSQL = DriverProfile(
    name="pymysql",
    is_closed=_is_closed,
    rules=MYSQL_RULES,
    code=error_number,
    code_is_truth=True,
    conflicts=MYSQL_CONFLICTS,
    in_transaction=_in_transaction,
    autocommit=_autocommit,
    fileno=_fileno,
    ping=_ping,
    is_streaming=_is_streaming,
    let_go=_let_go,
    disown=_disown,
    autocommit_commits=True,
    committing=MYSQL_COMMITTING,
    sending_methods=("query",),
    session_methods=MappingProxyType({"autocommit": 0, "select_db": 0, "set_character_set": 0, "set_charset": 0}),
)
