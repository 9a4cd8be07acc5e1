"""What is peculiar to single drivers, beyond what all have to do in `test_profiles.py`: each fact of their profiles.

oracledb has no server here: its own error objects and attributes are asked, and it is said so.
"""

from __future__ import annotations

import gc
import importlib
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from servers import LiveDriver, driver_params, wait_until

from persistentdb import (
    WRONG_NODE,
    FailureClasses,
    InheritedReplay,
    MaskPing,
    NotSupportedError,
    PersistentDB,
    TransactionLost,
    Verdict,
    explain,
)
from persistentdb.drivers import profile_of
from persistentdb.failures import ESCAPED, OUT_OF_STEP

from .deeds import Persist, Rows, insert, kill, losses, numbers, run, session_of, transaction_open, write

server = pytest.mark.server
NOT_LOST, UNSENT, MAYBE = Verdict.NOT_LOST, Verdict.LOST_UNSENT, Verdict.LOST_MAYBE_SENT


def only(*names: str) -> pytest.MarkDecorator:
    """Run a test over these drivers."""
    return pytest.mark.parametrize("driver", driver_params(*names), indirect=True)


@pytest.fixture
def raw(driver: LiveDriver) -> Iterator[Any]:
    """Lend a connection of the driver's own, in autocommit."""
    con = driver.connect(autocommit=True)
    yield con
    with suppress(driver.module.Error, OSError):  # lost, so it cannot say goodbye
        con.close()


def raised(deed: Callable[[], object]) -> Exception:
    """Return what a deed raises."""
    try:
        deed()
    except Exception as error:
        return error
    pytest.fail("it raised nothing")


# Raw errors


class OwnError(OSError):
    """An error of the caller's."""


def pairs_that_fail() -> Iterator[tuple[int, str]]:
    """Yield one row, then fail."""
    yield 1, "x"
    raise OwnError("the file with the rows is gone")


@server
@pytest.mark.parametrize("begin", [False, True], ids=["implicit", "begin"])
def test_a_generators_own_error_is_no_loss(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, begin: bool
) -> None:
    """X2: an OSError out of the generator given to executemany costs neither the session nor its transaction."""
    if driver.name == "mariadb":
        pytest.skip("mariadb's executemany wants a list: it takes no generator")
    db = persist().connection()
    session = session_of(db)
    if begin:
        db.begin()
    write(db, table, 7)
    error = raised(lambda: db.cursor().executemany(f"insert into {table} values (%s, %s)", pairs_that_fail()))
    assert isinstance(error, OwnError) or isinstance(error.__cause__, OwnError)  # pgdb wraps it
    assert explain(error, db.driver_connection).verdict is NOT_LOST
    assert session_of(db) == session
    write(db, table, 8)
    db.commit()
    assert session_of(db) == session
    assert {7, 8} <= set(numbers(rows, table))


def test_a_generators_own_error_is_no_loss_of_sqlite(tmp_path: Path) -> None:
    """X2: the same with sqlite3, where C code calls the generator: the work before it is there, and is kept."""
    with PersistentDB(sqlite3, database=str(tmp_path / "db")) as persist:
        db = persist.connection()
        run(db, "create table t (id integer, note text)")
        raw = db.driver_connection
        run(db, "insert into t values (7, 'x')")
        error = raised(lambda: db.cursor().executemany("insert into t values (?, ?)", pairs_that_fail()))
        assert isinstance(error, OwnError)
        assert db.driver_connection is raw
        db.commit()
        assert (7,) in run(db, "select id from t")


@server
@only("pg8000")
@pytest.mark.parametrize("begin", [False, True], ids=["autocommit", "begin"])
def test_a_time_out_that_escapes_is_a_loss(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, begin: bool
) -> None:
    """X2, X1: after pg8000's raw TimeoutError the answer may come yet: never again on this session, and not resent."""
    db = persist({"autocommit": True, "timeout": 0.3}, replay=InheritedReplay() if begin else None).connection()
    session = session_of(db)
    if begin:
        db.begin()
        write(db, table, 1)
    raw = db.driver_connection
    error = raised(lambda: run(db, driver.slow(20)))
    assert type(error) is TimeoutError
    told = explain(error, raw)
    assert (told.verdict, told.rule) == (MAYBE, ESCAPED)
    if begin:
        with pytest.raises(TransactionLost):
            run(db, "select 1")
        db.rollback()
    write(db, table, 2)
    db.commit()
    assert session_of(db) != session
    assert numbers(rows, table) == [2]
    driver.kill(session)  # the server sleeps on


