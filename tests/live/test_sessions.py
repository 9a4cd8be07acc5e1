"""What becomes of the session on real servers: worn out, prepared, checked, closed, set up anew, in a transaction."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers import LiveDriver, MariaDBServer, PostgresServer, PrivateServer, driver_params

from persistentdb import CommitOutcomeUnknown, MaskPing, PersistentDB, PersistentDBError, TransactionLost, drivers
from persistentdb.drivers import profile_of
from persistentdb.testing import FakeClock

from .deeds import Persist, Rows, kill, losses, numbers, run, session_of, transaction_open, unbuffered, write

pytestmark = pytest.mark.server

AUTOCOMMIT = pytest.mark.parametrize("autocommit", [False, True], ids=["manual", "autocommit"])
POSTGRES = pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2"), indirect=True)
MYSQL = pytest.mark.parametrize("driver", driver_params("pymysql", "mysqlclient"), indirect=True)


# C6, when a session is worn out


@AUTOCOMMIT
def test_maxusage_replaces_the_session(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, autocommit: bool
) -> None:
    """C6: after that many uses the next one has a new session; the worn one is closed, not merely dropped."""
    db = persist({"autocommit": autocommit}, maxusage=3).connection()
    before = driver.server.sessions()
    used = []
    for number in range(7):
        write(db, table, number)
        used.append(session_of(db))
        db.commit()
    assert [used.count(session) for session in dict.fromkeys(used)] == [3, 3, 1]
    assert numbers(rows, table) == list(range(7))
    driver.server.await_sessions(before)


@pytest.mark.parametrize("mode", ["begin", "implicit", "reads", "autocommit begin", "begin by SQL"])
def test_maxusage_never_inside_a_transaction(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, mode: str
) -> None:
    """C6: a transaction of any kind keeps its session to its end, and the next use has a new one."""
    db = persist({"autocommit": "autocommit" in mode or "SQL" in mode}, maxusage=2).connection()
    if mode.endswith("begin"):
        db.begin()
    elif mode == "begin by SQL":
        run(db, "begin")
    first = session_of(db)
    for _ in range(4 if mode == "reads" else 0):
        run(db, f"select * from {table}")
        assert session_of(db) == first
    for number in range(5):
        write(db, table, number)
        assert session_of(db) == first
    run(db, "commit") if mode == "begin by SQL" else db.commit()
    write(db, table, 5)
    assert session_of(db) != first
    db.commit()
    assert numbers(rows, table) == [0, 1, 2, 3, 4, 5]


MAXUSAGE = pytest.mark.parametrize("maxusage", [None, 1], ids=["", "maxusage"])


@MYSQL
@MAXUSAGE
def test_maxusage_and_ping_leave_unbuffered_rows_alone(
    driver: LiveDriver, persist: Persist, maxusage: int | None
) -> None:
    """C6, C9: while an SSCursor is read nothing is replaced or pinged: neither cuts its rows short."""
    persistent = persist({"autocommit": True}, maxusage=maxusage, ping=MaskPing(7, window=0))
    db = persistent.connection()
    found = []
    with unbuffered(driver, db) as reading:
        reading.execute("select seq from seq_1_to_500")
        session = session_of(db)
        while row := reading.fetchone():
            found.append(row[0])
            persistent.connection()
            other = db.cursor()
        assert found == list(range(1, 501))
        assert session_of(db) == session
        reading.close()
    other.execute("select 1")
    assert (session_of(db) == session) is (maxusage is None)


@POSTGRES
@AUTOCOMMIT
def test_maxusage_and_ping_leave_server_side_cursors_alone(
    driver: LiveDriver, persist: Persist, autocommit: bool
) -> None:
    """C6, C9: while a named cursor is read nothing is replaced, though other statements go on meanwhile."""
    persistent = persist({"autocommit": autocommit}, maxusage=1, ping=MaskPing(7, window=0))
    db = persistent.connection()
    reading = db.cursor("named", withhold=autocommit)
    reading.itersize = 10
    reading.execute("select generate_series(1, 100)")
    session = session_of(db)
    found = []
    for row in reading:
        found.append(row[0])
        run(persistent.connection(), "select 1")
    assert found == list(range(1, 101))
    assert session_of(db) == session
    reading.close()
    db.commit()
    run(db, "select 1")
    assert session_of(db) != session


@pytest.mark.parametrize("driver", driver_params("psycopg"), indirect=True)
@MAXUSAGE
def test_maxusage_and_ping_leave_a_stream_alone(driver: LiveDriver, persist: Persist, maxusage: int | None) -> None:
    """C6, C9: psycopg's stream() is read to its end, whatever is requested meanwhile."""
    persistent = persist({"autocommit": True}, maxusage=maxusage, ping=MaskPing(7, window=0))
    db = persistent.connection()
    found = []
    for row in db.cursor().stream("select generate_series(1, 100)"):
        found.append(row[0])
        persistent.connection()
        db.cursor()
    assert found == list(range(1, 101))


