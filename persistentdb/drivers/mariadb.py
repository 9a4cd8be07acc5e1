"""MariaDB Connector/Python: it knows when its session is gone, and tells of most open transactions."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from persistentdb._recovery import Verdict
from persistentdb.drivers.mysqlclient import MYSQL_COMMITTING, MYSQL_CONFLICTS, MYSQL_RULES
from persistentdb.drivers.profile import DriverProfile
from persistentdb.drivers.rules import Rule

__all__ = ["MARIADB"]

SERVER_STATUS_IN_TRANS = 1


def _is_closed(connection: Any) -> bool:
    """By the client, or by a loss once it was met; `open` would be a round trip."""
    return bool(connection._closed) or connection._get_socket() < 0


def _code(error: BaseException) -> object:
    return getattr(error, "errno", None)


def _in_transaction(connection: Any) -> bool | None:
    """The flag is not told with an error, though a procedure may have opened a transaction: clear says nothing."""
    if connection._closed:
        return None
    return True if connection.server_status & SERVER_STATUS_IN_TRANS else None


def _autocommit(connection: Any) -> bool | None:
    return None if connection._closed else bool(connection.autocommit)


def _fileno(connection: Any) -> int:
    """Not through `socket`: that hands out an object which closes the descriptor when it goes."""
    return int(connection._get_socket())


def _ping(connection: Any) -> None:
    """The driver's own; with its option `reconnect` it would connect anew in silence, so that is off meanwhile."""
    reconnect = connection.auto_reconnect
    connection.auto_reconnect = False
    try:
        connection.ping()
    finally:
        connection.auto_reconnect = reconnect


def _streams(cursor: Any) -> bool:
    """Unbuffered cursors are read row by row, those of the server (`cursor_type`) live in the session."""
    return not cursor.buffered or bool(cursor._cursor_type)


def _end_two_phases(connection: Any) -> None:
    """After its `tpc_rollback` the driver takes the transaction for prepared, and refuses the next `commit`."""
    connection.tpc_state = 0


def _let_go_of_cursor(cursor: Any) -> None:
    """Fetching from a cursor whose statement was lost ends the process natively; a closed one refuses."""
    cursor.close()


MARIADB = DriverProfile(
    name="mariadb",
    is_closed=_is_closed,
    rules=(
        Rule(
            Verdict.LOST_UNSENT,
            classes={"ProgrammingError", "InterfaceError"},
            text="Invalid connection or not connected",
            why="closed by the client before the request",
        ),
        *MYSQL_RULES,
    ),
    code=_code,
    code_is_truth=True,
    conflicts=MYSQL_CONFLICTS,
    in_transaction=_in_transaction,
    autocommit=_autocommit,
    fileno=_fileno,
    ping=_ping,
    cursor_is_streaming=_streams,
    let_go_of_cursor=_let_go_of_cursor,
    end_two_phases=_end_two_phases,
    ends_in_silence=True,
    autocommit_commits=True,
    committing=MYSQL_COMMITTING,
    session_methods=MappingProxyType({"change_user": 0, "select_db": 0}),
)
