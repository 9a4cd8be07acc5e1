"""The fake driver of the fault kit that ships (X10): what it promises to those who test their own code with it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from persistentdb import PersistentDB
from persistentdb.testing import FakeClock, FakeServer, fake

ROOT = Path(__file__).resolve().parents[1]

KNOWN = {"unknown": False, "known": True}
either = pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)


def work(connection: Any, *statements: str) -> None:
    """Execute statements on a connection, and commit them."""
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    connection.commit()


# The driver, without persistentdb


def test_it_is_a_module_of_pep_249() -> None:
    """X10: the module has the globals, the errors and the connect() that PEP 249 asks for, and is a creator."""
    assert (fake.apilevel, fake.threadsafety, fake.paramstyle) == ("2.0", 1, "qmark")
    errors = "InterfaceError DatabaseError DataError OperationalError IntegrityError InternalError ProgrammingError"
    for name in [*errors.split(), "NotSupportedError"]:
        assert issubclass(getattr(fake, name), fake.Error)
        assert getattr(fake.Connection, name) is getattr(fake, name)
    assert issubclass(fake.Warning, Exception)
    server = FakeServer()
    with PersistentDB(fake, server=server, name="mine") as persist:
        persist.connection()
    assert server.connections[0].options == {"name": "mine"}


@either
def test_the_server_counts(known: bool) -> None:
    """X10: what the server executed and committed is there, in order, with parameters and session."""
    server = FakeServer(known=known)
    one, two = server.connect(), server.connect()
    one.cursor().execute("insert a", (1,))
    two.cursor().executemany("insert b", [(2,), (3,)])
    two.commit()
    one.cursor().callproc("proc", (4,))
    one.rollback()
    one.cursor().execute("insert c")
    one.commit()
    assert server.executed == ["insert a", "insert b", "insert b", "proc", "insert c"]
    assert server.committed == ["insert b", "insert b", "insert c"]
    seen = [(one.session, one.parameters) for one in server.executed if isinstance(one, fake.Statement)]
    assert seen == [(0, (1,)), (1, (2,)), (1, (3,)), (0, (4,)), (0, ())]
    one.close()
    two.close()


@either
def test_transactions_by_sql(known: bool) -> None:
    """X10: COMMIT and ROLLBACK as statements end the transaction, too."""
    connection = FakeServer(known=known).connect()
    server, cursor = connection.server, connection.cursor()
    for statement in ("insert a", "COMMIT", "insert b", "rollback;", "insert c", "rollback to s", "commit"):
        cursor.execute(statement)
    assert server.committed == ["insert a", "insert c", "rollback to s"]
    connection.close()


def test_autocommit() -> None:
    """X10: in autocommit each statement commits by itself, between BEGIN and COMMIT none does."""
    server = FakeServer(known=True)
    connection: Any = server.connect(autocommit=True)
    cursor = connection.cursor()
    cursor.execute("insert a")
    cursor.execute("select 1")
    assert (server.committed, connection.in_transaction) == (["insert a"], False)
    cursor.execute("begin")
    cursor.execute("insert b")
    assert (server.committed, connection.in_transaction) == (["insert a"], True)
    with pytest.raises(fake.ProgrammingError, match="in a transaction"):
        connection.autocommit = False
    connection.rollback()
    connection.autocommit = False
    cursor.execute("insert c")
    assert (server.committed, connection.in_transaction) == (["insert a"], True)
    connection.close()


def test_an_unknown_driver_may_have_autocommit() -> None:
    """X10: an attribute `autocommit` that a test sets on an unknown driver's connection is no lie."""
    server = FakeServer()
    connection: Any = server.connect()
    connection.autocommit = True
    connection.cursor().execute("insert a")
    assert server.committed == ["insert a"]


