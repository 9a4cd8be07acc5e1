"""Each fact of each driver's profile, on a real connection to a real server (X2, C9)."""

from __future__ import annotations

import contextlib
import importlib
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from servers import LiveDriver, driver_params, wait_until

from persistentdb import PersistentDB, Verdict
from persistentdb.drivers import DriverProfile, profile_of
from persistentdb.drivers.profile import look_at
from persistentdb.failures import FailureClasses

from .deeds import Persist, Rows, insert, kill, losses, meanwhile, numbers, run, session_of, transaction_open, write

server = pytest.mark.server
POSTGRES = pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2"), indirect=True)
EVERY_POSTGRES = pytest.mark.parametrize(
    "driver", driver_params("psycopg", "psycopg2", "pg8000", "pgdb"), indirect=True
)
PSYCOPG = pytest.mark.parametrize("driver", driver_params("psycopg"), indirect=True)
MYSQL = pytest.mark.parametrize("driver", driver_params("pymysql", "mysqlclient"), indirect=True)
EVERY_MYSQL = pytest.mark.parametrize("driver", driver_params("pymysql", "mysqlclient", "mariadb"), indirect=True)
AUTOCOMMIT = pytest.mark.parametrize("autocommit", [False, True], ids=["manual", "autocommit"])


@pytest.fixture
def raw(driver: LiveDriver) -> Iterator[Any]:
    """Lend a connection of the driver's own."""
    con = driver.connect()
    yield con
    with contextlib.suppress(driver.module.Error):  # PyMySQL: already closed, pg8000: cannot say goodbye
        con.close()


@contextlib.contextmanager
def closing_lost(driver: LiveDriver, con: Any) -> Iterator[Any]:
    """Close a connection at the end, which pg8000 refuses once it cannot say goodbye."""
    try:
        yield con
    finally:
        with contextlib.suppress(driver.module.InterfaceError):
            con.close()


def profile_and_look(con: Any) -> tuple[DriverProfile, Callable[[], bool]]:
    """Return the profile of a driver's connection, and the function that looks at its socket."""
    profile = profile_of(con)
    assert profile.fileno is not None
    return profile, look_at(profile.fileno(con))


def verdict(error: BaseException, con: Any) -> Verdict:
    """Return what the default classifier says of an error."""
    return FailureClasses().verdict(error, con)


def lose(driver: LiveDriver, con: Any) -> Exception:
    """End a connection's session; return the error of the next statement."""
    kill(driver, con)
    with pytest.raises(losses(driver)) as caught:
        run(con, "select 1")
    return caught.value


# What the connection knows of itself


def knows_transactions(driver: LiveDriver) -> bool:
    """Whether the driver tells an open transaction and no transaction apart (PyMySQL and mysqlclient do not)."""
    return driver.server.title == "PostgreSQL"


@server
@AUTOCOMMIT
def test_in_transaction(driver: LiveDriver, table: str, autocommit: bool) -> None:
    """X2: the driver's answer agrees with the server's in every state, or is None where it cannot tell."""
    with closing(driver.connect(autocommit=autocommit)) as con:
        profile = profile_of(con)
        if driver.name == "mysqlclient":
            tells = {None}
        elif driver.server.title == "MariaDB":
            tells = {True, None}  # a clear flag says nothing
        else:
            tells = {True, False}

        def agrees() -> bool:
            told, truth = profile.in_transaction(con), transaction_open(driver, con)
            assert told in tells
            return told is None or told is truth

        assert agrees(), "just opened"
        run(con, f"select * from {table}")
        assert agrees(), "after a select"
        con.rollback()
        assert agrees(), "after a rollback"
        write(con, table, 1)
        assert agrees(), "after an insert"
        if driver.name != "mysqlclient":
            assert bool(profile.in_transaction(con)) is not autocommit
        with pytest.raises(driver.module.Error):
            write(con, table, 1)
        assert agrees(), "after an error"
        con.rollback()
        run(con, "begin")
        write(con, table, 2)
        assert agrees(), "begun by SQL"
        run(con, "rollback")
        assert agrees(), "rolled back by SQL"


