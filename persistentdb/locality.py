"""Which connection belongs to the calling thread (C3, C4, C11)."""

from __future__ import annotations

import threading
import weakref
from _threading_local import local as python_local
from typing import Any, Protocol, TypeAlias, runtime_checkable

from persistentdb._keeping import Kept, kept_for_this_thread
from persistentdb.exceptions import described

__all__ = ["LocalClass", "PerThread", "ThreadLocality", "ThreadLocals", "as_locality"]


@runtime_checkable
class ThreadLocality(Protocol):
    """**Protocol:** keeps one value a thread; one object serves one `PersistentDB`."""

    def get(self) -> object | None:
        """Return the calling thread's value, None if it has none."""

    def set(self, value: object, /) -> None:
        """Keep a value for the calling thread, which is closed when the thread ends, whether this is dropped or not."""

    def discard(self) -> None:
        """Forget the calling thread's value, if it has one."""


ThreadLocals: TypeAlias = type[threading.local] | type[python_local] | ThreadLocality | None


class _Slot(threading.local):
    value: object | None = None


class PerThread:
    """The default: `threading.local`, and a registry for the threads that Python did not start.

    A thread that comes from an embedding server has a Python state that may last for one call only; it finds its value
    again by what is kept for it until the operating system tells its end.
    """

    __slots__ = ("__weakref__", "_foreign", "_slot")

    def __init__(self) -> None:
        self._slot = _Slot()
        self._foreign: weakref.WeakKeyDictionary[Kept, object] = weakref.WeakKeyDictionary()

    def get(self) -> object | None:
        """Return the calling thread's value, None if it has none."""
        value = self._slot.value
        if value is None and self._foreign:
            value = self._foreign.get(kept_for_this_thread())
        return value

    def set(self, value: object, /) -> None:
        """Keep a value for the calling thread."""
        self._slot.value = value
        kept = kept_for_this_thread()
        if kept.foreign:
            self._foreign[kept] = value

    def discard(self) -> None:
        """Forget the calling thread's value, if it has one."""
        self._slot.value = None
        if self._foreign:
            self._foreign.pop(kept_for_this_thread(), None)


_NAME = "_persistentdb_value"
"""A name that no class of the user's has for anything else."""


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
        value: object | None = getattr(self._local, _NAME, None)
        return value

    def set(self, value: object, /) -> None:
        """Keep a value for the calling thread."""
        setattr(self._local, _NAME, value)

    def discard(self) -> None:
        """Forget the calling thread's value, if it has one."""
        setattr(self._local, _NAME, None)


def as_locality(value: ThreadLocals) -> ThreadLocality:
    """Turn a plain form of the parameter `threadlocal` into the strategy.

    Raises:
        TypeError: It is none of the forms.
    """
    if value is None:
        return PerThread()
    if isinstance(value, type):
        if _keeps_attributes(value):
            return LocalClass(value)
    elif isinstance(value, ThreadLocality):
        return value
    raise TypeError(
        f"threadlocal={described(value)}: expected a class for thread-local data such as threading.local, "
        "an object with get(), set() and discard(), or None"
    )


def _keeps_attributes(value: type) -> bool:
    """Whether it is `threading.local`, or may be of another make: no strategy's class, and attributes can be set."""
    of_another_make = not hasattr(value, "discard") and bool(getattr(value, "__dictoffset__", 0))
    return issubclass(value, threading.local) or of_another_make
