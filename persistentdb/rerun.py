"""How often, and how soon, a whole transaction is run again (X1)."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import field, frozen
from attrs.validators import ge, instance_of, is_callable

from persistentdb.backoff import Backoff
from persistentdb.exceptions import described

__all__ = ["Rerun", "as_rerun"]


@frozen
class Rerun:
    """The bounds of `PersistentDB.run()`.

    Attributes:
        attempts: How many times a function is called at most.
        backoff: The pauses between two calls.
        sleep: Waits for so many seconds.

    Raises:
        TypeError: Something is no number, no function, or no `Backoff`.
        ValueError: A number is out of range.
    """

    attempts: int = field(default=5, validator=[instance_of(int), ge(1)])
    backoff: Backoff = field(factory=lambda: Backoff(first=0.02, limit=1.0), validator=instance_of(Backoff))
    sleep: Callable[[float], object] = field(default=time.sleep, repr=False, validator=is_callable())


def as_rerun(value: Rerun | None) -> Rerun:
    """Check the parameter `rerun`.

    Raises:
        TypeError: It is no `Rerun`.
    """
    if value is None:
        return Rerun()
    if not isinstance(value, Rerun):
        raise TypeError(f"rerun={described(value)}: expected a Rerun(), or None for its defaults")
    return value
