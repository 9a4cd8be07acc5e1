"""The inherited rules, for drivers of which nothing is known but PEP 249."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from persistentdb.drivers.profile import DriverProfile

__all__ = ["UNKNOWN"]


def _is_closed(_: Any) -> bool:
    return False


def _autocommit(connection: Any) -> bool | None:
    """The attribute of that name where it is one (in PyMySQL's kind of drivers it is a method)."""
    value = getattr(connection, "autocommit", None)
    return value if isinstance(value, bool) else None


def _code(error: BaseException) -> object:
    """Under the names in use: for a user's own rows, and to tell a deadlock or a serialization failure."""
    for name in ("sqlstate", "pgcode", "errno", "code"):
        code: object = getattr(error, name, None)
        if isinstance(code, (int, str)):
            return code
    return error.args[0] if error.args and isinstance(error.args[0], (int, str)) else None


def _refuses_begin(connection: Any) -> str | None:
    """A connection that has fetchall() is a cursor itself, and its cursors are connections, as duckdb's are."""
    if not hasattr(connection, "fetchall"):
        return None
    return "its cursors do not share the connection's transaction; send BEGIN and COMMIT through one cursor"


def _ping(connection: Any) -> None:
    """Use the driver's own ping, else a statement whose transaction is ended again."""
    ping = getattr(connection, "ping", None)
    if ping is None:
        with closing(connection.cursor()) as cursor:
            cursor.execute("select 1")
            cursor.fetchall()
        if _autocommit(connection) is not True:
            connection.rollback()
        return
    try:
        ping(reconnect=False)
    except TypeError:  # it takes no argument, or none of that name
        ping()


UNKNOWN = DriverProfile(
    name="",
    is_closed=_is_closed,
    rules=(),
    code=_code,
    refuses_begin=_refuses_begin,
    autocommit=_autocommit,
    ping=_ping,
)
"""No status, no socket, no codes: the classes of the errors decide, and what went through the connection counts."""
