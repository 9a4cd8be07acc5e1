"""What a user of each driver gets through the steady objects, as types. Read by checkers, never executed.

One section a driver, the same questions in the same order: what the constructor is of, the connection and the way back
to the driver's, the cursor, its statements and its rows. ``docs/typing.md`` has the table. PyGreSQL's section stands in
``check_pgdb.py``, because only that needs PyGreSQL installed; wrong uses stand in ``check_negative.py``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import duckdb
import mariadb
import MySQLdb
import MySQLdb.connections
import pg8000.dbapi
import psycopg
import psycopg.rows
import psycopg2
import psycopg2.extensions
import pymysql
import pymysql.cursors
from typing_extensions import assert_type

from persistentdb import Connection, Cursor, PersistentDB, SteadyConnection, SteadyCursor

# sqlite3: the module itself, a function, a lambda, and an annotation


def connect_sqlite() -> sqlite3.Connection:
    """Return a connection, as a user's own function does."""
    return sqlite3.connect("my.db")


def sqlite3_is_inferred_from_every_creator() -> None:
    """X8, C1: module, function and lambda all give the driver's own connection type."""
    assert_type(PersistentDB(sqlite3, 1, None, None, 1, False, None, "my.db"), PersistentDB[sqlite3.Connection])
    assert_type(PersistentDB(sqlite3, database="my.db"), PersistentDB[sqlite3.Connection])
    assert_type(PersistentDB(connect_sqlite, 1000), PersistentDB[sqlite3.Connection])
    assert_type(PersistentDB(lambda: sqlite3.connect("my.db"), ping=7), PersistentDB[sqlite3.Connection])
    assert_type(PersistentDB.from_creator(connect_sqlite), PersistentDB[sqlite3.Connection])
    assert_type(PersistentDB.from_creator(lambda: sqlite3.connect("my.db")), PersistentDB[sqlite3.Connection])
    with PersistentDB(sqlite3, database="my.db") as persist:
        assert_type(persist, PersistentDB[sqlite3.Connection])


def sqlite3_connection(persist: PersistentDB[sqlite3.Connection]) -> None:
    """X8, X4: the steady connection knows the driver's, and has a typed way to it."""
    db = persist.connection()
    assert_type(db, SteadyConnection[sqlite3.Connection])
    assert_type(persist.connection(shareable=False), SteadyConnection[sqlite3.Connection])
    assert_type(persist.steady_connection(), SteadyConnection[sqlite3.Connection])
    assert_type(persist.dedicated_connection(), SteadyConnection[sqlite3.Connection])
    assert_type(db.driver_connection, sqlite3.Connection)
    assert_type(db.as_driver, sqlite3.Connection)
    assert_type(db.usage, int)
    assert_type(db.in_transaction, bool)
    assert_type(db.execute("select ?", (1,)), sqlite3.Cursor)  # there because sqlite3 has it


def sqlite3_transactions(db: SteadyConnection[sqlite3.Connection]) -> None:
    """X8, C12, C13: `with` gives the same steady connection, its type kept."""
    db.begin()
    db.commit()
    db.rollback()
    db.cancel()
    db.close()
    with db as same:
        assert_type(same, SteadyConnection[sqlite3.Connection])
    with db.transaction() as same_again:
        assert_type(same_again, SteadyConnection[sqlite3.Connection])


def transfer(db: SteadyConnection[sqlite3.Connection], amount: int, *, to: str) -> float:
    """Work for run()."""
    db.execute("update a set x = ?", (amount,))
    return float(db.execute("select x from a where name = ?", (to,)).fetchone()[0])


def sqlite3_run(persist: PersistentDB[sqlite3.Connection]) -> None:
    """X8: `run()` has the function's result, and checks its arguments."""
    assert_type(persist.run(transfer, 5, to="b"), float)
    assert_type(persist.run(lambda db: db), SteadyConnection[sqlite3.Connection])


