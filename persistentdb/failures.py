"""Which errors mean a lost connection (C8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

from attrs import frozen

from persistentdb._discovery import failure_classes
from persistentdb._recovery import Verdict
from persistentdb.drivers import UNKNOWN, DriverProfile, profile_of
from persistentdb.drivers.profile import look_at
from persistentdb.exceptions import described

__all__ = ["FailureClasses", "FailureClassifier", "FailureTest", "Failures", "Verdict", "as_failures"]


@runtime_checkable
class FailureClassifier(Protocol):
    """**Protocol:** tells what an error out of the driver means for its connection."""

    def verdict(self, error: BaseException, connection: object, /) -> Verdict:
        """Return what the error says of the connection and of the request that was under way.

        Args:
            error: What the driver raised.
            connection: The driver's connection on which it happened; nothing may be executed on it.
        """
        ...


Failures: TypeAlias = (
    type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool] | FailureClassifier | None
)


@frozen
class FailureClasses:
    """The plain forms: classes for which failover applies, sharpened by what is known of the driver.

    Attributes:
        classes: The exception classes; empty: the driver's OperationalError, InterfaceError and InternalError.
    """

    classes: tuple[type[BaseException], ...] = ()

    def verdict(self, error: BaseException, connection: object, /) -> Verdict:
        """Ask the connection, then the error's code and message, then its class."""
        profile = profile_of(connection)
        classes = self.classes or failure_classes(connection)
        return _sharpened(profile, error, connection, suspected=isinstance(error, classes))


@frozen
class FailureTest:
    """The plain form of a function.

    Attributes:
        test: Tells whether failover applies to an error.
    """

    test: Callable[[BaseException], bool]

    def verdict(self, error: BaseException, connection: object, /) -> Verdict:
        """Ask the connection, then the error's code and message, then the function."""
        return _sharpened(profile_of(connection), error, connection, suspected=self.test(error))


def _sharpened(profile: DriverProfile, error: BaseException, connection: object, *, suspected: bool) -> Verdict:
    """Settle by the driver's facts what a class alone only suspects."""
    known = profile.verdict(error, connection)
    if known is not None and (suspected or profile.is_closed(connection) or known is Verdict.NOT_LOST):
        return known
    if not suspected:
        return Verdict.NOT_LOST
    if profile is UNKNOWN:
        return Verdict.LOST_MAYBE_SENT
    return Verdict.NOT_LOST if _socket_is_quiet(profile, connection) else Verdict.LOST_MAYBE_SENT


def _socket_is_quiet(profile: DriverProfile, connection: object) -> bool:
    """Probe a session that may have met its end: nothing can be read from a living one that has answered."""
    if profile.fileno is None:
        return not profile.is_closed(connection)
    try:
        return not look_at(profile.fileno(connection))()
    except Exception:  # noqa: BLE001  no socket to look at any more: that is the answer
        return False


def as_failures(value: Failures) -> FailureClassifier:
    """Turn a plain form of the parameter `failures` into the strategy.

    Raises:
        TypeError: It is none of the forms.
    """
    if value is None:
        return FailureClasses()
    if isinstance(value, type):
        if not issubclass(value, BaseException):
            raise _refusal(value)
        return FailureClasses((value,))
    if isinstance(value, FailureClassifier):
        return value
    if callable(value):
        return FailureTest(value)
    # The tuple comes last: isinstance(value, tuple) is tuple[Unknown, ...] to pyright.
    if not _are_error_classes(value):
        raise _refusal(value)
    return FailureClasses(value)


def _are_error_classes(value: object) -> bool:
    if not isinstance(value, tuple):
        return False
    members = cast("tuple[object, ...]", value)
    return all(isinstance(one, type) and issubclass(one, BaseException) for one in members)


def _refusal(value: Any) -> TypeError:
    return TypeError(
        f"failures={described(value)}: expected an exception class, a tuple of them, a function of the error, "
        "an object with verdict(), or None"
    )
