"""What PostgreSQL says of a commit whose answer was lost (X1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil
import pytest
from servers import LiveDriver, TcpProxy, driver_params, wait_until

from persistentdb import CommitOutcomeUnknown, PersistentDB, PostgresOutcome, TransactionLost

from .deeds import Persist, Rows, numbers, run, session_of, write

pytestmark = pytest.mark.server

# pg8000 has the statement parsed by a request of its own: what cuts the answer to that comes before the commit itself.
in_one_request = pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2", "pgdb"), indirect=True)
on_postgres = pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2", "pg8000", "pgdb"), indirect=True)


@pytest.fixture
def proxy(driver: LiveDriver, proxy_for: Callable[..., TcpProxy]) -> TcpProxy:
    """Lend a proxy in front of the driver's server."""
    return proxy_for(driver.server)


@pytest.fixture
def resolving(persist: Persist, proxy: TcpProxy) -> PersistentDB[Any]:
    """Lend a PersistentDB through the proxy that has PostgreSQL asked."""
    found: PersistentDB[Any] = persist({"port": proxy.port}, outcome=PostgresOutcome())
    return found


@in_one_request
@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "begin"])
def test_the_answer_was_lost(
    proxy: TcpProxy, resolving: PersistentDB[Any], table: str, rows: Rows, explicit: bool
) -> None:
    """X1: the server has committed, its answer is lost: commit() finds out, and succeeds."""
    db = resolving.connection()
    if explicit:
        db.begin()
    write(db, table, 1)
    trigger = proxy.cut_after_request(b"commit")
    db.commit()
    assert trigger.fired.is_set()
    assert numbers(rows, table) == [1]
    write(db, table, 2)
    db.commit()
    assert numbers(rows, table) == [1, 2]


@on_postgres
def test_the_request_was_lost(
    driver: LiveDriver, proxy: TcpProxy, resolving: PersistentDB[Any], table: str, rows: Rows
) -> None:
    """X1: the server never heard of the commit: commit() finds out that the work is lost; run() does it again."""
    db = resolving.connection()
    write(db, table, 1)
    trigger = proxy.cut_before_request(b"commit")
    with pytest.raises(TransactionLost) as caught:
        db.commit()
    assert trigger.fired.is_set()
    assert isinstance(caught.value, driver.module.OperationalError)
    assert numbers(rows, table) == []
    db.rollback()
    trigger = proxy.cut_before_request(b"commit")
    resolving.run(write, table, 2)
    assert trigger.fired.is_set()
    trigger = proxy.cut_after_request(b"commit")  # with pg8000 this is a lost request, too
    resolving.run(write, table, 3)
    assert trigger.fired.is_set()
    assert numbers(rows, table) == [2, 3]


@on_postgres
def test_a_transaction_without_changed_rows(proxy: TcpProxy, resolving: PersistentDB[Any], table: str) -> None:
    """X1: what became of a transaction of begin() that changed no row is found out, too: it may have sent a NOTIFY."""
    db = resolving.connection()
    for statement in (f"select * from {table}", f"notify {table}"):
        db.begin()
        run(db, statement)
        session = session_of(db)
        trigger = proxy.cut_before_request(b"commit")
        with pytest.raises(TransactionLost):
            db.commit()
        assert trigger.fired.is_set()
        db.rollback()
        with db.transaction():
            run(db, statement)
        assert session_of(db) != session


@on_postgres
def test_a_recovery_is_no_proof(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """X1: after the server recovered "committed" proves nothing, for numbers may be given again: it stays unknown."""
    resolver = PostgresOutcome()
    db = persist().connection()
    write(db, table, 1)
    mark: Any = resolver.mark(db.driver_connection)
    db.commit()
    number, *started = mark
    assert number.isdigit()
    assert all(started)
    fresh = driver.connect()
    assert resolver.committed(mark, fresh) is True
    # A session's process that dies has the whole server recover, under the same postmaster.
    recoveries = _recoveries(driver)
    victim = driver.connect()
    psutil.Process(session_of(victim)).kill()
    wait_until(lambda: _recoveries(driver) > recoveries and _is_up(driver), "the server to have recovered", 20)
    fresh.close()
    fresh = driver.connect()
    assert resolver.committed(mark, fresh) is None
    for one in (victim, fresh):
        one.close()
    assert numbers(rows, table) == [1]


def _recoveries(driver: LiveDriver) -> int:
    return driver.server.log.read_text().count("all server processes terminated; reinitializing")


def _is_up(driver: LiveDriver) -> bool:
    try:
        driver.connect().close()
    except driver.module.Error:
        return False
    return True


@in_one_request
def test_without_a_resolver(proxy: TcpProxy, persist: Persist, table: str, rows: Rows) -> None:
    """X1: the same loss without a resolver is told as unknown, though the server has committed."""
    db = persist({"port": proxy.port}).connection()
    write(db, table, 1)
    trigger = proxy.cut_after_request(b"commit")
    with pytest.raises(CommitOutcomeUnknown):
        db.commit()
    assert trigger.fired.is_set()
    assert numbers(rows, table) == [1]