def sqlite3_cursor(db: SteadyConnection[sqlite3.Connection]) -> None:
    """X8, X4: the steady cursor knows the driver's; with arguments for `cursor()` it knows no more than Any."""
    cursor = db.cursor()
    assert_type(cursor, SteadyCursor[sqlite3.Cursor])
    assert_type(cursor.driver_cursor, sqlite3.Cursor)
    assert_type(cursor.as_driver, sqlite3.Cursor)
    assert_type(cursor.connection, SteadyConnection[Any])
    assert_type(db.cursor(sqlite3.Cursor), SteadyCursor[Any])
    assert_type(db.open_cursor(lambda raw: raw.cursor(sqlite3.Cursor)), SteadyCursor[sqlite3.Cursor])
    with db.cursor() as entered:
        assert_type(entered, SteadyCursor[sqlite3.Cursor])


def sqlite3_statements_and_rows(cursor: SteadyCursor[sqlite3.Cursor]) -> None:
    """X8: what statements and fetches return is what sqlite3 says; its rows may be of any class."""
    assert_type(cursor.execute("select 1"), sqlite3.Cursor)
    assert_type(cursor.execute("select :a", {"a": 1}), sqlite3.Cursor)
    assert_type(cursor.executemany("insert into t values (?)", [(1,), (2,)]), sqlite3.Cursor)
    assert_type(cursor.fetchone(), Any)
    assert_type(cursor.fetchmany(), list[Any])
    assert_type(cursor.fetchmany(2), list[Any])
    assert_type(cursor.fetchall(), list[Any])
    assert_type(iter(cursor), Iterator[Any])
    for row in cursor:
        assert_type(row, Any)
    assert_type(cursor.lastrowid, int | None)
    assert_type(cursor.rowcount, int | None)
    assert_type(cursor.description, Any)
    cursor.setinputsizes(1, 2)
    cursor.setoutputsize(1)
    cursor.close()


def an_annotation_may_name_the_type_or_leave_it(
    exact: PersistentDB[sqlite3.Connection], loose: PersistentDB, steady: SteadyConnection
) -> None:
    """X8: without a parameter the annotation means any DB-API 2 connection; the exact one goes into it."""
    any_one: list[PersistentDB] = [exact, loose]
    assert_type(any_one[0].connection(), SteadyConnection[Connection])
    assert_type(loose.connection(), SteadyConnection[Connection])
    assert_type(loose.connection().cursor(), SteadyCursor[Cursor])
    assert_type(steady.driver_connection, Connection)
    assert_type(PersistentDB[sqlite3.Connection](sqlite3, database="my.db"), PersistentDB[sqlite3.Connection])


# psycopg: rows are typed, by the connection or by the cursor


class User:
    """What a row factory makes of a row."""


Rows = tuple[Any, ...]
"""psycopg's rows by default."""


def psycopg_is_inferred_exactly_from_a_function() -> None:
    """X8, C1: the type of the rows survives a lambda; of the module the checkers differ on it.

    `psycopg.connect` is generic in the row. mypy solves that with Any, pyright with its default, a tuple; so all that
    both agree on for the module is what does not depend on the row. For a row factory the connection's class is named
    (`psycopg.Connection[User].connect`): pyright refuses it for the plain `psycopg.connect`, with or without us.
    """
    assert_type(PersistentDB(lambda: psycopg.connect("dbname=my")), PersistentDB[psycopg.Connection[Rows]])
    assert_type(PersistentDB.from_creator(lambda: psycopg.connect("")), PersistentDB[psycopg.Connection[Rows]])
    of_users = PersistentDB(lambda: psycopg.Connection[User].connect(row_factory=psycopg.rows.class_row(User)))
    assert_type(of_users, PersistentDB[psycopg.Connection[User]])
    by_module = PersistentDB(psycopg, conninfo="dbname=my").connection()
    assert_type(by_module.driver_connection.autocommit, bool)
    assert_type(by_module.cursor().nextset(), bool | None)
    annotated: PersistentDB[psycopg.Connection[Rows]] = PersistentDB(psycopg, conninfo="dbname=my")
    assert_type(annotated.connection().cursor().fetchone(), Rows | None)


