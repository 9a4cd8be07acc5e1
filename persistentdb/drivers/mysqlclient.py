"""mysqlclient: it knows little of its session, but its errors carry the client library's numbers."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from persistentdb._recovery import Verdict
from persistentdb.drivers.profile import DriverProfile, Rule

__all__ = ["MYSQLCLIENT", "MYSQL_COMMITTING", "MYSQL_RULES", "error_number"]

MYSQL_RULES = (
    Rule(
        Verdict.LOST_UNSENT,
        codes=frozenset({0, 2006, 4031}),
        why="closed before, not writable, or ended by the server while it was idle",
    ),
    Rule(
        Verdict.LOST_MAYBE_SENT,
        codes=frozenset({1053, 1927, 2013, 2026, 2055}),
        why="the server went away, or the link broke, while a reply was due",
    ),
)
"""Errors 2xxx are the client library's own (2006: the request could not be written), 1xxx and 4xxx the server's."""


MYSQL_COMMITTING = frozenset(
    [
        "alter",
        "analyze",
        "begin",
        "call",
        "create",
        "drop",
        "grant",
        "lock",
        "rename",
        "revoke",
        "set",
        "start",
        "truncate",
    ]
)
"""First words of statements that commit what was done before them, by the way (CALL and SET: some of them do)."""


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
    autocommit=_autocommit,
    fileno=_fileno,
    ping=_ping,
    cursor_is_streaming=_streams,
    autocommit_commits=True,
    committing=MYSQL_COMMITTING,
    session_methods=MappingProxyType({"autocommit": 0, "select_db": 0, "set_character_set": 0, "set_sql_mode": 0}),
)
