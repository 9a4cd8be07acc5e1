"""Forked children without a server: SQLite's files, DuckDB's, locks, threads, and what a destructor would say (X5)."""

from __future__ import annotations

import _thread
import gc
import os
import select
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forking import PATIENCE, Child, forked

from persistentdb import CommitOutcomeUnknown, NotSupportedError, PersistentDB, TransactionLost, _fork, _keeping
from persistentdb import _thread_exit as thread_exit
from persistentdb.testing.fake import Server

TESTS = Path(__file__).parent
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="nobody forks here")


class Signal:
    """Lets one process wait for the other."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def give(self) -> None:
        """Let the other one go on."""
        os.write(self._writer, b"x")

    def wait(self, child: Child | None = None) -> None:
        """Wait for the other one, which is a child: should it end before, its error is raised."""
        watched = [self._reader] if child is None else [self._reader, child.pipe]
        ready, _, _ = select.select(watched, [], [], PATIENCE)
        if child is not None and self._reader not in ready:
            child.result()
        assert self._reader in ready, "the other process never came so far"
        assert os.read(self._reader, 1) == b"x"


def numbers(con: Any) -> list[int]:
    """Return the numbers in the table, read and done with."""
    found = [row[0] for row in con.execute("select number from t order by number").fetchall()]
    con.rollback()
    return found


def _program(code: str, file: Path) -> subprocess.CompletedProcess[str]:
    """Run a program whose processes end normally, interpreter and all."""
    return subprocess.run(
        [sys.executable, "-c", code, file],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])},
    )


def check_file(path: Path, expected: list[int]) -> None:
    """Check that a database is whole, and has these numbers."""
    con = sqlite3.connect(path)
    assert numbers(con) == expected
    assert con.execute("pragma integrity_check").fetchall() == [("ok",)]
    con.close()


# SQLite

JOURNALS = ("delete", "wal")


@pytest.fixture(params=JOURNALS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Lend a database with 500 rows, with either kind of journal."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as con:
        con.execute(f"pragma journal_mode={request.param}")
        con.execute("create table t (number integer, filler text)")
        con.executemany("insert into t values (?, ?)", [(number, "x" * 500) for number in range(500)])
    con.close()
    return path


ROWS = list(range(500))


def insert(db: Any, number: int) -> Any:
    """Insert a row, without a commit."""
    return db.execute("insert into t values (?, 'x')", (number,))


@forks
class TestSQLite:
    """A child keeps off its parent's file handles, locks and journal, and has safe ones of its own."""

    @pytest.fixture
    def persist(self, file: Path) -> Any:
        """Lend connections to the file."""
        with PersistentDB(sqlite3, database=str(file), timeout=10) as persist:
            yield persist

    def test_a_write_transaction_stays_with_the_parent(self, persist: PersistentDB[Any], file: Path) -> None:
        """X5, X1: the child cannot commit, roll back or add to it; both processes' later work is all there."""
        parents, childs = Signal(), Signal()

        def child() -> list[list[int]]:
            with pytest.raises(TransactionLost, match="belongs to the parent process"):
                insert(db, 1000)
            with pytest.raises(TransactionLost):
                db.commit()
            with pytest.raises(sqlite3.OperationalError, match="opened by the parent process"):
                db.total_changes  # noqa: B018
            db.rollback()
            seen = [numbers(db)]
            childs.give()
            parents.wait()  # it has committed
            seen.append(numbers(db))
            insert(db, -2)
            db.commit()
            childs.give()
            parents.wait()  # it has closed its connection
            insert(db, -3)
            db.commit()
            return seen

        db = persist.connection()
        insert(db, -1)
        process = forked(child)
        childs.wait(process)
        db.commit()
        parents.give()
        childs.wait(process)
        persist.close()
        parents.give()
        assert process.result() == [ROWS, [-1, *ROWS]]
        check_file(file, [-3, -2, -1, *ROWS])

    @pytest.mark.parametrize("half_read", [False, True])
    def test_what_a_child_commits_outlives_the_parents_connection(
        self, persist: PersistentDB[Any], file: Path, half_read: bool
    ) -> None:
        """X5, X1: with a write-ahead log, too, whose last user removes it: the child's own locks are real ones."""
        parents, childs = Signal(), Signal()

        def child() -> None:
            if half_read:
                with pytest.raises(sqlite3.ProgrammingError, match="closed"):
                    cursor.fetchall()
            insert(db, -2)
            db.commit()
            childs.give()
            parents.wait()  # it has closed its connection
            insert(db, -3)
            db.commit()

        db = persist.connection()
        cursor = db.execute("select number from t order by number")
        rows = cursor.fetchmany(250)
        if not (half_read and file.with_name("shop.db-wal").exists()):
            rows += cursor.fetchall()  # without a write-ahead log a reader keeps every writer out
        process = forked(child)
        childs.wait(process)
        rows += cursor.fetchall()
        assert [row[0] for row in rows] == ROWS
        persist.close()
        parents.give()
        process.result()
        check_file(file, [-3, -2, *ROWS])

    def test_a_statement_is_not_ended_by_a_destructor(self, persist: PersistentDB[Any], file: Path) -> None:
        """X5: destroying a cursor would end its statement, and commit in the parent's stead what it did."""
        db = persist.connection()
        db.isolation_level = None
        cursors = [db.execute("delete from t returning number")]
        assert cursors[0].fetchone() == (0,)
        assert file.with_name("shop.db-journal").exists() or file.with_name("shop.db-wal").exists()
        before = {path.name: path.read_bytes() for path in file.parent.glob("shop.db-*") if "shm" not in path.name}

        def child() -> dict[str, bytes]:
            cursors.clear()
            gc.collect()
            return {path.name: path.read_bytes() for path in file.parent.glob("shop.db-*") if "shm" not in path.name}

        assert forked(child).result() == before
        assert cursors[0].fetchall() == [(number,) for number in ROWS[1:]]
        cursors.clear()
        check_file(file, [])

    def test_the_end_of_a_childs_interpreter_rolls_nothing_back(self, file: Path) -> None:
        """X5: also when it is torn down normally, with the parent's connection and its other threads' in it."""
        run = _program(_ENDING_IN_A_TRANSACTION, file)
        assert (run.returncode, run.stdout, run.stderr) == (0, "child\nparent\n", "")
        check_file(file, [-1, *ROWS])

    def test_threads_that_the_child_has_not(self, persist: PersistentDB[Any], file: Path) -> None:
        """X5: a transaction of another thread goes on in the parent, and its connection is nobody's in the child."""
        ready, leave = threading.Event(), threading.Event()

        def work() -> None:
            db = persist.connection()
            insert(db, -1)
            ready.set()
            leave.wait()
            db.commit()

        thread = threading.Thread(target=work)
        thread.start()
        ready.wait()
        process = forked(lambda: [numbers(persist.connection()), len(_fork._heirlooms)])
        assert process.result() == [ROWS, 1]
        leave.set()
        thread.join()
        check_file(file, [-1, *ROWS])

    def test_a_child_of_a_child(self, persist: PersistentDB[Any], file: Path) -> None:
        """X5: a child's transaction is its own for its children."""

        def child() -> list[int]:
            insert(db, -1)
            seen: list[int] = forked(grandchild).result()
            db.commit()
            return seen

        def grandchild() -> list[int]:
            with pytest.raises(TransactionLost, match="belongs to the parent process"):
                db.commit()
            db.rollback()
            return numbers(db)

        db = persist.connection()
        assert forked(child).result() == ROWS
        assert numbers(db) == [-1, *ROWS]

    def test_a_raw_connection_counts_as_closed(self, persist: PersistentDB[Any]) -> None:
        """X5: whoever took the driver's own connection in hand cannot use or close it in a child either."""
        raw = persist.connection().driver_connection
        raw.execute("begin")

        def child() -> None:
            raw.close()
            with pytest.raises(sqlite3.ProgrammingError, match="closed"):
                raw.execute("select 1")

        forked(child).result()
        assert raw.in_transaction
        assert raw.execute("select 1").fetchone() == (1,)
        raw.rollback()


