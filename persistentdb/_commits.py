"""Finding out what became of a commit without an answer, where there is a resolver (X1)."""

from __future__ import annotations

from persistentdb._link import Link
from persistentdb._opening import close_quietly, logger
from persistentdb._recovery import Pending, Recovery

__all__ = ["mark", "resolved"]


def mark(link: Link) -> None:
    """Have the transaction marked right before its commit, where that commits anything.

    Raises:
        Exception: What the resolver raised. The commit must not be sent then: PostgreSQL would answer it by a rollback.
    """
    resolver = link.terms.outcome
    if resolver is not None and link.pending >= Pending.WORK and not link.profile.is_aborted(link.connection):
        link.mark = resolver.mark(link.connection)


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
