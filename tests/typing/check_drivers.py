"""Every driver's own types satisfy our Protocols, in mypy and in pyright. Read by checkers, never executed.

One section per driver: its connection, its cursor, its module, and what is inferred from them. The last line
of a section is a negative: a connection is no cursor. If the driver's types decayed to ``Any``, it would stop
being an error, and the mark that expects one would become an error itself; the lines above would prove nothing.
PyGreSQL's section stands in ``check_pgdb.py``, because only that needs PyGreSQL installed.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import mariadb
import MySQLdb
import MySQLdb.connections
import MySQLdb.cursors
import oracledb
import pg8000
import pg8000.dbapi
import psycopg
import psycopg2
import psycopg2.extensions
import pymysql
import pymysql.cursors
from typing_extensions import assert_type

if TYPE_CHECKING:
    from persistentdb.dbapi import Connection, ConnectionProvider, Cursor, Module

ConnT = TypeVar("ConnT", bound="Connection[Any]")
CursorT = TypeVar("CursorT", bound="Cursor")


def is_cursor(_cursor: Cursor, /) -> None:
    """Take what satisfies Cursor."""


def is_module(_module: Module, /) -> None:
    """Take what satisfies Module."""


def cursor_of(connection: Connection[CursorT], /) -> CursorT:
    """Take what satisfies Connection; return a cursor of the driver's own type."""
    return connection.cursor()


def connected(provider: ConnectionProvider[ConnT], /) -> ConnT:
    """Take what satisfies ConnectionProvider; return a connection of the driver's own type."""
    connect: Any = provider.connect
    connection: ConnT = connect()
    return connection


def sqlite3_fits(connection: sqlite3.Connection, cursor: sqlite3.Cursor) -> None:
    """X8: sqlite3, typed by typeshed."""
    is_cursor(cursor)
    is_module(sqlite3)
    assert_type(connected(sqlite3), sqlite3.Connection)
    assert_type(cursor_of(connection), sqlite3.Cursor)
    is_cursor(connection)  # type: ignore[arg-type]


def psycopg_fits(connection: psycopg.Connection[dict[str, int]], cursor: psycopg.Cursor[dict[str, int]]) -> None:
    """X8: psycopg 3, typed by itself; the type of its rows survives.

    Nothing is asserted of ``connected``: ``connect`` is generic, so that mypy says ``Any`` for the rows and
    pyright says what they are by default, a tuple.
    """
    is_cursor(cursor)
    is_module(psycopg)
    connected(psycopg)
    assert_type(cursor_of(connection), psycopg.Cursor[dict[str, int]])
    is_cursor(connection)  # type: ignore[arg-type]


def psycopg2_fits(connection: psycopg2.extensions.connection, cursor: psycopg2.extensions.cursor) -> None:
    """X8: psycopg2, typed by types-psycopg2.

    Nothing is asserted of ``connected``: the first overload of ``connect`` is generic, and both checkers make
    ``Any`` of it.
    """
    is_cursor(cursor)
    is_module(psycopg2)
    connected(psycopg2)
    assert_type(cursor_of(connection), psycopg2.extensions.cursor)
    is_cursor(connection)  # type: ignore[arg-type]


def pymysql_fits(connection: pymysql.Connection[pymysql.cursors.DictCursor], cursor: pymysql.cursors.Cursor) -> None:
    """X8: PyMySQL, typed by types-PyMySQL; the class of its cursors survives."""
    is_cursor(cursor)
    is_module(pymysql)
    connected(pymysql)
    assert_type(cursor_of(connection), pymysql.cursors.DictCursor)
    is_cursor(connection)  # type: ignore[arg-type]


def mysqlclient_fits(connection: MySQLdb.connections.Connection, cursor: MySQLdb.cursors.Cursor) -> None:
    """X8: mysqlclient, typed by types-mysqlclient, which leaves ``cursor()`` open."""
    is_cursor(cursor)
    is_module(MySQLdb)
    assert_type(connected(MySQLdb), MySQLdb.connections.Connection)
    cursor_of(connection)
    is_cursor(connection)  # type: ignore[arg-type]


def pg8000_dbapi_fits(connection: pg8000.dbapi.Connection, cursor: pg8000.dbapi.Cursor) -> None:
    """X8: pg8000's DB-API interface, typed by our stubs."""
    is_cursor(cursor)
    is_module(pg8000.dbapi)
    assert_type(connected(pg8000.dbapi), pg8000.dbapi.Connection)
    assert_type(cursor_of(connection), pg8000.dbapi.Cursor)
    is_cursor(connection)  # type: ignore[arg-type]


def pg8000_legacy_fits(connection: pg8000.Connection, cursor: pg8000.Cursor) -> None:
    """X8: pg8000's older interface, which is the package's root, typed by our stubs."""
    is_cursor(cursor)
    is_module(pg8000)
    assert_type(connected(pg8000), pg8000.Connection)
    assert_type(cursor_of(connection), pg8000.Cursor)
    is_cursor(connection)  # type: ignore[arg-type]


def oracledb_fits(connection: oracledb.Connection, cursor: oracledb.Cursor) -> None:
    """X8: oracledb, typed by itself."""
    is_cursor(cursor)
    is_module(oracledb)
    assert_type(connected(oracledb), oracledb.Connection)
    assert_type(cursor_of(connection), oracledb.Cursor)
    is_cursor(connection)  # type: ignore[arg-type]


def duckdb_fits(connection: duckdb.DuckDBPyConnection) -> None:
    """X8: duckdb, typed by itself. A connection is a cursor here, so the negative is a string."""
    is_cursor(connection)
    is_module(duckdb)
    assert_type(connected(duckdb), duckdb.DuckDBPyConnection)
    assert_type(cursor_of(connection), duckdb.DuckDBPyConnection)
    is_cursor(duckdb.__version__)  # type: ignore[arg-type]


def mariadb_fits(connection: mariadb.Connection, cursor: mariadb.Cursor) -> None:
    """X8: mariadb, typed by our stubs."""
    is_cursor(cursor)
    is_module(mariadb)
    assert_type(connected(mariadb), mariadb.Connection)
    assert_type(cursor_of(connection), mariadb.Cursor)
    is_cursor(connection)  # type: ignore[arg-type]