@server
@MYSQL
def test_a_select_opens_a_transaction_that_pymysql_does_not_see(driver: LiveDriver, table: str, raw: Any) -> None:
    """X2: why a clear flag of MySQL's status is no proof: after a SELECT a transaction is open without it (F14)."""
    run(raw, f"select * from {table}")
    assert transaction_open(driver, raw)
    assert profile_of(raw).in_transaction(raw) is None


@server
@AUTOCOMMIT
def test_autocommit(driver: LiveDriver, autocommit: bool) -> None:
    """X2: autocommit is told as it is, also when it is changed later; PostgreSQL drivers keep it after a loss."""
    with closing_lost(driver, driver.connect(autocommit=autocommit)) as con:
        profile = profile_of(con)
        assert profile.autocommit(con) is autocommit
        if callable(con.autocommit):
            con.autocommit(not autocommit)
        else:
            con.autocommit = not autocommit
        assert profile.autocommit(con) is not autocommit
        lose(driver, con)
        assert profile.autocommit(con) is not autocommit


@server
def test_is_closed(driver: LiveDriver, table: str) -> None:
    """X2: the client's own close is always known; a loss once it was met, except by mysqlclient and pg8000."""
    con = driver.connect()
    profile = profile_of(con)
    assert not profile.is_closed(con)
    write(con, table, 1)
    assert not profile.is_closed(con)
    with pytest.raises(driver.module.Error):
        run(con, "this is no SQL")
    assert not profile.is_closed(con)
    con.rollback()
    kill(driver, con)
    assert not profile.is_closed(con), "nobody has looked yet"
    with pytest.raises(losses(driver)):
        run(con, "select 1")
    assert profile.is_closed(con) is (driver.name not in ("mysqlclient", "pg8000"))
    with contextlib.suppress(driver.module.Error):
        con.close()
    assert profile.is_closed(con)
    if knows_transactions(driver):
        assert profile.in_transaction(con) is None


# The socket


@server
@AUTOCOMMIT
def test_idle_session_is_quiet(driver: LiveDriver, table: str, autocommit: bool) -> None:
    """C9: there is nothing to read from a living session between its statements, in no state of a transaction."""
    with closing(driver.connect(autocommit=autocommit)) as con:
        _, readable = profile_and_look(con)
        assert not readable()
        for statement in (f"select * from {table}", insert(table, 1), "savepoint a" if not autocommit else "select 1"):
            run(con, statement)
            assert not readable(), statement
        with pytest.raises(driver.module.Error):
            run(con, "this is no SQL")
        assert not readable()
        con.rollback()
        assert not readable()


@server
def test_killed_session_is_readable_and_does_not_survive(driver: LiveDriver, raw: Any) -> None:
    """C5: one look, without a round trip, finds the server's end of the session."""
    profile, readable = profile_and_look(raw)
    kill(driver, raw)
    assert readable()
    assert not profile.survives(raw)
    assert not profile.survives(raw)


@server
@pytest.mark.parametrize("command", ["cut", "reset"])
def test_cut_link_is_readable_and_does_not_survive(driver: LiveDriver, proxy_for: Any, command: str) -> None:
    """C5: the same after the end or the reset of the link alone."""
    proxy = proxy_for(driver.server)
    con = driver.connect(port=proxy.port)
    profile, readable = profile_and_look(con)
    getattr(proxy, command)()
    assert readable()
    assert not profile.survives(con)
    with contextlib.suppress(driver.module.Error):
        con.close()


@server
@POSTGRES
def test_notification_is_no_end(driver: LiveDriver, persist: Persist) -> None:
    """C5: what a healthy PostgreSQL session was sent unasked neither ends it nor is it swallowed."""
    persistent = persist({"autocommit": True}, ping=0)
    db = persistent.connection()
    session = session_of(db)
    received: list[str] = []
    if driver.name == "psycopg":
        db.add_notify_handler(lambda notify: received.append(notify.payload))
    run(db, "listen news")
    profile, readable = profile_and_look(db.driver_connection)
    driver.server.query("notify news, 'one'")
    wait_until(readable, "the notification to arrive")
    assert profile.survives(db.driver_connection)
    assert not readable()
    driver.server.query("notify news, 'two'")
    wait_until(readable, "the second notification to arrive")
    assert run(db, "select 1") == [(1,)]
    assert session_of(db) == session
    if driver.name == "psycopg2":
        received += [notify.payload for notify in db.notifies]
    assert received == ["one", "two"]


