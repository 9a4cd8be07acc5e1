"""Whether a statement is sent again that the server may have executed (X1)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from attrs import frozen

from persistentdb._recovery import Operation, Pending, Verdict

__all__ = ["InheritedReplay", "Loss", "NoReplay", "ProvenReplay", "ReplayPolicy"]


@frozen
class Loss:
    """What is known when a connection broke under a statement, outside a transaction with work.

    A statement whose link was found dead before it was sent is no loss: it goes to the new link, and nobody is asked.

    Attributes:
        operation: What the caller was doing: `STATEMENT`; `begin()` and `cursor()` change nothing, and are done again.
        verdict: Whether the request was provably unsent, or may have been executed.
        pending: What hung on the connection: `NOTHING` or `READS`.
        driver_known: Whether the driver has a profile, so that the verdict rests on more than an error's class.
        error: What the driver raised.
    """

    operation: Operation
    verdict: Verdict
    pending: Pending
    driver_known: bool
    error: BaseException


@runtime_checkable
class ReplayPolicy(Protocol):
    """**Protocol:** decides whether a lost request is sent again, once, on a new connection."""

    def replay(self, loss: Loss, /) -> bool:
        """Whether to send it again."""
        ...


@frozen
class ProvenReplay:
    """Send again only what was provably never sent; drivers without a profile keep the inherited rule."""

    def replay(self, loss: Loss, /) -> bool:
        """Whether the request was unsent, or nothing better than the inherited rule is known."""
        return loss.verdict is Verdict.LOST_UNSENT or not loss.driver_known


@frozen
class InheritedReplay:
    """Send anything again outside a transaction, as DBUtils does: a statement may be executed twice."""

    def replay(self, loss: Loss, /) -> bool:  # noqa: ARG002
        """Always."""
        return True


@frozen
class NoReplay:
    """Never send a statement again that has failed, not even a provably unsent one."""

    def replay(self, loss: Loss, /) -> bool:  # noqa: ARG002
        """Never."""
        return False