@server
@only("pg8000")
def test_a_struct_error_that_escapes_is_a_loss(driver: LiveDriver, persist: Persist) -> None:
    """X2: pg8000 fails in the middle of an exchange when there are more parameters than its protocol can count."""
    db = persist({"autocommit": True}).connection()
    session, raw = session_of(db), db.driver_connection
    statement = f"select 1 where 1 in ({', '.join(['%s'] * 70_000)})"
    error = raised(lambda: db.cursor().execute(statement, tuple(range(70_000))))
    assert isinstance(error, struct.error)
    assert explain(error, raw).verdict is MAYBE
    assert run(db, "select 2") == [(2,)]
    assert session_of(db) != session


def fails_at_x(value: str) -> str:
    """Convert text, but not an x."""
    if value == "x":
        raise ValueError("x cannot be converted")
    return value


TEXT_OID = 25


@server
@only("pg8000")
def test_a_half_read_reply_is_a_loss(driver: LiveDriver, persist: Persist, raw: Any) -> None:
    """X2: a converter's error leaves the rest of the reply unread, and the raw connection takes it for the next one's.

    No class and no silent socket tells: the driver has the rest in its own buffer.
    """
    reply = "select 'x' union all select 'y'"
    raw.register_in_adapter(TEXT_OID, fails_at_x)
    error = raised(lambda: run(raw, reply))
    assert (explain(error, raw).verdict, explain(error, raw).rule) == (MAYBE, OUT_OF_STEP)
    with suppress(Exception):
        assert run(raw, "select 2") != [(2,)]
    db = persist({"autocommit": True}).connection()
    db.register_in_adapter(TEXT_OID, fails_at_x)
    session = session_of(db)
    assert isinstance(raised(lambda: run(db, reply)), ValueError)
    assert run(db, "select 2") == [(2,)]
    assert session_of(db) != session
    assert run(db, "select 'y'") == [("y",)]
    session = session_of(db)
    raised(lambda: run(db, "this is no SQL"))
    assert run(db, "select 2") == [(2,)]
    assert session_of(db) == session, "the server's own error comes after the end of the reply"


