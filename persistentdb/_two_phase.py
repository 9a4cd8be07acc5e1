"""Two-phase commit (PEP 249's extension): methods for steady connections whose driver has it (C12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from persistentdb._link import Link
from persistentdb._losses import refuse_lost, refuse_poisoned
from persistentdb._recovery import Operation, Recovery
from persistentdb.steady import SteadyConnection

__all__ = ["TWO_PHASE_METHODS"]


def _tpc_begin(steady: SteadyConnection[Any], *args: Any, **kwargs: Any) -> None:
    """Start a transaction that can be committed in two phases, under the given id."""
    steady.start_transaction(_start, args, kwargs)


def _start(link: Link, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    link.connection.tpc_begin(*args, **kwargs)
    return False


def _tpc_prepare(steady: SteadyConnection[Any], *args: Any, **kwargs: Any) -> Any:
    """Make the first phase; afterwards the transaction outlives its connection.

    Raises:
        TransactionLost: The work was lost before and is certainly not prepared.
        CommitOutcomeUnknown: The connection broke meanwhile; `tpc_recover()` tells whether it is prepared.
    """
    link = steady.link
    refuse_poisoned(link)
    refuse_lost(link)
    try:
        result = link.connection.tpc_prepare(*args, **kwargs)
    except BaseException as error:
        steady.settle(error, Operation.COMMIT, link)
        raise
    link.prepared = True
    return result


def _tpc_commit(steady: SteadyConnection[Any], *args: Any, **kwargs: Any) -> Any:
    """Make the second phase, or commit at once what was not prepared; with an id: what another connection prepared.

    Raises:
        TransactionLost: The work was not prepared, and was lost before the commit.
        CommitOutcomeUnknown: The work was not prepared, and the connection broke during the commit.
    """
    return _end(steady, "tpc_commit", Operation.COMMIT, args, kwargs)


def _tpc_rollback(steady: SteadyConnection[Any], *args: Any, **kwargs: Any) -> Any:
    """Roll back, prepared or not; with an id: what another connection prepared."""
    return _end(steady, "tpc_rollback", Operation.ROLLBACK, args, kwargs)


def _tpc_recover(steady: SteadyConnection[Any]) -> Any:
    """Return the ids of what is prepared and waits to be ended, whoever prepared it."""
    return steady.ready(None, None).connection.tpc_recover()


def _end(
    steady: SteadyConnection[Any], method: str, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    by_id = bool(args or kwargs)
    link = steady.ready(None, None) if by_id else steady.link
    if operation is Operation.ROLLBACK and link.gone and not link.prepared:
        link.ended()  # acknowledges the loss of what was not prepared
        return None
    refuse_poisoned(link)
    if by_id or link.prepared:
        # It outlives the connection: what becomes of the request is not known, and recovering it is the caller's.
        operation = Operation.STATEMENT
    elif operation is Operation.COMMIT:
        refuse_lost(link)
    try:
        result = getattr(link.connection, method)(*args, **kwargs)
    except BaseException as error:
        if steady.settle(error, operation, link, repeatable=False) is not Recovery.SUCCEED:
            raise
        result = None
    if not by_id:
        link.profile.end_two_phases(link.connection)
    link.ended()
    return result


TWO_PHASE_METHODS: dict[str, Callable[..., Any]] = {
    "tpc_begin": _tpc_begin,
    "tpc_commit": _tpc_commit,
    "tpc_prepare": _tpc_prepare,
    "tpc_recover": _tpc_recover,
    "tpc_rollback": _tpc_rollback,
}
