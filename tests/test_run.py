"""`run()`: a transaction as a whole, and again where nothing of it is left."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from persistentdb import (
    Backoff,
    CommitOutcomeUnknown,
    Outage,
    PersistentDB,
    PersistentDBError,
    Rerun,
    ServerUnavailable,
    SteadyConnection,
    TransactionLost,
)
from persistentdb.testing import FakeClock, fake

NO_CHANCE = Backoff(first=1.0, limit=3.0, jitter=0.0)


@pytest.fixture
def server() -> fake.FakeServer:
    """A server whose driver is known."""
    return fake.FakeServer(known=True)


@pytest.fixture
def clock() -> FakeClock:
    """The clock on which run() sleeps."""
    return FakeClock()


@pytest.fixture
def persist(server: fake.FakeServer, clock: FakeClock) -> Iterator[PersistentDB[Any]]:
    """A PersistentDB that tries four times, and sleeps on the fake clock."""
    rerun = Rerun(attempts=4, backoff=NO_CHANCE, sleep=clock.sleep)
    with PersistentDB(server.connect, rerun=rerun, outage=Outage(backoff=Backoff(first=0))) as made:
        yield made


def transfer(db: SteadyConnection[Any], amount: int, *, to: str) -> str:
    """Do two pieces of work that belong together."""
    cursor = db.cursor()
    cursor.execute(f"update a {amount}")
    cursor.execute(f"update {to} {amount}")
    return f"{amount} to {to}"


DONE = ["update a 5", "update b 5"]


def deadlock() -> fake.OperationalError:
    """What a server raises that has ended the transaction for another one's sake."""
    return fake.OperationalError("deadlock detected", code="40P01")


def test_it_commits_and_returns(server: fake.FakeServer, persist: PersistentDB[Any], clock: FakeClock) -> None:
    """X1: what the function did is committed once, and its result returned."""
    assert persist.run(transfer, 5, to="b") == "5 to b"
    assert server.executed == server.committed == DONE
    assert clock.sleeps == []
    assert not persist.connection().in_transaction


@pytest.mark.parametrize("where", ["update a 5", "update b 5"])
@pytest.mark.parametrize("how", ["lose_before", "lose_after", "lose_unsent"])
def test_a_loss_runs_it_again(
    server: fake.FakeServer, persist: PersistentDB[Any], clock: FakeClock, where: str, how: str
) -> None:
    """X1: a transaction that was lost before its commit is run again as a whole, on a new connection."""
    getattr(server, how)(where)
    assert persist.run(transfer, 5, to="b") == "5 to b"
    assert server.committed == DONE
    assert clock.sleeps == [1.0]
    assert len(server.connections) == 2


def test_a_commit_that_was_not_sent(server: fake.FakeServer, persist: PersistentDB[Any]) -> None:
    """X1: a link that is found dead before the commit is sent means certainly not committed: again."""
    calls: list[int] = []

    def work(db: SteadyConnection[Any]) -> None:
        db.cursor().execute("update a")
        if not calls:
            server.kill()
        calls.append(1)

    persist.run(work)
    assert server.committed == ["update a"]
    assert len(calls) == 2


@pytest.mark.parametrize("how", ["lose_before", "lose_after"])
def test_an_unknown_commit_is_never_run_again(
    server: fake.FakeServer, persist: PersistentDB[Any], clock: FakeClock, how: str
) -> None:
    """X1: a commit that may have happened is told, whether it did or not, and the function is not called again."""
    getattr(server, how)("commit")
    with pytest.raises(CommitOutcomeUnknown):
        persist.run(transfer, 5, to="b")
    assert server.executed == DONE
    assert server.committed == (DONE if how == "lose_after" else [])
    assert clock.sleeps == []
    persist.run(transfer, 6, to="b")  # the thread's connection is clean again
    assert server.committed[-1] == "update b 6"


def test_a_deadlock_runs_it_again(server: fake.FakeServer, persist: PersistentDB[Any], clock: FakeClock) -> None:
    """X1, X2: a deadlock's victim is rolled back and run again, on the same session."""
    server.fail("update b", deadlock())
    server.fail("update b", deadlock())
    assert persist.run(transfer, 5, to="b") == "5 to b"
    assert server.committed == DONE
    assert clock.sleeps == [1.0, 2.0]
    assert len(server.connections) == 1


def test_a_conflict_at_the_commit(server: fake.FakeServer, persist: PersistentDB[Any]) -> None:
    """X1: a serialization failure may show at the commit, which the server has refused then: again."""
    server.fail("commit", fake.OperationalError("could not serialize access", code="40001"))
    persist.run(transfer, 5, to="b")
    assert server.committed == DONE