@pytest.mark.parametrize("driver", driver_params("psycopg"), indirect=True)
@MAXUSAGE
def test_maxusage_and_ping_leave_a_pipeline_alone(driver: LiveDriver, persist: Persist, maxusage: int | None) -> None:
    """C6, C9: within psycopg's pipeline nothing is replaced or pinged: its results come at its end."""
    persistent = persist({"autocommit": True}, maxusage=maxusage, ping=MaskPing(7, window=0))
    db = persistent.connection()
    session = session_of(db)
    with db.pipeline():
        cursors = [persistent.connection().cursor() for _ in range(5)]
        for number, cursor in enumerate(cursors):
            cursor.execute(f"select {number}")
    assert [cursor.fetchone() for cursor in cursors] == [(number,) for number in range(5)]
    assert session_of(db) == session


# C7, how a session is prepared


def zone(driver: LiveDriver, con: Any) -> str:
    """Return the session's time zone, as it was set or not."""
    asked = "show timezone" if driver.server.title == "PostgreSQL" else "select @@time_zone"
    return str(run(con, asked)[0][0])


def set_zone(driver: LiveDriver) -> str:
    """Return the statement that sets a time zone that no server has by default."""
    postgres = driver.server.title == "PostgreSQL"
    return "set timezone to 'Asia/Tokyo'" if postgres else "set time_zone = '+09:00'"


def test_setsession_prepares_each_session(driver: LiveDriver, persist: Persist, table: str) -> None:
    """C7: the commands run on the first connection and on a reopened one, and leave no transaction open."""
    db = persist(setsession=[set_zone(driver), f"select * from {table}"]).connection()
    for _ in range(2):
        assert not transaction_open(driver, db.driver_connection)
        assert db.in_transaction is False
        assert zone(driver, db) in ("Asia/Tokyo", "+09:00")
        db.rollback()
        assert zone(driver, db) in ("Asia/Tokyo", "+09:00"), "what was set survives a rollback"
        db.rollback()
        kill(driver, db)
        db.begin()
        db.rollback()


def test_failing_setsession_leaves_no_session(driver: LiveDriver, persist: Persist) -> None:
    """C7: when the preparation fails the driver's error is raised and the half-made connection closed."""
    before = driver.server.sessions()
    for bad in (["select 1", "this is no SQL"], lambda raw: run(raw, "this is no SQL")):
        with pytest.raises(driver.module.Error, match="this"):
            persist(setsession=bad).connection()
    driver.server.await_sessions(before)


