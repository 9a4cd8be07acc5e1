"""PyGreSQL's part of ``check_drivers.py`` and ``check_api.py``: the only file here that needs PyGreSQL installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pgdb
from typing_extensions import assert_type

from persistentdb import PersistentDB, SteadyConnection, SteadyCursor

if TYPE_CHECKING:
    from persistentdb.dbapi import Connection, Cursor, Module


def is_cursor(_cursor: Cursor, /) -> None:
    """Take what satisfies Cursor."""


def is_connection(_connection: Connection[Any], /) -> None:
    """Take what satisfies Connection."""


def is_module(_module: Module, /) -> None:
    """Take what satisfies Module."""


def pgdb_fits(connection: pgdb.Connection, cursor: pgdb.Cursor) -> None:
    """X8: PyGreSQL, typed by itself."""
    is_connection(connection)
    is_cursor(cursor)
    is_module(pgdb)
    is_cursor(connection)  # type: ignore[arg-type]


def pgdb_is_inferred_from_every_creator() -> None:
    """X8, C1: the contract's own example, and the others."""
    assert_type(PersistentDB(pgdb, 1000, database="mydb"), PersistentDB[pgdb.Connection])
    assert_type(PersistentDB(lambda: pgdb.connect(database="mydb")), PersistentDB[pgdb.Connection])
    assert_type(PersistentDB.from_creator(lambda: pgdb.connect(database="mydb")), PersistentDB[pgdb.Connection])


def pgdb_connection_and_cursor(persist: PersistentDB[pgdb.Connection]) -> None:
    """X8, X4, C13: the steady objects know the driver's, and have a typed way to it."""
    db = persist.connection()
    assert_type(db, SteadyConnection[pgdb.Connection])
    assert_type(persist.steady_connection(), SteadyConnection[pgdb.Connection])
    assert_type(persist.dedicated_connection(), SteadyConnection[pgdb.Connection])
    assert_type(db.driver_connection, pgdb.Connection)
    assert_type(db.as_driver, pgdb.Connection)
    with db as same, db.transaction() as same_again:
        assert_type(same, SteadyConnection[pgdb.Connection])
        assert_type(same_again, SteadyConnection[pgdb.Connection])
    cursor = db.cursor()
    assert_type(cursor, SteadyCursor[pgdb.Cursor])
    assert_type(cursor.driver_cursor, pgdb.Cursor)
    assert_type(cursor.as_driver, pgdb.Cursor)
    assert_type(db.open_cursor(lambda raw: raw.cursor()), SteadyCursor[pgdb.Cursor])
    with db.cursor() as entered:
        assert_type(entered, SteadyCursor[pgdb.Cursor])


def pgdb_statements_and_rows(cursor: SteadyCursor[pgdb.Cursor]) -> None:
    """X8: what statements and fetches return is what PyGreSQL says.

    It says a bare `Sequence` of parameters: pyright misses the parameter's type, here as on PyGreSQL's own cursor.
    """
    assert_type(cursor.execute("select %s", (1,)), pgdb.Cursor)  # pyright: ignore[reportUnknownMemberType]
    many = cursor.executemany("insert into t values (%s)", [(1,)])  # pyright: ignore[reportUnknownMemberType]
    assert_type(many, pgdb.Cursor)
    assert_type(cursor.callproc("f", (1,)), Sequence[Any] | None)  # pyright: ignore[reportUnknownMemberType]
    assert_type(cursor.fetchone(), Sequence[Any] | None)
    assert_type(cursor.fetchmany(), Sequence[Sequence[Any]])
    assert_type(cursor.fetchmany(2), Sequence[Sequence[Any]])
    assert_type(cursor.fetchall(), Sequence[Sequence[Any]])
    assert_type(iter(cursor), Iterator[Sequence[Any]])
    assert_type(cursor.nextset(), bool | None)
    assert_type(cursor.lastrowid, int | None)


def the_steady_ones_fit_too(db: SteadyConnection[pgdb.Connection]) -> None:
    """X8, X4: the steady objects satisfy our own Protocols."""
    is_connection(db)
    is_cursor(db.cursor())
