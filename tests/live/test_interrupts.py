"""Interrupts out of a driver's call, by real signals: the connection is suspect and never used again (X1).

Drivers written in C take notice of a signal only when their call returns: theirs are short, and done when it comes.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from servers import LiveDriver, TcpProxy, driver_params, wait_until

from persistentdb import CommitOutcomeUnknown, TransactionLost

from .deeds import Persist, Rows, insert, numbers, run, session_of, write
from .test_losses import Counter
from .test_profiles import busy

pytestmark = pytest.mark.server

WAITS_IN_PYTHON = ("psycopg", "pymysql", "pg8000")
"""Drivers whose waiting a signal interrupts at once (psycopg waits in C, and looks for signals ten times a second)."""


class Timeout(BaseException):
    """What a greenlet's time-out is: no Exception, so that no handler of the driver's errors swallows it."""


FROZEN = pytest.mark.parametrize(
    ("driver", "kind"),
    [
        pytest.param(*driver.values, kind, id=f"{driver.id}-{kind.__name__}")
        for driver in driver_params(*WAITS_IN_PYTHON)
        for kind in (KeyboardInterrupt, Timeout)
        if (driver.id, kind) != ("psycopg", KeyboardInterrupt)  # it tries to cancel first, for ten seconds
    ],
    indirect=["driver"],
)
"""Where the server does not answer."""

KINDS = pytest.mark.parametrize("kind", [KeyboardInterrupt, pytest.param(Timeout, marks=pytest.mark.slow)])


def seconds(driver: LiveDriver) -> float:
    """Return how long a statement lasts that is interrupted: the session must not linger long after it."""
    return 1.0 if driver.name in WAITS_IN_PYTHON else 0.5


@contextmanager
def interrupted(kind: type[BaseException], when: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Have the main thread raise *kind* by a signal once something holds and it waits; it has to leave the block."""
    number = signal.SIGINT if kind is KeyboardInterrupt else signal.SIGALRM

    def expired(_number: int, _frame: FrameType | None) -> None:
        raise Timeout

    def send() -> None:
        wait_until(when, "the moment to interrupt", 20)
        wait_until(asleep(), "the main thread to be in the driver's call", 20)
        signal.pthread_kill(threading.main_thread().ident or 0, number)

    before = signal.signal(signal.SIGALRM, expired)
    thread = threading.Thread(target=send)
    try:
        with pytest.raises(kind):
            thread.start()
            yield
            thread.join(20)
    finally:
        thread.join(20)
        signal.signal(signal.SIGALRM, before)


def asleep() -> Callable[[], bool]:
    """Return a condition that holds once the main thread was seen waiting twenty times in a row."""
    seen: list[bool] = []

    def waits() -> bool:
        stat = Path("/proc/self/stat").read_text(encoding="ascii")
        seen.append(stat.rpartition(")")[2].split()[0] == "S")
        return all(seen[-20:]) and len(seen) > 20

    return waits


@pytest.fixture
def counter(driver: LiveDriver, table: str) -> Iterator[Counter]:
    """Lend a counter of what the server began to execute."""
    counter = Counter(driver, f"{table}_counter")
    yield counter
    counter.drop()


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("autocommit", KeyboardInterrupt),
        pytest.param("implicit", KeyboardInterrupt, marks=pytest.mark.slow),
        ("work", KeyboardInterrupt),
        pytest.param("begin", KeyboardInterrupt, marks=pytest.mark.slow),
        ("work", Timeout),
    ],
)
def test_interrupt_in_a_statement(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, counter: Counter, mode: str, kind: type[BaseException]
) -> None:
    """X1: it reaches the caller; the session is replaced and goes away, and work on it is lost until rollback()."""
    db = persist({"autocommit": mode == "autocommit"}).connection()
    session = session_of(db)
    if mode == "begin":
        db.begin()
    if mode in ("work", "begin"):
        write(db, table, 1)
    slow = driver.slow(seconds(driver)).replace("select ", f"select {counter.step}, ")
    with interrupted(kind, lambda: busy(driver, session)):
        run(db, slow)
    if mode in ("work", "begin"):
        for use in (db.commit, lambda: write(db, table, 2), db.begin):
            with pytest.raises(TransactionLost):
                use()
        db.rollback()
    write(db, table, 3)
    db.commit()
    assert session_of(db) != session
    assert numbers(rows, table) == [3]
    assert counter.value == 1
    driver.server.await_sessions(1, timeout=10)


