"""A lost transaction: marked as lost, and raised again until the caller has ended it (X1)."""

from __future__ import annotations

from contextlib import suppress

from persistentdb._discovery import error_class
from persistentdb._fitness import looks_dead
from persistentdb._link import Link
from persistentdb._opening import close_quietly
from persistentdb._recovery import NOTES, Pending, Recovery
from persistentdb.exceptions import (
    CommitOutcomeUnknown,
    PersistentDBError,
    TransactionLost,
    add_note,
    in_drivers_stead,
)

__all__ = ["lose", "refuse_lost", "refuse_poisoned"]

_POISONS = {
    Recovery.RAISE_AND_POISON: TransactionLost,
    Recovery.TRANSACTION_LOST: TransactionLost,
    Recovery.OUTCOME_UNKNOWN: CommitOutcomeUnknown,
}

_REMINDERS: dict[type[PersistentDBError], str] = {
    TransactionLost: (
        "persistentdb: the transaction was lost with its connection; "
        "call rollback() to acknowledge it, then repeat its work"
    ),
    CommitOutcomeUnknown: (
        "persistentdb: the outcome of the last commit() is still unknown; call rollback() to acknowledge it"
    ),
}

_INHERITED = (
    "persistentdb: the transaction belongs to the parent process, which goes on with it; this is a child, where "
    "rollback() ends nothing but the child's part. Its work must not be repeated here: it would be done twice"
)


def lose(link: Link, recovery: Recovery, error: BaseException | None) -> None:
    """Mark a loss; an interrupt and the driver's own errors are the caller's to raise.

    Args:
        link: What was lost.
        recovery: What was decided about it.
        error: What the driver raised; None where the socket told.

    Raises:
        CommitOutcomeUnknown: A commit was under way.
        TransactionLost: A commit was about to be sent.
    """
    link.profile.let_go(link.connection)
    poison = _POISONS.get(recovery)
    link.lose(None if poison is None else (poison, error))
    if error is not None and recovery in NOTES:
        add_note(error, NOTES[recovery])
    # Now: a cursor that is being read must not go on with it, and the server is to give up what it holds of it, should
    # the session live on after all.
    if link.profile.cursor_is_streaming is not None:
        for cursor in tuple(link.open_cursors or ()):
            with suppress(Exception):
                link.profile.let_go_of_cursor(cursor._raw)
    close_quietly(link.connection)
    interrupted = error is not None and not isinstance(error, Exception)
    if recovery in (Recovery.TRANSACTION_LOST, Recovery.OUTCOME_UNKNOWN) and not interrupted:
        raise _error_for(link, _POISONS[recovery], NOTES[recovery]) from error


def refuse_lost(link: Link) -> None:
    """Look at the socket just before work is committed: if it is dead now, the work is certainly not.

    Raises:
        TransactionLost: It is dead.
    """
    if link.pending < Pending.WORK:
        return
    if looks_dead(link):
        link.tell_others()
        lose(link, Recovery.TRANSACTION_LOST, None)


def refuse_poisoned(link: Link) -> None:
    """Raise the error of a lost transaction again, until it is ended.

    Raises:
        CommitOutcomeUnknown: The last commit's outcome is still unknown.
        TransactionLost: The transaction was lost.
    """
    if link.poison is not None:
        kind, cause = link.poison
        raise _error_for(link, kind, _INHERITED if link.inherited else _REMINDERS[kind]) from cause


_WHAT_WAS_DONE: dict[type[PersistentDBError], str] = {
    TransactionLost: "persistentdb: nothing is sent, and nothing reopened, until rollback() ends the lost transaction",
    CommitOutcomeUnknown: "persistentdb: the commit was not sent again; after rollback() the next use reopens",
}


def _error_for(link: Link, kind: type[PersistentDBError], text: str) -> PersistentDBError:
    error = in_drivers_stead(kind, error_class(link.connection, "OperationalError"))(text)
    add_note(error, _WHAT_WAS_DONE[kind])
    return error
