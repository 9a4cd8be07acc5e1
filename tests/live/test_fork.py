"""Forked children over real drivers: nobody hears of them, and the parent's session lives on (X5).

The parent is `fork_parent.py`, a program of its own: its children end in every way, also through the interpreter's end.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from forking import forked, forking_allowed
from servers import LiveDriver

from persistentdb import PersistentDB

from .deeds import Persist, Rows, numbers, run
from .test_tls import SECURED

pytestmark = [pytest.mark.server, pytest.mark.skipif(not hasattr(os, "fork"), reason="nobody forks here")]

ROOT = Path(__file__).resolve().parents[2]
ENDINGS = {"return": 0, "sys.exit": 3, "os._exit": 4, "exception": 1, "SIGTERM": -15, "SIGKILL": -9}
UNBUFFERED = ("psycopg", "psycopg2", "pymysql", "mysqlclient", "mariadb")


def life_of(driver: LiveDriver, situation: str, table: str, **connect: Any) -> dict[str, Any]:
    """Run the parent of `fork_parent.py` and count its sessions at the end; return what it said."""
    if situation == "unbuffered" and driver.name not in UNBUFFERED:
        pytest.skip(f"{driver.name} buffers every result")
    postgres = driver.server.title == "PostgreSQL"
    plan = {
        "module": driver.module.__name__,
        "connect": driver.connect_kwargs(**connect),
        "session_sql": driver.session_id_sql,
        "slow_sql": driver.slow(1),
        "rows_sql": "select n, repeat('x', 1000) from generate_series(1, 2000) n"
        if postgres
        else "select seq, repeat('x', 1000) from seq_1_to_2000",
        "table": table,
        "situation": situation,
        "endings": list(ENDINGS),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.live.fork_parent", json.dumps(plan)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if line:
            driver.server.await_sessions(1)  # the parent's, and none that a child left
        _, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (0, "")
    said: dict[str, Any] = json.loads(line)
    return said


def check(said: dict[str, Any]) -> None:
    """Check what holds in every situation."""
    before, after = said["session"]
    assert before == after, "the parent has another session"
    assert all(said["answers"]), "the parent got a wrong answer"
    children = said["children"]
    assert {ending: child["status"] for ending, child in children.items()} == ENDINGS
    sessions = [child["session"] for child in children.values()]
    assert len({before, *sessions}) == 1 + len(ENDINGS), "a session is used by two processes"
    assert all(all(child["answers"]) for child in children.values()), "a child got a wrong answer"
    assert said.get("rows", 2000) == 2000, "the parent's rows were cut short"


def check_transaction(said: dict[str, Any], committed: list[int]) -> None:
    """Check what holds after a fork inside of a transaction."""
    for child in said["children"].values():
        for deed in ("statement", "commit"):
            kind, text = child[deed]
            assert kind == "TransactionLost"
            assert "belongs to the parent process" in text
    assert committed == list(range(len(ENDINGS) + 1)), "the parent's transaction is not whole"


@pytest.mark.parametrize("situation", ["idle", "buffered", "unbuffered"])
def test_a_child_is_never_heard_of(driver: LiveDriver, table: str, situation: str) -> None:
    """X5: however a child ends, the parent keeps its session, and nobody gets the other's answers."""
    said = life_of(driver, situation, table)
    check(said)
    for child in said["children"].values():
        assert child.get("close", ["result", None]) == ["result", None]
        if situation == "unbuffered":
            assert child["fetch"][0] == "error", "the child read on from the parent's session"


@pytest.mark.parametrize("situation", ["implicit", "explicit"])
def test_a_transaction_stays_with_the_parent(driver: LiveDriver, table: str, rows: Rows, situation: str) -> None:
    """X5: the parent's transaction goes on and commits whole; the child is told that it has none."""
    said = life_of(driver, situation, table)
    check(said)
    check_transaction(said, numbers(rows, table))


def test_other_threads_of_the_parent_go_on(driver: LiveDriver, table: str, rows: Rows) -> None:
    """X5: what the parent's other threads were in the middle of is neither touched nor closed by a child."""
    check(life_of(driver, "busy", table))
    assert numbers(rows, table) == [100]


