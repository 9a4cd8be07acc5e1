"""What is kept for a thread until it ends, whatever becomes of the object that it was kept for (C4)."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Protocol

from persistentdb._fork import in_child
from persistentdb._thread_exit import at_thread_exit

__all__ = ["Keepsake", "Kept", "kept_for_this_thread"]


class Keepsake(Protocol):
    """Something that a thread has to see to by itself."""

    def forgotten(self) -> bool:
        """Whether nobody uses it any more; it is seen to at once then."""
        ...

    def rest(self) -> None:
        """See to it for now: the interpreter ends, but what runs then may use it once more."""

    def thread_ended(self) -> None:
        """See to it for good: the thread ends."""


class Kept:
    """The keepsakes of one thread; only that thread uses it. It goes with the thread.

    Attributes:
        foreign: Whether Python did not start the thread, and the operating system tells its end.
    """

    __slots__ = ("__weakref__", "_keepsakes", "foreign")

    def __init__(self, *, foreign: bool) -> None:
        self.foreign = foreign
        self._keepsakes: list[Keepsake] = []

    def add(self, keepsake: Keepsake) -> None:
        """Keep something until the thread ends, or until it is forgotten and this is called again."""
        self._keepsakes = [one for one in self._keepsakes if not one.forgotten()]
        self._keepsakes.append(keepsake)

    def rest(self) -> None:
        """See to everything for now."""
        for keepsake in self._keepsakes:
            keepsake.rest()

    def end(self) -> None:
        """See to everything for good."""
        keepsakes, self._keepsakes = self._keepsakes, []
        for keepsake in keepsakes:
            keepsake.thread_ended()

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing():
            # A daemon thread was stopped, maybe in the middle of a driver's call: only what nobody uses is touched.
            self._keepsakes = [one for one in self._keepsakes if not one.forgotten()]
        else:
            self.end()


class _Local(threading.local):
    kept: Kept | None = None


_local = _Local()
_foreign: dict[int, Kept] = {}
"""By thread identifier: threads that Python did not start may lose all thread-local data between two calls."""


def kept_for_this_thread() -> Kept:
    """Return the calling thread's keepsakes, the same object from its first to its last call."""
    kept = _local.kept or _foreign.get(threading.get_ident())
    if kept is not None:
        return kept
    foreign = _is_foreign_thread() and at_thread_exit(_end_of_foreign_thread)
    kept = Kept(foreign=foreign)
    if foreign:
        _foreign[threading.get_ident()] = kept
    else:
        _local.kept = kept
    return kept


def _end_of_foreign_thread() -> None:
    kept = _foreign.pop(threading.get_ident(), None)
    if kept is not None:
        kept.end()


def _is_foreign_thread() -> bool:
    """Whether Python did not start the calling thread through `threading`.

    Where greenlets stand in for threads (`threading.local` is replaced), the replacement knows best.
    """
    if threading.local.__module__ != "_thread":
        return False
    identifier = threading.get_ident()
    # Not current_thread(): for a foreign thread it makes a stand-in that Python before 3.13 keeps for ever.
    thread = next((one for one in threading.enumerate() if one.ident == identifier), None)
    if thread is threading.main_thread():
        # Before 3.13 the thread that first imports `threading` is taken for the main thread.
        return sys.platform == "linux" and threading.get_native_id() != os.getpid()
    return thread is None or isinstance(thread, threading._DummyThread)


def _keep_only_own() -> None:
    """Other threads do not exist in a child, but new ones may get their identifiers."""
    own = threading.get_ident()
    for identifier in [one for one in _foreign if one != own]:
        del _foreign[identifier]


in_child(_keep_only_own)
