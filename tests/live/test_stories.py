"""Short stories of work that was once lost, or done twice, without a word; each driver that has the plot plays it."""

from __future__ import annotations

import warnings
from contextlib import closing, suppress
from typing import Any

import pytest
from servers import LiveDriver, driver_params

from persistentdb import (
    CommitOutcomeUnknown,
    FailureClasses,
    PersistentDB,
    PersistentDBError,
    PostgresOutcome,
    TransactionLost,
    Verdict,
)
from persistentdb.drivers import Rule

from .deeds import Persist, Rows, insert, kill, losses, numbers, run, session_of, unbuffered, write

pytestmark = pytest.mark.server

POSTGRES = pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2", "pg8000", "pgdb"), indirect=True)
MARIADB = pytest.mark.parametrize("driver", driver_params("pymysql", "mysqlclient", "mariadb"), indirect=True)


# What is still to be read is no sign of death


@pytest.fixture
def procedure(driver: LiveDriver, table: str) -> Any:
    """Lend a MariaDB procedure that gives two results before it writes row 7."""
    name = f"{table}_p"
    driver.server.query(
        f"create procedure {name}() begin select 1; select 2; select seq from seq_1_to_200000; {insert(table, 7)}; end"
    )
    yield name
    driver.server.query(f"drop procedure {name}")


@pytest.mark.parametrize("driver", driver_params("pymysql", "mysqlclient"), indirect=True)
def test_results_that_nobody_has_read(persist: Persist, table: str, rows: Rows, procedure: str) -> None:
    """X1, C9: in autocommit the rest of a procedure's results is no end of the session, it goes on."""
    db = persist({"autocommit": True}).connection()
    session = session_of(db)
    cursor = db.cursor()
    cursor.callproc(procedure)
    assert cursor.fetchall() is not None
    run(db, "select 3")
    assert session_of(db) == session
    cursor.close()
    assert numbers(rows, table) == [7]


@MARIADB
@pytest.mark.parametrize("begin", [False, True], ids=["implicit", "begin"])
def test_rows_that_nobody_has_read(driver: LiveDriver, persist: Persist, table: str, rows: Rows, begin: bool) -> None:
    """X1: commit() amid unread rows does what the driver does; work on a living session is never called lost."""
    db = persist().connection()
    if begin:
        db.begin()
    write(db, table, 1)
    with unbuffered(driver, db) as reading:
        reading.execute("select seq from seq_1_to_200000")
        reading.fetchone()
        with suppress(driver.module.Error), warnings.catch_warnings():  # "commands out of sync"
            warnings.simplefilter("ignore")  # PyMySQL's, that the rest of the rows is given up
            db.commit()
        for end in (reading.fetchall, reading.close):
            with suppress(driver.module.Error):  # mysqlclient goes on to say so, until it has read all
                end()
    db.commit()
    assert numbers(rows, table) == [1]


# What the driver does not know of its own connection