def psycopg_connection(persist: PersistentDB[psycopg.Connection[Rows]]) -> None:
    """X8, X4, C13: as for sqlite3, with the type of the rows in it."""
    db = persist.connection()
    assert_type(db, SteadyConnection[psycopg.Connection[Rows]])
    assert_type(persist.steady_connection(), SteadyConnection[psycopg.Connection[Rows]])
    assert_type(persist.dedicated_connection(), SteadyConnection[psycopg.Connection[Rows]])
    assert_type(db.driver_connection, psycopg.Connection[Rows])
    assert_type(db.as_driver, psycopg.Connection[Rows])
    assert_type(db.execute("select %s", (1,)), psycopg.Cursor[Rows])
    with db as same:
        assert_type(same, SteadyConnection[psycopg.Connection[Rows]])
    with db.transaction() as same_again:
        assert_type(same_again, SteadyConnection[psycopg.Connection[Rows]])


def psycopg_cursor(db: SteadyConnection[psycopg.Connection[Rows]]) -> None:
    """X8: a cursor's own row factory wants the recipe: what is given to `cursor()` is not checked."""
    assert_type(db.cursor(), SteadyCursor[psycopg.Cursor[Rows]])
    assert_type(db.cursor(row_factory=psycopg.rows.class_row(User)), SteadyCursor[Any])
    of_users = db.open_cursor(lambda raw: raw.cursor(row_factory=psycopg.rows.class_row(User)))
    assert_type(of_users, SteadyCursor[psycopg.Cursor[User]])
    assert_type(of_users.fetchone(), User | None)
    on_server = db.open_cursor(lambda raw: raw.cursor("on_server", row_factory=psycopg.rows.dict_row))
    assert_type(on_server, SteadyCursor[psycopg.ServerCursor[dict[str, Any]]])
    with db.cursor() as entered:
        assert_type(entered, SteadyCursor[psycopg.Cursor[Rows]])
        assert_type(entered.driver_cursor, psycopg.Cursor[Rows])
        assert_type(entered.as_driver, psycopg.Cursor[Rows])


def psycopg_statements_and_rows(cursor: SteadyCursor[psycopg.Cursor[User]]) -> None:
    """X8: rows of the connection's type, in every way of getting them."""
    assert_type(cursor.execute("select 1", prepare=True), psycopg.Cursor[User])
    assert_type(cursor.execute("select %s", (1,)).fetchall(), list[User])
    assert_type(cursor.executemany("insert into t values (%s)", [(1,)], returning=True), None)
    assert_type(cursor.fetchone(), User | None)
    assert_type(cursor.fetchmany(), list[User])
    assert_type(cursor.fetchmany(2), list[User])
    assert_type(cursor.fetchall(), list[User])
    assert_type(iter(cursor), Iterator[User])
    for row in cursor:
        assert_type(row, User)
    assert_type(cursor.nextset(), bool | None)


# psycopg2


def psycopg2_is_inferred_exactly_from_a_function() -> None:
    """X8, C1: of the module both checkers make Any: they read the first, generic overload of its `connect`."""
    assert_type(PersistentDB(psycopg2, dsn="dbname=my"), PersistentDB[Any])
    exact = PersistentDB(lambda: psycopg2.connect("dbname=my"))
    assert_type(exact, PersistentDB[psycopg2.extensions.connection])
    exact = PersistentDB.from_creator(lambda: psycopg2.connect("dbname=my"))
    assert_type(exact, PersistentDB[psycopg2.extensions.connection])
    exact = PersistentDB[psycopg2.extensions.connection](psycopg2, dsn="dbname=my")
    assert_type(exact, PersistentDB[psycopg2.extensions.connection])


