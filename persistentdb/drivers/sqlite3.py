"""sqlite3 of the standard library: a database in this very process, lost only when somebody closes it."""

from __future__ import annotations

import sys
from types import MappingProxyType
from typing import Any

from persistentdb._recovery import Verdict
from persistentdb.drivers._sqlite3_fork import disown
from persistentdb.drivers.profile import DriverProfile
from persistentdb.drivers.rules import Rule

__all__ = ["SQLITE3"]

SQLITE_READONLY_DBMOVED = 1032
# Also what a transaction that read first and now would write gets at once, for waiting would be a deadlock.
SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT = 5, 517
LEGACY_TRANSACTION_CONTROL = -1
_HAS_AUTOCOMMIT = sys.version_info >= (3, 12)


def _is_closed(connection: Any) -> bool:
    try:
        connection.total_changes  # noqa: B018  raises on a closed connection; costs no statement
    except connection.ProgrammingError as error:
        return "closed" in str(error)  # not: used in another thread
    return False


def _code(error: BaseException) -> object:
    """Python 3.10 hands out no codes."""
    return getattr(error, "sqlite_errorcode", None)


def _in_transaction(connection: Any) -> bool | None:
    return None if _is_closed(connection) else bool(connection.in_transaction)


def _autocommit(connection: Any) -> bool | None:
    """Python 3.12 brought the attribute; its value -1 stands for the older `isolation_level`."""
    if _HAS_AUTOCOMMIT and connection.autocommit != LEGACY_TRANSACTION_CONTROL:
        return bool(connection.autocommit)
    return connection.isolation_level is None


def _always_open(connection: Any) -> bool:
    """With Python 3.12's `autocommit=False` the next transaction opens as soon as one ends."""
    return _HAS_AUTOCOMMIT and connection.autocommit is False


def _begins(connection: Any) -> tuple[bool, bool]:
    """Before Python 3.12's `autocommit=False` only INSERT and its kind open a transaction, DDL does not.

    Only with Python 3.12's `autocommit=True` does `commit()` do nothing; else it ends what a statement began.
    """
    if connection.in_transaction:
        return False, False
    return True, _HAS_AUTOCOMMIT and connection.autocommit is True


def _lives_in_memory(connection: Any) -> bool:
    """Main databases without a file, shared caches too."""
    return any(name == "main" and not file for _, name, file in connection.execute("pragma database_list").fetchall())


SQLITE3 = DriverProfile(
    name="sqlite3",
    is_closed=_is_closed,
    rules=(
        Rule(Verdict.LOST_UNSENT, text="Cannot operate on a closed database", why="closed by the client"),
        Rule(
            Verdict.LOST_UNSENT,
            codes={SQLITE_READONLY_DBMOVED},
            why="the file was replaced under the connection, which refuses to write",
        ),
        Rule(Verdict.NOT_LOST, text="is locked", why="another connection holds the lock: SQLITE_BUSY, SQLITE_LOCKED"),
        Rule(Verdict.NOT_LOST, text="is full", why="the disk, or the database's page limit, is full: SQLITE_FULL"),
    ),
    code=_code,
    code_is_truth=True,
    conflicts=frozenset({SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT}),
    in_transaction=_in_transaction,
    transaction_is_work=True,
    always_open=_always_open,
    autocommit=_autocommit,
    begins=_begins,
    in_process=True,
    dies_with_connection=_lives_in_memory,
    disown=disown,
    session_methods=MappingProxyType(
        {
            "create_aggregate": 2,
            "create_collation": 1,
            "create_function": 2,
            "create_window_function": 2,
            "enable_load_extension": 0,
            "load_extension": 1,
            "set_authorizer": 0,
            "set_progress_handler": 0,
            "set_trace_callback": 0,
            "setconfig": 1,
            "setlimit": 1,
        }
    ),
    taken_back_by_none=frozenset({"create_aggregate", "create_collation", "create_function", "create_window_function"}),
    permissions=MappingProxyType({"enable_load_extension": "load_extension"}),
    statement_methods=("executescript",),
)