def test_rows() -> None:
    """X10: a statement returns the rows that it is told to, each once; one that has no result has nothing to fetch."""
    server = FakeServer()
    server.answer("FROM sale", [(1, "nut"), (2, "bolt"), (3, "screw"), (4, "washer")])
    cursor = server.connect().cursor()
    cursor.execute("select number, item from sale")
    assert (cursor.rowcount, len(cursor.description)) == (4, 2)
    assert cursor.fetchone() == (1, "nut")
    assert cursor.fetchmany() == [(2, "bolt")]
    assert cursor.has_rows_left
    assert list(cursor) == [(3, "screw"), (4, "washer")]
    assert cursor.fetchone() is None
    assert not cursor.has_rows_left
    server.answer("item", [("pin",)])
    cursor.execute("SELECT item FROM sale")
    assert cursor.fetchall() == [("pin",)]
    cursor.execute("SELECT number FROM sale")
    assert cursor.fetchone() == (1, "nut")
    cursor.execute("select 1")
    assert cursor.fetchmany(5) == [(1,)]
    assert cursor.fetchall() == []
    server.answer("from sale", [])
    cursor.execute("select number, item from sale")
    assert cursor.fetchall() == []
    cursor.execute("insert into sale")
    assert (cursor.description, cursor.rowcount) == (None, 1)
    with pytest.raises(fake.ProgrammingError, match="no result"):
        cursor.fetchone()


# Faults, without persistentdb

LOST_CALLS: dict[str, Callable[[Any], object]] = {
    "insert": lambda connection: connection.cursor().execute("insert into sale"),
    "commit": lambda connection: connection.commit(),
    "rollback": lambda connection: connection.rollback(),
    "fetch": lambda connection: next(iter(connection.cursors)).fetchall(),
}


@either
@pytest.mark.parametrize("call", LOST_CALLS)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_loss(known: bool, call: str, moment: str) -> None:
    """X10: before, the server never hears of it; after, it has done it; either way the connection is gone, once."""
    server = FakeServer(known=known)
    connection: Any = server.connect()
    cursor = connection.cursor()
    cursor.execute("insert zero")
    connection.cursors = [cursor]
    cursor.execute("select 1")
    fault = getattr(server, f"lose_{moment}")(call)
    assert server.waiting == [fault]
    with pytest.raises(fake.OperationalError, match="unexpectedly"):
        LOST_CALLS[call](connection)
    assert fault.fired.is_set()
    assert server.waiting == []
    assert connection.broken  # and the driver knows
    done = moment == "after"
    assert ("insert into sale" in server.executed) == (done and call == "insert")
    assert server.committed == (["insert zero"] if done and call == "commit" else [])
    assert server.sessions == []
    with pytest.raises(fake.OperationalError, match="lost"):
        connection.commit()
    fresh = server.connect()
    LOST_CALLS["insert"](fresh)
    connection.close()
    fresh.close()
    assert server.open_connections() == 0


@either
def test_a_loss_at_cursor(known: bool) -> None:
    """X10: a driver whose cursor() talks to the server fails there, when it is told to."""
    server = FakeServer(known=known)
    connection = server.connect()
    fault = server.lose_before("cursor")
    with pytest.raises(fake.OperationalError):
        connection.cursor()
    assert fault.fired.is_set()
    assert connection.dead
    connection.close()


@either
def test_a_refusal(known: bool) -> None:
    """X10: fail() raises what it is given, once, and the session and its transaction live on."""
    server = FakeServer(known=known)
    connection = server.connect()
    connection.cursor().execute("insert a")
    deadlock = fake.OperationalError("deadlock detected", code="40P01")
    fault = server.fail("UPDATE", deadlock)
    with pytest.raises(fake.OperationalError) as raised:
        connection.cursor().execute("update b")
    assert raised.value is deadlock
    assert fault.fired.is_set()
    work(connection, "update b")
    assert server.committed == ["insert a", "update b"]
    connection.close()


def test_faults_of_a_kind_happen_one_by_one() -> None:
    """X10: two faults for the same thing happen in the order in which they were armed."""
    server = FakeServer()
    first, second = server.lose_before("insert"), server.lose_after("insert")
    for fault in (first, second):
        with pytest.raises(fake.OperationalError):
            server.connect().cursor().execute("insert a")
        assert fault.fired.is_set()
        assert server.waiting == [second][: fault is first]
    assert server.executed == ["insert a"]


