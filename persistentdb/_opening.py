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
from persistentdb.exceptions import NotSupportedError, described
from persistentdb.session import SessionSetup, SQLSetup

__all__ = ["Opener", "close_quietly", "connect_function", "refuse_unsafe"]

logger = logging.getLogger("persistentdb")


def connect_function(creator: object) -> Callable[..., Any]:
    """Return the function that opens a connection.

    Args:
        creator: A DB-API 2 module, an object with `connect`, or the function itself.

    Raises:
        TypeError: It is neither.
        NotSupportedError: It is a module that is not safe to use with threads.
    """
    if _is_connection(creator):
        raise _no_creator(creator)
    connect = getattr(creator, "connect", None)
    # Of a class only a classmethod will do (psycopg.Connection.connect): PyMySQL's is a method of its connections.
    if callable(connect) and (not isinstance(creator, type) or ismethod(connect)):
        shown = creator if hasattr(creator, "threadsafety") else module_of_creator(creator)
        if shown is not None or isinstance(creator, ModuleType):
            refuse_unsafe(shown or creator)
        found: Callable[..., Any] = connect
        return found
    if isinstance(creator, ModuleType) or not callable(creator):
        raise _no_creator(creator)
    module = module_of_creator(creator)
    if module is not None:
        refuse_unsafe(module)
    return creator


def _is_connection(thing: object) -> bool:
    return not isinstance(thing, (type, ModuleType)) and hasattr(thing, "cursor") and hasattr(thing, "rollback")


def _no_creator(thing: object) -> TypeError:
    return TypeError(
        f"creator={described(thing)}: expected a DB-API 2 module or a function that returns a new connection"
    )


def refuse_unsafe(module: object) -> None:
    """Refuse a driver whose threads may not even share the module (C2).

    Raises:
        NotSupportedError: Its `threadsafety` is 0, None or missing.
    """
    level = getattr(module, "threadsafety", None)
    if not level:
        name = getattr(module, "__name__", None) or described(module)
        raise NotSupportedError(
            f"{name} cannot be used with threads: its threadsafety is {level!r}, at least 1 is needed"
        )


@define(eq=False)
class Opener:
    """Opens connections of the driver for one `PersistentDB`.

    Attributes:
        connect: The driver's connect, or the user's function.
        args, kwargs: What it is called with; they hold the password and are never shown.
        setup: Prepares each new connection.
    """

    connect: Callable[..., Any] = field(repr=False)
    args: tuple[Any, ...] = field(repr=False)
    kwargs: dict[str, Any] = field(repr=False)
    setup: SessionSetup[Any] = field(repr=False)

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
            close_quietly(connection)
            raise
        return connection

    def _check(self, connection: Any) -> None:
        """A function is taken on trust until its first connection shows its module."""
        missing = [name for name in ("cursor", "commit", "rollback", "close") if not hasattr(connection, name)]
        if missing:
            raise TypeError(
                f"creator {described(self.connect)} returned {type(connection).__qualname__}, which is no DB-API 2 "
                f"connection: it has no {', '.join(missing)}"
            )
        module = module_of_connection(connection)
        if module is not None:
            refuse_unsafe(module)

    def _prepare(self, connection: Any) -> None:
        self.setup.prepare(connection)
        if isinstance(self.setup, SQLSetup) and not self.setup.commands:
            return
        profile = profile_of(connection)
        in_transaction = profile.in_transaction(connection)
        if in_transaction or (in_transaction is None and profile.autocommit(connection) is not True):
            connection.commit()


def close_quietly(connection: Any) -> None:
    """Close a connection that is given up; a dead one may refuse, which changes nothing."""
    try:
        connection.close()
    except Exception as error:  # noqa: BLE001
        logger.debug("closing a connection that is given up failed: %s", type(error).__name__)
