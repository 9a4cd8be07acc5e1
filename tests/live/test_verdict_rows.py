"""Every kind of failure that a local server can produce: what each driver's error means, and what then happens (X2).

Each loss is met by a raw connection, whose error is judged, and by a steady one in the same state, which recovers or
raises. What is known of single drivers stands in `test_profiles.py`; here every driver goes through every row.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import psutil
import pytest
from attrs import frozen
from servers import LiveDriver, PrivateServer, driver_params, wait_until

from persistentdb import PersistentDB, ServerUnavailable, TransactionLost, Verdict, explain
from persistentdb.drivers import profile_of

from .deeds import Persist, Rows, meanwhile, numbers, run, session_of, write
from .test_losses import Counter
from .test_profiles import busy

pytestmark = pytest.mark.server

POSTGRES = pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2", "pg8000", "pgdb"), indirect=True)
MARIADB = pytest.mark.parametrize("driver", driver_params("pymysql", "mysqlclient", "mariadb"), indirect=True)
LOST = {Verdict.LOST_UNSENT, Verdict.LOST_MAYBE_SENT}


def is_postgres(driver: LiveDriver) -> bool:
    """Whether the driver speaks to PostgreSQL."""
    return driver.server.title == "PostgreSQL"


def code_of(con: Any, error: BaseException) -> object:
    """Return an error's number or SQLSTATE; None where the driver hands out none."""
    return profile_of(con).code(error)


# Ends of an idle session. Each is given the driver and the sessions' numbers; the settings are made beforehand.


def killed(driver: LiveDriver, sessions: list[int]) -> None:
    """An administrator ends the sessions."""
    for session in sessions:
        driver.kill(session)


def restarted(driver: LiveDriver, _sessions: list[int]) -> None:
    """The server is shut down in order, and comes back."""
    driver.server.restart()


def crashed(driver: LiveDriver, _sessions: list[int]) -> None:
    """The server is killed, without a word to its clients, and comes back."""
    driver.server.kill()
    driver.server.start()


def crashed_beside(driver: LiveDriver, _sessions: list[int]) -> None:
    """Another session's process of PostgreSQL crashes; the server ends all others, recovers, and goes on."""
    with closing(driver.server.admin()) as sibling:
        os.kill(sibling.info.backend_pid, signal.SIGKILL)
        wait_until(lambda: not psutil.pid_exists(sibling.info.backend_pid), "the crashed process to be gone")
        wait_until(lambda: answers(driver.server, type(sibling).OperationalError), "the server to have recovered", 20)


def answers(server: PrivateServer, away: type[Exception]) -> bool:
    """Whether the server takes connections, which it does not while it recovers."""
    try:
        return server.query("select 1") == [(1,)]
    except away:
        return False


def waited(driver: LiveDriver, sessions: list[int]) -> None:
    """A time-out ends the sessions."""
    wait_until(lambda: not any(alive(driver.server, session) for session in sessions), "the sessions to be ended")


def alive(server: PrivateServer, session: int) -> bool:
    """Whether the server still has a session."""
    if server.title == "PostgreSQL":
        return psutil.pid_exists(session)  # the entry in pg_stat_activity goes before the socket is closed
    return bool(server.query(f"select id from information_schema.processlist where id = {session}"))


def idle(_driver: LiveDriver, _con: Any, _table: str, _number: int) -> None:
    """Leave the session outside a transaction."""


def reads(_driver: LiveDriver, con: Any, table: str, _number: int) -> None:
    """Leave an implicit transaction open that only read."""
    run(con, f"select * from {table}")


def works(_driver: LiveDriver, con: Any, table: str, number: int) -> None:
    """Leave uncommitted work of an implicit transaction."""
    write(con, table, number)


def begins(_driver: LiveDriver, con: Any, table: str, number: int) -> None:
    """Leave uncommitted work in a transaction that the caller has begun."""
    if hasattr(con, "driver_connection"):
        con.begin()
    write(con, table, number)


State = Callable[[LiveDriver, Any, str, int], None]
STATES: tuple[State, ...] = (idle, reads, works, begins)
AT_STAKE = (works, begins)


@frozen
class End:
    """A way to end a session while its client is silent.

    Attributes:
        name: What the test is called.
        deed: Ends the sessions.
        setting: The statement that makes the server do it by itself.
        states: What the session was left in.
        codes: What the next request's error says, where the driver tells codes and meets the server's own word.
    """

    name: str
    deed: Callable[[LiveDriver, list[int]], None]
    setting: str = ""
    states: tuple[State, ...] = STATES
    codes: frozenset[object] = frozenset()


