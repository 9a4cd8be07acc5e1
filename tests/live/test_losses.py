"""A lost connection through the eyes of a user, with real drivers and real servers (C5, C12, X1)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from servers import LiveDriver, driver_params, wait_until

from persistentdb import Backoff, CommitOutcomeUnknown, Outage, TransactionLost

from .deeds import (
    Persist,
    Rows,
    insert,
    kill,
    losses,
    meanwhile,
    notes,
    numbers,
    run,
    session_of,
    unbuffered,
    write,
)

pytestmark = pytest.mark.server

Way = Callable[[Any, Any, str, int], None]

# The ways to write a row: each is given the connection, a cursor made beforehand, the table and the row's number.


def by_execute(db: Any, _cursor: Any, table: str, number: int) -> None:
    """Write by a new cursor, in an implicit transaction."""
    write(db, table, number)
    db.commit()


def by_old_cursor(db: Any, cursor: Any, table: str, number: int) -> None:
    """Write by the cursor made before the loss."""
    cursor.execute(insert(table, number))
    db.commit()


def by_executemany(db: Any, cursor: Any, table: str, number: int) -> None:
    """Write by a statement that may be sent as several."""
    cursor.executemany(f"insert into {table} values (%s, %s)", [(number, "x")])
    db.commit()


def by_begin(db: Any, cursor: Any, table: str, number: int) -> None:
    """Write in a transaction of begin() and commit(), by the old cursor."""
    db.begin()
    cursor.execute(insert(table, number))
    db.commit()


def by_transaction(db: Any, _cursor: Any, table: str, number: int) -> None:
    """Write in a block of transaction()."""
    with db.transaction():
        write(db, table, number)


def by_with(db: Any, _cursor: Any, table: str, number: int) -> None:
    """Write in the connection's own block."""
    with db:
        write(db, table, number)


WAYS: tuple[Way, ...] = (by_execute, by_old_cursor, by_executemany, by_begin, by_transaction, by_with)


def idle(_db: Any) -> None:
    """Leave the connection as it was opened."""


def has_committed(db: Any) -> None:
    """Leave a transaction behind that is over."""
    run(db, "select 1")
    db.commit()


def has_read(db: Any) -> None:
    """Leave an implicit transaction open that only read."""
    run(db, "select 1")


def has_begun(db: Any) -> None:
    """Leave a transaction of begin() behind that is over."""
    db.begin()
    run(db, "select 1")
    db.rollback()


STATES: tuple[Callable[[Any], None], ...] = (idle, has_committed, has_read, has_begun)


# Between two units of work


@pytest.mark.parametrize("autocommit", [False, True], ids=["manual", "autocommit"])
def test_kill_while_idle_is_not_noticed(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, autocommit: bool
) -> None:
    """C5: a session that the server ended between two uses is replaced in silence: one row a write, no error."""
    persistent = persist({"autocommit": autocommit}, ping=0)
    opened = [(prepare, way, persistent.steady_connection()) for prepare in STATES for way in WAYS]
    cursors = [db.cursor() for *_, db in opened]
    for prepare, _, db in opened:
        prepare(db)
    killed = {kill(driver, db) for *_, db in opened}
    for number, ((prepare, way, db), cursor) in enumerate(zip(opened, cursors, strict=True), 1):
        way(db, cursor, table, number)
        assert session_of(db) not in killed
        assert db.in_transaction is False
        assert numbers(rows, table) == list(range(1, number + 1)), (prepare, way)
        db.driver_connection.close()