def psycopg2_connection_and_cursor(persist: PersistentDB[psycopg2.extensions.connection]) -> None:
    """X8, X4, C13: as for sqlite3."""
    db = persist.connection()
    assert_type(db, SteadyConnection[psycopg2.extensions.connection])
    assert_type(persist.steady_connection(), SteadyConnection[psycopg2.extensions.connection])
    assert_type(persist.dedicated_connection(), SteadyConnection[psycopg2.extensions.connection])
    assert_type(db.driver_connection, psycopg2.extensions.connection)
    assert_type(db.as_driver, psycopg2.extensions.connection)
    with db as same, db.transaction() as same_again:
        assert_type(same, SteadyConnection[psycopg2.extensions.connection])
        assert_type(same_again, SteadyConnection[psycopg2.extensions.connection])
    cursor = db.cursor()
    assert_type(cursor, SteadyCursor[psycopg2.extensions.cursor])
    assert_type(cursor.driver_cursor, psycopg2.extensions.cursor)
    assert_type(cursor.as_driver, psycopg2.extensions.cursor)
    assert_type(db.open_cursor(lambda raw: raw.cursor("on_server")), SteadyCursor[psycopg2.extensions.cursor])
    with db.cursor() as entered:
        assert_type(entered, SteadyCursor[psycopg2.extensions.cursor])


def psycopg2_statements_and_rows(cursor: SteadyCursor[psycopg2.extensions.cursor]) -> None:
    """X8: `execute` gives None, rows are tuples; `nextset` never returns, psycopg2 says of itself."""
    assert_type(cursor.execute("select %s", (1,)), None)
    assert_type(cursor.executemany("insert into t values (%s)", [(1,)]), None)
    assert_type(cursor.callproc("f", (1,)), None)
    assert_type(cursor.fetchone(), Rows | None)
    assert_type(cursor.fetchmany(), list[Rows])
    assert_type(cursor.fetchmany(2), list[Rows])
    assert_type(cursor.fetchall(), list[Rows])
    assert_type(iter(cursor), Iterator[Rows])
    for row in cursor:
        assert_type(row, Rows)
    assert_type(cursor.lastrowid, int)
    cursor.nextset()


# PyMySQL: the class of the cursors is the connection's parameter


def pymysql_is_inferred_exactly_from_a_function() -> None:
    """X8, C1: the class of the cursors survives a lambda; of the module it is Any, for `connect` is generic in it."""
    assert_type(PersistentDB(pymysql, host="my"), PersistentDB[pymysql.Connection[Any]])
    plain = PersistentDB(lambda: pymysql.connect(host="my"))
    assert_type(plain, PersistentDB[pymysql.Connection[pymysql.cursors.Cursor]])
    plain = PersistentDB.from_creator(lambda: pymysql.connect(host="my"))
    assert_type(plain, PersistentDB[pymysql.Connection[pymysql.cursors.Cursor]])
    of_dicts = PersistentDB(lambda: pymysql.connect(host="my", cursorclass=pymysql.cursors.DictCursor))
    assert_type(of_dicts, PersistentDB[pymysql.Connection[pymysql.cursors.DictCursor]])
    of_dicts = PersistentDB.from_creator(lambda: pymysql.connect(cursorclass=pymysql.cursors.DictCursor))
    assert_type(of_dicts, PersistentDB[pymysql.Connection[pymysql.cursors.DictCursor]])


def pymysql_connection_and_cursor(persist: PersistentDB[pymysql.Connection[pymysql.cursors.Cursor]]) -> None:
    """X8, X4, C13: as for sqlite3."""
    db = persist.connection()
    assert_type(db, SteadyConnection[pymysql.Connection[pymysql.cursors.Cursor]])
    assert_type(persist.steady_connection(), SteadyConnection[pymysql.Connection[pymysql.cursors.Cursor]])
    assert_type(persist.dedicated_connection(), SteadyConnection[pymysql.Connection[pymysql.cursors.Cursor]])
    assert_type(db.driver_connection, pymysql.Connection[pymysql.cursors.Cursor])
    assert_type(db.as_driver, pymysql.Connection[pymysql.cursors.Cursor])
    with db as same, db.transaction() as same_again:
        assert_type(same, SteadyConnection[pymysql.Connection[pymysql.cursors.Cursor]])
        assert_type(same_again, SteadyConnection[pymysql.Connection[pymysql.cursors.Cursor]])
    cursor = db.cursor()
    assert_type(cursor, SteadyCursor[pymysql.cursors.Cursor])
    assert_type(cursor.driver_cursor, pymysql.cursors.Cursor)
    assert_type(cursor.as_driver, pymysql.cursors.Cursor)
    of_dicts = db.open_cursor(lambda raw: raw.cursor(pymysql.cursors.DictCursor))
    assert_type(of_dicts, SteadyCursor[pymysql.cursors.DictCursor])
    with db.cursor() as entered:
        assert_type(entered, SteadyCursor[pymysql.cursors.Cursor])