EVERYWHERE = (End("killed", killed), End("restarted", restarted), End("crashed", crashed))
IN_TRANSACTION = (reads, works, begins)
POSTGRES_ENDS = (
    End("crashed beside", crashed_beside),
    End("57P05", waited, "set idle_session_timeout = '50ms'", (idle,), frozenset({"57P05"})),
    End("25P03", waited, "set idle_in_transaction_session_timeout = '50ms'", IN_TRANSACTION, frozenset({"25P03"})),
    End("25P04", waited, "set transaction_timeout = '200ms'", IN_TRANSACTION, frozenset({"25P04"})),
)
MARIADB_ENDS = (
    End("wait_timeout", waited, "set wait_timeout = 1"),
    End("idle_transaction_timeout", waited, "set idle_transaction_timeout = 1", IN_TRANSACTION),
    End("idle_readonly_transaction_timeout", waited, "set idle_readonly_transaction_timeout = 1", (reads,)),
    End("idle_write_transaction_timeout", waited, "set idle_write_transaction_timeout = 1", AT_STAKE),
)


def left_alone(driver: LiveDriver, table: str, persist: Persist, end: End) -> None:
    """End raw and steady sessions in every state, and check what each error means and what then happens."""
    with ExitStack() as opened:
        pairs = []
        for number, state in enumerate(end.states, 1):
            con = driver.connect()
            opened.callback(quietly, con.close)
            db = persist(ping=0).connection()
            for one in (con, db):
                if end.setting:
                    run(one, end.setting)
                    one.commit()
            state(driver, db, table, number)
            state(driver, con, table, 100 + number)
            pairs.append((number, state, con, db, session_of(db)))
        end.deed(driver, [session for *_, con, _, before in pairs for session in (session_of(con), before)])
        for _, _, con, _, _ in pairs:
            judged(driver, con, end)
        for number, state, _, db, before in pairs:
            recovered(driver, db, table, number, lost_work=state in AT_STAKE)
            assert session_of(db) != before
    expected = [number + 10 * (state in AT_STAKE) for number, state, *_ in pairs]
    assert sorted(numbers(driver.server.rows, table)) == sorted(expected)


def quietly(function: Callable[[], object]) -> None:
    """Call a function whatever it raises: some drivers will not close a lost connection."""
    with suppress(Exception):
        function()


def judged(driver: LiveDriver, con: Any, end: End) -> None:
    """Check what the errors of the next requests on a raw connection mean: a loss, and then for certain no sending."""
    failures = PersistentDB(driver.creator()).failures
    with pytest.raises(driver.module.Error) as caught:
        run(con, "select 1")
    assert failures.verdict(caught.value, con) in LOST, repr(caught.value)
    code = code_of(con, caught.value)
    if end.codes and isinstance(code, str):
        assert code in end.codes
    with pytest.raises(driver.module.Error) as again:
        run(con, "select 1")
    assert failures.verdict(again.value, con) in LOST, repr(again.value)


def recovered(driver: LiveDriver, db: Any, table: str, number: int, *, lost_work: bool) -> None:
    """Check that what was lost raises until it is acknowledged, and that otherwise nobody notices."""
    if lost_work:
        with pytest.raises(driver.module.Error) as caught:
            write(db, table, number)
        assert not isinstance(caught.value, TransactionLost)
        for use in (lambda: write(db, table, number), db.commit):
            with pytest.raises(TransactionLost):
                use()
        db.rollback()
        number += 10
    write(db, table, number)
    db.commit()


@pytest.mark.parametrize("end", EVERYWHERE, ids=lambda end: end.name)
def test_ended_while_idle(driver: LiveDriver, table: str, persist: Persist, end: End) -> None:
    """C5, X1, X2: killed, restarted or crashed: a loss in every state, silent where nothing was at stake."""
    left_alone(driver, table, persist, end)


@POSTGRES
@pytest.mark.parametrize("end", POSTGRES_ENDS, ids=lambda end: end.name)
def test_ended_by_postgresql(driver: LiveDriver, table: str, persist: Persist, end: End) -> None:
    """C5, X1, X2: the same when PostgreSQL ends the session: idle, in too long a transaction, or in another's crash."""
    if "transaction_timeout" in end.setting.split() and not has_setting(driver, "transaction_timeout"):
        pytest.skip("transaction_timeout came with PostgreSQL 17")
    left_alone(driver, table, persist, end)