def test_restart_while_idle_is_not_noticed(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """C5: after the server was killed and started again each way to write works, and writes one row."""
    manual, auto = persist(), persist({"autocommit": True})
    opened = [(way, source.steady_connection()) for way in WAYS for source in (manual, auto)]
    cursors = [db.cursor() for _, db in opened]
    driver.server.kill()
    driver.server.start()
    for number, ((way, db), cursor) in enumerate(zip(opened, cursors, strict=True), 1):
        way(db, cursor, table, number)
    assert numbers(rows, table) == list(range(1, len(opened) + 1))
    for _, db in opened:
        db.driver_connection.close()
    driver.server.await_sessions(0)


def test_server_still_away(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """C5: while the server is away each use raises the driver's error; afterwards all is well, no session is left."""
    db = persist(outage=Outage(backoff=Backoff(first=0))).connection()
    cursor = db.cursor()
    driver.server.kill()
    for use in (db.begin, lambda: cursor.execute("select 1"), lambda: write(db, table, 1)):
        with pytest.raises(driver.module.Error):  # pg8000: InterfaceError, pgdb: InternalError
            use()
        assert db.in_transaction is False
    db.commit()
    db.rollback()
    driver.server.start()
    by_begin(db, cursor, table, 1)
    assert numbers(rows, table) == [1]
    assert driver.server.sessions() == 1


@pytest.mark.parametrize("wrong", ["login", "port"])
def test_cannot_connect(driver: LiveDriver, persist: Persist, wrong: str) -> None:
    """C5: a wrong login or an absent server is the driver's clear error, at once, and leaves no session."""
    database = driver.driver.keywords["database"]
    login = {database: "absent"} if driver.server.title == "PostgreSQL" else {"password": "wrong"}
    persistent = persist(login if wrong == "login" else {"port": 1})
    before = driver.server.sessions()
    for _ in range(2):
        with pytest.raises(driver.module.Error, match=r"absent|denied|refused|[Cc]an't (connect|create)|is away"):
            persistent.connection()
    driver.server.await_sessions(before)


# Inside a transaction


def acknowledge_by_rollback(db: Any) -> None:
    """End the lost transaction."""
    db.rollback()


def acknowledge_by_close(db: Any) -> None:
    """End the lost transaction as C12 says of close()."""
    db.close()


def assert_poisoned(driver: LiveDriver, db: Any, cursor: Any, table: str) -> None:
    """Assert that nothing but an acknowledgement is possible."""
    uses: list[Callable[[], Any]] = [
        lambda: cursor.execute(insert(table, 2)),
        lambda: cursor.executemany(f"insert into {table} values (%s, %s)", [(2, "x")]),
        lambda: write(db, table, 3),
        db.cursor,
        db.begin,
        db.commit,
    ]
    for use in uses * 2:
        with pytest.raises(TransactionLost, match="rollback") as caught:
            use()
        assert isinstance(caught.value, driver.module.OperationalError)
        assert isinstance(caught.value.__cause__, driver.module.Error)
    assert db.in_transaction is True


@pytest.mark.parametrize("autocommit", [False, True], ids=["manual", "autocommit"])
@pytest.mark.parametrize("acknowledge", [acknowledge_by_rollback, acknowledge_by_close])
def test_kill_inside_begin(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, acknowledge: Callable[[Any], None], autocommit: bool
) -> None:
    """C12, X1: the driver's error, then TransactionLost for all until it is acknowledged; then all is well again."""
    db = persist({"autocommit": autocommit}).connection()
    db.begin()
    cursor = db.cursor()
    cursor.execute(insert(table, 1))
    kill(driver, db)
    with pytest.raises(losses(driver)) as caught:
        cursor.execute(insert(table, 2))
    assert not isinstance(caught.value, TransactionLost)
    assert "call rollback(), then repeat the transaction" in notes(caught.value)
    assert_poisoned(driver, db, cursor, table)
    acknowledge(db)
    assert db.in_transaction is False
    with db.transaction():
        write(db, table, 7)
        cursor.execute(insert(table, 8))
    assert numbers(rows, table) == [7, 8]


@pytest.mark.parametrize("swallowed", [False, True], ids=["raised", "swallowed"])
def test_kill_inside_transaction_block(driver: LiveDriver, db: Any, table: str, rows: Rows, swallowed: bool) -> None:
    """X1: leaving the block acknowledges; who swallows the driver's error inside gets TransactionLost at its end."""

    def lose() -> None:
        with db.transaction():
            write(db, table, 1)
            kill(driver, db)
            try:
                write(db, table, 2)
            except losses(driver):
                if not swallowed:
                    raise

    with pytest.raises(losses(driver)) as caught:
        lose()
    assert isinstance(caught.value, TransactionLost) is swallowed
    assert db.in_transaction is False
    by_transaction(db, None, table, 3)
    assert numbers(rows, table) == [3]


@pytest.mark.parametrize("reads", [False, True], ids=["", "with a read between"])
def test_kill_between_two_uncommitted_inserts(driver: LiveDriver, db: Any, table: str, rows: Rows, reads: bool) -> None:
    """X1: the second insert of an implicit transaction never continues in silence without the first (F1)."""
    write(db, table, 1)
    if reads:
        run(db, "select 1")
    kill(driver, db)
    with pytest.raises(losses(driver)) as caught:
        write(db, table, 2)
    assert "together with uncommitted work" in notes(caught.value)
    with pytest.raises(TransactionLost):
        db.commit()
    assert numbers(rows, table) == []
    db.rollback()
    by_execute(db, None, table, 3)
    assert numbers(rows, table) == [3]


@pytest.mark.parametrize("begin", [False, True], ids=["implicit", "begin"])
@pytest.mark.parametrize("autocommit", [False, True], ids=["manual", "autocommit"])
def test_kill_before_commit(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, begin: bool, autocommit: bool
) -> None:
    """X1: commit() on a session that is found dead raises TransactionLost; in autocommit there is nothing to lose."""
    db = persist({"autocommit": autocommit}).connection()
    if begin:
        db.begin()
    write(db, table, 1)
    kill(driver, db)
    if autocommit and not begin:
        db.commit()
        assert numbers(rows, table) == [1]
        return
    for _ in range(2):
        with pytest.raises(TransactionLost) as caught:
            db.commit()
        assert isinstance(caught.value, driver.module.OperationalError)
        assert not isinstance(caught.value, CommitOutcomeUnknown)
    db.rollback()
    assert numbers(rows, table) == []
    by_execute(db, None, table, 2)
    assert numbers(rows, table) == [2]


@pytest.mark.parametrize("begin", [False, True], ids=["implicit", "begin"])
def test_kill_before_rollback(driver: LiveDriver, db: Any, table: str, rows: Rows, begin: bool) -> None:
    """X1: rollback() of a transaction whose session is dead succeeds: the server has rolled back."""
    if begin:
        db.begin()
    write(db, table, 1)
    kill(driver, db)
    db.rollback()
    by_begin(db, db.cursor(), table, 2)
    assert numbers(rows, table) == [2]


# In the middle of a statement


class Counter:
    """A sequence on the server: it counts how often a statement was begun, and no rollback takes that back."""

    def __init__(self, driver: LiveDriver, name: str) -> None:
        self._postgres = driver.server.title == "PostgreSQL"
        self._server, self._name = driver.server, name
        driver.server.query(f"create sequence {name}" + ("" if self._postgres else " nocache"))

    @property
    def step(self) -> str:
        """The expression that counts."""
        return f"nextval('{self._name}')" if self._postgres else f"nextval({self._name})"

    @property
    def value(self) -> int:
        """How often it was evaluated."""
        value = "case when is_called then last_value else 0 end" if self._postgres else "next_not_cached_value - 1"
        return int(self._server.query(f"select {value} from {self._name}")[0][0])

    def drop(self) -> None:
        """Remove the sequence."""
        self._server.query(f"drop sequence {self._name}")


@pytest.fixture
def counter(driver: LiveDriver, table: str) -> Any:
    """Lend a new counter on the driver's server."""
    counter = Counter(driver, f"{table}_counter")
    yield counter
    counter.drop()


@pytest.mark.parametrize("autocommit", [False, True], ids=["manual", "autocommit"])
def test_kill_in_the_middle_of_a_statement(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, counter: Counter, autocommit: bool
) -> None:
    """X1: a statement that was on its way when the session died raises with a note and is not sent again."""
    db = persist({"autocommit": autocommit}).connection()
    slow = driver.slow(20).replace("select ", f"select {counter.step}, ")

    def kill_when_begun() -> None:
        wait_until(lambda: counter.value == 1, "the statement to begin")
        driver.kill(session)

    session = session_of(db)
    with meanwhile(kill_when_begun), pytest.raises(losses(driver)) as caught:
        run(db, slow)
    assert "not sent again, because the server may have executed it" in notes(caught.value)
    assert counter.value == 1
    assert db.in_transaction is False
    by_execute(db, None, table, 1)
    assert numbers(rows, table) == [1]
    assert counter.value == 1


# Interrupts


@contextmanager
def interrupted(when: Callable[[], bool]) -> Iterator[None]:
    """Interrupt the main thread, as Ctrl-C does, once something holds."""

    def interrupt() -> None:
        wait_until(when, "the moment to interrupt")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with meanwhile(interrupt):
        yield


# psycopg2 and mysqlclient wait in C, where an interrupt has no effect until the reply is there.
INTERRUPTIBLE = pytest.mark.parametrize("driver", driver_params("psycopg", "pymysql"), indirect=True)


@INTERRUPTIBLE
@pytest.mark.parametrize("begin", [False, True], ids=["", "begin"])
def test_interrupt_in_the_middle_of_a_statement(
    driver: LiveDriver, db: Any, table: str, rows: Rows, counter: Counter, begin: bool
) -> None:
    """X1: an interrupt reaches the caller; its connection is never used again, and a transaction on it is lost."""
    session = session_of(db)
    if begin:
        db.begin()
        write(db, table, 1)
    slow = driver.slow(5).replace("select ", f"select {counter.step}, ")
    with pytest.raises(KeyboardInterrupt), interrupted(lambda: counter.value == 1):
        run(db, slow)
    if begin:
        with pytest.raises(TransactionLost):
            db.commit()
        db.rollback()
    by_execute(db, None, table, 2)
    assert session_of(db) != session
    assert numbers(rows, table) == [2]
    assert counter.value == 1
    with suppress(LookupError):  # psycopg has cancelled it
        driver.kill(session)  # MariaDB would sleep on


@pytest.mark.parametrize("driver", driver_params("pymysql"), indirect=True)
def test_interrupt_while_an_unbuffered_cursor_is_closed(driver: LiveDriver, db: Any) -> None:
    """X1: closing an SSCursor reads the rest of its rows; an interrupt meanwhile reaches the caller, too."""
    session = session_of(db)
    closing_began = threading.Event()
    with unbuffered(driver, db) as cursor:
        cursor.execute("select seq, repeat('x', 50000), if(seq > 5, sleep(0.02), 0) from seq_1_to_200")
        cursor.fetchone()
        with pytest.raises(KeyboardInterrupt), interrupted(closing_began.is_set):
            closing_began.set()
            cursor.close()
        assert run(db, "select 1") == [(1,)]
        assert session_of(db) != session