_ENDING_IN_A_TRANSACTION = """
import os, sqlite3, sys, threading, forking
from persistentdb import PersistentDB
persist = PersistentDB(sqlite3, database=sys.argv[1], timeout=10)
thread = threading.Thread(target=persist.connection, daemon=True)
thread.start()
thread.join()
db = persist.connection()
db.begin()
db.execute("insert into t values (-1, 'x')")
with forking.forking_allowed():
    pid = os.fork()
if pid:
    assert os.waitpid(pid, 0) == (pid, 0)
    db.commit()
print("parent" if pid else "child")
"""


_ENDING_WITH_A_LOG = """
import os, sys, forking, duckdb
from pathlib import Path
from persistentdb import PersistentDB
def contents():
    return {path.name: path.read_bytes() for path in Path(sys.argv[1]).parent.iterdir()}
persist = PersistentDB(duckdb, database=sys.argv[1])
cursor = persist.connection().cursor()
cursor.execute("create table t as select * from range(3)")
before = contents()
with forking.forking_allowed():
    pid = os.fork()
if pid:
    assert os.waitpid(pid, 0) == (pid, 0)
    assert contents() == before
    cursor.execute("select * from t")
    assert cursor.fetchall() == [(0,), (1,), (2,)]
print("parent" if pid else "child")
"""