@MARIADB
@pytest.mark.parametrize("end", MARIADB_ENDS, ids=lambda end: end.name)
def test_ended_by_a_time_out_of_mariadb(driver: LiveDriver, table: str, persist: Persist, end: End) -> None:
    """C5, X1, X2: the same with MariaDB's time-outs for idle sessions and idle transactions."""
    left_alone(driver, table, persist, end)


def has_setting(driver: LiveDriver, name: str) -> bool:
    """Whether the PostgreSQL server knows a setting."""
    return driver.server.query(f"select 1 from pg_settings where name = '{name}'") == [(1,)]


# Ends in the middle of a statement


@pytest.fixture
def counter(driver: LiveDriver, table: str) -> Iterator[Counter]:
    """Lend a counter of what the server began to execute."""
    counter = Counter(driver, f"{table}_counter")
    yield counter
    driver.server.ensure_running()
    counter.drop()


def stopped(driver: LiveDriver, _sessions: list[int]) -> None:
    """The server is shut down in order."""
    driver.server.stop()


def broken_down(driver: LiveDriver, _sessions: list[int]) -> None:
    """The server is killed."""
    driver.server.kill()


def ended_in_the_middle(
    driver: LiveDriver,
    table: str,
    persist: Persist,
    counter: Counter,
    mode: str,
    deed: Callable[[LiveDriver, list[int]], None],
) -> None:
    """End a session that is at work, and check that nothing is sent again and earlier work of its own is lost."""
    db = persist({"autocommit": mode == "autocommit"}).connection()
    session = session_of(db)
    if mode == "begin":
        db.begin()
    if mode in ("work", "begin"):
        write(db, table, 1)
    raw = db.driver_connection

    def end() -> None:
        wait_until(lambda: busy(driver, session), "the statement to run")
        deed(driver, [session])

    with meanwhile(end), pytest.raises(driver.module.Error) as caught:
        run(db, driver.slow(20).replace("select ", f"select {counter.step}, "))
    assert PersistentDB(driver.creator()).failures.verdict(caught.value, raw) is Verdict.LOST_MAYBE_SENT
    driver.server.ensure_running()
    if mode in ("work", "begin"):
        with pytest.raises(TransactionLost):
            db.commit()
        db.rollback()
    write(db, table, 2)
    db.commit()
    assert numbers(driver.server.rows, table) == [2]
    # A crash takes back what a sequence has counted, or counts ahead; that the server ran it once is known.
    if deed is killed:
        assert counter.value == 1


@pytest.mark.parametrize(
    ("deed", "mode"),
    [
        *((killed, mode) for mode in ("implicit", "work", "begin", "autocommit")),
        *((deed, mode) for deed in (stopped, broken_down) for mode in ("work", "autocommit")),
    ],
)
def test_ended_in_the_middle_of_a_statement(
    driver: LiveDriver,
    table: str,
    persist: Persist,
    counter: Counter,
    mode: str,
    deed: Callable[[LiveDriver, list[int]], None],
) -> None:
    """X1, X2: it may have been executed: raised, never sent again, and earlier work of its transaction is lost."""
    ended_in_the_middle(driver, table, persist, counter, mode, deed)


@POSTGRES
@pytest.mark.parametrize("mode", ["work", "autocommit"])
def test_ended_in_the_middle_by_the_crash_of_another_session(
    driver: LiveDriver, table: str, persist: Persist, counter: Counter, mode: str
) -> None:
    """X1, X2: the same when PostgreSQL ends all sessions because the process of one has crashed."""
    ended_in_the_middle(driver, table, persist, counter, mode, crashed_beside)


@pytest.mark.parametrize("driver", driver_params("psycopg"), indirect=True)
def test_a_crash_is_told_by_a_warning(driver: LiveDriver) -> None:
    """X2: PostgreSQL tells 57P02 as a warning; the error that follows has no code, and is a loss all the same."""
    told: list[str | None] = []
    with closing(driver.connect()) as con:
        con.add_notice_handler(lambda notice: told.append(notice.sqlstate))
        crashed_beside(driver, [])
        with pytest.raises(driver.module.OperationalError) as caught:
            run(con, "select 1")
        assert told == ["57P02"]
        assert code_of(con, caught.value) is None
        assert PersistentDB(driver.creator()).failures.verdict(caught.value, con) in LOST


