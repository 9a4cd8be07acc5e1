"""What to do when something fails: pure decisions over enums, without any I/O (design section 4)."""

from __future__ import annotations

from enum import Enum, IntEnum, auto

__all__ = ["NOTES", "Operation", "Pending", "Recovery", "Verdict", "decide"]


class Operation(Enum):
    """What the caller was doing."""

    BEGIN = auto()
    CURSOR = auto()
    STATEMENT = auto()
    FETCH = auto()
    COMMIT = auto()
    ROLLBACK = auto()


class Verdict(Enum):
    """What an error says of the connection, and of the request that was under way."""

    NOT_LOST = auto()
    """The session lives on; the error is the statement's own."""

    LOST_UNSENT = auto()
    """The connection is gone, and the request was provably never sent."""

    LOST_MAYBE_SENT = auto()
    """The connection is gone; the server may have executed the request."""


class Pending(IntEnum):
    """What would be lost with the connection, in rising order."""

    NOTHING = 0
    """No transaction is open."""

    READS = 1
    """An implicit transaction that only read."""

    WORK = 2
    """Something was executed and is not committed yet."""

    EXPLICIT = 3
    """The caller opened the transaction with `begin()`."""


class Recovery(Enum):
    """What is done about a failure."""

    RAISE = auto()
    """Raise the driver's error; the session is kept."""

    RESEND = auto()
    """Open a new connection and send the request there, once."""

    RAISE_AND_REOPEN = auto()
    """Raise the driver's error; the next use opens a new connection."""

    RAISE_AND_POISON = auto()
    """Raise the driver's error; `TransactionLost` follows until the caller ends the transaction."""

    SUCCEED = auto()
    """There was nothing to lose: the operation counts as done, and the next use opens a new connection."""

    TRANSACTION_LOST = auto()
    """Raise `TransactionLost`: the commit was certainly not made."""

    OUTCOME_UNKNOWN = auto()
    """Raise `CommitOutcomeUnknown`: the commit may have been made."""


NOTES = {
    Recovery.RAISE_AND_REOPEN: (
        "persistentdb: the connection was lost and is reopened at the next use; "
        "this was not sent again, because the server may have executed it"
    ),
    Recovery.RAISE_AND_POISON: (
        "persistentdb: the connection was lost together with uncommitted work, so nothing was sent again; "
        "call rollback(), then repeat the transaction from its beginning"
    ),
    Recovery.TRANSACTION_LOST: (
        "persistentdb: the connection was lost before the commit could take effect: it is certainly not committed; "
        "call rollback(), then repeat the transaction from its beginning"
    ),
    Recovery.OUTCOME_UNKNOWN: (
        "persistentdb: the connection broke during the commit, which may or may not have happened; "
        "call rollback(), then look in the database before repeating the work"
    ),
}
"""The line that each outcome attaches to the error that is raised."""


def decide(
    operation: Operation,
    verdict: Verdict,
    pending: Pending,
    *,
    replay: bool,
    mortal: bool = False,
    interrupted: bool = False,
) -> Recovery:
    """Return what is to be done about a failure.

    Args:
        operation: What the caller was doing.
        verdict: What the error says.
        pending: What hung on the connection before the operation.
        replay: Whether the replay policy would have a statement sent again, given that verdict.
        mortal: Whether the database itself is gone with the connection.
        interrupted: Whether it was no error of the driver's but an interrupt, which always reaches the caller.
    """
    if verdict is Verdict.NOT_LOST:
        return Recovery.RAISE
    at_stake = pending >= Pending.WORK
    must_show = mortal or interrupted
    if operation is Operation.ROLLBACK or (operation is Operation.COMMIT and not at_stake):
        return Recovery.RAISE_AND_REOPEN if must_show else Recovery.SUCCEED
    if operation is Operation.COMMIT:
        return Recovery.TRANSACTION_LOST if verdict is Verdict.LOST_UNSENT else Recovery.OUTCOME_UNKNOWN
    if at_stake:
        return Recovery.RAISE_AND_POISON
    # BEGIN and CURSOR change nothing that outlives their session: doing them again is harmless, sent or not.
    again = operation in (Operation.BEGIN, Operation.CURSOR) or (operation is Operation.STATEMENT and replay)
    return Recovery.RESEND if again and not must_show else Recovery.RAISE_AND_REOPEN
