"""Opening a connection of the driver: connect, discover the module, prepare the session (design section 5)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from inspect import ismethod
from types import ModuleType
from typing import Any

from attrs import define, field

from persistentdb._discovery import module_of_connection, module_of_creator
from persistentdb.drivers import profile_of
from persistentdb.exceptions import NotSupportedError
from persistentdb.session import SessionSetup, SQLSetup

__all__ = ["Opener", "connect_function", "refuse_unsafe"]

logger = logging.getLogger("persistentdb")


def connect_function(creator: object) -> Callable[..., Any]:
    """Return the function that opens a connection.

    Args:
        creator: A DB-API 2 module, an object with `connect`, or the function itself.

    Raises:
        TypeError: It is neither.
        NotSupportedError: It is a module that is not safe to use with threads.
    """
    connect = getattr(creator, "connect", None)
    # Of a class only a classmethod will do (psycopg.Connection.connect): PyMySQL's is a method of its connections.
    if callable(connect) and (not isinstance(creator, type) or ismethod(connect)):
        if isinstance(creator, ModuleType) or hasattr(creator, "threadsafety"):
            refuse_unsafe(creator)
        found: Callable[..., Any] = connect
        return found
    if isinstance(creator, ModuleType) or not callable(creator):
        raise TypeError(
            f"creator={_named(creator)}: expected a DB-API 2 module or a function that returns a new connection"
        )
    module = module_of_creator(creator)
    if module is not None:
        refuse_unsafe(module)
    return creator


def refuse_unsafe(module: object) -> None:
    """Refuse a driver whose threads may not even share the module (C2).

    Raises:
        NotSupportedError: Its `threadsafety` is 0, None or missing.
    """
    level = getattr(module, "threadsafety", None)
    if not level:
        raise NotSupportedError(
            f"{_named(module)} cannot be used with threads: its threadsafety is {level!r}, at least 1 is needed"
        )


def _named(thing: object) -> str:
    """Name a thing without its repr, which may show a password."""
    name = getattr(thing, "__name__", None)
    return name if isinstance(name, str) else f"an object of type {type(thing).__qualname__}"


@define(eq=False)
class Opener:
    """Opens connections of the driver for one `PersistentDB`.

    Attributes:
        connect: The driver's connect, or the user's function.
        args, kwargs: What it is called with; they hold the password and are never shown.
        setup: Prepares each new connection.
    """

    connect: Callable[..., Any]
    args: tuple[Any, ...] = field(repr=False)
    kwargs: dict[str, Any] = field(repr=False)
    setup: SessionSetup[Any] = field(repr=False)
    _checked: bool = field(default=False, init=False, repr=False)

    def __call__(self) -> Any:
        """Return a new connection, prepared and without an open transaction.

        Raises:
            TypeError: The creator returned something that is no connection.
            NotSupportedError: The connection's driver is not safe to use with threads.
        """
        connection = self.connect(*self.args, **self.kwargs)
        try:
            self._check(connection)
            self._prepare(connection)
        except BaseException:
            _close_half_made(connection)
            raise
        return connection

    def _check(self, connection: Any) -> None:
        """A function is taken on trust until its first connection shows its module."""
        if self._checked:
            return
        missing = [name for name in ("cursor", "commit", "rollback", "close") if not hasattr(connection, name)]
        if missing:
            raise TypeError(
                f"creator {_named(self.connect)} returned {type(connection).__qualname__}, which is no DB-API 2 "
                f"connection: it has no {', '.join(missing)}"
            )
        module = module_of_connection(connection)
        if module is not None:
            refuse_unsafe(module)
        self._checked = True

    def _prepare(self, connection: Any) -> None:
        self.setup.prepare(connection)
        if isinstance(self.setup, SQLSetup) and not self.setup.commands:
            return
        profile = profile_of(connection)
        in_transaction = profile.in_transaction(connection)
        if in_transaction or (in_transaction is None and profile.autocommit(connection) is not True):
            connection.commit()


def _close_half_made(connection: Any) -> None:
    try:
        connection.close()
    except Exception as error:  # noqa: BLE001  the first error is the one that counts
        logger.debug("closing a half-made connection failed: %s", type(error).__name__)
