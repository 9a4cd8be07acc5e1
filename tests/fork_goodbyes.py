"""A parent and its child over a driver that notes each goodbye, run as a program: the child's interpreter ends, too.

`python fork_goodbyes.py NOTES`: NOTES gets a line whenever a connection or a cursor is closed or destroyed.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import warnings
from typing import Any

from persistentdb import PersistentDB

PARENT = os.getpid()
NOTES = os.open(sys.argv[1], os.O_APPEND | os.O_WRONLY | os.O_CREAT)


class Parting:
    """Says when it goes; everything that it needs is bound early, for it may go at the interpreter's end."""

    def note(self, what: str, write: Any = os.write, getpid: Any = os.getpid, notes: int = NOTES) -> None:
        """Note a goodbye, whose it is, and in which process it is said."""
        write(notes, f"{self.name} {self.opened_by} {what} in {getpid()}\n".encode())

    def __init__(self) -> None:
        self.name = type(self).__name__
        self.opened_by = os.getpid()

    def close(self) -> None:
        """Take leave."""
        self.note("closed")

    def __del__(self) -> None:
        self.note("destroyed")


class Connection(Parting):
    """A connection of which nothing is known."""

    def cursor(self) -> Cursor:
        """Open a cursor."""
        return Cursor()

    def commit(self) -> None:
        """Do nothing."""

    rollback = commit


class Cursor(Parting):
    """A cursor that always has a row."""

    description = (("column",),)
    rowcount = 1

    def execute(self, operation: str) -> None:
        """Do nothing."""

    def fetchone(self) -> tuple[int]:
        """Return the process that opened it."""
        return (self.opened_by,)


def hold(persist: PersistentDB[Any], ready: threading.Barrier, leave: threading.Event) -> None:
    """Have connections and cursors in the middle of their work while the main thread forks."""
    db, other = persist.connection(), persist.steady_connection()
    cursors = [use(db), use(other)]
    local.db = persist.steady_connection()
    ready.wait()
    leave.wait()
    del cursors


local = threading.local()
"""What is in it goes in a child before any function is called there."""


def use(db: Any) -> Any:
    """Return a cursor in the middle of its work."""
    cursor = db.cursor()
    cursor.execute("select")
    return cursor


def main() -> None:
    """Fork with connections of three threads, and end both processes normally."""
    persist: PersistentDB[Any] = PersistentDB(Connection)
    ready, leave = threading.Barrier(3), threading.Event()
    threading.Thread(target=hold, args=(persist, ready, leave), daemon=True).start()
    _thread.start_new_thread(hold, (persist, ready, leave))  # as if Python had not started it
    cursor, dropped = use(persist.connection()), use(persist.steady_connection())
    ready.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    del dropped
    own = use(persist.connection())
    assert own.fetchone() == (os.getpid(),)
    if pid:
        assert cursor.fetchone() == (os.getpid(),)
        assert os.waitpid(pid, 0) == (pid, 0)
        os.write(NOTES, b"the child has ended\n")
        leave.set()
    else:
        persist.close()


if __name__ == "__main__":
    main()