def test_setsession_failing_at_a_reopening(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """C7: the same at a reopening; as soon as the preparation works again, so does the connection."""
    commands = ["select 1"]
    before = driver.server.sessions()
    db = persist(setsession=lambda raw: run(raw, commands[0])).connection()
    kill(driver, db)
    commands[0] = "this is no SQL"
    for _ in range(2):
        with pytest.raises(driver.module.Error, match="this"):
            write(db, table, 1)
    driver.server.await_sessions(before)
    commands[0] = "select 1"
    write(db, table, 2)
    db.commit()
    assert numbers(rows, table) == [2]


# C9, how a session is checked


class CountingPing:
    """The driver's own ping, which counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, raw: Any) -> bool:
        """Ping, and count."""
        self.count += 1
        profile_of(raw).ping(raw)
        return True


@pytest.mark.parametrize("mask", [0, 1, 2, 3, 4, 5, 6, 7])
def test_masks(driver: LiveDriver, persist: Persist, table: str, mask: int) -> None:
    """C9: each bit makes for one round trip at its event, none right after opening, none inside a transaction."""
    check = CountingPing()
    persistent = persist(ping=MaskPing(mask, check, window=0))
    db = persistent.connection()
    assert check.count == 0

    def use() -> list[int]:
        counts = []
        for step in (persistent.connection, db.cursor, lambda: db.cursor().execute("select 1")):
            check.count = 0
            step()
            counts.append(check.count)
        return counts

    request, cursor, execute = bool(mask & 1), bool(mask & 2), bool(mask & 4)
    assert use() == [request, cursor, cursor + execute]
    assert use() == [0, 0, 0], "an implicit transaction that only read"
    db.rollback()
    write(db, table, 1)
    assert use() == [0, 0, 0], "uncommitted work"
    db.rollback()
    db.begin()
    assert use() == [0, 0, 0], "begin()"
    db.rollback()
    assert use() == [request, cursor, cursor + execute]
    db.rollback()


# How the driver's own ping looks on the wire
PINGS = {
    "psycopg": b"q\0\0\0\x05\0",
    "psycopg2": b"select 1",
    "pymysql": b"\x01\0\0\0\x0e",
    "mysqlclient": b"\x01\0\0\0\x0e",
    "pg8000": b"q\0\0\0\x05\0",
    "pgdb": b"q\0\0\0\x05\0",
    "mariadb": b"\x01\0\0\0\x0e",
}


def test_window(driver: LiveDriver, persist: Persist, proxy_for: Any, table: str, rows: Rows) -> None:
    """C9: within the window a proof of life stands for a round trip; after it the driver's own ping is sent.

    A ping that fails opens a new session, so that the caller notices nothing.
    """
    proxy = proxy_for(driver.server)
    clock = FakeClock()
    persistent = persist({"port": proxy.port}, ping=MaskPing(1, window=3, clock=clock))
    db = persistent.connection()
    db.commit()
    first = session_of(db)
    trigger = proxy.cut_before_request(PINGS[driver.name])
    clock.advance(2)
    persistent.connection()
    assert not trigger.fired.is_set()
    clock.advance(1)
    persistent.connection()
    assert trigger.fired.is_set()
    assert session_of(db) != first
    write(db, table, 1)
    db.commit()
    assert numbers(rows, table) == [1]


@AUTOCOMMIT
@pytest.mark.parametrize("check", [None, "select 1", lambda raw: run(raw, "select 1") == [(1,)]])
def test_ping_leaves_no_transaction_open(
    driver: LiveDriver, persist: Persist, check: Any, table: str, autocommit: bool
) -> None:
    """C9: after a ping of any kind the server sees an idle session, in no transaction (F10)."""
    if isinstance(check, str):
        check = f"select * from {table}"
    persistent = persist({"autocommit": autocommit}, ping=MaskPing(7, check, window=0))
    db = persistent.connection()
    session = session_of(db)
    persistent.connection()
    db.cursor()
    assert not transaction_open(driver, db.driver_connection)
    assert db.in_transaction is False
    assert session_of(db) == session
    assert profile_of(db.driver_connection).autocommit(db.driver_connection) is autocommit


def test_plain_ping_of_sql(driver: LiveDriver, persist: Persist) -> None:
    """C9: `ping="select 1"` checks at each request, and a dead session is replaced there."""
    persistent = persist(ping="select 1")
    db = persistent.connection()
    killed = kill(driver, db)
    assert persistent.connection() is db
    assert session_of(db) != killed
    assert not transaction_open(driver, db.driver_connection)


# C10 and C12, what close() ends


@pytest.mark.parametrize("closeable", [False, True])
@pytest.mark.parametrize("mode", ["implicit", "begin", "autocommit begin", "begin by SQL"])
def test_close(driver: LiveDriver, persist: Persist, table: str, rows: Rows, closeable: bool, mode: str) -> None:
    """C10, C12: close() rolls every kind of open transaction back, and closes where it may; the next use works."""
    driver.server.await_sessions(0)
    db = persist({"autocommit": "autocommit" in mode or "SQL" in mode}, closeable=closeable).connection()
    session = session_of(db)
    if mode.endswith("begin"):
        db.begin()
    elif mode == "begin by SQL":
        run(db, "begin")
    write(db, table, 1)
    db.close()
    assert db.in_transaction is False
    if closeable:
        driver.server.await_sessions(0)
    else:
        assert not transaction_open(driver, db.driver_connection)
        assert session_of(db) == session
    write(db, table, 2)
    db.commit()
    assert numbers(rows, table) == [2]
    assert (session_of(db) != session) is closeable
    driver.server.await_sessions(1)


# X3, what the caller set survives


@pytest.mark.parametrize("driver", driver_params("psycopg"), indirect=True)
def test_settings_of_psycopg_survive(driver: LiveDriver, persist: Persist) -> None:
    """X3: attributes and setters of psycopg are set again, and the server acts accordingly."""
    rows_module = importlib.import_module("psycopg.rows")
    notices: list[str] = []
    db = persist().connection()
    db.isolation_level = driver.module.IsolationLevel.SERIALIZABLE
    db.set_read_only(True)
    db.row_factory = rows_module.dict_row
    db.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    for _ in range(2):
        assert run(db, "show transaction_isolation") == [{"transaction_isolation": "serializable"}]
        assert run(db, "show transaction_read_only") == [{"transaction_read_only": "on"}]
        run(db, "do $$ begin raise notice 'here'; end $$")
        db.rollback()
        kill(driver, db)
    assert notices == ["here"] * 2
    db.autocommit = True
    kill(driver, db)
    run(db, "select 1")
    assert db.autocommit is True
    assert not transaction_open(driver, db)


@pytest.mark.parametrize("driver", driver_params("psycopg2"), indirect=True)
def test_settings_of_psycopg2_survive(driver: LiveDriver, persist: Persist) -> None:
    """X3: attributes and setters of psycopg2 are set again, and the server acts accordingly."""
    db = persist().connection()
    db.set_session(isolation_level="SERIALIZABLE", readonly=True)
    db.set_client_encoding("LATIN1")
    for _ in range(2):
        assert run(db, "show transaction_isolation") == [("serializable",)]
        assert run(db, "show transaction_read_only") == [("on",)]
        assert run(db, "show client_encoding") == [("LATIN1",)]
        db.rollback()
        kill(driver, db)
    db.rollback()
    db.autocommit = True
    kill(driver, db)
    assert run(db, "show client_encoding") == [("LATIN1",)]
    assert db.autocommit is True
    assert not transaction_open(driver, db)


@MYSQL
def test_settings_of_mysql_drivers_survive(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """X3: autocommit(True) and the character set are set again on the new session."""
    db = persist().connection()
    db.autocommit(True)
    db.set_character_set("latin1")
    for number in range(2):
        assert run(db, "select @@autocommit, @@character_set_client") == [(1, "latin1")]
        assert db.character_set_name() == "latin1"
        write(db, table, number)
        assert numbers(rows, table) == list(range(number + 1))
        kill(driver, db)


def test_setting_after_a_loss(driver: LiveDriver, db: Any) -> None:
    """C5, X3: to set something is a use like any other: it works after a loss, found already or not."""

    def set_autocommit(value: bool) -> None:
        if callable(db.autocommit):
            db.autocommit(value)
        else:
            db.autocommit = value

    kill(driver, db)
    set_autocommit(True)
    run(db, "select 1")
    assert not transaction_open(driver, db)
    set_autocommit(False)
    run(db, "begin")
    kill(driver, db)
    with pytest.raises(losses(driver)):
        run(db, "select 1")
    db.rollback()
    set_autocommit(True)
    run(db, "select 1")
    assert not transaction_open(driver, db)


def test_arraysize_survives(driver: LiveDriver, db: Any) -> None:
    """X3: a cursor that goes on after a reopening keeps its arraysize."""
    cursor = db.cursor()
    cursor.arraysize = 7
    kill(driver, db)
    cursor.execute("select 1")
    assert cursor.arraysize == 7


# C12, what happens in a transaction


def test_begin_in_autocommit_is_real(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """C12: begin() in autocommit starts a transaction that rollback() undoes; afterwards it is autocommit again."""
    db = persist({"autocommit": True}).connection()
    db.begin()
    write(db, table, 1)
    assert numbers(rows, table) == []
    assert transaction_open(driver, db.driver_connection)
    db.rollback()
    assert numbers(rows, table) == []
    db.begin()
    with pytest.raises(PersistentDBError, match="begun already"):
        db.begin()
    write(db, table, 2)
    db.commit()
    assert numbers(rows, table) == [2]
    with pytest.raises(ZeroDivisionError), db.transaction():
        write(db, table, 3)
        raise ZeroDivisionError
    write(db, table, 4)
    assert numbers(rows, table) == [2, 4]
    assert not transaction_open(driver, db.driver_connection)


@AUTOCOMMIT
def test_error_inside_a_transaction_is_its_own(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, autocommit: bool
) -> None:
    """C12: savepoints and aborted transactions are the caller's affair: the session stays, and so does the work."""
    db = persist({"autocommit": autocommit}).connection()
    session = session_of(db)
    db.begin()
    write(db, table, 1)
    run(db, "savepoint here")
    with pytest.raises(driver.module.Error, match=r"[Dd]uplicate"):
        write(db, table, 1)
    if driver.server.title == "PostgreSQL":
        with pytest.raises(driver.module.Error, match="transaction is aborted"):
            write(db, table, 2)
    run(db, "rollback to savepoint here")
    write(db, table, 3)
    assert numbers(rows, table) == []
    db.commit()
    assert numbers(rows, table) == [1, 3]
    assert session_of(db) == session


def test_begin_by_sql_is_a_transaction(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """X1: a transaction that the caller opens by SQL in autocommit is not lost in silence either."""
    db = persist({"autocommit": True}).connection()
    run(db, "begin")
    write(db, table, 1)
    assert db.in_transaction is True
    kill(driver, db)
    with pytest.raises(losses(driver)):
        write(db, table, 2)
    with pytest.raises(TransactionLost):
        write(db, table, 2)
    db.rollback()
    write(db, table, 3)
    assert numbers(rows, table) == [3]


# Drivers without a profile: the inherited rules. Nothing here asks for what is known of these three by now.


def pg8000_creator(server: PrivateServer) -> Callable[[], Any]:
    """Return a function that connects by pg8000."""
    module = pytest.importorskip("pg8000.dbapi", reason="pg8000 is not installed: pip install pg8000")
    return lambda: module.connect(server.user, host=server.host, port=server.port, database=server.database)


def pgdb_creator(server: PrivateServer) -> Callable[[], Any]:
    """Return a function that connects by pgdb."""
    module = pytest.importorskip("pgdb", reason="pgdb is not installed: pip install PyGreSQL")
    where = f"{server.host}:{server.port}"
    return lambda: module.connect(host=where, user=server.user, database=server.database, sslmode="disable")


def mariadb_creator(server: PrivateServer) -> Callable[[], Any]:
    """Return a function that connects by MariaDB's own connector."""
    module = pytest.importorskip("mariadb", reason="mariadb is not installed: pip install mariadb")
    words = ("host", "port", "user", "password", "database")
    return lambda: module.connect(**{word: getattr(server, word) for word in words})


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget all profiles."""
    monkeypatch.setattr(drivers, "_PROFILES", {})
    drivers._profile_of_class.cache_clear()
    yield
    drivers._profile_of_class.cache_clear()


@pytest.fixture(
    params=[(PostgresServer, pg8000_creator), (PostgresServer, pgdb_creator), (MariaDBServer, mariadb_creator)],
    ids=["pg8000", "pgdb", "mariadb"],
)
def unprofiled(request: pytest.FixtureRequest, nothing_known: None) -> Iterator[Any]:
    """Lend the server, a function that makes a PersistentDB, and a table, for a driver as if it had no profile."""
    server_class, creator_for = request.param
    server = request.getfixturevalue("postgres" if server_class is PostgresServer else "mariadb")
    creator = creator_for(server)
    server.create_table("t_unprofiled")
    with contextlib.ExitStack() as made:
        yield server, lambda **kwargs: made.enter_context(PersistentDB(creator, **kwargs)), "t_unprofiled"
    server.ensure_running()
    server.drop_table("t_unprofiled")


def test_unprofiled_driver_after_a_loss_while_idle(unprofiled: Any) -> None:
    """C5: with a driver of which nothing is known a request finds the loss, and the next write works, once."""
    server, persist, table = unprofiled
    persistent = persist()
    for number, lose in enumerate((server.end_sessions, server.restart)):
        db = persistent.connection()
        lose()
        assert persistent.connection() is db
        write(db, table, number)
        db.commit()
        persistent.connection()
        lose()
        with persistent.connection().transaction():
            write(db, table, number + 10)
    assert numbers(server.rows, table) == [0, 1, 10, 11]


def test_unprofiled_driver_without_a_ping(unprofiled: Any, request: pytest.FixtureRequest) -> None:
    """C5, X1: without a ping a lost statement is sent again by the inherited rule; pgdb's error hides the loss (F4)."""
    server, persist, table = unprofiled
    db = persist(ping=0).connection()
    server.end_sessions()
    if "pgdb" in request.node.name:
        with pytest.raises(importlib.import_module("pgdb").ProgrammingError):
            write(db, table, 0)
        db.rollback()
    write(db, table, 1)
    db.commit()
    assert numbers(server.rows, table) == [1]


def driver_of(request: pytest.FixtureRequest) -> Any:
    """Return the module of the driver that a test over `unprofiled` is run with."""
    return importlib.import_module(request.node.callspec.id.partition("-")[0])


@pytest.mark.parametrize("begin", [False, True], ids=["implicit", "begin"])
def test_unprofiled_driver_loses_no_work_in_silence(
    unprofiled: Any, request: pytest.FixtureRequest, begin: bool
) -> None:
    """X1: whatever is known of the driver, uncommitted work that is lost raises, begin() or not.

    pgdb's error hides the loss (F4), so it is met in the commit.
    """
    server, persist, table = unprofiled
    db = persist().connection()
    if begin:
        db.begin()
    write(db, table, 1)
    server.end_sessions()
    module, hidden = driver_of(request), "pgdb" in request.node.name
    with pytest.raises(module.ProgrammingError if hidden else module.InterfaceError) as caught:
        write(db, table, 2)
    assert not isinstance(caught.value, PersistentDBError)
    with pytest.raises(CommitOutcomeUnknown if hidden else TransactionLost):
        db.commit()
    db.rollback()
    assert numbers(server.rows, table) == []
    with db.transaction():
        write(db, table, 3)
    assert numbers(server.rows, table) == [3]


def test_unprofiled_driver_loses_no_commit_in_silence(unprofiled: Any, request: pytest.FixtureRequest) -> None:
    """X1: a commit() on a dead session raises; what the error says of the outcome depends on the driver."""
    server, persist, table = unprofiled
    db = persist().connection()
    write(db, table, 1)
    server.end_sessions()
    with pytest.raises(driver_of(request).ProgrammingError if "pgdb" in request.node.name else CommitOutcomeUnknown):
        db.commit()
    assert numbers(server.rows, table) == []
    db.close()
    by_request = persist().connection()
    write(by_request, table, 2)
    by_request.commit()
    assert numbers(server.rows, table) == [2]
