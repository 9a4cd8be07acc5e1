"""Statements that a caller sends by a method of the driver's connection, past all cursors (X1)."""

from __future__ import annotations

from typing import Any

from persistentdb._recovery import Operation
from persistentdb._statements import may_commit, text_of
from persistentdb.steady import SteadyConnection

__all__ = ["send"]


def send(steady: SteadyConnection[Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a method of the driver's connection that sends a statement; it is never sent a second time.

    Args:
        steady: The connection.
        name: The driver's method.
        args: For the driver's method; the statement comes first.
        kwargs: For the driver's method.
    """
    link = steady.ready(None)
    operation = next(iter((*args, *kwargs.values())), None)
    link.track(operation)
    link.usage += 1
    try:
        return getattr(link.connection, name)(*args, **kwargs)
    except BaseException as error:
        commits = may_commit(text_of(operation), link.profile.committing)
        steady.settle(error, Operation.STATEMENT, link, repeatable=False, may_commit=commits)
        raise