@pytest.mark.parametrize("driver", driver_params("psycopg"), indirect=True)
@pytest.mark.parametrize("begin", [False, True], ids=["implicit", "begin"])
def test_a_wait_that_breaks_off(
    persist: Persist, table: str, rows: Rows, begin: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X1: psycopg may break off its wait while libpq takes the connection for sound: a commit is in doubt."""
    from psycopg import waiting

    db = persist().connection()
    if begin:
        db.begin()
    write(db, table, 1)
    wait = waiting.wait

    def break_off(*args: Any, **kwargs: Any) -> None:
        wait(*args, **kwargs)
        raise db.OperationalError("connection socket closed")

    monkeypatch.setattr(waiting, "wait", break_off)
    with pytest.raises(CommitOutcomeUnknown):
        db.commit()
    monkeypatch.undo()
    with pytest.raises(CommitOutcomeUnknown):
        db.commit()
    db.rollback()
    assert numbers(rows, table) == [1]


# The mark of a commit


class Impatient(PostgresOutcome):
    """Whose mark takes longer than the server allows."""

    def mark(self, connection: Any, /) -> object:
        """Take a second."""
        run(connection, "set local statement_timeout = 50")
        run(connection, "select pg_sleep(1)")
        return super().mark(connection)


@POSTGRES
@pytest.mark.parametrize("how", ["implicit", "begin", "run"])
def test_a_mark_that_the_server_refuses(driver: LiveDriver, persist: Persist, table: str, rows: Rows, how: str) -> None:
    """X1: a refusal of the mark ends the transaction on the server; its commit is no success, for run() neither."""
    pool = persist(outcome=Impatient())
    db = pool.connection()
    with pytest.raises(driver.module.Error, match="timeout"):
        if how == "run":
            pool.run(write, table, 1)
        else:
            if how == "begin":
                db.begin()
            write(db, table, 1)
            db.commit()
    db.rollback()
    assert numbers(rows, table) == []


def dict_rows(driver: LiveDriver) -> dict[str, Any]:
    """Return what makes a driver's rows dictionaries."""
    if driver.name == "psycopg":
        from psycopg.rows import dict_row

        return {"row_factory": dict_row}
    from psycopg2.extras import RealDictCursor

    return {"cursor_factory": RealDictCursor}


@pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2"), indirect=True)
@pytest.mark.parametrize("made", [False, True], ids=["not made", "made"])
def test_an_outcome_over_rows_that_are_dictionaries(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, proxy_for: Any, made: bool
) -> None:
    """X1: the resolver reads its answers whatever rows the connection gives."""
    proxy = proxy_for(driver.server)
    db = persist({"port": proxy.port} | dict_rows(driver), outcome=PostgresOutcome()).connection()
    with closing(db.cursor()) as cursor:
        cursor.execute(insert(table, 1))
    (proxy.cut_after_request if made else proxy.cut_before_request)(b"commit")
    if made:
        db.commit()
    else:
        with pytest.raises(TransactionLost):
            db.commit()
    assert numbers(rows, table) == [1] * made


@pytest.mark.parametrize("driver", driver_params("psycopg"), indirect=True)
def test_a_notification_is_work(driver: LiveDriver, persist: Persist, proxy_for: Any) -> None:
    """X1: NOTIFY gets its transaction's number only in the commit; one that was not made is not called made."""
    proxy = proxy_for(driver.server)
    db = persist({"port": proxy.port}, outcome=PostgresOutcome()).connection()
    run(db, "notify jobs, 'to do'")
    proxy.cut_before_request(b"commit")
    with pytest.raises(TransactionLost):
        db.commit()


# What commits on the way

ON_THE_WAY = {
    "PostgreSQL": ["insert into {0} values (8, 'x'); commit", "/* a note */ commit", "select 1; commit;"],
    "MariaDB": [
        "alter table {0} comment 'a'",
        "# a note\nalter table {0} comment 'b'",
        "/*! alter table {0} comment 'c' */",
        "check table {0}",
        "optimize table {0}",
        "flush status",
        "execute immediate 'alter table {0} comment ''d'''",
        "xa recover",
    ],
}


@pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2", "pymysql", "mysqlclient"), indirect=True)
def test_run_does_nothing_twice(driver: LiveDriver, persist: Persist, table: str) -> None:
    """X1: what a function has committed on the way is not done again by run(), when its connection is lost later."""
    pool = persist()
    for statement in ON_THE_WAY[driver.server.title]:
        calls: list[int] = []

        def work(db: Any, statement: str = statement, calls: list[int] = calls) -> None:
            calls.append(1)
            if len(calls) == 1:
                run(db, f"insert into {table} values ({session_of(db)}, 'x')")
                # A right may be missing: what is cautious is cautious then, too.
                with suppress(driver.module.Error), closing(db.cursor()) as cursor:
                    cursor.execute(statement.format(table))
                kill(driver, db)
                run(db, "select 1")

        with pytest.raises(losses(driver)):
            pool.run(work)
        assert calls == [1], statement


@pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2"), indirect=True)
def test_a_composed_commit(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """X1: a COMMIT that is no plain text is seen for what it is."""
    sql = pytest.importorskip(f"{driver.module.__name__}.sql")
    pool = persist()
    calls: list[int] = []

    def work(db: Any) -> None:
        calls.append(1)
        with closing(db.cursor()) as cursor:
            cursor.execute(sql.SQL("insert into {} values (%s, 'x')").format(sql.Identifier(table)), (len(calls),))
            cursor.execute(sql.SQL("commit"))
        kill(driver, db)
        run(db, "select 1")

    with pytest.raises(losses(driver)):
        pool.run(work)
    assert numbers(rows, table) == [1]


@pytest.mark.parametrize("driver", driver_params("pymysql", "mysqlclient"), indirect=True)
def test_what_is_sent_past_the_cursors(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """X1: the connection's own query() is work like any other, and what it opens is a transaction."""
    db = persist().connection()
    db.query(insert(table, 1))
    assert db.in_transaction
    kill(driver, db)
    with pytest.raises(TransactionLost):
        db.commit()
    db.rollback()
    db.query(insert(table, 2))
    db.commit()
    db.query(insert(table, 3))
    db.close()
    assert numbers(rows, table) == [2]


@MARIADB
@pytest.mark.parametrize("opening", ["xa start 'x'", "# a note\nstart transaction", "-- a note\nbegin"])
def test_a_transaction_that_sql_opens(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, opening: str
) -> None:
    """X1: in autocommit, too, a statement may open a transaction, whose second half is not committed alone."""
    db = persist({"autocommit": True}).connection()
    run(db, opening)
    write(db, table, 1)
    kill(driver, db)
    with pytest.raises((TransactionLost, *losses(driver))):
        write(db, table, 2)
    with pytest.raises(TransactionLost):
        write(db, table, 2)
    db.rollback()
    assert numbers(rows, table) == []


# What looks like a read


@pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2"), indirect=True)
@pytest.mark.parametrize("text", ["explain analyse {0}", "/* /* old */ select 1 */ {0}"])
def test_a_write_that_looks_like_a_read(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, text: str
) -> None:
    """X1: a statement that executes behind a read's first word is work, which is not lost without a word."""
    db = persist().connection()
    run(db, text.format(insert(table, 1)))
    kill(driver, db)
    with pytest.raises(losses(driver)):
        write(db, table, 2)
    with pytest.raises(TransactionLost):
        db.commit()
    db.rollback()
    assert numbers(rows, table) == []


@pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2"), indirect=True)
@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_one_snapshot(driver: LiveDriver, persist: Persist, table: str, level: str) -> None:
    """X1: who asked for one snapshot is not given two: a read is at stake there, and only there."""
    db = persist().connection()
    if driver.name == "psycopg":
        from psycopg import IsolationLevel

        db.isolation_level = IsolationLevel[level.upper().replace(" ", "_")]
    else:
        db.set_session(isolation_level=level)
    run(db, "select 1")
    kill(driver, db)
    if level == "read committed":
        write(db, table, 1)
    else:
        with pytest.raises(losses(driver)):
            write(db, table, 1)
        with pytest.raises(TransactionLost):
            write(db, table, 1)
    db.rollback()


# The end of a transaction


@POSTGRES
@pytest.mark.parametrize("how", ["run", "transaction"])
def test_an_aborted_transaction_is_not_committed(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, how: str
) -> None:
    """X1: PostgreSQL answers the commit of an aborted transaction by a silent rollback: run() calls that no success."""
    pool = persist()
    db = pool.connection()

    def work(db: Any) -> None:
        write(db, table, 1)
        with suppress(driver.module.Error):
            write(db, table, 1)

    with pytest.raises(PersistentDBError, match="was not let out"):
        if how == "run":
            pool.run(work)
        else:
            with db.transaction():
                work(db)
    assert not db.in_transaction
    pool.run(write, table, 2)
    assert numbers(rows, table) == [2]


def test_a_block_amid_open_work(db: Any, table: str, rows: Rows) -> None:
    """X1: transaction() takes no earlier work with it, which its failure would roll back: it refuses."""
    write(db, table, 1)
    with pytest.raises(PersistentDBError, match=r"transaction\(\) with uncommitted work"), db.transaction():
        pytest.fail("the block was entered")
    db.commit()
    with db.transaction():
        write(db, table, 2)
    assert numbers(rows, table) == [1, 2]


@pytest.mark.parametrize("driver", driver_params("psycopg", "pymysql"), indirect=True)
def test_a_session_that_is_given_up_holds_nothing(driver: LiveDriver, persist: Persist, table: str) -> None:
    """X1, X2: what a user's own rule calls lost is closed at once: no lock stays with a living session."""
    rule = Rule(Verdict.LOST_MAYBE_SENT, text="duplicate", why="for this test")
    upper = Rule(Verdict.LOST_MAYBE_SENT, text="Duplicate", why="for this test")
    db = persist(failures=FailureClasses(rules=[rule, upper])).connection()
    write(db, table, 1)
    with pytest.raises(driver.module.Error, match=r"(?i)duplicate"):
        write(db, table, 1)
    driver.server.await_sessions(0)
    db.rollback()


@pytest.mark.parametrize("driver", driver_params("psycopg"), indirect=True)
def test_notifications_that_the_look_takes_in(driver: LiveDriver, persist: Persist) -> None:
    """C9, X4: what was notified before the look at the socket is handed out by psycopg's own notifies()."""
    pool: PersistentDB[Any] = persist({"autocommit": True})
    run(pool.connection(), "listen jobs")
    driver.server.query("notify jobs, 'to do'")
    for _ in range(20):
        db = pool.connection()
        run(db, "select 1")
    assert [told.payload for told in db.notifies(timeout=5, stop_after=1)] == ["to do"]


# An outage is no typing error


@pytest.mark.parametrize("driver", driver_params("pymysql", "mysqlclient"), indirect=True)
def test_a_typing_error_in_the_setup(driver: LiveDriver, persist: Persist) -> None:
    """X6: a statement of setsession that the server refuses is told each time; nobody waits for it to come right."""
    pool = persist(setsession=["set no_such_variable = 1"])
    for _ in range(2):
        with pytest.raises(driver.module.OperationalError, match="no_such_variable") as refused:
            pool.connection()
        assert not isinstance(refused.value, PersistentDBError)
