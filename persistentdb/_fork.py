"""What a child process does about what its parent opened: it neither uses nor closes it (X5).

Whoever has something that must be new in a child, such as a lock that another thread may have held at the moment of the
fork, calls `in_child(self.renew)` once: the bound method is held weakly, and called in each child, and in its children.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from types import MethodType
from typing import Any, Protocol
from weakref import WeakMethod, WeakSet

from persistentdb._discovery import error_class
from persistentdb.exceptions import PersistentDBError

__all__ = [
    "Heirloom",
    "before_next_opening",
    "in_child",
    "inherit",
    "keep_for_ever",
    "make_way",
    "silence",
    "stand_in_for",
    "watch_fork",
]

logger = logging.getLogger("persistentdb")


class Heirloom(Protocol):
    """Something that a child must let alone."""

    def abandon(self) -> None:
        """Give it up in the child, without a word to anybody; a second call does nothing."""


_heirlooms: WeakSet[Heirloom] = WeakSet()
_renewals: list[Callable[[], Callable[[], object] | None]] = []
_deeds: list[Callable[[], object]] = []
_deeds_lock = threading.Lock()


def watch_fork(heirloom: Heirloom) -> None:
    """Have something abandoned in each child that is forked as long as it lives."""
    _heirlooms.add(heirloom)


def in_child(callback: Callable[[], object]) -> None:
    """Have a function called in each child process, right after the fork, when no other thread runs.

    Args:
        callback: Called without arguments, from now on; it must not wait for anything that another thread had to do.
            A bound method does not keep its object alive, a plain function is kept.
    """
    if not isinstance(callback, MethodType):
        _renewals.append(lambda: callback)
        return
    _renewals[:] = [one for one in _renewals if one() is not None]
    _renewals.append(WeakMethod(callback))


def inherit() -> None:
    """Do in the child all that is to be done there; the interpreter calls it after `os.fork`."""
    global _deeds_lock  # noqa: PLW0603
    _deeds_lock = threading.Lock()
    for heirloom in list(_heirlooms):
        heirloom.abandon()
    _heirlooms.clear()
    for renewal in _renewals:
        callback = renewal()
        if callback is None:
            continue
        try:
            callback()
        except Exception:
            logger.exception("renewing something in a child process failed")  # the others need to be renewed, too


def before_next_opening(deed: Callable[[], object]) -> None:
    """Have something done before the next connection is opened; a child that opens none is spared it.

    Args:
        deed: Called without arguments, once.
    """
    _deeds.append(deed)


def make_way() -> None:
    """Do what is to be done before a connection is opened."""
    with _deeds_lock:  # a second thread waits until it is done
        while _deeds:
            _deeds.pop()()


def _prepare() -> None:
    """Import in the parent what a child will need: there an import may wait for a thread that is not there."""
    if _heirlooms:
        with suppress(ImportError):
            import_module("ctypes")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_prepare, after_in_child=inherit)


_kept: list[object] = []


def keep_for_ever(thing: object) -> None:
    """Never let an object be destroyed, not even when the interpreter ends, which empties every module."""
    try:
        import ctypes  # noqa: PLC0415
    except ImportError:  # an interpreter built without it: at least until its end
        _kept.append(thing)
    else:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def identity_of(descriptor: int) -> tuple[int, int] | None:
    """Return what tells the file behind a descriptor from all others; None if there is none."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def silence(descriptor: int) -> None:
    """Put nothing in the place of an inherited socket: what is written there vanishes, what is read ends at once.

    The socket itself lives on in the parent. The number stays taken: its old owner may still use it.
    """
    os.close(descriptor)  # first, for the process may have no descriptor to spare
    nothing = _open_nothing()
    if nothing != descriptor:
        os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)


def _open_nothing() -> int:
    try:
        return os.open(os.devnull, os.O_RDWR)
    except OSError:  # a changed root without devices
        nothing, other_end = os.pipe()
        os.close(other_end)
        return nothing


class _StandIn:
    """Stands where the parent's connection or cursor stood: it refuses whatever is asked of it."""

    cancel = None
    """Something optional, that is asked for before it is known whether there is a connection to cancel on."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # somebody's own, that may well be missing
            raise AttributeError(name)
        raise self._refusal()

    def __setattr__(self, name: str, value: object) -> None:
        raise self._refusal()

    def __iter__(self) -> Any:
        raise self._refusal()

    def _refusal(self) -> Exception:
        kind = error_class(self, "OperationalError") or PersistentDBError
        return kind(
            "this was opened by the parent process, which goes on using it: a child leaves it alone; "
            "here a new cursor opens a new connection"
        )


def stand_in_for(connection: object) -> Any:
    """Return what stands in a child for a connection of the parent's, and for each of its cursors.

    Args:
        connection: The driver's connection: what it raises, the stand-in raises.
    """
    return _stand_in_class(tuple(error_class(connection, name) for name in _ERRORS))()


_ERRORS = ("Error", "InterfaceError", "InternalError", "OperationalError")


@cache
def _stand_in_class(errors: tuple[type[Exception] | None, ...]) -> Any:
    """The classes of errors are members, by which the driver's module is found behind them."""
    return type("Inherited", (_StandIn,), {name: error for name, error in zip(_ERRORS, errors, strict=True) if error})
