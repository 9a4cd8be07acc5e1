"""Being told when an operating-system thread ends that Python did not start.

Such a thread's Python state may be thrown away between two calls, and `threading.local` with it, while the thread lives
on. POSIX has the sure sign of its end: the destructor of a thread-specific key, which runs in the thread itself.
"""

from __future__ import annotations

import atexit
import errno
import sys
import threading
from collections.abc import Callable

from persistentdb._fork import in_child

__all__ = ["at_thread_exit"]

_callbacks: dict[int, list[Callable[[], object]]] = {}
_lock = threading.Lock()
_set_sign: Callable[[], object] | None = None
_keep_alive: list[object] = []


def at_thread_exit(callback: Callable[[], object]) -> bool:
    """Have a function called when the calling operating-system thread ends, in that thread.

    Args:
        callback: Called without arguments.

    Returns:
        Whether it will be; False on a platform without POSIX threads, or when the system refuses.
    """
    with _lock:
        sign = _set_sign or _install()
    if sign is None:
        return False
    if sign():
        return False
    _callbacks.setdefault(threading.get_ident(), []).append(callback)
    return True


def _thread_ended(_: int | None) -> None:
    for callback in _callbacks.pop(threading.get_ident(), ()):
        callback()


def _install() -> Callable[[], object] | None:
    """Create the key, once a process; ctypes is imported only here, few programs have such threads."""
    global _set_sign  # noqa: PLW0603
    try:
        import ctypes  # noqa: PLC0415

        libc = ctypes.CDLL(None)
        create, set_specific, delete = (
            libc.pthread_key_create,
            libc.pthread_setspecific,
            libc.pthread_key_delete,
        )
    except (ImportError, OSError, TypeError, AttributeError):
        return None
    # pthread_key_t is an unsigned int in glibc and musl, an unsigned long on macOS.
    key = ctypes.c_ulong() if sys.platform == "darwin" else ctypes.c_uint()
    destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_thread_ended)
    if create(ctypes.byref(key), destructor):
        return None
    _keep_alive.append(destructor)
    set_specific.argtypes = [type(key), ctypes.c_void_p]

    def retire() -> None:
        """A thread that outlives the interpreter must not call into it; the key may be somebody else's then."""
        global _set_sign  # noqa: PLW0603
        _set_sign = _refuse
        delete(key)

    atexit.register(retire)
    _set_sign = lambda: set_specific(key, 1)  # noqa: E731
    return _set_sign


def _refuse() -> int:
    return errno.EAGAIN


def _keep_only_own() -> None:
    """Other threads do not exist in a child, but new ones may get their identifiers."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    own = threading.get_ident()
    for identifier in [one for one in _callbacks if one != own]:
        del _callbacks[identifier]


in_child(_keep_only_own)