@POSTGRES
@pytest.mark.parametrize("begin", [False, True], ids=["implicit", "begin"])
def test_transaction_time_out_in_the_middle_of_a_statement(
    driver: LiveDriver, table: str, persist: Persist, rows: Rows, begin: bool
) -> None:
    """X1, X2: PostgreSQL's transaction_timeout (25P04) ends a session that is at work, together with that work."""
    if not has_setting(driver, "transaction_timeout"):
        pytest.skip("transaction_timeout came with PostgreSQL 17")
    db = persist().connection()
    run(db, "set transaction_timeout = '200ms'")
    db.commit()
    session = session_of(db)
    if begin:
        db.begin()
    write(db, table, 1)
    raw = db.driver_connection
    with pytest.raises(driver.module.Error) as caught:
        run(db, driver.slow(20))
    assert PersistentDB(driver.creator()).failures.verdict(caught.value, raw) is Verdict.LOST_MAYBE_SENT
    assert code_of(raw, caught.value) in ("25P04", None)
    with pytest.raises(TransactionLost):
        db.commit()
    db.rollback()
    write(db, table, 2)
    db.commit()
    assert session_of(db) != session
    assert numbers(rows, table) == [2]


# What is no loss, in the middle of a transaction


@frozen
class Refusal:
    """A statement that a healthy session answers with an error.

    Attributes:
        code: The error's number or SQLSTATE.
        statement: What is refused; row 1 of the table is held by another session meanwhile.
        before: What makes the server refuse it so soon.
        listed: Whether a row of the driver's speaks of it; else it is that the server answers at all which decides.
    """

    code: object
    statement: str
    before: str = "select 1"
    listed: bool = True


HELD = "update {table} set note = 'mine' where id = 1"
SORT = "select count(*) from (select generate_series(1, 100000) as number order by number desc) as sorted"
POSTGRES_REFUSALS = (
    Refusal("57014", "select pg_sleep(20)", "set local statement_timeout = '50ms'"),
    Refusal("55P03", HELD, "set local lock_timeout = '50ms'"),
    Refusal("08006", "do $$ begin raise sqlstate '08006'; end $$", listed=False),
    Refusal(
        "57P01",
        "do $$ begin raise sqlstate '57P01' using message = 'server closed the connection'; end $$",
        listed=False,
    ),
    Refusal("53100", "copy (select 1) to '/dev/full'"),
    Refusal("53400", SORT, "select set_config('work_mem', '64kB', true), set_config('temp_file_limit', '64', true)"),
    Refusal("54001", "select 1" + "+1" * 5000, "set local max_stack_depth = '100kB'"),
    Refusal("58P01", "load 'absent'"),
    Refusal("42P01", "select * from absent", listed=False),
    Refusal("23505", "insert into {table} values (2, 'x')", listed=False),
)
MARIADB_REFUSALS = (
    Refusal(1969, "select sleep(20), seq from seq_1_to_2", "set max_statement_time = 0.05"),
    Refusal(1205, HELD, "set innodb_lock_wait_timeout = 1"),
    Refusal(1146, "select * from absent", listed=False),
    Refusal(1062, "insert into {table} values (2, 'x')", listed=False),
)


def refused(driver: LiveDriver, table: str, db: Any, refusal: Refusal, begin: bool) -> None:
    """Have a statement refused inside a transaction with work: the session, and what the server kept, stay."""
    postgres = is_postgres(driver)
    driver.server.query(f"insert into {table} values (1, 'theirs')")
    session = session_of(db)
    if begin:
        db.begin()
    write(db, table, 2)
    run(db, refusal.before)
    if postgres:
        run(db, "savepoint here")
    with closing(driver.connect()) as holder:
        run(holder, f"update {table} set note = 'held' where id = 1")
        with pytest.raises(driver.module.Error) as caught:
            run(db, refusal.statement.format(table=table))
        holder.rollback()
    raw = db.driver_connection
    assert code_of(raw, caught.value) == refusal.code
    told = explain(caught.value, raw)
    assert told.verdict is PersistentDB(driver.creator()).failures.verdict(caught.value, raw) is Verdict.NOT_LOST
    assert (told.rule is not None) is refusal.listed, told
    assert not getattr(caught.value, "__notes__", [])
    assert db.in_transaction is True
    if postgres:
        run(db, "rollback to savepoint here")
    write(db, table, 3)
    assert session_of(db) == session
    db.commit()
    assert session_of(db) == session
    assert driver.server.rows(table) == [(1, "theirs"), (2, "x"), (3, "x")]


BEGIN = pytest.mark.parametrize("begin", [False, True], ids=["implicit", "begin"])