@server
@only("pg8000")
def test_a_broken_copy_is_a_loss(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """X2: the error of the stream of a COPY leaves the session in the middle of it, whoever raised it."""
    db = persist({"autocommit": True}).connection()
    session = session_of(db)

    def lines() -> Iterator[str]:
        yield "1\tx\n"
        raise OwnError("the file is gone")

    error = raised(lambda: db.cursor().execute(f"copy {table} from stdin", stream=lines()))
    assert isinstance(error, OwnError)
    write(db, table, 2)
    assert session_of(db) != session
    assert numbers(rows, table) == [2]


# PostgreSQL's further drivers


@server
@only("pg8000", "pgdb")
@pytest.mark.parametrize("autocommit", [False, True], ids=["manual", "autocommit"])
def test_a_notification_is_no_end(driver: LiveDriver, raw: Any, autocommit: bool) -> None:
    """C5: what a healthy session was sent unasked is no end of it, and stays there for its reader."""
    run(raw, "listen news")
    raw.autocommit = autocommit
    profile = profile_of(raw)
    assert profile.fileno is not None
    driver.server.query("notify news, 'one'")
    wait_until(lambda: is_readable(raw), "the notification to arrive")
    assert profile.survives(raw)
    assert not is_readable(raw)
    assert not transaction_open(driver, raw)
    notification = raw._cnx.getnotify() if driver.name == "pgdb" else raw.notifications[0]
    assert "one" in notification


def is_readable(con: Any) -> bool:
    """Whether there is something to read from a connection's socket."""
    profiles = importlib.import_module("persistentdb.drivers.profile")
    fileno = profile_of(con).fileno
    assert fileno is not None
    return bool(profiles.look_at(fileno(con))())


@server
@only("pg8000", "pgdb")
def test_a_ping_in_an_aborted_transaction(driver: LiveDriver, raw: Any) -> None:
    """C9: the look at a session that has something to say works in an aborted transaction, and leaves it aborted."""
    raw.autocommit = False
    raised(lambda: run(raw, "this is no SQL"))
    profile_of(raw).ping(raw)
    assert profile_of(raw).survives(raw)
    assert profile_of(raw).in_transaction(raw) is True
    raw.rollback()
    assert profile_of(raw).in_transaction(raw) is False


@server
@only("pgdb")
def test_pgdb_reports_a_loss_as_a_programmers_error(driver: LiveDriver, raw: Any) -> None:
    """X2: its class says nothing and it has no SQLSTATE (F4): the connection's own knowledge decides."""
    kill(driver, raw)
    error = raised(lambda: run(raw, "select 1"))
    assert type(error).__name__ == "ProgrammingError"
    assert profile_of(raw).code(error) is None
    told = explain(error, raw)
    assert (told.verdict, told.rule) == (MAYBE, None)
    assert "closed or broken" in told.because
    second = explain(raised(lambda: run(raw, "select 'closed'")), raw)
    assert second.verdict is UNSENT
    assert second.rule is not None


@server
@only("pgdb")
def test_pgdb_hands_out_rows_while_they_come(driver: LiveDriver, raw: Any) -> None:
    """C9: copy_to() without a stream keeps the session busy; libpq notices its end with the next request only."""
    profile = profile_of(raw)
    copied = raw.cursor().copy_to(None, "select generate_series(1, 3)")
    next(copied)
    assert profile.is_streaming(raw)
    assert profile.in_transaction(raw) is None
    assert len(list(copied)) == 2
    assert profile.is_streaming(raw)
    run(raw, "select 1")
    assert not profile.is_streaming(raw)
    assert profile.in_transaction(raw) is False
    raw.autocommit = False
    next(raw.cursor().copy_to(None, "select generate_series(1, 3)"))
    assert profile.in_transaction(raw) is True


@server
@only("pgdb", "pg8000")
def test_work_begun_by_sql_is_committed(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """C12: commit() ends a transaction that SQL began in autocommit, though pgdb's own commit() would do nothing."""
    db = persist({"autocommit": True}).connection()
    run(db, "begin")
    write(db, table, 1)
    assert numbers(rows, table) == []
    db.commit()
    assert numbers(rows, table) == [1]
    assert not transaction_open(driver, db)


# MariaDB's own connector


@pytest.fixture
def failing(driver: LiveDriver, table: str) -> Iterator[str]:
    """Lend the name of a procedure that inserts a row, and then fails."""
    name = f"{table}_fails"
    driver.server.query(
        f"create procedure {name}() begin start transaction; insert into {table} values (1, 'x'); "
        "signal sqlstate '45000' set message_text = 'no'; end"
    )
    yield name
    driver.server.query(f"drop procedure {name}")


@server
@only("pymysql", "mariadb")
def test_an_error_does_not_tell_of_the_transaction(driver: LiveDriver, raw: Any, failing: str) -> None:
    """X2: after a procedure that failed a transaction is open, in autocommit too, and the server's flag is clear.

    So a clear flag is never taken for "no transaction".
    """
    raised(lambda: run(raw, f"call {failing}()"))
    assert raw.server_status & 1 == 0
    assert profile_of(raw).in_transaction(raw) is None
    assert transaction_open(driver, raw)
    raw.rollback()


@server
@only("pymysql", "mysqlclient", "mariadb")
def test_work_of_a_failed_procedure_is_not_lost_in_silence(
    driver: LiveDriver, db: Any, table: str, rows: Rows, failing: str
) -> None:
    """X1: what a procedure did before it failed hangs on the session: its loss raises."""
    raised(lambda: run(db, f"call {failing}()"))
    kill(driver, db)
    with pytest.raises(losses(driver)):
        write(db, table, 2)
    with pytest.raises(TransactionLost):
        db.commit()
    db.rollback()
    assert numbers(rows, table) == []


@server
@only("mariadb")
def test_mariadbs_descriptor_stays_open(driver: LiveDriver, raw: Any) -> None:
    """X2: a look at the socket, and its end, leave the driver's descriptor open; the driver's `socket` does not."""
    profile = profile_of(raw)
    assert profile.fileno is not None
    for _ in range(3):
        assert not is_readable(raw)
        gc.collect()
    assert run(raw, "select 1") == [(1,)]
    descriptor = profile.fileno(raw)
    assert profile.fileno(raw) == descriptor
    with driver.connect(autocommit=True) as other:
        other.socket.close()
        with pytest.raises(driver.module.Error):
            run(other, "select 1")


@server
@only("mariadb")
def test_mariadbs_ping_never_reconnects(driver: LiveDriver, raw: Any) -> None:
    """C9: with the driver's own option to reconnect a ping still finds the loss, and the option stays as it was."""
    raw.auto_reconnect = True
    kill(driver, raw)
    with pytest.raises(driver.module.Error):
        profile_of(raw).ping(raw)
    assert raw.auto_reconnect is True
    driver.server.await_sessions(0)


@server
@only("mariadb")
def test_mariadbs_cursors_that_stream(driver: LiveDriver, persist: Persist, raw: Any) -> None:
    """C9, C6: rows of unbuffered and of the server's cursors are read to their end, whatever happens meanwhile."""
    streams = profile_of(raw).cursor_is_streaming
    assert streams is not None
    for options, expected in (({}, False), ({"buffered": False}, True), ({"cursor_type": 1}, True)):
        with closing(raw.cursor(**options)) as cursor:
            cursor.execute("select seq from seq_1_to_300")
            cursor.fetchone()
            assert streams(cursor) is expected
            assert len(cursor.fetchall()) == 299
    persistent = persist({"autocommit": True}, maxusage=1, ping=MaskPing(7, window=0))
    db = persistent.connection()
    with closing(db.cursor(buffered=False)) as reading:
        reading.execute("select seq from seq_1_to_300")
        found = []
        while row := reading.fetchone():
            found.append(row[0])
            persistent.connection()
            db.cursor()
    assert found == list(range(1, 301))


FETCHES_AFTER_A_LOSS = """
import mariadb, sys
from persistentdb import PersistentDB
with PersistentDB(mariadb, ping=0, autocommit=True, **{kwargs!r}) as persist:
    db = persist.connection()
    cursor = db.cursor()
    db.begin()
    cursor.execute("select 1")
    other = mariadb.connect(**{kwargs!r})
    other.kill(db.thread_id)
    try:
        cursor.execute("select ?", (2,))
    except mariadb.Error as error:
        print(error)
    for fetch in (cursor.fetchone, cursor.fetchall):
        try:
            fetch()
        except mariadb.Error as error:
            print("refused", error)
    db.rollback()
"""


@server
@only("mariadb")
def test_mariadbs_lost_cursor_does_not_crash(driver: LiveDriver) -> None:
    """X1: to fetch from a cursor whose statement was lost is an error; the raw cursor ends the process natively."""
    code = FETCHES_AFTER_A_LOSS.format(kwargs=driver.connect_kwargs())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"ended by signal {-done.returncode}: {done.stderr[-300:]}"
    assert done.stdout.count("refused") == 2


# A node that only reads


@server
@only("psycopg", "psycopg2", "pg8000", "pgdb")
def test_wrong_node_of_postgresql(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """X2: 25006 is an ordinary refusal; by WRONG_NODE the next use has a new connection, and nothing is sent twice."""
    for failures, kept in ((None, True), (FailureClasses(rules=WRONG_NODE), False)):
        db = persist({"autocommit": True}, failures=failures).connection()
        session = session_of(db)
        run(db, "set default_transaction_read_only = on")
        error = raised(lambda db=db: write(db, table, 1))
        assert profile_of(db.driver_connection).sqlstate(error) == "25006"
        run(db, "select 1")
        assert (session_of(db) == session) is kept
        assert numbers(rows, table) == []
        if not kept:
            write(db, table, 2)
            assert numbers(rows, table) == [2]


@pytest.fixture
def read_only_server(mariadb: Any) -> Iterator[None]:
    """Have MariaDB refuse writes, as a replica does."""
    mariadb.query("set global read_only = 1")
    yield
    mariadb.query("set global read_only = 0")


def refused_by_the_session(db: Any, table: str) -> Exception:
    """Return the error of a write in a session made read-only."""
    run(db, "set session transaction read only")
    return raised(lambda: write(db, table, 1))


@server
@only("pymysql", "mysqlclient", "mariadb")
@pytest.mark.parametrize("code", [1290, 1792])
def test_wrong_node_of_mariadb(
    driver: LiveDriver, persist: Persist, table: str, code: int, request: pytest.FixtureRequest
) -> None:
    """X2: the same for a read-only server (1290) and a read-only session (1792)."""
    for failures, kept in ((None, True), (FailureClasses(rules=WRONG_NODE), False)):
        db = persist({"autocommit": True}, failures=failures).connection()
        session, raw = session_of(db), db.driver_connection
        if code == 1290:
            request.getfixturevalue("read_only_server")
            error = raised(lambda db=db: write(db, table, 1))
        else:
            error = refused_by_the_session(db, table)
        assert profile_of(raw).code(error) == code
        run(db, "select 1")
        assert (session_of(db) == session) is kept
        assert driver.server.rows(table) == []


@server
@pytest.mark.parametrize("autocommit", [False, True], ids=["manual", "autocommit"])
def test_begin_is_real(driver: LiveDriver, persist: Persist, table: str, rows: Rows, autocommit: bool) -> None:
    """C12: what follows begin() is one transaction, whatever autocommit says, and its rollback takes it all back."""
    db = persist({"autocommit": autocommit}).connection()
    for number, end in enumerate(("rollback", "commit", "close", "cancel")):
        db.begin()
        run(db, insert(table, number))
        run(db, insert(table, number + 10))
        assert transaction_open(driver, db.driver_connection)
        assert numbers(rows, table) == ([] if number < 2 else [1, 11])
        getattr(db, end)()
        assert not transaction_open(driver, db.driver_connection)
    assert numbers(rows, table) == [1, 11]


@server
def test_a_loss_is_explained(driver: LiveDriver, raw: Any) -> None:
    """X2: of the first and the second use of a lost session, explain() says the verdict, and a reason in one line."""
    kill(driver, raw)
    for expected in (MAYBE, UNSENT):
        with pytest.raises(losses(driver)) as caught:
            run(raw, "select 1")
        told = explain(caught.value, raw)
        assert told.verdict is expected
        assert told.verdict is FailureClasses().verdict(caught.value, raw)
        name = profile_of(raw).name
        assert name in told.because


# oracledb, without a server


@pytest.fixture
def oracle() -> Any:
    """Lend the module of Oracle's driver."""
    return pytest.importorskip("oracledb", reason="oracledb is not installed: pip install oracledb")


def oracle_connection(oracle: Any, **known: Any) -> Any:
    """Return a connection of the driver's class whose inside says what is given; nothing: it is closed."""
    con = oracle.Connection.__new__(oracle.Connection)
    con._impl = SimpleNamespace(get_is_healthy=lambda: known["healthy"], **known) if known else None
    return con


def oracle_error(message: str, code: int) -> Exception:
    """Return the error that the driver makes of a message and number of Oracle's."""
    made = importlib.import_module("oracledb.errors")._Error(message, code=code)
    error: Exception = made.exc_type(made)
    return error


ORACLE_ERRORS = [
    ("ORA-03113: end-of-file on communication channel", 3113, MAYBE),
    ("ORA-03114: not connected to ORACLE", 3114, MAYBE),
    ("ORA-00028: your session has been killed", 28, MAYBE),
    ("ORA-02396: exceeded maximum idle time", 2396, MAYBE),
    ("ORA-01089: immediate shutdown in progress", 1089, MAYBE),
    ("DPI-1080: connection was closed by ORA-3113", 0, MAYBE),
    ("DPI-1010: not connected", 0, UNSENT),
    ("DPI-1067: call timeout of 100 ms exceeded with ORA-3156", 0, NOT_LOST),
    ("ORA-01013: user requested cancel of current operation", 1013, NOT_LOST),
    ("ORA-00054: resource busy", 54, NOT_LOST),
    ("ORA-30006: resource busy; acquire with WAIT timeout expired", 30006, NOT_LOST),
    ("ORA-00060: deadlock detected", 60, NOT_LOST),
    ("ORA-08177: can't serialize access", 8177, NOT_LOST),
    ("ORA-16000: database open for read-only access", 16000, NOT_LOST),
    ("ORA-00942: table or view does not exist", 942, NOT_LOST),
    ("ORA-00001: unique constraint violated", 1, NOT_LOST),
]


@pytest.mark.parametrize(("message", "code", "expected"), ORACLE_ERRORS, ids=[row[0][:9] for row in ORACLE_ERRORS])
def test_errors_of_oracledb(oracle: Any, message: str, code: int, expected: Verdict) -> None:
    """X2: the driver's own error objects, made of Oracle's messages, are judged by what they say of the session."""
    con = oracle_connection(oracle, healthy=True)
    assert explain(oracle_error(message, code), con).verdict is expected


def test_oracledb_knows_itself(oracle: Any) -> None:
    """X2: closed, autocommit and transaction are asked of the driver's own properties, and of a closed one not."""
    con = oracle_connection(oracle, healthy=True, autocommit=False, get_transaction_in_progress=None)
    profile = profile_of(con)
    assert profile.name == "oracledb"
    assert not profile.is_closed(con)
    assert profile.autocommit(con) is False
    assert profile.refuses_begin(con) is None
    con._impl.autocommit = True
    assert "autocommit" in (profile.refuses_begin(con) or "")
    con._impl = SimpleNamespace(get_is_healthy=lambda: False)
    assert profile.is_closed(con)
    closed = oracle_connection(oracle)
    assert profile.is_closed(closed)
    assert profile.autocommit(closed) is None
    assert profile.in_transaction(closed) is None
    error = raised(closed.cursor)
    assert profile.code(error) == "DPY-1001"
    assert explain(error, closed).verdict is UNSENT
    assert isinstance(type(closed).transaction_in_progress, property)


# duckdb, in this very process


@pytest.fixture
def duck() -> Any:
    """Lend duckdb's module."""
    return pytest.importorskip("duckdb", reason="duckdb is not installed: pip install duckdb")


def test_duckdb_knows_itself(duck: Any) -> None:
    """X2: that it was closed is known, and that nothing was sent then; every error of a living one is its own."""
    con = duck.connect()
    profile = profile_of(con)
    assert profile.name == "duckdb"
    assert not profile.is_closed(con)
    for statement in ("select * from absent", "this is no SQL", "rollback", "select 'Connection already closed'::int"):
        error = raised(lambda statement=statement: con.execute(statement))
        assert explain(error, con).verdict is NOT_LOST, statement
    con.close()
    assert profile.is_closed(con)
    for use in (lambda: con.execute("select 1"), con.cursor, con.begin):
        told = explain(raised(use), con)
        assert told.verdict is UNSENT
        assert told.rule is profile.rules[0]


def test_duckdb_refuses_begin(duck: Any, tmp_path: Path) -> None:
    """C12: its cursors would not take part in the transaction, so begin() refuses and says what to do instead."""
    with PersistentDB(duck, database=str(tmp_path / "db")) as persist:
        db = persist.connection()
        with pytest.raises(NotSupportedError, match="through one cursor"):
            db.begin()
        cursor = db.cursor()
        for statement in ("create table t (id integer)", "begin", "insert into t values (1)", "rollback"):
            cursor.execute(statement)
        assert run(db, "select * from t") == []


def test_duckdb_in_memory_dies_with_its_connection(duck: Any, tmp_path: Path) -> None:
    """X1: a database in memory is known as one that dies with its connection, and is never recycled; a file is."""
    names = {":memory:": True, ":memory:named": True, str(tmp_path / "db"): False}
    for name, dies in names.items():
        with closing(duck.connect(name)) as con:
            assert profile_of(con).dies_with_connection(con) is dies, name
    with PersistentDB(duck, 1, database=":memory:") as persist:
        db = persist.connection()
        run(db, "create table t as select 7 as id")
        for _ in range(3):
            assert run(db, "select id from t") == [(7,)]
    with PersistentDB(duck, 1, database=str(tmp_path / "db")) as persist:
        db = persist.connection()
        run(db, "create table t as select 7 as id")
        assert run(db, "select id from t") == [(7,)]
        before = db.driver_connection
        assert run(db, "select id from t") == [(7,)]
        assert db.driver_connection is not before


def test_duckdb_closed_by_the_client_is_reopened(duck: Any, tmp_path: Path) -> None:
    """C5: a file that somebody closed is opened again at the next use; a database in memory raises instead (X1)."""
    with PersistentDB(duck, database=str(tmp_path / "db")) as persist:
        db = persist.connection()
        run(db, "create table t as select 7 as id")
        db.driver_connection.close()
        assert run(db, "select id from t") == [(7,)]
    with PersistentDB(duck, database=":memory:") as persist:
        db = persist.connection()
        run(db, "create table t as select 7 as id")
        db.driver_connection.close()
        with pytest.raises(duck.Error):
            run(db, "select id from t")