def test_a_call_s_name_is_no_fragment() -> None:
    """X10: what waits for commit waits for the call or a statement COMMIT, not for a table of that name."""
    server = FakeServer()
    fault = server.lose_before("commit")
    cursor = server.connect().cursor()
    cursor.execute("insert into commit_log")
    assert not fault.fired.is_set()
    with pytest.raises(fake.OperationalError):
        cursor.execute("COMMIT;")
    assert "fired" in repr(fault)
    with pytest.raises(ValueError, match="empty"):
        server.lose_before(" ")


def test_lists_of_errors() -> None:
    """X10: fail_before and fail_after take whole lists, by the exact name or text."""
    server = FakeServer()
    server.fail_before["commit"] = [fake.IntegrityError("one"), fake.IntegrityError("two")]
    server.fail_after["insert a"] = [KeyboardInterrupt()]
    connection = server.connect()
    for text in ("one", "two"):
        with pytest.raises(fake.IntegrityError, match=text):
            connection.commit()
    connection.commit()
    with pytest.raises(KeyboardInterrupt):
        connection.cursor().execute("insert a")
    assert server.executed == ["insert a"]
    assert connection.dead


@either
def test_kill_stop_start_restart(known: bool) -> None:
    """X10: one session, or all, are ended; a stopped server refuses; the server knows its open sessions."""
    server = FakeServer(known=known)
    one, two = server.connect(), server.connect()
    one.cursor().execute("insert a")
    assert server.sessions == [one, two]
    server.kill(one)
    assert server.sessions == [two]
    assert server.open_connections() == 2
    with pytest.raises(fake.OperationalError):
        one.commit()
    server.stop()
    assert server.sessions == []
    with pytest.raises(fake.OperationalError, match="away"):
        server.connect()
    server.start()
    three = server.connect()
    server.restart()
    assert three.dead
    four = server.connect()
    assert server.sessions == [four]
    assert server.attempts == 5
    for connection in (one, two, three, four):
        connection.close()
    assert server.open_connections() == 0
    assert server.committed == []


def test_attempts_to_connect_fail() -> None:
    """X10: refused, timed out on a clock, failing once, or lost just after; no session is left over."""
    clock = FakeClock()
    server = FakeServer(clock=clock, connect_timeout=3)
    server.refuse = True
    with pytest.raises(fake.OperationalError, match="away"):
        server.connect()
    server.start()
    server.silent = True
    with pytest.raises(fake.OperationalError, match="within 3 s"):
        server.connect()
    assert clock() == 3
    server.start()
    server.fail("connect", fake.OperationalError("too many connections"))
    with pytest.raises(fake.OperationalError, match="too many"):
        server.connect()
    for lose in (server.lose_before, server.lose_after):
        lose("connect")
        with pytest.raises(fake.OperationalError, match="unexpectedly"):
            server.connect()
    assert (server.attempts, server.sessions, server.open_connections()) == (5, [], 0)


@either
def test_a_closed_connection_refuses(known: bool) -> None:
    """X10: what the client closed is closed: PEP 249 wants an error, and lost work is not committed."""
    server = FakeServer(known=known)
    connection = server.connect()
    connection.cursor().execute("insert a")
    connection.close()
    for use in (connection.cursor, connection.commit, connection.rollback):
        with pytest.raises(fake.InterfaceError, match="closed"):
            use()
    assert (server.committed, connection.uncommitted) == ([], [])


@either
def test_a_kill_while_threads_work(known: bool) -> None:
    """X10: whatever the moment of a kill, a commit that returned was made, and one that raised was not."""
    server = FakeServer(known=known)
    done: list[str] = []

    def works(name: int) -> None:
        for number in range(200):
            connection = server.connect()
            try:
                work(connection, f"insert {name}.{number}")
                done.append(f"insert {name}.{number}")
            except fake.OperationalError:
                pass  # killed before the commit
            finally:
                connection.close()

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(works, name) for name in range(4)]
        while not all(one.done() for one in running):
            server.kill()
        for one in running:
            one.result()
    assert sorted(done) == sorted(server.committed)
    assert done
    assert len(server.connections) == server.attempts == 800
    assert [one.session for one in server.connections] == list(range(800))
