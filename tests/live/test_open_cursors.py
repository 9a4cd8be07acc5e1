"""Cursors that are still being read when their connection is lost: rows never end early, none come twice (X1)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from servers import LiveDriver, driver_params

from .deeds import Persist, Rows, insert, kill, losses, numbers, session_of, unbuffered, write
from .test_proxy import MANY, SERIES
from .test_units_of_work import assert_lost_until_ended

pytestmark = pytest.mark.server

NAMED = pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2"), indirect=True)
MARIADB = pytest.mark.parametrize("driver", driver_params("pymysql", "mysqlclient", "mariadb"), indirect=True)
LARGE = 40_000
AUTOCOMMIT = pytest.mark.parametrize("autocommit", [False, True], ids=["manual", "autocommit"])


def half_read(cursor: Any) -> list[Any]:
    """Return the first rows of a cursor's result."""
    return [cursor.fetchone() for _ in range(10)]


def rest_by_fetchone(cursor: Any) -> list[Any]:
    """Return the other rows, one by one."""
    return list(iter(cursor.fetchone, None))


def rest_by_iteration(cursor: Any) -> list[Any]:
    """Return the other rows by iteration."""
    return list(cursor)


def rest_by_fetchmany(cursor: Any) -> list[Any]:
    """Return the other rows in parts."""
    found: list[Any] = []
    while part := cursor.fetchmany(1000):
        found += part
    return found


def rest_by_fetchall(cursor: Any) -> list[Any]:
    """Return the other rows at once."""
    return list(cursor.fetchall())


Rest = Callable[[Any], list[Any]]
REST = pytest.mark.parametrize("rest", [rest_by_fetchone, rest_by_iteration, rest_by_fetchmany, rest_by_fetchall])


@NAMED
@REST
@pytest.mark.parametrize("work", [False, True], ids=["reads", "work"])
def test_loss_of_a_named_cursor(driver: LiveDriver, db: Any, table: str, rows: Rows, rest: Rest, work: bool) -> None:
    """X1: a server-side cursor that lost its session raises at the next fetch; with work before it, all is lost."""
    if work:
        write(db, table, 1)
    with db.cursor("named") as cursor:
        cursor.itersize = 5
        cursor.execute(SERIES["PostgreSQL"])
        assert len(half_read(cursor)) == 10
        kill(driver, db)
        with pytest.raises(losses(driver)):
            rest(cursor)
        if work:
            assert_lost_until_ended(db, table)
        cursor.execute(SERIES["PostgreSQL"])
        assert len(rest_by_fetchall(cursor)) == MANY
    db.rollback()
    assert numbers(rows, table) == []


@pytest.mark.parametrize("driver", driver_params("psycopg"), indirect=True)
@pytest.mark.parametrize("work", [False, True], ids=["reads", "work"])
def test_loss_of_a_stream(driver: LiveDriver, db: Any, table: str, rows: Rows, work: bool) -> None:
    """X1: psycopg's stream() that lost its session raises in the middle of the iteration, it does not end early."""
    if work:
        write(db, table, 1)
    stream = db.cursor().stream(f"select g, repeat('x', 1000) from generate_series(1, {LARGE}) g")
    next(stream)
    kill(driver, db)
    with pytest.raises(losses(driver)):
        list(stream)
    if work:
        assert_lost_until_ended(db, table)
    assert sum(1 for _ in db.cursor().stream(SERIES["PostgreSQL"])) == MANY
    db.rollback()
    assert numbers(rows, table) == []


TOO_LARGE_TO_BE_ON_ITS_WAY = f"select seq, repeat('x', 1000) from seq_1_to_{LARGE}"
"""More than the buffers of a socket take: the rest is with the server while the client reads."""


