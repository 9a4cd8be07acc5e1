"""Two-phase commit (PEP 249's extension): methods for steady connections whose driver has it (C12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from persistentdb._link import Link
from persistentdb._losses import refuse_lost, refuse_poisoned
from persistentdb._recovery import Operation, Recovery
from persistentdb.steady import SteadyConnection

__all__ = ["TWO_PHASE_METHODS"]


def _tpc_begin(steady: SteadyConnection[Any], *args: Any) -> None:
    """Start a transaction that can be committed in two phases, under the given id."""
    steady.start_transaction(_start, args, {})


def _start(link: Link, args: tuple[Any, ...], _: dict[str, Any]) -> bool:
    link.connection.tpc_begin(*args)
    return False


def _tpc_prepare(steady: SteadyConnection[Any]) -> None:
    """Make the first phase; afterwards the transaction outlives its connection.

    Raises:
        TransactionLost: The work was lost before and is certainly not prepared.
        CommitOutcomeUnknown: The connection broke meanwhile; `tpc_recover()` tells whether it is prepared.
    """
    link = steady.link
    refuse_poisoned(link)
    refuse_lost(link)
    try:
        link.connection.tpc_prepare()
    except BaseException as error:
        steady.settle(error, Operation.COMMIT, link)
        raise
    link.prepared = True


def _tpc_commit(steady: SteadyConnection[Any], *xid: Any) -> None:
    """Make the second phase, or commit at once what was not prepared; with an id: what another connection prepared.

    Raises:
        TransactionLost: The work was not prepared, and was lost before the commit.
        CommitOutcomeUnknown: The work was not prepared, and the connection broke during the commit.
    """
    _end(steady, "tpc_commit", xid, Operation.COMMIT)


def _tpc_rollback(steady: SteadyConnection[Any], *xid: Any) -> None:
    """Roll back, prepared or not; with an id: what another connection prepared."""
    _end(steady, "tpc_rollback", xid, Operation.ROLLBACK)


def _tpc_recover(steady: SteadyConnection[Any]) -> Any:
    """Return the ids of what is prepared and waits to be ended, whoever prepared it."""
    return steady.ready(None, None).connection.tpc_recover()


def _end(steady: SteadyConnection[Any], method: str, xid: tuple[Any, ...], operation: Operation) -> None:
    link = steady.ready(None, None) if xid else steady.link
    if operation is Operation.ROLLBACK and link.gone and not link.prepared:
        link.ended()  # acknowledges the loss of what was not prepared
        return
    refuse_poisoned(link)
    if xid or link.prepared:
        # It outlives the connection: what becomes of the request is not known, and recovering it is the caller's.
        operation = Operation.STATEMENT
    elif operation is Operation.COMMIT:
        refuse_lost(link)
    try:
        getattr(link.connection, method)(*xid)
    except BaseException as error:
        if steady.settle(error, operation, link, repeatable=False) is not Recovery.SUCCEED:
            raise
    link.ended()


TWO_PHASE_METHODS: dict[str, Callable[..., Any]] = {
    "tpc_begin": _tpc_begin,
    "tpc_commit": _tpc_commit,
    "tpc_prepare": _tpc_prepare,
    "tpc_recover": _tpc_recover,
    "tpc_rollback": _tpc_rollback,
}