@server
@POSTGRES
def test_notification_in_a_transaction_is_no_end(driver: LiveDriver, db: Any, table: str, rows: Rows) -> None:
    """X1: one that arrives while work hangs on the session does not cost that work; commit() looks, too."""
    run(db, "listen news")
    db.commit()
    write(db, table, 1)
    # Delivered in the end of another transaction: PostgreSQL holds it back until ours is over.
    driver.server.query("notify news")
    run(db, "set client_min_messages = notice")
    db.commit()
    assert numbers(rows, table) == [1]


# The ping


@server
@AUTOCOMMIT
def test_ping_of_a_living_session(driver: LiveDriver, autocommit: bool) -> None:
    """C9: the driver's ping is a round trip that opens no transaction and leaves autocommit as it is."""
    with closing(driver.connect(autocommit=autocommit)) as con:
        profile, readable = profile_and_look(con)
        session = session_of(con)
        for _ in range(3):
            profile.ping(con)
            assert not transaction_open(driver, con)
            assert not readable()
        assert session_of(con) == session == driver.session_id(con)
        assert profile.autocommit(con) is autocommit


@server
@AUTOCOMMIT
@pytest.mark.parametrize("met", [False, True], ids=["not met yet", "met before"])
def test_ping_of_a_dead_session(driver: LiveDriver, autocommit: bool, met: bool) -> None:
    """C9: it raises the driver's error, each time, and never reconnects by itself."""
    con = driver.connect(autocommit=autocommit)
    before = driver.server.sessions()
    if met:
        lose(driver, con)
    else:
        kill(driver, con)
    for _ in range(2):
        with pytest.raises(driver.module.Error):
            profile_of(con).ping(con)
    assert driver.server.sessions() == before - 1
    with contextlib.suppress(driver.module.Error):
        con.close()


# Rows that are still with the server


@server
@PSYCOPG
def test_stream_and_pipeline_of_psycopg_are_streaming(driver: LiveDriver, raw: Any) -> None:
    """C9: psycopg's stream(), copy() and pipelines are told from idle sessions."""
    is_streaming = profile_of(raw).is_streaming
    run(raw, "select 1")
    assert not is_streaming(raw)
    rows_of = raw.cursor().stream("select generate_series(1, 3)")
    next(rows_of)
    assert is_streaming(raw)
    assert len(list(rows_of)) == 2
    assert not is_streaming(raw)
    with raw.cursor().copy("copy (select 1) to stdout") as copy:
        assert is_streaming(raw)
        list(copy)
    assert not is_streaming(raw)
    with raw.pipeline():
        assert is_streaming(raw)
        raw.execute("select 1")
        assert is_streaming(raw)
    assert not is_streaming(raw)


@server
@POSTGRES
def test_server_side_cursor_is_not_streaming(driver: LiveDriver, raw: Any) -> None:
    """C9: a named cursor fetches by statements: between them its session is idle, in a transaction."""
    cursor = raw.cursor("named")
    cursor.execute("select generate_series(1, 10)")
    cursor.fetchone()
    assert not profile_of(raw).is_streaming(raw)
    assert profile_of(raw).in_transaction(raw) is True
    cursor.close()


@server
@MYSQL
def test_unbuffered_cursors_are_streaming(driver: LiveDriver, raw: Any) -> None:
    """C9: rows of an SSCursor are with the server until they are read; the driver or the cursor's class tells."""
    cursors = importlib.import_module(f"{driver.module.__name__}.cursors")
    profile = profile_of(raw)
    for cursor_class, streams in ((cursors.Cursor, False), (cursors.SSCursor, True), (cursors.SSDictCursor, True)):
        cursor = raw.cursor(cursor_class)
        cursor.execute("select seq from seq_1_to_300")
        cursor.fetchone()
        if profile.cursor_is_streaming is None:
            assert profile.is_streaming(raw) is streams
        else:
            assert profile.cursor_is_streaming(cursor) is streams
        assert len(cursor.fetchall()) == 299
        assert not profile.is_streaming(raw)
        cursor.close()