@MARIADB
@REST
@pytest.mark.parametrize("work", [False, True], ids=["reads", "work"])
def test_loss_of_an_unbuffered_cursor(
    driver: LiveDriver, db: Any, table: str, rows: Rows, rest: Rest, work: bool
) -> None:
    """X1: an unbuffered cursor that lost its session raises while it is read; with work before it, all is lost."""
    if work:
        write(db, table, 1)
    with unbuffered(driver, db) as cursor:
        cursor.execute(TOO_LARGE_TO_BE_ON_ITS_WAY)
        half_read(cursor)
        kill(driver, db)
        with pytest.raises(losses(driver)):
            rest(cursor)
        cursor.close()
    if work:
        assert_lost_until_ended(db, table)
    with unbuffered(driver, db) as cursor:
        cursor.execute(SERIES["MariaDB"])
        assert len(half_read(cursor) + rest(cursor)) == MANY
        cursor.close()
    db.rollback()
    assert numbers(rows, table) == []


# Several cursors on one connection


@AUTOCOMMIT
@REST
def test_buffered_rows_outlive_their_connection(
    driver: LiveDriver, persist: Persist, table: str, rest: Rest, autocommit: bool
) -> None:
    """X1: after a reopening, rows that were fetched to the client before are all there, or it raises: never fewer."""
    db = persist({"autocommit": autocommit}, ping=0).connection()
    reading, writing = db.cursor(), db.cursor()
    reading.execute(SERIES[driver.server.title])
    first = half_read(reading)
    killed = kill(driver, db)
    writing.execute(insert(table, 1))
    assert session_of(db) != killed
    with suppress(driver.module.Error):  # psycopg2 and others give a result up together with its connection
        assert sorted(row[0] for row in first + rest(reading)) == list(range(1, MANY + 1))
    db.commit()
    reading.execute("select 1")
    assert reading.fetchone()[0] == 1


@NAMED
@REST
def test_named_cursor_after_a_reopening(driver: LiveDriver, db: Any, table: str, rows: Rows, rest: Rest) -> None:
    """X1: when another cursor met the loss and was served by a new session, the half-read one raises."""
    with db.cursor("named") as reading:
        reading.itersize = 5
        reading.execute(SERIES["PostgreSQL"])
        half_read(reading)
        killed = kill(driver, db)
        write(db, table, 1)
        assert session_of(db) != killed
        for _ in range(2):
            with pytest.raises(losses(driver)):
                rest(reading)
        assert db.in_transaction is True
    db.commit()
    assert numbers(rows, table) == [1]


@MARIADB
@REST
def test_unbuffered_cursor_after_a_reopening(driver: LiveDriver, db: Any, table: str, rows: Rows, rest: Rest) -> None:
    """X1: a half-read unbuffered cursor whose connection was lost and replaced never ends as if it were complete."""
    with unbuffered(driver, db) as reading:
        reading.execute(TOO_LARGE_TO_BE_ON_ITS_WAY)
        half_read(reading)
        killed = kill(driver, db)
        with pytest.raises(losses(driver)):
            rest(reading)
        write(db, table, 1)
        assert session_of(db) != killed
        for _ in range(2):
            with pytest.raises(driver.module.Error):
                rest(reading)
        db.commit()
    assert numbers(rows, table) == [1]


@MARIADB
def test_statement_beside_an_unbuffered_cursor(driver: LiveDriver, db: Any, table: str, rows: Rows) -> None:
    """X1: a statement amid unread rows of a dead session is refused; no reopening cuts the rows short."""
    with unbuffered(driver, db) as reading:
        reading.execute(TOO_LARGE_TO_BE_ON_ITS_WAY)
        half_read(reading)
        killed = kill(driver, db)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyMySQL's, that the rest of the rows is given up
            with pytest.raises(driver.module.Error):
                write(db, table, 1)
        with pytest.raises((driver.module.Error, AttributeError)):  # PyMySQL's socket is None by now
            rest_by_fetchone(reading)
        reading.close()
    db.rollback()
    write(db, table, 2)
    assert session_of(db) != killed
    db.commit()
    assert numbers(rows, table) == [2]
