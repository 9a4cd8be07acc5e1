"""Which connection belongs to the calling thread (C3, C4, C11)."""

from __future__ import annotations

import threading
import weakref
from _threading_local import local as python_local
from typing import Any, Protocol, TypeAlias, runtime_checkable

from persistentdb._thread_exit import at_thread_exit

__all__ = ["LocalClass", "PerThread", "ThreadLocality", "ThreadLocals", "as_locality"]


@runtime_checkable
class ThreadLocality(Protocol):
    """**Protocol:** keeps one value a thread, and lets go of it when the thread ends."""

    def get(self) -> object | None:
        """Return the calling thread's value, None if it has none."""

    def set(self, value: object, /) -> None:
        """Keep a value for the calling thread. Dropping the last reference to it closes the thread's connection."""

    def discard(self) -> None:
        """Forget the calling thread's value, if it has one."""


ThreadLocals: TypeAlias = type[threading.local] | type[python_local] | ThreadLocality | None


class _Slot(threading.local):
    value: object | None = None


class PerThread:
    """The default: `threading.local`, and a registry by thread for those that Python did not start.

    A thread that comes from an embedding server has a Python state that may last for one call only; it finds its value
    again by its identifier, and its end is told by the operating system.
    """

    __slots__ = ("__weakref__", "_foreign", "_slot")

    def __init__(self) -> None:
        self._slot = _Slot()
        self._foreign: dict[int, object] = {}

    def get(self) -> object | None:
        """Return the calling thread's value, None if it has none."""
        value = self._slot.value
        if value is None and self._foreign:
            value = self._foreign.get(threading.get_ident())
        return value

    def set(self, value: object, /) -> None:
        """Keep a value for the calling thread."""
        if not (_is_foreign_thread() and at_thread_exit(_Release(self, threading.get_ident()))):
            self._slot.value = value
            return
        self._foreign[threading.get_ident()] = value

    def discard(self) -> None:
        """Forget the calling thread's value, if it has one."""
        self._slot.value = None
        self.release(threading.get_ident())

    def release(self, identifier: int) -> None:
        """Forget the value of a thread that Python did not start."""
        self._foreign.pop(identifier, None)


class _Release:
    """Lets go of an ended thread's value; does not keep the registry alive until then."""

    __slots__ = ("_identifier", "_registry")

    def __init__(self, registry: PerThread, identifier: int) -> None:
        self._registry = weakref.ref(registry)
        self._identifier = identifier

    def __call__(self) -> None:
        registry = self._registry()
        if registry is not None:
            registry.release(self._identifier)


def _is_foreign_thread() -> bool:
    """Whether the calling thread has only a stand-in for a Thread object.

    Where greenlets stand in for threads (`threading.local` replaced), the replacement knows best.
    """
    return threading.local.__module__ == "_thread" and isinstance(threading.current_thread(), threading._DummyThread)


class LocalClass:
    """The plain form: a class for thread-local data, of which one object is made.

    Args:
        local_class: `threading.local`, or a class with its behaviour.
    """

    __slots__ = ("_local",)

    def __init__(self, local_class: type[Any]) -> None:
        self._local: Any = local_class()

    def get(self) -> object | None:
        """Return the calling thread's value, None if it has none."""
        value: object | None = getattr(self._local, "value", None)
        return value

    def set(self, value: object, /) -> None:
        """Keep a value for the calling thread."""
        self._local.value = value

    def discard(self) -> None:
        """Forget the calling thread's value, if it has one."""
        self._local.value = None


def as_locality(value: ThreadLocals) -> ThreadLocality:
    """Turn a plain form of the parameter `threadlocal` into the strategy.

    Raises:
        TypeError: It is none of the forms.
    """
    if value is None:
        return PerThread()
    if isinstance(value, type):
        if not all(hasattr(value, name) for name in ("get", "set", "discard")):
            return LocalClass(value)
    elif isinstance(value, ThreadLocality):
        return value
    raise TypeError(
        f"threadlocal={value!r}: expected a class for thread-local data such as threading.local, "
        "an object with get(), set() and discard(), or None"
    )
