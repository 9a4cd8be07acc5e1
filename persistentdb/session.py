"""How a new underlying connection is prepared (C7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

from attrs import field, frozen

from persistentdb.dbapi import Connection
from persistentdb.exceptions import described

__all__ = ["FunctionSetup", "SQLSetup", "SessionSetup", "Setups", "as_setup"]

ConnT = TypeVar("ConnT", bound=Connection[Any])
ConnT_contra = TypeVar("ConnT_contra", bound=Connection[Any], contravariant=True)


@runtime_checkable
class SessionSetup(Protocol[ConnT_contra]):
    """**Protocol:** prepares every new connection, those of a reopening too."""

    def prepare(self, connection: ConnT_contra, /) -> object:
        """Prepare the driver's connection; an error closes it and reaches the caller.

        A transaction that this leaves open is committed, so that settings last.
        """


# list | tuple and not Sequence, so that a bare string is refused.
Setups: TypeAlias = list[str] | tuple[str, ...] | Callable[[ConnT], object] | SessionSetup[ConnT] | None


@frozen
class SQLSetup:
    """The plain form of SQL commands.

    Attributes:
        commands: The statements, executed in this order.
    """

    commands: tuple[str, ...] = field(default=(), repr=False)

    def prepare(self, connection: Connection[Any], /) -> None:
        """Execute the commands."""
        if not self.commands:
            return
        cursor = connection.cursor()
        for command in self.commands:
            cursor.execute(command)
        cursor.close()


@frozen
class FunctionSetup(SessionSetup[ConnT]):
    """The plain form of a function.

    Attributes:
        function: Called with every new connection of the driver.
    """

    function: Callable[[ConnT], object] = field(repr=False)  # that of a partial would show what was bound to it

    def prepare(self, connection: ConnT, /) -> None:
        """Call the function."""
        self.function(connection)


def as_setup(value: Setups[ConnT]) -> SessionSetup[ConnT]:
    """Turn a plain form of the parameter `setsession` into the strategy.

    Raises:
        TypeError: It is none of the forms, a bare string above all.
    """
    if value is None:
        return SQLSetup()
    if isinstance(value, (list, tuple)):
        commands = tuple(cast("list[str]", value))  # isinstance loses list[str] in pyright
        if not all(isinstance(command, str) for command in cast("tuple[object, ...]", commands)):
            raise _refusal(value)
        return SQLSetup(commands)
    # Not isinstance first: generic Protocols narrow to SessionSetup[Unknown] in pyright.
    if callable(value) and not isinstance(value, type):
        return FunctionSetup(value)
    if isinstance(value, (str, type)) or not hasattr(value, "prepare"):
        raise _refusal(value)
    return value


def _refusal(value: Any) -> TypeError:
    return TypeError(
        f"setsession={described(value)}: expected a list or tuple of SQL commands, a function of the connection, "
        "an object with prepare(), or None"
    )