def pymysql_statements_and_rows(cursor: SteadyCursor[pymysql.cursors.Cursor]) -> None:
    """X8: `execute` counts rows, all rows come as one tuple of tuples."""
    assert_type(cursor.execute("select %s", (1,)), int)
    assert_type(cursor.executemany("insert into t values (%s)", [(1,)]), int | None)
    assert_type(cursor.callproc("f", (1,)), Any)
    assert_type(cursor.fetchone(), Rows | None)
    assert_type(cursor.fetchmany(), tuple[Rows, ...])
    assert_type(cursor.fetchmany(2), tuple[Rows, ...])
    assert_type(cursor.fetchall(), tuple[Rows, ...])
    assert_type(iter(cursor), Iterator[Rows])
    for row in cursor:
        assert_type(row, Rows)
    assert_type(cursor.nextset(), bool | None)
    assert_type(cursor.lastrowid, int)


def pymysql_rows_as_dicts(db: SteadyConnection[pymysql.Connection[pymysql.cursors.DictCursor]]) -> None:
    """X8: a connection of another class of cursors has other rows."""
    cursor = db.cursor()
    assert_type(cursor, SteadyCursor[pymysql.cursors.DictCursor])
    assert_type(cursor.driver_cursor, pymysql.cursors.DictCursor)
    assert_type(cursor.execute("select 1"), int)
    assert_type(cursor.fetchone(), dict[str, Any] | None)
    assert_type(cursor.fetchall(), tuple[dict[str, Any], ...])
    for row in cursor:
        assert_type(row, dict[str, Any])


# mysqlclient


def connect_mysqlclient() -> MySQLdb.connections.Connection:
    """Return a connection; to pyright the stubs of `connect` leave its parameters unknown, with or without us."""
    return MySQLdb.connect(host="my")  # pyright: ignore[reportUnknownMemberType]


def mysqlclient_is_inferred_from_every_creator() -> None:
    """X8, C1: module, function and lambda all give the driver's own connection type."""
    assert_type(PersistentDB(MySQLdb, host="my"), PersistentDB[MySQLdb.connections.Connection])
    assert_type(PersistentDB(connect_mysqlclient), PersistentDB[MySQLdb.connections.Connection])
    by_lambda = PersistentDB(lambda: MySQLdb.connect(host="my"))  # pyright: ignore[reportUnknownMemberType]
    assert_type(by_lambda, PersistentDB[MySQLdb.connections.Connection])
    assert_type(PersistentDB.from_creator(connect_mysqlclient), PersistentDB[MySQLdb.connections.Connection])


def mysqlclient_connection(persist: PersistentDB[MySQLdb.connections.Connection]) -> None:
    """X8, X4, C13: the connection is known; its stubs leave `cursor()` open."""
    db = persist.connection()
    assert_type(db, SteadyConnection[MySQLdb.connections.Connection])
    assert_type(persist.steady_connection(), SteadyConnection[MySQLdb.connections.Connection])
    assert_type(persist.dedicated_connection(), SteadyConnection[MySQLdb.connections.Connection])
    assert_type(db.driver_connection, MySQLdb.connections.Connection)
    assert_type(db.as_driver, MySQLdb.connections.Connection)
    with db as same, db.transaction() as same_again:
        assert_type(same, SteadyConnection[MySQLdb.connections.Connection])
        assert_type(same_again, SteadyConnection[MySQLdb.connections.Connection])
    assert_type(db.cursor(), SteadyCursor[Any])


