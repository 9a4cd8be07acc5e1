"""The few errors of our own; what a driver raises reaches the caller as the driver's own error."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

__all__ = ["CommitOutcomeUnknown", "NotSupportedError", "PersistentDBError", "ServerUnavailable", "TransactionLost"]


class PersistentDBError(Exception):
    """The base of all errors that this library raises by itself."""


class NotSupportedError(PersistentDBError):
    """Raised when the driver cannot do what is asked, or is not safe to use with threads at all."""


class TransactionLost(PersistentDBError):
    """Raised when uncommitted work is gone with its connection; it is certainly not committed.

    It is raised again by every statement and every `commit()` until the transaction is ended by `rollback()`, by
    `close()` or by leaving its `with` block. Then the work can be done again from its beginning; but what a statement
    has committed on its way, as MySQL's CREATE TABLE does with all that was done before it, is in the database.
    """


class CommitOutcomeUnknown(PersistentDBError):
    """Raised when a connection broke during a commit: the work is in the database as a whole, or not at all.

    Running it again could do it twice. It is raised again until `rollback()` has acknowledged it; look in the database
    what came of the work before it is repeated.
    """


class ServerUnavailable(PersistentDBError):
    """Raised when no connection can be had: the server is away, and it is not yet time to try again.

    Nothing was sent, so nothing is lost by trying later. Its cause is the error of the last attempt to connect; there
    is none where only others are still waiting for their connections.
    """


def in_drivers_stead(
    error_class: type[PersistentDBError], operational_error: type[Exception] | None
) -> type[PersistentDBError]:
    """Return the class to raise where the driver would have raised its own `OperationalError`.

    Args:
        error_class: One of the classes above.
        operational_error: The driver's class, or None if the driver is unknown.

    Returns:
        A subclass of both under the name of the first, so that code which catches the driver's error goes on working.
    """
    bases: tuple[Any, Any] = (error_class, operational_error)
    return error_class if operational_error is None else _combined(*bases)


@cache
def _combined(error_class: Any, operational_error: Any) -> type[PersistentDBError]:
    def reduce(self: Any) -> tuple[Any, ...]:
        _, args, *state = operational_error.__reduce__(self)
        notes = getattr(self, "__notes__", [])  # psycopg2's errors leave them behind
        return _rebuilt, (error_class, operational_error, args, notes), *state

    members = {"__module__": error_class.__module__, "__doc__": error_class.__doc__, "__reduce__": reduce}
    combined: type[PersistentDBError] = type(error_class.__name__, (error_class, operational_error), members)
    return combined


def _rebuilt(error_class: Any, operational_error: Any, args: tuple[Any, ...], notes: list[str]) -> PersistentDBError:
    """Make an error anew in the process that a worker hands it to: pickle would find no such class by its name."""
    error = _combined(error_class, operational_error)(*args)
    for note in notes:
        add_note(error, note)
    return error


def described(value: object) -> str:
    """Return what a wrong argument was, for an error: numbers and names as they are, all else by its type.

    Text is never shown: it may be a connection string that was given in the wrong place.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return f"{value!r} ({type(value).__name__})"
    name = getattr(value, "__qualname__", None) or (getattr(value, "__name__", None))
    if isinstance(name, str):
        return f"{type(value).__name__} {name}"
    return f"an object of type {type(value).__qualname__}"


def add_note(error: BaseException, note: str) -> None:
    """Attach a line to an error that says what was done about it (PEP 678; Python 3.10 only keeps it)."""
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:
        notes: list[str] = getattr(error, "__notes__", [])
        error.__dict__["__notes__"] = [*notes, note]