# What errors mean: losses


@server
def test_verdict_of_a_client_side_close(driver: LiveDriver) -> None:
    """X2: on a connection that the client has closed nothing was sent."""
    con = driver.connect()
    cursor = con.cursor()
    con.close()
    for use in (lambda: run(con, "select 1"), lambda: cursor.execute("select 1"), con.commit):
        with pytest.raises(driver.module.Error) as caught:
            use()
        assert verdict(caught.value, con) is Verdict.LOST_UNSENT, repr(caught.value)


@server
def test_verdict_of_a_killed_session(driver: LiveDriver, raw: Any) -> None:
    """X2: the first error after a loss leaves open whether the server did it, the second knows that it did not."""
    first = lose(driver, raw)
    assert verdict(first, raw) is Verdict.LOST_MAYBE_SENT
    with pytest.raises(losses(driver)) as caught:
        run(raw, "select 1")
    assert verdict(caught.value, raw) is Verdict.LOST_UNSENT


@server
def test_verdict_of_a_reset_link(driver: LiveDriver, proxy_for: Any) -> None:
    """X2: an RST met by the send is a loss; MySQL drivers then know that the request was never sent (2006)."""
    proxy = proxy_for(driver.server)
    con = driver.connect(port=proxy.port)
    proxy.reset()
    with pytest.raises(losses(driver)) as caught:
        run(con, "select 1")
    expected = (
        {Verdict.LOST_UNSENT, Verdict.LOST_MAYBE_SENT}
        if driver.server.title == "MariaDB"
        else {Verdict.LOST_MAYBE_SENT}
    )
    assert verdict(caught.value, con) in expected
    with contextlib.suppress(driver.module.Error):
        con.close()


@server
def test_verdict_of_a_reply_that_was_cut(driver: LiveDriver, proxy_for: Any) -> None:
    """X2: an end while a reply is due means that the server may have done it."""
    proxy = proxy_for(driver.server)
    for cut in (proxy.cut_before_request, proxy.cut_after_request, proxy.cut_in_reply):
        con = driver.connect(port=proxy.port)
        trigger = cut(b"here it ends")
        with pytest.raises(losses(driver)) as caught:
            run(con, "select 'here it ends'")
        assert trigger.fired.is_set()
        assert verdict(caught.value, con) is Verdict.LOST_MAYBE_SENT, cut
        with contextlib.suppress(driver.module.Error):
            con.close()


CODES_AT_A_STOP: dict[str, set[object]] = {"psycopg": {"57P01"}, "psycopg2": {None}, "pg8000": {None}, "pgdb": {None}}
"""Of drivers of PostgreSQL: psycopg alone hands out the SQLSTATE of the server's farewell."""


@server
def test_verdict_of_a_stopped_server(driver: LiveDriver, raw: Any) -> None:
    """X2: a statement that a shutdown ends may have been executed (57P01; 1053, 1927 or, mostly, 2013)."""
    session = session_of(raw)

    def stop() -> None:
        wait_until(lambda: busy(driver, session), "the statement to run")
        driver.server.stop()

    with meanwhile(stop), pytest.raises(losses(driver)) as caught:
        run(raw, driver.slow(20))
    assert profile_of(raw).code(caught.value) in CODES_AT_A_STOP.get(driver.name, {1053, 1927, 2013})
    assert verdict(caught.value, raw) is Verdict.LOST_MAYBE_SENT


def busy(driver: LiveDriver, session: int) -> bool:
    """Whether the server sleeps for a session."""
    if driver.server.title == "PostgreSQL":
        asked = f"select state = 'active' and wait_event = 'PgSleep' from pg_stat_activity where pid = {session}"
    else:
        asked = f"select state = 'User sleep' from information_schema.processlist where id = {session}"
    return driver.server.query(asked) in ([(True,)], [(1,)])


IDLE_LIMITS = [
    ("idle_session_timeout", "select 1", "57P05"),
    ("idle_in_transaction_session_timeout", "begin", "25P03"),
]


