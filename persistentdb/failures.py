"""Which errors mean a lost connection (C8)."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

from attrs import field, frozen

from persistentdb._discovery import error_class, failure_classes
from persistentdb._recovery import Verdict
from persistentdb.drivers import UNKNOWN, DriverProfile, Explanation, Rule, profile_of
from persistentdb.drivers.profile import look_at
from persistentdb.exceptions import described

__all__ = [
    "ESCAPED",
    "OUT_OF_STEP",
    "FailureClasses",
    "FailureClassifier",
    "FailureTest",
    "Failures",
    "Verdict",
    "as_failures",
    "explain",
]


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


def _as_rules(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    if isinstance(rules, Rule):
        raise TypeError(f"rules={rules!r}: expected a tuple of rules, write ({rules!r},)")
    return tuple(rules)


@frozen
class FailureClasses:
    """The plain forms: classes for which failover applies, sharpened by what is known of the driver.

    Attributes:
        classes: The exception classes; empty: all of the driver's errors of which something is known, else its
            OperationalError, InterfaceError and InternalError.
        rules: Rows of your own. They are asked first, whatever the class of the error.
    """

    classes: tuple[type[BaseException], ...] = ()
    rules: tuple[Rule, ...] = field(default=(), converter=_as_rules, kw_only=True)

    def verdict(self, error: BaseException, connection: object, /) -> Verdict:
        """Ask the rows, the connection, then the error's code and message, then its class."""
        return self.explain(error, connection).verdict

    def explain(self, error: BaseException, connection: object, /) -> Explanation:
        """Return the verdict together with what decided it."""
        classes = self.classes or failure_classes(connection)
        known = self.classes or error_class(connection, "Error") or classes
        named = ", ".join(one.__name__ for one in classes) or "none, for the driver shows none"
        return _judged(
            error,
            connection,
            self.rules,
            suspected=isinstance(error, classes),
            known=isinstance(error, known),
            not_suspected=f"{type(error).__name__} is not among the classes for which failover applies ({named})",
        )


@frozen
class FailureTest:
    """The plain form of a function.

    Attributes:
        test: Tells whether failover applies to an error.
    """

    test: Callable[[BaseException], bool] = field(repr=False)

    def verdict(self, error: BaseException, connection: object, /) -> Verdict:
        """Ask the connection, then the error's code and message, then the function."""
        return self.explain(error, connection).verdict

    def explain(self, error: BaseException, connection: object, /) -> Explanation:
        """Return the verdict together with what decided it."""
        suspected = bool(self.test(error))
        told = f"{described(self.test)} does not take this for a failure"
        return _judged(error, connection, (), suspected=suspected, known=suspected, not_suspected=told)


def explain(error: BaseException, connection: object, failures: Failures = None) -> Explanation:
    """Say what an error means for its connection, and which row or fact decided that.

    Args:
        error: What the driver raised. Of a `TransactionLost` and its kind the driver's error is its cause: give that.
        connection: The driver's connection on which it happened, in the state in which the error left it.
        failures: What was given to `PersistentDB` as `failures`.

    Returns:
        The same verdict that decides in a steady connection, with its reason.

    Raises:
        TypeError: `failures` is none of the forms.
    """
    classifier = as_failures(failures)
    if isinstance(classifier, (FailureClasses, FailureTest)):
        return classifier.explain(error, connection)
    return Explanation(classifier.verdict(error, connection), None, f"{described(classifier)} says so")


ESCAPED = Rule(
    Verdict.LOST_MAYBE_SENT,
    classes={"OSError", "error"},
    why="the driver let a raw error of its socket or its parser escape, in the middle of an exchange",
)
"""Time-outs, TLS errors and the like are classes of OSError; `error` is struct's, and OSError's old name elsewhere."""

OUT_OF_STEP = Rule(
    Verdict.LOST_MAYBE_SENT,
    why="the reply was not read to its end, and the next statement would read the rest of it",
)
"""Where the driver's profile tells by `out_of_step`."""


def _judged(
    error: BaseException,
    connection: object,
    rules: tuple[Rule, ...],
    *,
    suspected: bool,
    known: bool,
    not_suspected: str,
) -> Explanation:
    """Settle what an error means: the one way to every verdict of the built-in classifiers.

    Args:
        error: What was raised.
        connection: The driver's connection.
        rules: The user's rows.
        suspected: Whether the error's class, or the user's function, speaks for a loss.
        known: Whether the driver's rows speak of such errors.
        not_suspected: Why it is no loss, where nothing speaks for one.
    """
    profile = profile_of(connection)
    code, sqlstate = profile.code(error), profile.sqlstate(error)
    for rule in rules:
        if rule.matches(error, code, sqlstate):
            return _by_row(rule, "your own row")
    if _escaped(error, profile, connection):
        return _by_row(ESCAPED, type(error).__name__)
    told = profile.explain(error, connection) if known or suspected or profile.is_closed(connection) else None
    if (told is None or told.verdict is Verdict.NOT_LOST) and profile.out_of_step(error):
        return _by_row(OUT_OF_STEP, f"{profile.name}: {type(error).__name__}")
    if told is not None:
        return told
    if not suspected:
        return Explanation(Verdict.NOT_LOST, None, not_suspected)
    return _probed(error, profile, connection)


def _by_row(rule: Rule, of: str) -> Explanation:
    return Explanation(rule.verdict, rule, f"{rule.why or 'a row says so'} ({of}: {rule})")


def _escaped(error: BaseException, profile: DriverProfile, connection: object) -> bool:
    """Whether this is an error of the driver's socket or parser, and not of the caller's own code inside the call."""
    if not isinstance(error, (OSError, struct.error)) or isinstance(error, error_class(connection, "Error") or ()):
        return False
    culprit = _culprit(error.__traceback__)
    if culprit is None:
        # Called from here straight into C: the known drivers there never let such errors out, a file's read() does.
        return profile is UNKNOWN
    names = (profile.name or type(connection).__module__.partition(".")[0], type(connection).__module__)
    return any(culprit == name or culprit.startswith(f"{name}.") for name in names)


def _culprit(traceback: TracebackType | None) -> str | None:
    """Return the module whose code raised, on its own or through the standard library; None if it is this package."""
    found = None
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        package = module.partition(".")[0]
        if package not in sys.stdlib_module_names or package == "__main__":
            found = None if module in _CALLERS_OF_DRIVERS else module
        traceback = traceback.tb_next
    return found


_CALLERS_OF_DRIVERS = frozenset(
    f"persistentdb.{room}" for room in ("_link", "_transactions", "_two_phase", "cursor", "steady")
)


def _probed(error: BaseException, profile: DriverProfile, connection: object) -> Explanation:
    """Settle by a look at the socket what a class alone only suspects."""
    if profile is UNKNOWN:
        return Explanation(
            Verdict.LOST_MAYBE_SENT,
            None,
            f"nothing is known of this driver, so {type(error).__name__} is taken for a loss, as it always was",
        )
    if _socket_is_quiet(profile, connection):
        alive = f"{type(error).__name__} suggests a loss, but the session of {profile.name} is there, and quiet"
        return Explanation(Verdict.NOT_LOST, None, alive)
    gone = f"{type(error).__name__} suggests a loss, and the socket of {profile.name} is gone or has more to say"
    return Explanation(Verdict.LOST_MAYBE_SENT, None, gone)


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
