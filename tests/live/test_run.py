"""`run()` on real databases: deadlocks, serialization failures and losses end in one commit each (X1)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from servers import LiveDriver

from persistentdb import Rerun

from .deeds import Persist, Rows, kill, numbers, run, session_of, write

pytestmark = pytest.mark.server


def balances(rows: Rows, table: str) -> dict[int, str]:
    """Return what the rows say, by their numbers."""
    return dict(rows(table))


def test_a_deadlock(persist: Persist, table: str, rows: Rows) -> None:
    """X1, X2: of two transactions that wait for each other one is the victim; both are committed, once."""
    pool = persist()
    for number in (1, 2):
        pool.run(write, table, number)
    first_locks = threading.Barrier(2)
    attempts: dict[str, list[int]] = {"a": [], "b": []}

    def add(db: Any, mine: str, order: tuple[int, int]) -> None:
        attempts[mine].append(session_of(db.driver_connection))
        for step, number in enumerate(order):
            if step and len(attempts[mine]) == 1:
                first_locks.wait(20)
            run(db, f"update {table} set note = concat(note, '{mine}') where id = {number}")

    def work(mine: str, order: tuple[int, int]) -> None:
        pool.run(add, mine, order)

    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(work, "a", (1, 2)), threads.submit(work, "b", (2, 1))]
        for future in futures:
            future.result(60)
    assert sorted(map(len, attempts.values())) == [1, 2]
    assert all(len(set(sessions)) == 1 for sessions in attempts.values())  # the victim's session lives on
    assert all(sorted(note) == ["a", "b", "x"] for note in balances(rows, table).values())


def test_a_serialization_failure(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """X1, X2: what could not be serialized is done again, on what the other one has left."""
    postgres = driver.server.title == "PostgreSQL"
    if not postgres and not driver.server.query("show variables like 'innodb_snapshot_isolation'"):
        pytest.skip("this MariaDB knows no serialization failure")
    strict = [] if postgres else ["set innodb_snapshot_isolation = on"]
    pool = persist(setsession=strict)
    pool.run(write, table, 1)
    calls: list[int] = []

    def add(db: Any) -> None:
        if postgres:
            run(db, "set transaction isolation level serializable")
        run(db, f"select * from {table}")
        if not calls:
            driver.server.query(f"update {table} set note = concat(note, 'other')")
        calls.append(1)
        run(db, f"update {table} set note = concat(note, 'mine')")

    pool.run(add)
    assert len(calls) == 2
    assert balances(rows, table) == {1: "xothermine"}


@pytest.mark.parametrize("autocommit", [False, True], ids=["manual", "autocommit"])
def test_a_session_killed_in_the_middle(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, autocommit: bool
) -> None:
    """X1: a transaction that lost its session is done again as a whole, on another one; each row is there once."""
    pool = persist({"autocommit": autocommit}, rerun=Rerun(attempts=3))
    killed: list[int] = []

    def add(db: Any) -> int:
        write(db, table, 1)
        if len(killed) < 2:
            killed.append(kill(driver, db.driver_connection))
        write(db, table, 2)
        return session_of(db.driver_connection)

    assert pool.run(add) not in killed
    assert len(set(killed)) == 2
    assert numbers(rows, table) == [1, 2]


def test_too_many_losses(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """X1: after the last attempt the driver's error is raised, nothing is committed, the thread can go on."""
    pool = persist(rerun=Rerun(attempts=2))
    calls: list[int] = []

    def add(db: Any) -> None:
        calls.append(1)
        write(db, table, 1)
        kill(driver, db.driver_connection)
        write(db, table, 2)

    with pytest.raises(driver.module.Error):
        pool.run(add)
    assert len(calls) == 2
    assert numbers(rows, table) == []
    pool.run(write, table, 3)
    assert numbers(rows, table) == [3]
