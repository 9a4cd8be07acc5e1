"""Opening and ending a transaction on a link, in each driver's own way (C12)."""

from __future__ import annotations

from typing import Any

from persistentdb._link import Link
from persistentdb._recovery import Pending
from persistentdb.exceptions import NotSupportedError, PersistentDBError

__all__ = ["begin", "end_by_sql", "refuse_aborted", "refuse_open_work"]


def begin(link: Link, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Start a transaction; return whether it has to be ended by a statement, too.

    Args:
        link: The link to start it on.
        args: For the driver's own `begin`.
        kwargs: For the driver's own `begin`.

    Raises:
        NotSupportedError: The driver has no `begin` that would take arguments, or none that would start a transaction.
    """
    connection = link.connection
    refusal = link.profile.refuses_begin(connection)
    if refusal is not None:
        raise NotSupportedError(
            f"begin() would be of no effect on {type(connection).__module__}.{type(connection).__qualname__}: {refusal}"
        )
    if link.drivers_begin is not None:
        link.drivers_begin(*args, **kwargs)
        return False
    if args or kwargs:
        raise NotSupportedError(
            f"begin() takes no arguments here: {type(connection).__module__}.{type(connection).__qualname__} has no "
            "begin of its own to pass them to; set the transaction's mode on the connection, or by a statement"
        )
    profile = link.profile
    if profile.begins is None:
        send = by_sql = profile.autocommit(connection) is True
    else:
        send, by_sql = profile.begins(connection)
    if send:
        connection.cursor().execute("begin")
    return by_sql


def refuse_open_work(link: Link, what: str) -> None:
    """See that a transaction about to be begun as a whole takes nothing with it that was done before.

    Args:
        link: The link.
        what: The method that was called.

    Raises:
        PersistentDBError: There is uncommitted work, or MySQL would commit it now, or it would be lost with a failure.
    """
    if link.hanging() is Pending.WORK:
        raise PersistentDBError(
            f"{what} with uncommitted work from before: it would be lost when this fails, and not be done again; call "
            "commit() or rollback() first"
        )


def refuse_aborted(link: Link) -> None:
    """See that a transaction about to be committed is not one that its server will roll back without a word.

    Raises:
        PersistentDBError: An error has ended it, and whoever ran into that did not let it out.
    """
    if not link.gone and link.profile.is_aborted(link.connection):
        raise PersistentDBError(
            "the transaction cannot be committed: the error of a statement, which was not let out, has ended it on the "
            "server; let such an error out, or set a savepoint before the statement and roll back to that"
        )


def end_by_sql(link: Link, how: str) -> None:
    """Commit or roll back what a statement opened: in autocommit many drivers' own `commit` does nothing."""
    link.connection.cursor().execute(how)
