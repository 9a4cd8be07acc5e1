"""SQLite in a forked child: an inherited connection is taken out of use, without a touch to its database (X5).

SQLite keeps what it knows of file locks in the process, for all connections to a file together, while the locks
themselves do not pass to a child. So the connections that a child opens would believe that they hold what their process
does not hold: they would find the file locked for ever, or, with a write-ahead log, lose what they committed. The
inherited connection must neither be used nor closed, which would roll back or commit the parent's transaction; but its
file can be told that it holds no lock and no shared memory any more. `sqlite3` has no way to do that; ctypes has.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from typing import Any

from persistentdb._fork import before_next_opening, keep_for_ever

__all__ = ["disown"]


def disown(connection: Any) -> None:
    """Make an inherited connection, its cursors and its blobs count as closed; nothing happens to the database.

    Args:
        connection: A connection of `sqlite3`, in a process that did not open it.
    """
    for dependent in _dependents(connection):
        keep_for_ever(dependent)  # its destructor would end its statement, and with it maybe a transaction
    try:
        import _sqlite3  # noqa: PLC0415
        import ctypes  # noqa: PLC0415

        library = ctypes.CDLL(_sqlite3.__file__)
        functions = library.sqlite3_db_filename, library.sqlite3_database_file_object
    except (ImportError, OSError, AttributeError):
        return  # an interpreter that does not show its SQLite
    if sys.implementation.name != "cpython":
        return
    handle = _take_handle(connection)
    if handle is not None:
        before_next_opening(lambda: _release(handle, *functions))


def _dependents(connection: Any) -> Iterator[object]:
    """The connection knows its cursors, statements and blobs by lists of weak references."""
    for known in gc.get_referents(connection):
        if issubclass(type(known), list):
            yield from (one() for one in known if issubclass(type(one), weakref.ref))


def _take_handle(connection: Any) -> int | None:
    """Take SQLite's handle, the first thing in CPython's object, out of it: without one it counts as closed."""
    import ctypes  # noqa: PLC0415

    place = ctypes.c_void_p.from_address(id(connection) + object.__basicsize__)
    handle, place.value = place.value, None
    try:
        connection.total_changes  # noqa: B018  raises on a closed connection
    except connection.ProgrammingError:
        return handle
    place.value = handle  # this was something else
    return None


def _release(handle: int, file_name: Any, file_of: Any) -> None:
    """Have the file forget its locks and its shared memory: the child's process never had them."""
    import ctypes  # noqa: PLC0415

    class Methods(ctypes.Structure):
        """SQLite's struct sqlite3_io_methods, version 2."""

        _fields_ = (("version", ctypes.c_int), *((name, ctypes.c_void_p) for name in _METHODS))

    file_name.argtypes, file_name.restype = [ctypes.c_void_p, ctypes.c_char_p], ctypes.c_void_p
    file_of.argtypes, file_of.restype = [ctypes.c_void_p], ctypes.c_void_p
    name = file_name(handle, b"main")
    if not name or not ctypes.string_at(name):
        return  # in memory
    file = file_of(name)
    methods = ctypes.cast(file, ctypes.POINTER(ctypes.POINTER(Methods))).contents.contents
    call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    call(methods.unlock)(file, _NO_LOCK)
    if methods.version >= _WITH_SHARED_MEMORY:
        call(methods.shm_unmap)(file, _KEEP_THE_FILE)


_NO_LOCK = 0
_KEEP_THE_FILE = 0
_WITH_SHARED_MEMORY = 2
_METHODS = (
    "close",
    "read",
    "write",
    "truncate",
    "sync",
    "file_size",
    "lock",
    "unlock",
    "check_reserved_lock",
    "file_control",
    "sector_size",
    "device_characteristics",
    "shm_map",
    "shm_lock",
    "shm_barrier",
    "shm_unmap",
)
