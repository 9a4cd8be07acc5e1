"""How long to wait before something that failed is tried again."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen
from attrs.validators import ge, instance_of, is_callable, le

__all__ = ["REAL", "Backoff", "chance"]

REAL = (int, float)


def chance() -> float:
    """Return a random number from 0 to 1; `random` is imported only here, for few programs ever get to need it."""
    from random import random  # noqa: PLC0415

    return random()  # noqa: S311  it spreads attempts, it guards nothing


@frozen
class Backoff:
    """Pauses that grow from failure to failure, and differ at random so that not all come back at once.

    The rule is that of truncated exponential back-off with jitter, in the form that keeps a least pause.

    Attributes:
        first: Seconds to pause after the first failure.
        limit: The longest pause, in seconds.
        factor: By how much each pause is longer than the one before it.
        jitter: Which part of a pause is random, from 0 (none) to 1 (all of it).
        random: Returns a random number from 0 to 1.

    Raises:
        TypeError: Something is no number, or no function.
        ValueError: A number is out of range.
    """

    first: float = field(default=0.1, validator=[instance_of(REAL), ge(0)])
    limit: float = field(default=2.0, validator=[instance_of(REAL), ge(0)])
    factor: float = field(default=2.0, validator=[instance_of(REAL), ge(1)])
    jitter: float = field(default=0.5, validator=[instance_of(REAL), ge(0), le(1)])
    random: Callable[[], float] = field(default=chance, repr=False, validator=is_callable())

    def pause(self, failures: int) -> float:
        """Return how many seconds to wait.

        Args:
            failures: How many attempts have failed one after the other, at least 1.
        """
        try:
            full = min(self.limit, self.first * float(self.factor) ** (failures - 1))
        except OverflowError:
            full = self.limit
        return full * (1 - self.jitter * self.random())
