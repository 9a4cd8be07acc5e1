"""What callers do while the server is away (X6)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from attrs import field, frozen, validators

from persistentdb.backoff import Backoff
from persistentdb.drivers import UNKNOWN, profile_of
from persistentdb.exceptions import described

__all__ = ["Outage", "as_outage", "means_away"]


@frozen
class Outage:
    """The rules for opening connections when the server does not let us; one state for all threads of a `PersistentDB`.

    After a failed attempt nobody tries again before the back-off's pause is over, and then one thread does. Whoever
    wants a connection meanwhile fails at once with `ServerUnavailable`, or waits as long as `give_up_after` allows. The
    first attempt that succeeds opens the way for all, `simultaneous` of them at a time.

    Attributes:
        backoff: The pauses between two attempts.
        give_up_after: Seconds for which a caller goes on trying while the server is away; 0: one attempt at most.
        simultaneous: How many connections are opened at the same time.
        turn_timeout: Seconds for which a caller waits for its turn while others are opening theirs.
        clock: Returns the time in seconds; it never goes back.
        wait: Waits on a condition (which is held) until it is notified, or for so many seconds.

    Raises:
        ValueError: A number is out of range.
    """

    backoff: Backoff = field(factory=Backoff)
    give_up_after: float = field(default=0.0, validator=validators.ge(0))
    simultaneous: int = field(default=4, validator=validators.ge(1))
    turn_timeout: float = field(default=5.0, validator=validators.ge(0))
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    wait: Callable[[threading.Condition, float], object] = field(default=threading.Condition.wait, repr=False)


def as_outage(value: Outage | None) -> Outage:
    """Check the parameter `outage`.

    Raises:
        TypeError: It is no `Outage`.
    """
    if value is None:
        return Outage()
    if not isinstance(value, Outage):
        raise TypeError(f"outage={described(value)}: expected an Outage(), or None for its defaults")
    return value


# What is wrong with the request: trying again changes nothing (MySQL's numbers, PostgreSQL's SQLSTATEs).
_REFUSALS: frozenset[object] = frozenset(
    {1044, 1045, 1049, 1129, 1130, 1227, 1698, "28000", "28P01", "3D000", "42501", "42704", "22023"}
)
# libpq's errors at connect carry no code: the server's own words, which are untranslated in the common installations.
_REFUSAL_TEXTS = ("authentication failed", "no pg_hba.conf entry", "does not exist", "no password supplied")
_NEVER_AWAY = frozenset({"ProgrammingError", "NotSupportedError", "DataError", "IntegrityError"})


def means_away(error: BaseException) -> bool:
    """Whether an error out of an attempt to connect means that the server is away, and later may be back.

    Args:
        error: What was raised; a database in this very process is never away, a wrong password is no outage.
    """
    if isinstance(error, OSError):
        return True
    names = {base.__name__ for base in type(error).__mro__}
    if "Error" not in names or names & _NEVER_AWAY:
        return False
    driver: Any = profile_of(error)  # the classes of a driver's errors lie beside that of its connections
    if driver is UNKNOWN:
        return True
    text = str(error)
    return not (
        driver.fileno is None or driver.code(error) in _REFUSALS or any(refusal in text for refusal in _REFUSAL_TEXTS)
    )
