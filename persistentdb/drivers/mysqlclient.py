"""mysqlclient: it knows little of its session, but its errors carry the client library's numbers."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from persistentdb._recovery import Verdict
from persistentdb.drivers.profile import DriverProfile
from persistentdb.drivers.rules import Rule

__all__ = ["MYSQLCLIENT", "MYSQL_COMMITTING", "MYSQL_CONFLICTS", "MYSQL_RULES", "error_number"]

MYSQL_RULES = (
    Rule(
        Verdict.LOST_UNSENT,
        codes={0, 2006, 4031},
        why="closed before, not writable, or ended by the server while it was idle",
    ),
    Rule(
        Verdict.LOST_MAYBE_SENT,
        codes={1053, 1927, 2013, 2026, 2055},
        why="the server went away, or the link broke, while a reply was due",
    ),
    Rule(Verdict.NOT_LOST, codes={1205}, why="a lock was not to be had in time"),
    Rule(Verdict.NOT_LOST, codes={1213}, why="the transaction was the victim of a deadlock: run it again"),
    Rule(Verdict.NOT_LOST, codes={1317}, why="the statement was cancelled"),
    Rule(Verdict.NOT_LOST, codes={1969, 3024}, why="the statement took longer than the server allows"),
    Rule(
        Verdict.NOT_LOST,
        codes={1290, 1792, 1836},
        why="the transaction or the server is read-only; give WRONG_NODE where that means a failover",
    ),
)
"""Errors 2xxx are the client library's own (2006: the request could not be written), 1xxx and 4xxx the server's."""


MYSQL_CONFLICTS: frozenset[object] = frozenset({1213, 1020})
"""A deadlock; a row that changed since the snapshot (MariaDB's `innodb_snapshot_isolation`)."""

MYSQL_COMMITTING = frozenset(
    [
        "alter",
        "analyze",
        "begin",
        "cache",
        "call",
        "change",
        "check",
        "create",
        "drop",
        "execute",
        "flush",
        "grant",
        "install",
        "load",
        "lock",
        "optimize",
        "purge",
        "rename",
        "repair",
        "reset",
        "revoke",
        "set",
        "start",
        "stop",
        "truncate",
        "uninstall",
        "unlock",
        "xa",
    ]
)
"""First words of statements that commit what was done before them, by the way; of some of these only a few forms do."""


def error_number(error: BaseException) -> object:
    """Return the number that MySQL drivers give as an error's first argument; None where it is none."""
    number = error.args[0] if error.args else None
    return number if isinstance(number, int) else None


def _is_closed(connection: Any) -> bool:
    """Only the client's own close; `open` stays 1 after a loss."""
    return not connection.open


def _autocommit(connection: Any) -> bool | None:
    return bool(connection.get_autocommit())


def _fileno(connection: Any) -> int:
    return int(connection.fileno())


def _ping(connection: Any) -> None:
    connection.ping()


def _streams(cursor: Any) -> bool:
    """SSCursor and its kin fetch from the server row by row."""
    return any(base.__name__ == "CursorUseResultMixIn" for base in type(cursor).__mro__)


MYSQLCLIENT = DriverProfile(
    name="MySQLdb",
    is_closed=_is_closed,
    rules=MYSQL_RULES,
    code=error_number,
    code_is_truth=True,
    conflicts=MYSQL_CONFLICTS,
    autocommit=_autocommit,
    fileno=_fileno,
    ping=_ping,
    cursor_is_streaming=_streams,
    autocommit_commits=True,
    committing=MYSQL_COMMITTING,
    sending_methods=("query",),
    session_methods=MappingProxyType(
        {
            "autocommit": 0,
            "change_user": 0,
            "select_db": 0,
            "set_character_set": 0,
            "set_server_option": 0,
            "set_sql_mode": 0,
        }
    ),
)