@forks
def test_a_database_in_memory_is_not_the_childs() -> None:
    """X5, X1: it is never replaced by an empty one in silence; the parent's lives on."""
    with PersistentDB(sqlite3, database=":memory:") as persist:
        db = persist.connection()
        db.execute("create table t (number integer)")
        db.commit()

        def child() -> None:
            with pytest.raises(TransactionLost, match="belongs to the parent process"):
                db.execute("select * from t")
            db.rollback()
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                db.execute("select * from t")

        forked(child).result()
        assert db.execute("select * from t").fetchall() == []


@forks
@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
class TestDuckDB:
    """A file belongs to one process; inside it all connections work on one database in memory."""

    @pytest.fixture
    def persist(self, tmp_path: Path) -> Any:
        """Lend connections to a file."""
        duckdb = pytest.importorskip("duckdb")
        with PersistentDB(duckdb, database=str(tmp_path / "shop.duckdb")) as persist:
            yield persist

    def test_the_parents_file_is_refused(self, persist: PersistentDB[Any]) -> None:
        """X5, X1: what a child wrote into its copy of the parent's memory would be lost, so it gets none."""

        def child() -> None:
            with pytest.raises(cursor.connection.driver_connection.OperationalError):
                cursor.fetchall()
            with pytest.raises(NotSupportedError, match="lets only one process use a database file"):
                persist.connection()

        cursor = persist.connection().cursor()
        cursor.execute("create table t as select * from range(3)")
        cursor.execute("select * from t")
        forked(child).result()
        assert cursor.fetchall() == [(0,), (1,), (2,)]

    def test_the_end_of_a_childs_interpreter_writes_nothing(self, tmp_path: Path) -> None:
        """X5: destroyed with the interpreter, the connection would write the parent's log into the parent's file."""
        pytest.importorskip("duckdb")
        file = tmp_path / "shop.duckdb"
        run = _program(_ENDING_WITH_A_LOG, file)
        assert (run.returncode, run.stdout) == (0, "child\nparent\n"), run.stderr

    def test_a_database_in_memory(self, persist: PersistentDB[Any]) -> None:
        """X5: a child may have its own in memory, also when the parent has a file open."""
        duckdb = pytest.importorskip("duckdb")
        with PersistentDB(duckdb) as in_memory:
            in_memory.connection().cursor().execute("create table t as select * from range(3)")
            persist.connection()

            def child() -> Any:
                db = in_memory.connection()
                with pytest.raises(TransactionLost, match="belongs to the parent process"):
                    db.cursor()
                db.rollback()
                cursor = db.cursor()
                cursor.execute("select count(*) from range(1000)")
                return cursor.fetchall()

            assert forked(child).result() == [(1000,)]
            cursor = in_memory.connection().cursor()
            cursor.execute("select count(*) from t")
            assert cursor.fetchall() == [(3,)]


def test_where_nobody_forks(tmp_path: Path) -> None:
    """X5: on a platform without fork all is imported, opened and closed as ever."""
    run = _program(_WITHOUT_FORK, tmp_path / "shop.db")
    assert (run.returncode, run.stdout, run.stderr) == (0, "(1,)\n", "")


