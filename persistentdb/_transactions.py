"""Opening and ending a transaction on a link, in each driver's own way (C12)."""

from __future__ import annotations

from typing import Any

from persistentdb._link import Link
from persistentdb.exceptions import NotSupportedError

__all__ = ["begin", "commit", "rollback"]


def begin(link: Link, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Start a transaction; return whether it has to be ended by a statement, too.

    Args:
        link: The link to start it on.
        args: For the driver's own `begin`.
        kwargs: For the driver's own `begin`.

    Raises:
        NotSupportedError: The driver has no `begin` that would take arguments.
    """
    connection = link.connection
    drivers_begin = getattr(connection, "begin", None)
    if drivers_begin is not None:
        drivers_begin(*args, **kwargs)
        return False
    if args or kwargs:
        raise NotSupportedError(
            f"begin() takes no arguments here: {type(connection).__module__}.{type(connection).__qualname__} has no "
            "begin of its own to pass them to; set the transaction's mode on the connection, or by a statement"
        )
    if not link.profile.must_begin(connection):
        return False
    _execute(connection, "begin")
    return link.profile.autocommit(connection) is True


def commit(link: Link) -> None:
    """Commit; in autocommit many drivers' `commit` does nothing, so what a statement opened a statement ends."""
    if link.by_sql:
        _execute(link.connection, "commit")
    else:
        link.connection.commit()


def rollback(link: Link) -> None:
    """Roll back; see `commit`."""
    if link.by_sql:
        _execute(link.connection, "rollback")
    else:
        link.connection.rollback()


def _execute(connection: Any, operation: str) -> None:
    cursor = connection.cursor()
    cursor.execute(operation)
    cursor.close()