@POSTGRES
@BEGIN
@pytest.mark.parametrize("refusal", POSTGRES_REFUSALS, ids=lambda refusal: refusal.code)
def test_refused_in_a_transaction_of_postgresql(
    driver: LiveDriver, table: str, db: Any, refusal: Refusal, begin: bool
) -> None:
    """X2: time-outs, lock waits and errors of the statement's own cost neither session nor transaction (F3, F15)."""
    refused(driver, table, db, refusal, begin)


@MARIADB
@BEGIN
@pytest.mark.parametrize("refusal", MARIADB_REFUSALS, ids=lambda refusal: str(refusal.code))
def test_refused_in_a_transaction_of_mariadb(
    driver: LiveDriver, table: str, db: Any, refusal: Refusal, begin: bool
) -> None:
    """X2: the same on MariaDB, where a lock wait that timed out takes back its statement alone (F3)."""
    refused(driver, table, db, refusal, begin)


@MARIADB
def test_refused_by_a_read_only_storage_engine(
    driver: LiveDriver, table: str, persist: Persist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X2: a server that was started with `innodb_read_only` refuses to write (1036), and keeps the session.

    MySQL gives an error 1836 there; MariaDB has that as a warning only, and no local server tells it.
    """
    server = driver.server
    command = server._command()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(server, "_command", lambda: [*command, "--innodb-read-only"])
            server.restart()
            db = persist().connection()
            session = session_of(db)
            with pytest.raises(driver.module.OperationalError) as caught:
                write(db, table, 1)
            raw = db.driver_connection
            assert code_of(raw, caught.value) == 1036
            assert PersistentDB(driver.creator()).failures.verdict(caught.value, raw) is Verdict.NOT_LOST
            assert run(db, f"select * from {table}") == []
            assert session_of(db) == session
    finally:
        server.restart()


# Out of connections


@pytest.fixture
def full(driver: LiveDriver) -> Iterator[Callable[[], ExitStack]]:
    """Lend a function that takes all places of the server for us, until what it returns is closed."""
    if is_postgres(driver):
        driver.server.query("create role limited login connection limit 5")
        driver.server.query("grant all on schema public to limited")
    else:
        [(places,)] = driver.server.query("select @@global.max_connections")
        driver.server.query("set global max_connections = 10")

    def fill() -> ExitStack:
        taken = ExitStack()
        with suppress(driver.module.Error):
            for _ in range(10):
                taken.enter_context(closing(driver.connect(**limited(driver))))
        return taken

    yield fill
    if is_postgres(driver):
        driver.server.end_sessions()
        driver.server.query("drop owned by limited")
        driver.server.query("drop role limited")
    else:
        driver.server.query(f"set global max_connections = {places}")


def limited(driver: LiveDriver) -> dict[str, Any]:
    """Return the keywords that connect as somebody who has few places on the server."""
    return {"user": "limited"} if is_postgres(driver) else {}


@pytest.mark.parametrize("begin", [False, True], ids=["statement", "begin"])
def test_no_place_to_reopen(driver: LiveDriver, persist: Persist, full: Callable[[], ExitStack], begin: bool) -> None:
    """X2, X6: too many connections (53300, 1040) at a reopening is raised, then fast; with room all is well."""
    db = persist(limited(driver)).connection()
    driver.kill(session_of(db))

    def use() -> None:
        db.begin() if begin else run(db, "select 1")

    with full():
        with pytest.raises(driver.module.Error, match=r"(?i)too many connections"):
            use()
        assert db.in_transaction is False
        with pytest.raises(ServerUnavailable) as caught:
            use()
        assert isinstance(caught.value, driver.module.OperationalError)
        assert db.in_transaction is False
    driver.server.await_sessions(0)
    wait_until(lambda: works_again(use), "the next attempt to be due")
    db.rollback()
    with db.transaction():
        assert run(db, "select 1")[0][0] == 1
    assert driver.server.sessions() == 1


def works_again(use: Callable[[], object]) -> bool:
    """Whether the server is no longer taken for away."""
    try:
        use()
    except ServerUnavailable:
        return False
    return True


# The client's own close


@pytest.mark.parametrize("state", STATES)
def test_closed_by_the_client(driver: LiveDriver, table: str, db: Any, rows: Rows, state: State) -> None:
    """X1, X2: a driver's connection that was closed under the steady one is a loss like any other."""
    state(driver, db, table, 1)
    session = session_of(db)
    db.driver_connection.close()
    recovered(driver, db, table, 1, lost_work=state in AT_STAKE)
    assert session_of(db) != session
    assert numbers(rows, table) == [11 if state in AT_STAKE else 1]
