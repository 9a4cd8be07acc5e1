"""Finding the driver's module behind whatever the user gave as its creator (design section 5)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

__all__ = ["error_class", "error_class_beside", "failure_classes", "module_of_connection", "module_of_creator"]

_FAILURES = ("OperationalError", "InterfaceError", "InternalError")


def module_of_creator(creator: object) -> object | None:
    """Return the DB-API 2 module that a creator shows before it has opened a connection; None if it shows none.

    Args:
        creator: The module itself, an object with an attribute `dbapi`, or a function of a driver's module.
    """
    candidates = (
        creator,
        getattr(creator, "dbapi", None),
        *_modules_above(getattr(creator, "__module__", None)),
    )
    return next((module for module in candidates if _is_driver(module)), None)


def module_of_connection(connection: object) -> object | None:
    """Return the DB-API 2 module of a connection, found by the modules of its class and errors; None if none is."""
    connection_type: Any = type(connection)
    return _module_of_class(connection_type)


def failure_classes(connection: object) -> tuple[type[BaseException], ...]:
    """Return the classes of a driver for which failover applies by default; those it has of the three."""
    connection_type: Any = type(connection)
    return _failure_classes_of(connection_type)


def error_class(connection: object, name: str) -> type[Exception] | None:
    """Return the driver's class of errors of that name; None where there is none to be found."""
    connection_type: Any = type(connection)
    found = _error_class(connection_type, name)
    return found if found is not None and issubclass(found, Exception) else None


def error_class_beside(error: BaseException, name: str) -> type[Exception] | None:
    """Return the class of errors of that name from the module that an error is of; None where there is none."""
    for base in type(error).__mro__:
        for module in _modules_above(base.__module__):
            found: Any = getattr(module, name, None)
            if isinstance(found, type) and issubclass(found, Exception):
                return found
    return None


@cache
def _module_of_class(connection_type: Any) -> object | None:
    error = getattr(connection_type, "OperationalError", None)
    names = [base.__module__ for base in (*connection_type.__mro__, *getattr(error, "__mro__", ()))]
    return next((module for name in names for module in _modules_above(name) if _is_driver(module)), None)


@cache
def _failure_classes_of(connection_type: Any) -> tuple[type[BaseException], ...]:
    classes = (_error_class(connection_type, name) for name in _FAILURES)
    return tuple(one for one in classes if one is not None)


@cache
def _error_class(connection_type: Any, name: str) -> type[BaseException] | None:
    """PEP 249 has the errors in the module, and by its extension on the connection."""
    for place in (_module_of_class(connection_type), connection_type):
        found: Any = getattr(place, name, None)
        if isinstance(found, type) and issubclass(found, BaseException):
            return found
    return None


def _is_driver(module: object) -> bool:
    """A module of PEP 249 has a connect function and says something of itself."""
    return callable(getattr(module, "connect", None)) and (
        isinstance(getattr(module, "paramstyle", None), str) or isinstance(getattr(module, "apilevel", None), str)
    )


def _modules_above(name: object) -> Iterator[ModuleType]:
    """Yield the module of that name and the packages around it, as far as they are imported."""
    while isinstance(name, str) and name:
        module = sys.modules.get(name)
        if module is not None:
            yield module
        name = name.rpartition(".")[0]