def test_a_library_in_between(server: fake.FakeServer, persist: PersistentDB[Any]) -> None:
    """X1: an error that was raised from the driver's is recognised by its cause; one that only followed it is not."""

    def wrapping(db: SteadyConnection[Any]) -> None:
        try:
            db.cursor().execute("update a")
        except fake.OperationalError as error:
            raise RuntimeError("the mapper failed") from error

    server.fail("update a", deadlock())
    server.lose_before("update a")
    persist.run(wrapping)
    assert server.committed == ["update a"]

    def deciding(db: SteadyConnection[Any]) -> None:
        try:
            db.cursor().execute("update b")
        except fake.OperationalError:
            raise LookupError("no, thanks")  # noqa: B904  the point of it

    server.fail("update b", deadlock())
    with pytest.raises(LookupError):
        persist.run(deciding)
    assert server.committed == ["update a"]


@pytest.mark.parametrize(
    "error",
    [ValueError("mine"), fake.ProgrammingError("syntax error"), fake.OperationalError("time-out", code="57014")],
)
def test_other_errors_end_it(
    server: fake.FakeServer, persist: PersistentDB[Any], clock: FakeClock, error: Exception
) -> None:
    """X1, C13: any other error rolls back and reaches the caller at once."""
    server.fail("update b", error)
    with pytest.raises(type(error)) as caught:
        persist.run(transfer, 5, to="b")
    assert caught.value is error
    assert server.committed == clock.sleeps == []
    assert not persist.connection().in_transaction


def test_an_interrupt_ends_it(server: fake.FakeServer, persist: PersistentDB[Any], clock: FakeClock) -> None:
    """X1: KeyboardInterrupt is never answered by another attempt."""
    server.fail("update b", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        persist.run(transfer, 5, to="b")
    assert server.committed == clock.sleeps == []


def test_it_is_bounded(server: fake.FakeServer, persist: PersistentDB[Any], clock: FakeClock) -> None:
    """X1: after so many attempts the last error is raised, with a note; the pauses grow to their limit."""
    for _ in range(9):
        server.fail("update b", deadlock())
    with pytest.raises(fake.OperationalError, match="deadlock") as caught:
        persist.run(transfer, 5, to="b")
    assert caught.value.__notes__ == ["persistentdb: run() gave up after 4 attempts"]  # type: ignore[attr-defined]
    assert clock.sleeps == [1.0, 2.0, 3.0]
    assert len(server.waiting) == 5
    assert server.committed == []


def test_the_server_is_away(server: fake.FakeServer, persist: PersistentDB[Any], clock: FakeClock) -> None:
    """X1, X6: where not even a connection can be had nothing was done, so it counts as an attempt."""
    server.stop()
    with pytest.raises(fake.OperationalError, match="away"):
        persist.run(transfer, 5, to="b")
    assert len(clock.sleeps) == 3
    server.start()
    assert persist.run(transfer, 5, to="b") == "5 to b"
    assert server.committed == DONE


def test_the_server_goes_and_comes_back(server: fake.FakeServer, clock: FakeClock) -> None:
    """X1, X6: a restart in the middle of a transaction is ridden out, ServerUnavailable on the way included."""

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock() >= 3:
            server.start()

    outage = Outage(backoff=Backoff(first=2.0, jitter=0.0), clock=clock)
    with PersistentDB(server.connect, rerun=Rerun(backoff=NO_CHANCE, sleep=sleep), outage=outage) as persist:
        calls: list[int] = []

        def work(db: SteadyConnection[Any]) -> None:
            calls.append(1)
            if len(calls) == 1:
                server.stop()
            db.cursor().execute("update a")

        persist.run(work)
        assert server.committed == ["update a"]
        assert len(calls) == 2
        assert server.attempts == 3  # the first, one in the outage, one after it; in between nobody was let in
        server.stop()
        with pytest.raises(fake.OperationalError):
            persist.connection().cursor().execute("select 1")
        with pytest.raises(ServerUnavailable):
            persist.connection().cursor().execute("select 1")


# What was done before, and what the function does to the transaction


def test_uncommitted_work_from_before(server: fake.FakeServer, persist: PersistentDB[Any]) -> None:
    """X1: work that an attempt would take with it, and not do again, is not put at risk."""
    db = persist.connection()
    db.cursor().execute("update before")
    with pytest.raises(PersistentDBError, match=r"uncommitted work.*commit\(\) or rollback\(\)"):
        persist.run(transfer, 5, to="b")
    assert server.executed == ["update before"]
    db.commit()
    persist.run(transfer, 5, to="b")
    assert server.committed == ["update before", *DONE]


def test_a_lost_transaction_from_before(server: fake.FakeServer, persist: PersistentDB[Any], clock: FakeClock) -> None:
    """X1, C12: a transaction that was lost before is not acknowledged by run(), nor run() repeated for its sake."""
    db = persist.connection()
    db.cursor().execute("update before")
    server.kill()
    with pytest.raises(fake.OperationalError):
        db.cursor().execute("update again")
    with pytest.raises(TransactionLost):
        persist.run(transfer, 5, to="b")
    assert clock.sleeps == server.committed == []


def test_inside_a_transaction_it_is_a_part(
    server: fake.FakeServer, persist: PersistentDB[Any], clock: FakeClock
) -> None:
    """C12: nested callers share the transaction: run() in it neither commits nor runs again on its own."""
    with persist.connection().transaction() as db:
        db.cursor().execute("update before")
        persist.run(transfer, 5, to="b")
        assert server.committed == []
    assert server.committed == ["update before", *DONE]

    def outer(db: SteadyConnection[Any]) -> str:
        db.cursor().execute("update outer")
        return persist.run(transfer, 6, to="b")

    server.fail("update b 6", deadlock())
    assert persist.run(outer) == "6 to b"
    assert server.committed[3:] == ["update outer", "update a 6", "update b 6"]
    assert clock.sleeps == [1.0]


@pytest.mark.parametrize("how", ["commit", "rollback", "sql commit", "sql rollback", "executemany", "second begin"])
def test_a_function_that_ends_the_transaction(
    server: fake.FakeServer, persist: PersistentDB[Any], clock: FakeClock, how: str
) -> None:
    """X1: what the function committed by itself would be done twice, so it is not called again after a loss."""
    ends = {
        "commit": lambda db: db.commit(),
        "rollback": lambda db: db.rollback(),
        "sql commit": lambda db: db.cursor().execute("/* mine */ COMMIT"),
        "sql rollback": lambda db: db.cursor().execute("rollback"),
        "executemany": lambda db: db.cursor().executemany("commit", [()]),
        "second begin": lambda db: (db.commit(), db.begin()),
    }

    def work(db: SteadyConnection[Any]) -> None:
        db.cursor().execute("update a")
        ends[how](db)
        db.cursor().execute("update b")

    server.lose_before("update b")
    with pytest.raises(fake.OperationalError):
        persist.run(work)
    assert server.executed.count("update a") == 1
    assert clock.sleeps == []


def test_a_script_commits_what_was_before(tmp_path: Path, clock: FakeClock) -> None:
    """X1: sqlite3's executescript() commits first, so what follows it is not run again with what came before it."""
    calls: list[int] = []

    def work(db: Any) -> None:
        calls.append(1)
        db.execute("insert into t values (1)")
        db.executescript("begin; insert into t values (2)")
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = 5
        raise error

    rerun = Rerun(sleep=clock.sleep)
    with PersistentDB(sqlite3, database=tmp_path / "a.db", rerun=rerun) as persist:
        persist.connection().execute("create table t (x)")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            persist.run(work)
        assert len(calls) == 1
        assert persist.connection().execute("select x from t").fetchall() == [(1,)]


def test_a_savepoint_is_no_end(server: fake.FakeServer, persist: PersistentDB[Any]) -> None:
    """X1: going back to a savepoint leaves the transaction whole: it is run again."""

    def work(db: SteadyConnection[Any]) -> None:
        cursor = db.cursor()
        cursor.execute("savepoint s")
        cursor.execute("rollback to savepoint s")
        cursor.execute("update a")

    server.lose_before("update a")
    persist.run(work)
    assert server.committed.count("update a") == 1


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        ({"rerun": 5}, TypeError, r"rerun=5 \(int\): expected a Rerun"),
        ({"outage": 5}, TypeError, r"outage=5 \(int\): expected an Outage"),
    ],
)
def test_wrong_parameters(server: fake.FakeServer, wrong: dict[str, Any], error: type[Exception], match: str) -> None:
    """C1: a wrong argument is named, with what was expected."""
    with pytest.raises(error, match=match):
        PersistentDB(server.connect, **wrong)