@server
@PSYCOPG
@pytest.mark.parametrize(("limit", "statement", "state"), IDLE_LIMITS)
def test_verdict_of_a_session_ended_for_idleness(driver: LiveDriver, limit: str, statement: str, state: str) -> None:
    """X2: PostgreSQL had ended it before the request came: 57P05 and 25P03 say that nothing was executed."""
    with closing(driver.connect(autocommit=True)) as con:
        run(con, f"set {limit} = '20ms'")
        with contextlib.suppress(driver.module.Error):  # a slow machine: ended already
            run(con, statement)
        _, readable = profile_and_look(con)
        wait_until(readable, "the session to be ended")
        with pytest.raises(driver.module.Error) as caught:
            run(con, "select 1")
        assert getattr(caught.value, "sqlstate", None) == state
        assert verdict(caught.value, con) is Verdict.LOST_UNSENT


@server
@EVERY_MYSQL
def test_session_ended_for_idleness(driver: LiveDriver, persist: Persist) -> None:
    """C5: MariaDB's wait_timeout ends an idle session; the next use does not notice."""
    db = persist({"autocommit": True}, ping=0).connection()
    first = session_of(db)
    run(db, "set wait_timeout = 1")
    _, readable = profile_and_look(db.driver_connection)
    wait_until(readable, "the session to be ended")
    assert run(db, "select 1") == [(1,)]
    assert session_of(db) != first


# What errors do not mean


class Refusal:
    """An error that a healthy session answers with."""

    def __init__(self, name: str, code: object, statement: str, *before: str) -> None:
        self.name, self.code, self.statement, self.before = name, code, statement, before


POSTGRES_REFUSALS = [
    Refusal("statement time-out", "57014", "select {step}, pg_sleep(5)", "set statement_timeout = '50ms'"),
    Refusal("lock time-out", "55P03", "update {table} set note = {note}", "set lock_timeout = '50ms'"),
    Refusal("syntax", "42601", "this is no SQL"),
    Refusal("unique violation", "23505", "insert into {table} values (1, {note})"),
    Refusal("no such table", "42P01", "select {step} from absent"),
    Refusal("SQLSTATE of a loss out of a function", "08006", "do $$ begin raise sqlstate '08006'; end $$"),
    Refusal("disk full out of a function", "53100", "do $$ begin raise sqlstate '53100'; end $$"),
    Refusal("shutdown out of a function", "57P01", "do $$ begin raise sqlstate '57P01'; end $$"),
]
MYSQL_REFUSALS = [
    Refusal("lock wait", 1205, "update {table} set note = {note}", "set innodb_lock_wait_timeout = 1"),
    Refusal(
        "max_statement_time", 1969, "select {step}, sleep(5), seq from seq_1_to_2", "set max_statement_time = 0.05"
    ),
    Refusal("syntax", 1064, "this is no SQL"),
    Refusal("unique violation", 1062, "insert into {table} values (1, {note})"),
    Refusal("no such table", 1146, "select {step} from absent"),
    Refusal("signal of a function", 1644, "signal sqlstate '45000' set message_text = 'server has gone away'"),
]


def refuse(driver: LiveDriver, persist: Persist, table: str, refusal: Refusal) -> None:
    """Have a statement refused while another session holds the table's row; check that no more came of it."""
    postgres = driver.server.title == "PostgreSQL"
    driver.server.query(f"create sequence {table}_steps" + ("" if postgres else " nocache"))
    step = f"nextval('{table}_steps')" if postgres else f"nextval({table}_steps)"
    driver.server.query(insert(table, 1))
    db = persist({"autocommit": True}).connection()
    session = session_of(db)
    for statement in refusal.before:
        run(db, statement)
    with closing(driver.connect()) as holder:
        if "update" in refusal.statement:
            run(holder, f"update {table} set note = 'held'")
        with pytest.raises(driver.module.Error) as caught:
            run(db, refusal.statement.format(table=table, step=step, note="'mine'"))
        holder.rollback()
    assert profile_of(db.driver_connection).code(caught.value) == refusal.code
    raw = db.driver_connection
    assert profile_of(raw).verdict(caught.value, raw) is Verdict.NOT_LOST, "told without a probe"
    assert verdict(caught.value, raw) is Verdict.NOT_LOST
    assert not getattr(caught.value, "__notes__", [])
    assert session_of(db) == session
    assert run(db, "select 1") == [(1,)]
    assert session_of(db) == session
    if "{step}" in refusal.statement:
        assert run(db, f"select {step}") == [(2 if "sleep" in refusal.statement else 1,)]
    assert driver.server.rows(table) == [(1, "x")]
    driver.server.query(f"drop sequence {table}_steps")


