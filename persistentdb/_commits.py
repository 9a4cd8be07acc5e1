"""Finding out what became of a commit without an answer, where there is a resolver (X1)."""

from __future__ import annotations

from persistentdb._link import Link
from persistentdb._opening import close_quietly, logger
from persistentdb._recovery import Recovery

__all__ = ["mark", "resolved"]


def mark(link: Link) -> None:
    """Have the transaction marked right before its commit."""
    resolver = link.terms.outcome
    if resolver is None:
        return
    try:
        link.mark = resolver.mark(link.connection)
    except Exception as error:  # noqa: BLE001  the user's own code may raise anything
        # The commit goes on without: if the connection is lost, it will tell by itself.
        logger.debug("marking a commit failed: %s", type(error).__name__)


def resolved(link: Link, recovery: Recovery) -> Recovery:
    """Replace an unknown outcome by what the resolver finds out, if there is one."""
    if recovery is not Recovery.OUTCOME_UNKNOWN:
        return recovery
    answers = {True: Recovery.SUCCEED, False: Recovery.TRANSACTION_LOST, None: recovery}
    return answers[_committed(link)]


def _committed(link: Link) -> bool | None:
    """Ask on a connection of its own what became of the marked commit; None: unknown."""
    resolver = link.terms.outcome
    if resolver is None or link.mark is None:
        return None
    try:
        connection = link.terms.gate.open()
        try:
            return resolver.committed(link.mark, connection)
        finally:
            close_quietly(connection)
    except Exception as error:  # noqa: BLE001  the server may be away, and the user's own code may raise anything
        logger.debug("asking what became of a commit failed: %s", type(error).__name__)
        return None
