"""The mistakes whose messages `docs/typing.md` quotes. Read by mypy (`test_typing.py`), never executed.

A comment `# E:` is a message that mypy gives on the next line of code, or the beginning of one; `# N:` is a note to it.
"""
# ruff: noqa: ERA001  "N: alive" could be code

from __future__ import annotations

import sqlite3

from persistentdb import PersistentDB, Ping


class NoAlive:
    """A ping strategy that lacks `alive`."""

    def due(self, event: Ping) -> bool:
        """Only on request."""
        return event is Ping.REQUEST


def connect() -> sqlite3.Connection:
    """Return a new connection."""
    return sqlite3.connect("my.db")


def wants_sqlite(connection: sqlite3.Connection) -> None:
    """Take what only sqlite3 has made."""
    connection.commit()


def mistakes(persist: PersistentDB[sqlite3.Connection]) -> None:
    """X8: one of each kind, in the order of the page."""
    db = persist.connection()
    # E: "SteadyConnection[Connection]" has no attribute "comit"; maybe "commit"?
    db.comit()
    # E: Argument 1 to "execute" of "SteadyCursor" has incompatible type "int"; expected "str"
    db.cursor().execute(42)
    # E: Invalid self argument "SteadyCursor[Cursor]" to attribute function "nextset"
    db.cursor().nextset()
    # E: "SteadyConnection[Connection]" has no attribute "create_function"
    db.create_function("one", 0, lambda: 1)
    # E: Argument 1 to "wants_sqlite" has incompatible type "SteadyConnection[Connection]"; expected "Connection"
    wants_sqlite(db)
    # E: Unexpected keyword argument "pnig" for "from_creator" of "PersistentDB"
    PersistentDB.from_creator(connect, pnig=7)
    # E: Argument "setsession" to "PersistentDB" has incompatible type "str"
    PersistentDB(sqlite3, setsession="pragma foreign_keys = on")
    # E: Argument "ping" to "PersistentDB" has incompatible type "NoAlive"
    # N: "NoAlive" is missing following "PingStrategy" protocol member:
    # N:     alive
    PersistentDB(sqlite3, ping=NoAlive())
    # E: "Connection" has no attribute "create_funktion"; maybe "create_function"
    PersistentDB(sqlite3, setsession=lambda con: con.create_funktion("one", 0, int))