def test_wrong_bounds() -> None:
    """C1: no attempt at all is refused."""
    with pytest.raises(ValueError, match="attempts"):
        Rerun(attempts=0)


def test_work_that_would_come_too_late(persist: PersistentDB[Any], server: fake.FakeServer) -> None:
    """X1: a generator or a coroutine, whose body would run after the commit, is refused, alone and in a transaction."""

    def generate(db: SteadyConnection[Any]) -> Iterator[int]:
        db.cursor().execute("insert a")
        yield 1

    async def later(db: SteadyConnection[Any]) -> None:
        db.cursor().execute("insert a")

    for function in (generate, later):
        with pytest.raises(TypeError, match="would run after the commit"):
            persist.run(function)
        with pytest.raises(TypeError, match="would run after the commit"):
            persist.run(lambda _, function=function: persist.run(function))
    assert server.executed == []
    assert not persist.connection().in_transaction


def test_a_setting_that_commits_on_the_way(tmp_path: Path) -> None:
    """X1: on sqlite3 a change of the isolation level commits; what was done before that is not done again."""
    with PersistentDB(sqlite3, 60, database=str(tmp_path / "data.db")) as persist:
        persist.run(lambda db: db.execute("create table t (x)"))
        calls: list[int] = []

        def work(db: SteadyConnection[Any]) -> None:
            calls.append(1)
            db.execute("insert into t values (1)")
            db.isolation_level = None
            db.driver_connection.close()
            db.execute("select 1")

        with pytest.raises(sqlite3.ProgrammingError):
            persist.run(work)
        assert calls == [1]
        assert persist.connection().execute("select count(*) from t").fetchall() == [(1,)]