def a_cursor_without_types_takes_everything(cursor: SteadyCursor[Any]) -> None:
    """X8: mysqlclient's, and that of any driver without types: nothing is refused, all is Any."""
    assert_type(cursor.execute("select %s", (1,)), Any)
    assert_type(cursor.executemany("insert into t values (%s)", [(1,)]), Any)
    assert_type(cursor.callproc("f", (1,)), Any)
    assert_type(cursor.fetchone(), Any)
    assert_type(cursor.fetchmany(2), Any)
    assert_type(cursor.fetchall(), Any)
    for row in cursor:
        assert_type(row, Any)
    assert_type(cursor.nextset(), Any)
    assert_type(cursor.lastrowid, Any)
    assert_type(cursor.driver_cursor, Any)
    assert_type(cursor.as_driver, Any)
    with cursor as entered:
        assert_type(entered, SteadyCursor[Any])


# Drivers without types of their own or of the typeshed's: the stubs are ours


def stubbed_drivers_are_projected_alike() -> None:
    """X8: pg8000, mariadb and duckdb, in short; what satisfies the Protocols stands in ``check_drivers.py``."""
    by_pg8000 = PersistentDB(pg8000.dbapi, user="me").connection()
    assert_type(by_pg8000, SteadyConnection[pg8000.dbapi.Connection])
    assert_type(by_pg8000.cursor(), SteadyCursor[pg8000.dbapi.Cursor])
    assert_type(by_pg8000.cursor().fetchone(), list[Any] | None)
    by_mariadb = PersistentDB(mariadb, user="me").connection()
    assert_type(by_mariadb, SteadyConnection[mariadb.Connection])
    assert_type(by_mariadb.cursor(), SteadyCursor[mariadb.Cursor])
    assert_type(by_mariadb.cursor().nextset(), bool | None)
    by_duckdb = PersistentDB(duckdb).connection()
    assert_type(by_duckdb, SteadyConnection[duckdb.DuckDBPyConnection])
    assert_type(by_duckdb.cursor(), SteadyCursor[duckdb.DuckDBPyConnection])
    assert_type(by_duckdb.cursor().fetchone(), tuple[Any, ...] | None)


# The steady objects satisfy our own Protocols: code written for any DB-API 2 connection takes them


def of_any_connection(connection: Connection[Any]) -> None:
    """Take any DB-API 2 connection, for all its cursor is."""
    connection.cursor()


def of_any_cursor(cursor: Cursor) -> None:
    """Take any DB-API 2 cursor."""
    cursor.close()


def steady_objects_are_dbapi_objects(
    by_sqlite3: SteadyConnection[sqlite3.Connection],
    by_psycopg: SteadyConnection[psycopg.Connection[User]],
    by_psycopg2: SteadyConnection[psycopg2.extensions.connection],
    by_pymysql: SteadyConnection[pymysql.Connection[pymysql.cursors.DictCursor]],
    by_mysqlclient: SteadyConnection[MySQLdb.connections.Connection],
) -> None:
    """X8, X4: each of them is a Connection, its cursor a Cursor; so one may even be made persistent again."""
    for connection in (by_sqlite3, by_psycopg, by_psycopg2, by_pymysql, by_mysqlclient):
        of_any_connection(connection)
    of_any_cursor(by_sqlite3.cursor())
    of_any_cursor(by_psycopg.cursor())
    of_any_cursor(by_psycopg2.cursor())
    of_any_cursor(by_pymysql.cursor())
    assert_type(PersistentDB(lambda: by_sqlite3), PersistentDB[SteadyConnection[sqlite3.Connection]])


def drivers_functions_take_the_steady_object_by_as_driver(
    db: SteadyConnection[psycopg.Connection[Rows]], cursor: SteadyCursor[psycopg.Cursor[Rows]]
) -> None:
    """X8, X4: a function annotated with the driver's class takes the steady object, with one word."""

    def count(connection: psycopg.Connection[Rows], on: psycopg.Cursor[Rows]) -> None:
        """Take what only psycopg has."""

    count(db.as_driver, cursor.as_driver)
    count(db.driver_connection, cursor.driver_cursor)
    db.as_driver.autocommit = True  # set on the steady connection, so it is set again after a reopening
