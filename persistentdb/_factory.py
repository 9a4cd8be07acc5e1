"""Making a steady connection of the class that has all names of its driver's connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from persistentdb._forwarding import forwarding_class
from persistentdb._link import Link, Terms
from persistentdb._sending import send
from persistentdb._settings import call_setting, call_unsetting, set_attribute
from persistentdb._two_phase import TWO_PHASE_METHODS
from persistentdb.steady import SteadyConnection

__all__ = ["steady_connection"]


def _setting_method(name: str, key_length: int) -> Callable[..., Any]:
    def method(self: SteadyConnection[Any], *args: Any, **kwargs: Any) -> Any:
        return call_setting(self, name, key_length, args, kwargs)

    method.__name__ = name
    method.__doc__ = f"Call the driver's `{name}`; what it sets is set again after a reopening."
    return method


def _unsetting_method(name: str, undone: str) -> Callable[..., Any]:
    def method(self: SteadyConnection[Any], *args: Any, **kwargs: Any) -> Any:
        return call_unsetting(self, name, undone, args, kwargs)

    method.__name__ = name
    method.__doc__ = f"Call the driver's `{name}`; what `{undone}` had set is not set again after a reopening."
    return method


def _sending_method(name: str) -> Callable[..., Any]:
    def method(self: SteadyConnection[Any], *args: Any, **kwargs: Any) -> Any:
        return send(self, name, args, kwargs)

    method.__name__ = name
    method.__doc__ = f"Send what the driver's `{name}` sends, never twice."
    return method


def _cursor_method(name: str) -> Callable[..., Any]:
    def method(self: SteadyConnection[Any], *args: Any, **kwargs: Any) -> Any:
        return getattr(self.cursor(), name)(*args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"Call `{name}` on a new steady cursor."
    return method


_classes: dict[Any, Any] = {}
"""The steady class of each class of driver connections."""


def steady_connection(terms: Terms) -> SteadyConnection[Any]:
    """Open a connection of the driver, and return a steady connection over it."""
    link = Link(terms)
    raw: object = link.connection
    connection_type: Any = type(raw)
    found: Any = _classes.get(connection_type)
    if found is None:
        methods: dict[str, Callable[..., Any]] = {**TWO_PHASE_METHODS}
        methods |= {name: _setting_method(name, length) for name, length in link.profile.session_methods.items()}
        methods |= {name: _sending_method(name) for name in link.profile.sending_methods}
        methods |= {name: _unsetting_method(name, undone) for name, undone in link.profile.unsetting_methods.items()}
        methods |= {name: _cursor_method(name) for name in ("execute", "executemany", "executescript")}
        found = forwarding_class(
            SteadyConnection,
            link.connection,
            "_link.connection",
            set_attribute,
            methods,
            SteadyConnection.revive,
        )
        _classes[connection_type] = found
    steady: SteadyConnection[Any] = object.__new__(found)
    steady._link, steady._terms, steady._settings, steady._given_up = link, terms, {}, None
    steady._lease = None
    return steady