_WITHOUT_FORK = """
import os
for name in ("fork", "register_at_fork"):
    if hasattr(os, name):
        delattr(os, name)
import sqlite3, sys
from persistentdb import PersistentDB
with PersistentDB(sqlite3, database=sys.argv[1]) as persist:
    print(persist.connection().execute("select 1").fetchone())
"""


# What is said to nobody


@forks
def test_no_goodbye_for_what_the_parent_opened(tmp_path: Path) -> None:
    """X5, C4: not by a closing, not by a destructor, not at the interpreter's end; each says its own goodbyes."""
    notes = tmp_path / "notes"
    run = subprocess.run(
        [sys.executable, TESTS / "fork_goodbyes.py", notes], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
    )  # fmt: skip
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    by_child, by_parent = notes.read_text("utf-8").split("the child has ended\n")
    said = [line.split(" ") for line in by_child.splitlines()]
    assert said, "a child ends what it opened"
    assert [line for line in said if line[1] != line[-1] and line[0] == "Connection"] == []
    assert "Connection" in by_parent


@forks
class TestInAChild:
    """What hung on a connection of which nothing is known, and what must be new in a child."""

    @pytest.fixture
    def server(self) -> Server:
        """Lend a server that is none."""
        return Server()

    @pytest.fixture
    def persist(self, server: Server) -> PersistentDB[Any]:
        """Lend connections to it."""
        return PersistentDB(server.connect)

    def test_idle(self, server: Server, persist: PersistentDB[Any]) -> None:
        """X5: when nothing hung on it, the next use opens a connection, as after any loss."""
        db = persist.connection()
        cursor = db.cursor()
        cursor.execute("select 1")
        db.commit()
        calls = list(server.connections[0].calls)

        def child() -> None:
            cursor.execute("select 2")
            db.cursor().execute("select 3")
            db.commit()
            assert persist.connection() is db
            assert [con.calls for con in server.connections[:1]] == [calls]
            assert len(server.connections) == 2
            persist.close()
            assert not server.connections[0].closed
            assert server.connections[1].closed

        forked(child).result()
        assert len(server.connections) == 1

    @pytest.mark.parametrize("end", ["rollback", "close", "cancel"])
    @pytest.mark.parametrize("explicit", [False, True])
    def test_work_is_the_parents(self, server: Server, persist: PersistentDB[Any], end: str, explicit: bool) -> None:
        """X5: every statement and commit() raises until the child has ended its part."""
        db = persist.connection()
        if explicit:
            db.begin()
        cursor = db.cursor()
        cursor.execute("insert")

        def child() -> None:
            for deed in (db.cursor, db.commit, lambda: cursor.execute("insert"), db.begin):
                with pytest.raises(TransactionLost, match="belongs to the parent process"):
                    deed()
            assert db.in_transaction
            getattr(db, end)()
            assert not db.in_transaction
            cursor.execute("insert")
            db.commit()
            assert server.committed == ["insert"]
            assert server.connections[0].uncommitted == ["insert"]
            assert not server.connections[0].closed

        forked(child).result()
        assert server.committed == []
        db.commit()
        assert server.committed == ["insert"]

    def test_inside_of_a_block(self, persist: PersistentDB[Any]) -> None:
        """X5: leaving the block of transaction() ends the child's part, with the error."""

        def child() -> int:
            db = persist.connection()
            pid = -1
            try:
                with db.transaction():
                    db.cursor().execute("insert")
                    pid = os.fork()
                    if pid == 0:
                        db.cursor()
            except TransactionLost:
                db.cursor().execute("select")
                os._exit(7 if pid == 0 else 1)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        assert forked(child).result() == 7

    def test_run_is_not_run_again(self, persist: PersistentDB[Any]) -> None:
        """X5, X1: run() repeats what was lost, but nothing was lost here: in a child it would be done twice."""

        def child() -> int:
            calls: list[int] = []

            def work(db: Any) -> None:
                db.cursor().execute("insert")
                calls.append(os.fork() if not calls else -1)
                db.cursor().execute("insert more")

            try:
                persist.run(work)
            except TransactionLost:
                os._exit(7 if calls == [0] else 1)
            return os.waitstatus_to_exitcode(os.waitpid(calls[0], 0)[1])

        assert forked(child).result() == 7

    def test_an_unknown_outcome_stays_unknown(self, server: Server, persist: PersistentDB[Any]) -> None:
        """X5, X1: a child is told no less than its parent of what happened before the fork."""
        db = persist.connection()
        db.cursor().execute("insert")
        server.fail_before["commit"] = [server.connections[0].OperationalError("in the middle")]
        with pytest.raises(CommitOutcomeUnknown):
            db.commit()

        def child() -> None:
            with pytest.raises(CommitOutcomeUnknown, match="still unknown"):
                db.commit()
            db.rollback()
            db.cursor().execute("select")

        forked(child).result()

    def test_half_read_rows(self, persist: PersistentDB[Any]) -> None:
        """X5: a cursor of the parent's gives no rows to a child, and closes without a word."""
        cursor = persist.connection().cursor()
        cursor.execute("select")

        def child() -> None:
            for fetch in (cursor.fetchone, cursor.fetchmany, cursor.fetchall, lambda: list(cursor)):
                with pytest.raises(cursor.connection.OperationalError, match="opened by the parent process"):
                    fetch()
            cursor.close()

        forked(child).result()
        assert cursor.fetchone() == (1,)

    def test_steady_connections_of_nobody(self, server: Server, persist: PersistentDB[Any]) -> None:
        """X5: those that are cached for nobody are no exception, also when they are dropped in the child."""
        dbs = [persist.steady_connection(), persist.steady_connection()]
        for db in dbs:
            db.cursor().execute("insert")

        def child() -> None:
            dbs.pop().close()
            dbs.clear()
            gc.collect()
            assert [con.closed for con in server.connections] == [False, False]

        forked(child).result()

    def test_locks_are_new(self, persist: PersistentDB[Any]) -> None:
        """X5: what another thread held at the moment of the fork is never given back in the child."""
        locks = (persist._lock, thread_exit._lock, _fork._deeds_lock, persist._terms.gate._changed)
        held, leave = threading.Barrier(2), threading.Event()

        def hold() -> None:
            for lock in locks:
                lock.acquire()
            held.wait()
            leave.wait()
            for lock in locks:
                lock.release()

        def child() -> bool:
            found: list[object] = []
            done = threading.Event()

            def work() -> None:
                found.append(persist.connection())
                done.set()

            _thread.start_new_thread(work, ())
            done.wait()
            found.append(persist.connection())
            persist.close()
            return found[0] is not found[1]

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        try:
            assert forked(child).result() is True
        finally:
            leave.set()
            thread.join()

    @pytest.mark.parametrize(
        "start",
        [lambda work: threading.Thread(target=work).start(), lambda work: _thread.start_new_thread(work, ())],
        ids=["Python's", "foreign"],
    )
    def test_threads_that_the_child_has_not(
        self, server: Server, persist: PersistentDB[Any], start: Callable[[Callable[[], object]], object]
    ) -> None:
        """X5, C3: their connections are neither closed nor given to the child's threads that get their numbers."""
        ready, leave, left = threading.Barrier(9), threading.Event(), threading.Barrier(9)

        def work() -> None:
            persist.connection().cursor().execute("insert")
            ready.wait()
            leave.wait()
            left.wait()

        def child() -> None:
            assert list(_keeping._foreign) == []
            assert list(thread_exit._callbacks) == []
            for _ in range(8):
                thread = threading.Thread(target=lambda: persist.connection().cursor().execute("select"))
                thread.start()
                thread.join()
            gc.collect()
            assert [con.closed for con in server.connections] == [False] * 8 + [True] * 8
            assert all(con.calls == ["cursor", "insert"] for con in server.connections[:8])

        for _ in range(8):
            start(work)
        ready.wait()
        try:
            forked(child).result()
        finally:
            leave.set()
            left.wait()

    def test_more_children_than_threads(self, server: Server, persist: PersistentDB[Any]) -> None:
        """X5: nothing is kept in the parent for its children."""
        persist.connection()
        kept = (_fork._heirlooms, _fork._renewals, _fork._deeds)
        before = [len(things) for things in kept]
        for _ in range(5):
            forked(lambda: persist.connection().cursor().execute("select")).result()
        # Fewer: what other tests left behind may go at any time.
        assert all(len(things) <= count for things, count in zip(kept, before, strict=True))
        assert server.connections[0].calls == []
