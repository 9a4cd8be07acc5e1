"""The whole driver at its own speed (X4): classes that carry every further name of a driver's class as a property.

`__getattr__` would do it in three lines, and slow down every attribute of the class on Python 3.11; so it serves only
objects that have a `__dict__`, where a name may appear later.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

__all__ = ["forwarding_class"]


def forwarding_class(
    base: type,
    raw: object,
    path: str,
    setting: Callable[[Any, str, object], None],
    methods: dict[str, Any],
    revive: Callable[[Any], object] | None = None,
) -> type:
    """Return a subclass of a steady class that has every name of a driver's object.

    Args:
        base: `SteadyConnection` or `SteadyCursor`; the names that it has are its own.
        raw: The driver's object, of which the names are taken.
        path: Where an instance of the subclass keeps the driver's object, as an attribute path.
        setting: Called with instance, name and value when an attribute is set.
        methods: Methods that take the place of the driver's of these names, where the driver has them.
        revive: Called with the instance before one of the driver's methods is handed out, and when the driver refuses
            to tell another attribute.
    """
    raw_type = type(raw)
    members: dict[str, Any] = {"__module__": base.__module__, "__doc__": base.__doc__}
    has_dict = hasattr(raw, "__dict__")
    if has_dict:
        members["__getattr__"] = _late_names(path)
    else:
        members["__slots__"] = ()
    for name in _further_names(raw, base):
        members[name] = methods[name] if name in methods else _forwarded(raw_type, name, path, setting, revive)
    return type(base.__name__, (base,), members)


def _further_names(raw: object, base: type) -> Iterable[str]:
    dunders = ("__next__",)
    for name in dir(raw):
        if (not name.startswith("__") or name in dunders) and not hasattr(base, name):
            yield name


def _forwarded(
    raw_type: type,
    name: str,
    path: str,
    setting: Callable[[Any, str, object], None],
    revive: Callable[[Any], object] | None,
) -> Any:
    found = inspect.getattr_static(raw_type, name, None)
    get: Callable[[Any], Any] = attrgetter(f"{path}.{name}")
    if revive is not None:
        get = _reviving(get, revive) if inspect.isroutine(found) else _revived(get, revive)

    def set_attribute(self: Any, value: object) -> None:
        setting(self, name, value)

    return property(get, set_attribute, None, getattr(found, "__doc__", None))


def _reviving(get: Callable[[Any], Any], revive: Callable[[Any], object]) -> Callable[[Any], Any]:
    def get_method(self: Any) -> Any:
        revive(self)
        return get(self)

    return get_method


def _revived(get: Callable[[Any], Any], revive: Callable[[Any], object]) -> Callable[[Any], Any]:
    def get_attribute(self: Any) -> Any:
        try:
            return get(self)
        except Exception:  # noqa: BLE001  mariadb's closed connections do not even tell whether they are in autocommit
            revive(self)
        return get(self)

    return get_attribute


def _late_names(path: str) -> Callable[[Any, str], Any]:
    raw_of = attrgetter(path)

    def __getattr__(self: Any, name: str) -> Any:  # noqa: N807
        return getattr(raw_of(self), name)

    return __getattr__
