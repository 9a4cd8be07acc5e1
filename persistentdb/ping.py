"""When and how a connection is checked before it is used (C9)."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import IntFlag
from typing import Any, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

from attrs import field, frozen
from attrs.validators import ge, gt, instance_of, is_callable, optional

from persistentdb.backoff import REAL
from persistentdb.dbapi import Connection
from persistentdb.drivers import profile_of
from persistentdb.exceptions import described

__all__ = ["TIMEOUT", "WINDOW", "MaskPing", "Ping", "PingStrategy", "Pings", "as_ping"]

WINDOW = 0.5
"""Seconds for which a proof of life counts (HikariCP's default); a socket is looked at within them, too."""

_POSITIVE: Any = optional(gt(0))  # mypy and pyright do not agree on its type

TIMEOUT = 5.0
"""Seconds that a server has to answer a ping."""


class Ping(IntFlag):
    """When a connection is checked: a bit mask, as in DBUtils."""

    NEVER = 0
    REQUEST = 1
    """When a connection is requested."""
    CURSOR = 2
    """When a cursor is created."""
    EXECUTE = 4
    """When a statement is executed."""
    ALWAYS = 7


ConnT = TypeVar("ConnT", bound=Connection[Any])
ConnT_contra = TypeVar("ConnT_contra", bound=Connection[Any], contravariant=True)


@runtime_checkable
class PingStrategy(Protocol[ConnT_contra]):
    """**Protocol:** decides when a connection is checked, and checks it."""

    def due(self, event: Ping, /) -> bool:
        """Whether a check is due at this event (one of `REQUEST`, `CURSOR`, `EXECUTE`).

        It is asked when a connection is opened and when a transaction ends, not at every call.
        """
        ...

    def alive(self, connection: ConnT_contra, /) -> bool:
        """Whether the session answers; a driver's error or an `OSError` out of it counts as no.

        It is never called inside a transaction; one that it opens is rolled back.
        """
        ...


# Flat unions: a union alias inside a union alias makes mypy infer a lambda's parameter as Any, unseen.
Pings: TypeAlias = (
    int | str | Callable[[ConnT], object] | tuple[int, str | Callable[[ConnT], object]] | PingStrategy[ConnT] | None
)


@frozen
class MaskPing(PingStrategy[ConnT]):
    """The plain forms: a mask of events, and a check.

    Attributes:
        mask: The events at which a check is due, 0 to 7.
        check: A statement, a function of the driver's connection (what it returns counts, None as yes), or None for
            the driver's own ping.
        window: Seconds for which the last proof of life stands in for a check where the socket can be looked at;
            0 checks every time.
        timeout: Seconds after which a check without an answer is given up, and the connection with it; only where
            the socket is known. None: when the driver gives up.
        clock: Returns the time in seconds, for the window; it never goes back.

    Raises:
        TypeError: A time is no number, or the clock no function.
        ValueError: A time is out of range.
    """

    mask: int
    check: str | Callable[[ConnT], object] | None = field(default=None, repr=False)
    window: float = field(default=WINDOW, validator=[instance_of(REAL), ge(0)])
    timeout: float | None = field(default=TIMEOUT, validator=_POSITIVE)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False, validator=is_callable())

    def due(self, event: Ping, /) -> bool:
        """Whether the mask has this event's bit."""
        return bool(self.mask & int(event))

    def alive(self, connection: ConnT, /) -> bool:
        """Check the connection; see `check`."""
        if self.check is None:
            profile_of(connection).ping(connection)
            return True
        if isinstance(self.check, str):
            cursor = connection.cursor()
            cursor.execute(self.check)
            cursor.fetchall()
            cursor.close()
            return True
        return self.check(connection) in (True, None)


def as_ping(value: Pings[ConnT]) -> PingStrategy[ConnT]:
    """Turn a plain form of the parameter `ping` into the strategy.

    Raises:
        TypeError: It is none of the forms.
        ValueError: The mask has other bits than 1, 2 and 4.
    """
    if value is None:
        return MaskPing(0)
    if isinstance(value, int):
        return MaskPing(_checked_mask(value))
    if isinstance(value, tuple):
        return _from_pair(cast("Any", value))
    if isinstance(value, str):
        return MaskPing(Ping.REQUEST, value)
    if isinstance(value, type) or not (callable(value) or isinstance(value, PingStrategy)):
        raise TypeError(
            f"ping={described(value)}: expected a mask from 0 to 7, SQL, a function of the connection, "
            "a pair (mask, check), an object with due() and alive(), or None"
        )
    return MaskPing(Ping.REQUEST, value) if callable(value) else value


def _checked_mask(mask: int) -> int:
    if not 0 <= mask <= Ping.ALWAYS:
        raise ValueError(f"ping={mask!r}: expected a mask from 0 to 7 (1 on request, 2 on cursor, 4 on execute)")
    return int(mask)


def _from_pair(pair: Any) -> MaskPing[Any]:
    if len(pair) != 2 or not isinstance(pair[0], int) or not (isinstance(pair[1], str) or callable(pair[1])):  # noqa: PLR2004
        raise TypeError(
            f"ping={described(pair)}: expected a pair (mask, check), the check being SQL or a function "
            "of the connection"
        )
    return MaskPing(_checked_mask(pair[0]), pair[1])
