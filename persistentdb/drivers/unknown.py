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


UNKNOWN = DriverProfile(name="", is_closed=_is_closed, rules=(), autocommit=_autocommit, ping=_ping)
"""No status, no socket, no codes: the classes of the errors decide, and what went through the connection counts."""