@FROZEN
def test_interrupt_in_begin(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, proxy_for: Any, kind: Any
) -> None:
    """X1: begin() that was interrupted has begun nothing: the next one starts a transaction in a new session."""
    proxy: TcpProxy = proxy_for(driver.server)
    db = persist({"autocommit": True, "port": proxy.port}).connection()
    session = session_of(db)
    proxy.freeze()
    with interrupted(kind):
        db.begin()
    proxy.thaw()
    assert db.in_transaction is False
    db.begin()
    write(db, table, 1)
    assert numbers(rows, table) == []
    db.commit()
    assert session_of(db) != session
    assert numbers(rows, table) == [1]
    driver.server.await_sessions(1)


@FROZEN
@pytest.mark.parametrize("begin", [False, True], ids=["implicit", "begin"])
def test_interrupt_in_commit(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, proxy_for: Any, begin: bool, kind: type[BaseException]
) -> None:
    """X1: a commit that was interrupted is in doubt: the interrupt reaches the caller, then CommitOutcomeUnknown."""
    proxy: TcpProxy = proxy_for(driver.server)
    db = persist({"port": proxy.port}).connection()
    session = session_of(db)
    if begin:
        db.begin()
    write(db, table, 1)
    proxy.freeze()
    with interrupted(kind):
        db.commit()
    for use in (db.commit, lambda: write(db, table, 2), db.begin):
        with pytest.raises(CommitOutcomeUnknown):
            use()
    proxy.thaw()
    db.rollback()
    write(db, table, 3)
    db.commit()
    assert session_of(db) != session
    driver.server.await_sessions(1)
    assert numbers(rows, table) in ([3], [1, 3])


FETCHES = {"psycopg": "a named cursor", "pymysql": "an SSCursor"}


@KINDS
@pytest.mark.parametrize("driver", driver_params(*FETCHES), indirect=True)
@pytest.mark.parametrize("work", [False, True], ids=["reads", "work"])
def test_interrupt_in_a_fetch(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, work: bool, kind: type[BaseException]
) -> None:
    """X1: an interrupt while rows are waited for: the session is replaced, and work on it is lost."""
    db = persist().connection()
    session = session_of(db)
    if work:
        write(db, table, 1)
    if driver.name == "psycopg":
        cursor = db.cursor("named")
        cursor.execute("select g, case when g > 3 then pg_sleep(1) end from generate_series(1, 5) g")
        cursor.fetchmany(3)
    else:
        from pymysql.cursors import SSCursor

        cursor = db.cursor(SSCursor)
        cursor.execute("select seq, repeat('x', 50000), if(seq > 20, sleep(1), 0) from seq_1_to_23")
        cursor.fetchmany(3)
    with interrupted(kind, lambda: busy(driver, session)):
        cursor.fetchall()
    if work:
        with pytest.raises(TransactionLost):
            db.commit()
        db.rollback()
    with suppress(driver.module.Error):
        cursor.close()
    write(db, table, 2)
    db.commit()
    assert session_of(db) != session
    assert numbers(rows, table) == [2]
    driver.server.await_sessions(1, timeout=10)


# A greenlet's time-out, raised by the driver's own way to wait


@contextlib.contextmanager
def waiting_by(callback: Callable[[Any], None]) -> Iterator[None]:
    """Have psycopg2 wait by a function of ours, as greenlets make it do."""
    from psycopg2 import extensions

    extensions.set_wait_callback(callback)
    try:
        yield
    finally:
        extensions.set_wait_callback(None)


@pytest.mark.parametrize("driver", driver_params("psycopg2"), indirect=True)
@pytest.mark.parametrize("mode", ["implicit", "work", "begin", "commit"])
def test_time_out_of_a_greenlet(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, counter: Counter, mode: str
) -> None:
    """X1: a time-out that the wait callback raises is settled like a loss: psycopg2 gives its connection up, too."""
    from psycopg2.extras import wait_select

    expired = False

    def wait(con: Any) -> None:
        if expired:
            raise Timeout
        wait_select(con)

    with waiting_by(wait):
        db = persist().connection()
        session = session_of(db)
        if mode == "begin":
            db.begin()
        if mode != "implicit":
            write(db, table, 1)
        expired = True
        with pytest.raises(Timeout):
            db.commit() if mode == "commit" else run(db, f"select {counter.step}, pg_sleep(0.2)")
        expired = False
        if mode != "implicit":
            with pytest.raises(CommitOutcomeUnknown if mode == "commit" else TransactionLost):
                run(db, insert(table, 2))
            db.rollback()
        write(db, table, 3)
        db.commit()
        assert session_of(db) != session
        driver.server.await_sessions(1)
    assert numbers(rows, table) in ([[3], [1, 3]] if mode == "commit" else [[3]])
    assert counter.value <= 1