@server
@EVERY_POSTGRES
@pytest.mark.parametrize("refusal", POSTGRES_REFUSALS, ids=lambda refusal: refusal.name)
def test_refusals_of_postgresql(driver: LiveDriver, persist: Persist, table: str, refusal: Refusal) -> None:
    """X2: raised as it is, sent once, the session kept (F3, F15)."""
    refuse(driver, persist, table, refusal)


@server
@EVERY_MYSQL
@pytest.mark.parametrize("refusal", MYSQL_REFUSALS, ids=lambda refusal: refusal.name)
def test_refusals_of_mariadb(driver: LiveDriver, persist: Persist, table: str, refusal: Refusal) -> None:
    """X2: raised as it is, sent once, the session kept (F3)."""
    refuse(driver, persist, table, refusal)


@server
def test_cancelled_statement(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """X2: a statement that an administrator cancels (57014, 1317) costs neither the session nor its transaction."""
    db = persist().connection()
    session = session_of(db)
    postgres = driver.server.title == "PostgreSQL"
    write(db, table, 1)

    def cancel() -> None:
        wait_until(lambda: busy(driver, session), "the statement to run")
        driver.server.query(f"select pg_cancel_backend({session})" if postgres else f"kill query {session}")

    # MariaDB's sleep() alone ends with a result when it is cancelled.
    slow = driver.slow(20) if postgres else "select sleep(5), seq from seq_1_to_4"
    if postgres:
        run(db, "savepoint here")
    with meanwhile(cancel), pytest.raises(driver.module.Error) as caught:
        run(db, slow)
    assert profile_of(db.driver_connection).code(caught.value) == ("57014" if postgres else 1317)
    assert verdict(caught.value, db.driver_connection) is Verdict.NOT_LOST
    if postgres:
        run(db, "rollback to savepoint here")
    write(db, table, 2)
    db.commit()
    assert session_of(db) == session
    assert numbers(rows, table) == [1, 2]


@server
def test_deadlock(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """X2: the victim of a deadlock (40P01, 1213) keeps its session; nothing is sent again by itself."""
    driver.server.query(insert(table, 1))
    driver.server.query(insert(table, 2))
    postgres = driver.server.title == "PostgreSQL"
    persistent = persist()
    with closing(persistent.steady_connection()) as one, closing(persistent.steady_connection()) as two:
        sessions = {session_of(db) for db in (one, two)}
        for db, number in ((one, 1), (two, 2)):
            if postgres:
                run(db, "set deadlock_timeout = '20ms'")
            run(db, f"update {table} set note = 'mine' where id = {number}")
        errors: list[tuple[BaseException, Verdict]] = []

        def cross(db: Any, number: int) -> None:
            try:
                run(db, f"update {table} set note = 'crossed' where id = {number}")
            except driver.module.Error as error:
                errors.append((error, verdict(error, db.driver_connection)))
                db.rollback()

        with meanwhile(lambda: cross(one, 2)):
            cross(two, 1)
        [(error, meaning)] = errors
        assert meaning is Verdict.NOT_LOST
        assert profile_of(one.driver_connection).code(error) == ("40P01" if postgres else 1213)
        for db in (one, two):
            db.commit()
        assert {session_of(db) for db in (one, two)} == sessions
        assert [note for _, note in rows(table)] in (["mine", "crossed"], ["crossed", "mine"])
        for db in (one, two):
            db.driver_connection.close()


@server
@EVERY_POSTGRES
def test_serialization_failure(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """X2: a serialization failure (40001) ends the transaction, not the session."""
    driver.server.query(insert(table, 1))
    db = persist(setsession=["set default_transaction_isolation = 'repeatable read'"]).connection()
    session = session_of(db)
    db.begin()
    run(db, f"select * from {table}")
    driver.server.query(f"update {table} set note = 'theirs'")
    with pytest.raises(driver.module.Error) as caught:
        run(db, f"update {table} set note = 'mine'")
    assert profile_of(db.driver_connection).code(caught.value) == "40001"
    assert verdict(caught.value, db.driver_connection) is Verdict.NOT_LOST
    db.rollback()
    assert session_of(db) == session
    assert rows(table) == [(1, "theirs")]


# sqlite3: no server, no marker


@pytest.fixture
def file(tmp_path: Path) -> Iterator[str]:
    """Lend the path of a database with a table of one row, in SQLite."""
    path = str(tmp_path / "database")
    with closing(sqlite3.connect(path)) as con:
        con.execute("create table t (id integer primary key, note text)")
        con.execute("insert into t values (1, 'x')")
        con.commit()
    return path


def test_sqlite3_knows_itself(file: str) -> None:
    """X2: transaction and closing are told in every state, whatever the driver's own connection was through."""
    con = sqlite3.connect(file)
    profile = profile_of(con)
    assert profile.fileno is None
    states = [profile.in_transaction(con)]
    run(con, "select * from t")
    states.append(profile.in_transaction(con))
    run(con, "insert into t values (2, 'x')")
    states.append(profile.in_transaction(con))
    with pytest.raises(sqlite3.IntegrityError):
        run(con, "insert into t values (2, 'x')")
    states.append(profile.in_transaction(con))
    con.rollback()
    states.append(profile.in_transaction(con))
    assert states == [False, False, True, True, False]
    assert profile.autocommit(con) is False
    con.isolation_level = None
    assert profile.autocommit(con) is True
    assert not profile.is_closed(con)
    profile.ping(con)
    assert not con.in_transaction
    con.close()
    assert profile.is_closed(con)
    assert profile.in_transaction(con) is None


def test_sqlite3_errors_of_a_living_connection(file: str) -> None:
    """X2: a locked database, a missing table, a constraint, bad SQL are no losses: the connection is kept."""
    persistent = PersistentDB(lambda: sqlite3.connect(file, timeout=0))
    db, raw = persistent.connection(), persistent.connection().driver_connection
    with closing(sqlite3.connect(file)) as holder:
        holder.execute("begin immediate")
        refusals = ["insert into t values (2, 'x')", "select * from absent", "this is no SQL"]
        errors = ["database is locked", "no such table", "syntax error"]
        for statement, text in zip(refusals, errors, strict=True):
            with pytest.raises(sqlite3.OperationalError, match=text) as caught:
                run(db, statement)
            assert verdict(caught.value, raw) is Verdict.NOT_LOST
            assert db.driver_connection is raw
    with pytest.raises(sqlite3.IntegrityError) as broken:
        run(db, "insert into t values (1, 'x')")
    assert verdict(broken.value, raw) is Verdict.NOT_LOST
    assert db.driver_connection is raw
    persistent.close()


def test_sqlite3_closed_connection(file: str) -> None:
    """X2: on a closed connection nothing was executed."""
    con = sqlite3.connect(file)
    con.close()
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        run(con, "select 1")
    assert verdict(caught.value, con) is Verdict.LOST_UNSENT


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 hands out no extended error codes")
def test_sqlite3_file_replaced(file: str) -> None:
    """X2: when the file was replaced, SQLite refuses to write to the old one (1032): reopened, and written once."""
    persistent = PersistentDB(lambda: sqlite3.connect(file, isolation_level=None))
    db = persistent.connection()
    Path(file).rename(file + ".old")
    with closing(sqlite3.connect(file)) as con:
        con.execute("create table t (id integer primary key, note text)")
    run(db, "insert into t values (7, 'x')")
    assert run(db, "select id from t") == [(7,)]
    persistent.close()


def test_sqlite3_memory_dies_with_its_connection(file: str) -> None:
    """X1: databases without a file are known, so that none is ever replaced by an empty one."""
    names = {":memory:": True, "": True, "file::memory:?cache=shared": True, file: False}
    for name, dies in names.items():
        with closing(sqlite3.connect(name, uri=name.startswith("file:"))) as con:
            assert profile_of(con).dies_with_connection(con) is dies, name