@pytest.mark.slow
class TestUnderTLS:
    """The same with encrypted sessions, where a goodbye and half a result may wait in the library's own buffers."""

    @pytest.fixture(autouse=True)
    def driver(self, driver: LiveDriver, request: pytest.FixtureRequest) -> LiveDriver:
        """Lend each real driver in turn, with a running server that takes encrypted connections."""
        return LiveDriver(driver.driver, driver.module, request.getfixturevalue(f"{driver.driver.server}_tls"))

    @pytest.mark.parametrize("situation", ["explicit", "unbuffered", "buffered"])
    def test_nothing_is_said_under_tls(self, driver: LiveDriver, table: str, rows: Rows, situation: str) -> None:
        """X5: a child says nothing on an encrypted session either."""
        authority = str(driver.server.authority)
        secured = {"ssl_context": {"cafile": authority}} if driver.name == "pg8000" else SECURED[driver.name](authority)
        said = life_of(driver, situation, table, **secured)
        check(said)
        if situation == "explicit":
            check_transaction(said, numbers(rows, table))


class TestManyWorkers:
    """Preforked workers and pools, all busy together with their parent."""

    def questions(self, persist: PersistentDB[Any], who: int, count: int = 300) -> int:
        """Ask questions whose answers differ, and check each; return the number of the session."""
        db = persist.connection()
        for number in range(count):
            assert run(db, f"select {who}, {number}") == [(who, number)]
        return int(run(db, self.session_sql)[0][0])

    @pytest.fixture(autouse=True)
    def session_sql_of(self, driver: LiveDriver) -> None:
        """Remember what asks for a session."""
        self.session_sql = driver.session_id_sql

    def test_preforked_workers(self, driver: LiveDriver, persist: Persist) -> None:
        """X5: workers that were forked with the parent's connection open each have a session of their own."""
        database = persist()
        own = self.questions(database, 0, 1)
        children = [forked(lambda who=who: self.questions(database, who)) for who in range(1, 9)]
        assert self.questions(database, 0) == own
        sessions = [child.result() for child in children]
        assert len({own, *sessions}) == 9
        assert self.questions(database, 0) == own
        database.connection().rollback()
        driver.server.await_sessions(1)

    def test_a_child_of_a_child(self, driver: LiveDriver, persist: Persist) -> None:
        """X5: a child's own session is the parent's for its children."""
        database = persist()

        def child() -> list[int]:
            own = self.questions(database, 1, 1)
            grandchild = forked(lambda: self.questions(database, 2, 50)).result()
            assert self.questions(database, 1, 50) == own
            return [own, grandchild]

        own = self.questions(database, 0, 1)
        sessions = forked(child).result()
        assert len({own, *sessions}) == 3
        assert self.questions(database, 0, 50) == own
        database.connection().rollback()
        driver.server.await_sessions(1)

    def test_multiprocessing(self, driver: LiveDriver, persist: Persist) -> None:
        """X5: so do processes of `multiprocessing` with the start method fork."""
        database = persist()
        own = self.questions(database, 0, 1)
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        workers = [
            context.Process(target=lambda who=who: queue.put(self.questions(database, who)), daemon=True)
            for who in range(1, 4)
        ]
        for worker in workers:
            with forking_allowed():
                worker.start()
        self.questions(database, 0)
        for worker in workers:
            worker.join(30)
        assert [worker.exitcode for worker in workers] == [0, 0, 0]
        assert len({own, *(queue.get() for _ in workers)}) == 4
        assert self.questions(database, 0) == own
        database.connection().rollback()
        driver.server.await_sessions(1)

    def test_process_pool(self, driver: LiveDriver, persist: Persist) -> None:
        """X5: and so do the workers of a pool, which threads of the parent look after."""
        database = persist()
        _asked[:] = [lambda who: self.questions(database, who, 100)]
        own = self.questions(database, 0, 1)
        with ProcessPoolExecutor(3, multiprocessing.get_context("fork")) as pool:
            with forking_allowed():
                answers = [pool.submit(_ask, who) for who in range(1, 13)]
            self.questions(database, 0)
            sessions = {answer.result(30) for answer in answers}
        assert own not in sessions
        assert self.questions(database, 0) == own
        database.connection().rollback()
        driver.server.await_sessions(1)


_asked: list[Callable[[int], int]] = []
"""What a pool's worker is to do: it inherits this, nothing of it could be sent there."""


def _ask(who: int) -> int:
    return _asked[0](who)
