"""What becomes of a thread's connection when the thread, the `PersistentDB` or the interpreter ends (C4, C11)."""

from __future__ import annotations

import _thread
import concurrent.futures
import ctypes
import errno
import gc
import os
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import persistentdb
from persistentdb import PersistentDB, PersistentDBError, _thread_exit

if TYPE_CHECKING:
    from servers import LiveDriver
    from servers.postgres import PostgresServer

SHORT_THREADS = 2_000
SHORT_SERVER_THREADS = 200
BATCH = 50
FOREIGN_CALLS = 1_000


class Record:
    """What is known of one connection: in which threads it was opened and closed. It does not hold the connection."""

    def __init__(self) -> None:
        self.opened_in = threading.get_ident()
        self.closed_in: list[int] = []

    @property
    def closed_at_home(self) -> bool:
        """Whether it was closed, and never but by its own thread."""
        return set(self.closed_in) == {self.opened_in}


class RecordedConnection(sqlite3.Connection):
    """A connection that notes who closes it; SQLite refuses a foreign thread, which counts for nothing then."""

    record: Record

    def close(self) -> None:
        """Close."""
        super().close()
        self.record.closed_in.append(threading.get_ident())


class Ledger:
    """Opens connections to one SQLite file, and keeps a record of each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []

    def connect(self) -> sqlite3.Connection:
        """Open a connection."""
        connection = sqlite3.connect(self.path, factory=RecordedConnection)
        connection.record = Record()
        self.records.append(connection.record)
        return connection

    def open_connections(self) -> int:
        """How many were never closed."""
        return sum(not record.closed_in for record in self.records)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Lend a ledger over a new file."""
    return Ledger(tmp_path / "data.db")


@pytest.fixture
def persist(ledger: Ledger) -> Iterator[PersistentDB[sqlite3.Connection]]:
    """Lend a `PersistentDB` over the ledger's file."""
    with PersistentDB(ledger.connect) as persist:
        yield persist


def in_thread(target: Callable[[], object]) -> threading.Thread:
    """Run *target* in a thread that is gone afterwards; return its Thread object."""
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    return thread


class Living:
    """A thread that has done *target* and lives on until it is let go."""

    def __init__(self, target: Callable[[], object]) -> None:
        self._target: Callable[[], object] | None = target
        self._done, self._go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._done.wait(30)

    def _run(self) -> None:
        target, self._target = self._target, None
        assert target is not None
        target()
        del target
        self._done.set()
        self._go.wait(60)

    def end(self) -> None:
        """Return when the thread is gone."""
        self._go.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


# The end of a thread that Python started


def test_the_connection_is_closed_by_its_own_thread_at_once(
    persist: PersistentDB[sqlite3.Connection], ledger: Ledger
) -> None:
    """C4: when join() returns the connection is closed, in that very thread, without a question by anybody."""
    thread = in_thread(persist.connection)
    [record] = ledger.records
    assert record.opened_in == thread.ident
    assert record.closed_in == [thread.ident]


def test_a_reference_to_the_steady_connection_changes_nothing(
    persist: PersistentDB[sqlite3.Connection], ledger: Ledger
) -> None:
    """C4: Thread object and steady connection may live on; the connection is closed, and says why it is of no use."""
    kept: list[Any] = []
    thread = in_thread(lambda: kept.append(persist.connection()))
    [record] = ledger.records
    assert record.closed_in == [thread.ident]
    [db] = kept
    for use in (db.cursor, db.begin, lambda: db.execute("select 1")):
        with pytest.raises(PersistentDBError, match="closed when its thread ended"):
            use()
    assert "closed" in repr(db)
    assert len(ledger.records) == 1, "nothing was reopened"


def test_a_thread_that_dies_of_an_exception(
    persist: PersistentDB[sqlite3.Connection], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4: an error that ends the thread, and whose traceback is kept, closes the connection all the same."""
    kept: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", kept.append)

    def work() -> None:
        db = persist.connection()
        db.execute("no such statement")

    in_thread(work)
    [record] = ledger.records
    assert record.closed_at_home
    assert isinstance(kept[0].exc_value, sqlite3.OperationalError)


def test_a_transaction_does_not_outlive_its_thread(persist: PersistentDB[sqlite3.Connection], ledger: Ledger) -> None:
    """C4, C12: what a thread left uncommitted is rolled back, and its locks are gone, when join() returns."""
    own = persist.connection()
    own.execute("create table t (x)")

    def work() -> None:
        db = persist.connection()
        db.begin()
        db.execute("insert into t values (1)")

    in_thread(work)
    own.execute("insert into t values (2)")
    own.commit()
    assert own.execute("select x from t").fetchall() == [(2,)]
    assert ledger.open_connections() == 1


def test_nothing_is_left_of_a_thread(persist: PersistentDB[sqlite3.Connection], ledger: Ledger) -> None:
    """C4: steady and driver's connection are freed with the thread, without the garbage collector's help."""
    kept: list[weakref.ref[Any]] = []

    def work() -> None:
        db = persist.connection()
        db.execute("select 1").fetchall()
        kept.extend((weakref.ref(db), weakref.ref(db.driver_connection)))

    gc.disable()
    try:
        in_thread(work)
        assert [one() for one in kept] == [None, None]
    finally:
        gc.enable()
    assert len(persist._steadies) == 0


def test_a_new_thread_under_an_old_identifier(persist: PersistentDB[sqlite3.Connection], ledger: Ledger) -> None:
    """C3, C4: the system gives an ended thread's identifier to the next; it gets a connection of its own."""
    identifiers = [in_thread(persist.connection).ident for _ in range(100)]
    assert len(ledger.records) == 100
    assert all(record.closed_at_home for record in ledger.records)
    assert len(set(identifiers)) < 100, "this system does not use identifiers again that soon: start more threads"


def test_many_short_threads(persist: PersistentDB[sqlite3.Connection], ledger: Ledger) -> None:
    """C4: 2,000 short threads leave no connection open, and none waits for another to be closed."""
    for _ in range(SHORT_THREADS // BATCH):
        threads = [threading.Thread(target=persist.connection) for _ in range(BATCH)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.open_connections() == 0
    assert len(ledger.records) == SHORT_THREADS
    assert all(record.closed_at_home for record in ledger.records)


def test_a_thread_pool(persist: PersistentDB[sqlite3.Connection], ledger: Ledger) -> None:
    """C4: the threads of an executor keep their connections until it is shut down."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: persist.connection().execute("select 1"), range(200)))
        assert 1 <= len(ledger.records) <= 4
        assert ledger.open_connections() == len(ledger.records)
    assert ledger.open_connections() == 0
    assert all(record.closed_at_home for record in ledger.records)


def test_many_short_threads_on_a_server(postgres: PostgresServer) -> None:
    """C4: short threads leave no session on the server, and psycopg warns of no forgotten connection."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    before = postgres.sessions()
    with PersistentDB(psycopg, 0, None, None, 1, False, None, postgres.dsn) as persist:
        found: list[int] = []

        def work() -> None:
            found.extend(persist.connection().execute("select pg_backend_pid()").fetchone())

        for _ in range(SHORT_SERVER_THREADS // BATCH):
            threads = [threading.Thread(target=work) for _ in range(BATCH)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            postgres.await_sessions(before)  # a session ends a moment after its goodbye
        assert len(set(found)) == SHORT_SERVER_THREADS


def test_threads_without_a_thread_object(persist: PersistentDB[sqlite3.Connection], ledger: Ledger) -> None:
    """C4: a thread of `_thread.start_new_thread` keeps its connection, and closes it at its end."""
    found: list[bool] = []

    def work() -> None:
        db = persist.connection()
        found.append(persist.connection() is db)

    for _ in range(20):
        _thread.start_new_thread(work, ())
    wait_for(lambda: len(found) == 20 and ledger.open_connections() == 0)
    assert len(ledger.records) == 20
    assert all(found)
    assert all(record.closed_at_home for record in ledger.records)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Return when *condition* holds, at the latest after that time: the assertions tell what is wrong."""
    give_up = time.monotonic() + seconds
    while not condition() and time.monotonic() < give_up:
        time.sleep(0.005)


# The end of a PersistentDB while threads live


def test_close_has_every_thread_close_its_own(persist: PersistentDB[sqlite3.Connection], ledger: Ledger) -> None:
    """C4: after `PersistentDB.close()` other threads' connections are closed by these threads, at their end at last."""
    living = [Living(persist.connection) for _ in range(3)]
    persist.connection()
    persist.close()
    assert ledger.open_connections() == 3
    for thread in living:
        thread.end()
    assert ledger.open_connections() == 0
    assert all(record.closed_at_home for record in ledger.records)


def test_a_dropped_database_leaves_a_thread_its_connection(ledger: Ledger) -> None:
    """C4: when a `PersistentDB` is dropped, a living thread's connection is closed by that thread, not by the dropper.

    ResourceWarning is an error here: from Python 3.13 on sqlite3 gives one for a connection that is freed unclosed.
    """
    box = [PersistentDB(ledger.connect)]

    def ask() -> None:
        box[0].connection()

    living = Living(ask)
    dropped = weakref.ref(box[0])
    box.clear()
    gc.collect()
    assert dropped() is None
    living.end()
    [record] = ledger.records
    assert record.closed_at_home


def test_a_dropped_database_while_its_connection_is_in_use(ledger: Ledger) -> None:
    """C4: a thread that still works on its connection finishes its transaction, then closes the connection itself."""
    box = [PersistentDB(ledger.connect)]
    begun, dropped = threading.Event(), threading.Event()
    rows: list[Any] = []

    def work() -> None:
        db = box[0].connection()
        db.execute("create table t (x)")
        db.begin()
        begun.set()
        dropped.wait(30)
        db.execute("insert into t values (1)")
        rows.extend(db.execute("select x from t").fetchall())
        db.commit()

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(30)
    box.clear()
    gc.collect()
    dropped.set()
    thread.join()
    assert rows == [(1,)]
    [record] = ledger.records
    assert record.closed_at_home


def test_databases_come_and_go_in_a_living_thread(ledger: Ledger) -> None:
    """C4: a thread that lives long does not pile up the connections of databases that were dropped."""

    def work() -> None:
        for _ in range(5):
            PersistentDB(ledger.connect).connection()
            gc.collect()
        assert ledger.open_connections() <= 1

    living = Living(work)
    living.end()
    assert len(ledger.records) == 5
    assert all(record.closed_at_home for record in ledger.records)


def test_a_connection_whose_database_was_dropped(ledger: Ledger) -> None:
    """C4: `PersistentDB(...).connection()` works on, for no thread has ended, and is closed with its last reference."""
    db = PersistentDB(ledger.connect).connection()
    gc.collect()
    with PersistentDB(ledger.connect) as other:
        other.connection()
        assert db.execute("select 1").fetchall() == [(1,)]
        del db
        assert ledger.records[0].closed_at_home


# The end of the interpreter

HEAD = """
import _thread, os, sqlite3, sys, threading, time
from persistentdb import PersistentDB

class Connection(sqlite3.Connection):
    def close(self):
        super().close()
        os.write(1, b"closed\\n")

def connect():
    return sqlite3.connect(sys.argv[1], factory=Connection)

def wait():
    ready.set()
    time.sleep(600)

ready = threading.Event()
persist = PersistentDB(connect)
"""

DAEMON = """
threading.Thread(target=lambda: (persist.connection(), wait()), daemon=True).start()
ready.wait()
"""
IN_TRANSACTION = """
db = persist.connection()
db.execute("create table t (x)")
db.begin()
db.execute("insert into t values (1)")
"""
DAEMON_IN_TRANSACTION = """
def work():
    db = persist.connection()
    db.begin()
    db.execute("create table t (x)")
    wait()

threading.Thread(target=work, daemon=True).start()
ready.wait()
"""
DAEMONS_AT_WORK = """
def work():
    while True:
        persist.connection().execute("select 1").fetchall()
        ready.set()

for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
ready.wait()
"""
DAEMON_IN_A_CALL = """
lock = threading.Lock()

class Busy(sqlite3.Connection):
    def cursor(self, *args):
        with lock:
            wait()

    def close(self):
        with lock:
            super().close()

persist = PersistentDB(sqlite3, database=sys.argv[1], factory=Busy, check_same_thread=False)
threading.Thread(target=lambda: persist.connection().cursor(), daemon=True).start()
ready.wait()
"""
NO_THREAD_OBJECT = """
_thread.start_new_thread(lambda: (persist.connection(), wait()), ())
ready.wait()
"""
ENDS_AFTER_MAIN = """
threading.Thread(target=lambda: (persist.connection(), ready.set(), time.sleep(0.3))).start()
ready.wait()
"""
AT_EXIT = """
import atexit
atexit.register(lambda: persist.connection().execute("select 1").fetchall())
persist.connection()
"""
AT_EXIT_AFTER_OURS = """
import atexit, persistentdb.persistent as room
atexit.unregister(room._close_at_exit)
atexit.register(lambda: persist.connection().execute("select 1").fetchall())
atexit.register(room._close_at_exit)
persist.connection()
"""
DATABASES_BEING_MADE = """
sys.setswitchinterval(1e-6)

def work():
    while True:
        PersistentDB(connect)
        ready.set()

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
keep = [PersistentDB(connect) for _ in range(500)]
ready.wait()
persist.connection()
"""
EXITS: dict[str, tuple[str, int]] = {
    # What is done, and how many connections are closed at least while `os.write` can still tell of it.
    "main, cached": ("persist.connection().execute('select 1')", 1),
    "main, in a transaction": (IN_TRANSACTION, 1),
    "main, local variable": ("def main():\n    db = persist.connection()\n    sys.exit()\nmain()", 1),
    "main, in a cycle": ("cycle = [persist, persist.connection()]; cycle.append(cycle); del persist", 1),
    "main, threading.local": ("persist.threadlocal = threading.local; persist.connection()", 1),
    "main, database dropped": ("db = persist.connection(); del persist", 0),
    "closed before": ("persist.connection(); persist.close()", 1),
    "never used": ("", 0),
    "daemon": (DAEMON, 0),
    "daemon, and main": (DAEMON + "persist.connection()", 1),
    "daemon, database dropped": (DAEMON + "del persist", 0),
    "daemon, database closed": (DAEMON + "persist.close()", 0),
    "daemon, in a transaction": (DAEMON_IN_TRANSACTION, 0),
    "daemon, in a call of the driver's": (DAEMON_IN_A_CALL, 0),
    "daemons at work": (DAEMONS_AT_WORK, 0),
    "thread without a Thread object": (NO_THREAD_OBJECT, 0),
    "thread that ends after main": (ENDS_AFTER_MAIN, 1),
    "used at exit": (AT_EXIT, 1),
    "used at exit after our own end": (AT_EXIT_AFTER_OURS, 1),
    "databases being made": (DATABASES_BEING_MADE, 1),
}


def run_python(*arguments: object, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run this interpreter on *arguments*, with this very package on its path."""
    root = str(Path(persistentdb.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, *flags, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(("-W", "error"), id="as it comes"),
        pytest.param(("-X", "dev", "-W", "error"), id="for developers", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("case", EXITS)
def test_the_interpreter_ends_in_silence(case: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    """C4: nothing is said on stderr at exit, and the main thread's connection is closed, whatever else is running."""
    code, closed = EXITS[case]
    run = run_python("-c", HEAD + code, tmp_path / "data.db", flags=flags)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.count("closed") >= closed


STATEMENTS_UNDER_WAY = """
import ast, importlib, sys, threading, time
from persistentdb import PersistentDB

persist = PersistentDB(importlib.import_module(sys.argv[1]), **ast.literal_eval(sys.argv[2]))
ready = threading.Semaphore(0)

def work():
    cursor = persist.connection().cursor()
    ready.release()
    cursor.execute(sys.argv[3])

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
for _ in range(3):
    ready.acquire()
time.sleep(0.3)
"""


def test_the_interpreter_ends_while_statements_run(driver: LiveDriver) -> None:
    """C4: a daemon thread that waits for the server is left alone: to close its connection hangs, or kills Python."""
    options = driver.connect_kwargs()
    run = run_python("-c", STATEMENTS_UNDER_WAY, driver.driver.module_name, repr(options), driver.slow(3))
    assert (run.returncode, run.stderr) == (0, "")


# Threads that Python did not start


class ForeignThread:
    """A thread of the operating system that makes a number of calls, each under a new Python thread state."""

    def __init__(self, library: ctypes.CDLL, target: Callable[[], object], calls: int) -> None:
        self.errors: list[BaseException] = []
        self.identifiers: set[int] = set()
        self._library = library
        self._target = target
        self._callback = ctypes.CFUNCTYPE(None)(self._call)
        self._handle: int | None = library.foreign_thread_start(self._callback, calls)
        assert self._handle

    def _call(self) -> None:
        try:
            self.identifiers.add(threading.get_ident())
            self._target()
        except BaseException as error:
            self.errors.append(error)

    def wait(self) -> None:
        """Return when it has made its calls; it lives on."""
        self._library.foreign_thread_wait(self._handle)
        assert self.errors == []

    def end(self) -> int:
        """Return its identifier when it is gone."""
        self._library.foreign_thread_end(self._handle)
        assert self.errors == []
        [identifier] = self.identifiers
        return identifier


Foreign = Callable[..., ForeignThread]


@pytest.fixture(scope="session")
def foreign_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile `foreign_thread.c`; without a C compiler the tests are skipped."""
    configured = (sysconfig.get_config_var("CC") or "").split()[:1]
    compiler = next(filter(None, map(shutil.which, [*configured, "cc", "gcc", "clang"])), None)
    if compiler is None:
        pytest.skip("no C compiler to make a thread with that Python did not start: apt-get install gcc libc6-dev")
    library = tmp_path_factory.mktemp("foreign") / "foreign_thread.so"
    source = Path(__file__).with_name("foreign_thread.c")
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-pthread", "-o", library, source], capture_output=True, text=True, check=False
    )
    if "pthread.h" in done.stderr or "stdlib.h" in done.stderr:
        pytest.skip("the C compiler has no headers: apt-get install libc6-dev")
    assert done.returncode == 0, done.stderr
    return library


@pytest.fixture
def foreign(foreign_library: Path) -> Iterator[Foreign]:
    """Lend a function that starts a foreign thread: `foreign(target, calls)`."""
    library = ctypes.CDLL(str(foreign_library))
    library.foreign_thread_start.restype = ctypes.c_void_p
    library.foreign_thread_start.argtypes = [ctypes.CFUNCTYPE(None), ctypes.c_long]
    library.foreign_thread_wait.argtypes = library.foreign_thread_end.argtypes = [ctypes.c_void_p]

    def start(target: Callable[[], object], calls: int = 1) -> ForeignThread:
        return ForeignThread(library, target, calls)

    yield start
    assert _thread_exit._callbacks == {}, "left in the registry of foreign threads"


def test_threading_local_forgets_in_a_foreign_thread(foreign: Foreign) -> None:
    """C11: the premise of the tests below: Python's own thread-local data is gone at the next call."""
    local = threading.local()
    found: list[bool] = []

    def call() -> None:
        found.append(hasattr(local, "value"))
        local.value = 1

    thread = foreign(call, 3)
    thread.wait()
    thread.end()
    assert found == [False, False, False]


def test_a_foreign_thread_has_one_connection(
    persist: PersistentDB[sqlite3.Connection], ledger: Ledger, foreign: Foreign
) -> None:
    """C11, C4: a thread of 1,000 calls has one connection, closed in that thread when it is gone, without any call."""
    own = persist.connection()
    found: set[int] = set()
    thread = foreign(lambda: found.add(id(persist.connection())), FOREIGN_CALLS)
    thread.wait()
    assert len(ledger.records) == 2
    assert ledger.open_connections() == 2
    assert len(found) == 1
    assert id(own) not in found
    identifier = thread.end()
    record = ledger.records[1]
    assert (record.opened_in, record.closed_in) == (identifier, [identifier])
    assert own.execute("select 1").fetchall() == [(1,)]


def test_a_foreign_thread_works(persist: PersistentDB[sqlite3.Connection], foreign: Foreign) -> None:
    """C11, C12: a transaction may go over several calls; what is not committed at the thread's end is rolled back."""
    own = persist.connection()
    own.execute("create table t (x)")
    numbers = iter(range(5))

    def call() -> None:
        number, db = next(numbers), persist.connection()
        if number == 0:
            db.begin()
        db.execute("insert into t values (?)", (number,))
        if number == 3:
            db.commit()

    foreign(call, 5).end()
    assert own.execute("select x from t").fetchall() == [(0,), (1,), (2,), (3,)]
    own.execute("insert into t values (5)")
    own.commit()


def test_foreign_threads_at_the_same_time(
    persist: PersistentDB[sqlite3.Connection], ledger: Ledger, foreign: Foreign
) -> None:
    """C11, C3: two foreign threads have two connections, each its own."""
    first, second = (foreign(persist.connection, FOREIGN_CALLS) for _ in range(2))
    first.wait()
    second.wait()
    assert len(ledger.records) == 2
    home = {first.end()}
    assert ledger.open_connections() == 1
    home.add(second.end())
    assert len(home) == 2
    assert {record.opened_in for record in ledger.records} == home
    assert all(record.closed_at_home for record in ledger.records)


def test_one_foreign_thread_after_another(
    persist: PersistentDB[sqlite3.Connection], ledger: Ledger, foreign: Foreign
) -> None:
    """C11, C4: a foreign thread under an ended one's identifier has a connection of its own; so has one of Python's."""
    for number in range(1, 101):
        foreign(persist.connection, 2).end()
        in_thread(persist.connection)
        assert len(ledger.records) == 2 * number
        assert ledger.open_connections() == 0
    assert all(record.closed_at_home for record in ledger.records)


def test_a_foreign_thread_with_two_databases(ledger: Ledger, foreign: Foreign) -> None:
    """C11: each database has its own connection of the foreign thread; all are closed at its end."""
    with PersistentDB(ledger.connect) as one, PersistentDB(ledger.connect) as two:
        found: set[int] = set()
        thread = foreign(lambda: found.update((id(one.connection()), id(two.connection()))), 10)
        thread.wait()
        assert len(ledger.records) == len(found) == 2
        thread.end()
        assert all(record.closed_at_home for record in ledger.records)


def test_databases_come_and_go_in_a_foreign_thread(ledger: Ledger, foreign: Foreign) -> None:
    """C11: nothing piles up for a foreign thread that lives long while databases come and go."""
    left: list[int] = []

    def call() -> None:
        with PersistentDB(ledger.connect) as persist:
            persist.connection()
        left.append(sum(map(len, _thread_exit._callbacks.values())))

    thread = foreign(call, 50)
    thread.wait()
    thread.end()
    assert ledger.open_connections() == 0
    assert max(left) <= 1


def test_close_while_a_foreign_thread_lives(
    persist: PersistentDB[sqlite3.Connection], ledger: Ledger, foreign: Foreign
) -> None:
    """C11, C4: after `close()` a foreign thread closes its connection itself."""
    thread = foreign(persist.connection, 2)
    thread.wait()
    persist.close()
    assert ledger.open_connections() == 1
    thread.end()
    [record] = ledger.records
    assert record.closed_at_home


def test_a_database_dropped_while_a_foreign_thread_lives(ledger: Ledger, foreign: Foreign) -> None:
    """C11, C4: a dropped database's connection is closed by the foreign thread, with no ResourceWarning."""
    box = [PersistentDB(ledger.connect)]

    def ask() -> None:
        box[0].connection()

    thread = foreign(ask, 2)
    thread.wait()
    box.clear()
    gc.collect()
    thread.end()
    [record] = ledger.records
    assert record.closed_at_home


def test_a_foreign_thread_leaves_no_thread_object(persist: PersistentDB[sqlite3.Connection], foreign: Foreign) -> None:
    """C11: to ask who a thread is makes it no stand-in Thread object, which older Pythons keep for ever."""
    thread = foreign(persist.connection, 2)
    thread.wait()
    identifier = thread.end()
    assert [one for one in threading.enumerate() if one.ident == identifier] == []


def test_a_foreign_thread_on_a_server(postgres: PostgresServer, foreign: Foreign) -> None:
    """C11, C4: a foreign thread has one session on the server, and none when it is gone."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    before = postgres.sessions()
    with PersistentDB(psycopg, 0, None, None, 1, False, None, postgres.dsn) as persist:
        found: set[int] = set()
        ask = "select pg_backend_pid()"
        thread = foreign(lambda: found.update(persist.connection().execute(ask).fetchone()), 100)
        thread.wait()
        assert len(found) == 1
        assert postgres.sessions() == before + 1
        thread.end()
        postgres.await_sessions(before)


LOAD = """
import ctypes, sys

library = ctypes.CDLL(sys.argv[2])
library.foreign_thread_start.restype = ctypes.c_void_p
library.foreign_thread_start.argtypes = [ctypes.CFUNCTYPE(None), ctypes.c_long]
library.foreign_thread_wait.argtypes = library.foreign_thread_end.argtypes = [ctypes.c_void_p]
library.foreign_thread_end_at_exit.argtypes = [ctypes.c_void_p]
"""
CALL = "keep = ctypes.CFUNCTYPE(None)(lambda: persist.connection() and None)\n"
WAITS = CALL + "thread = library.foreign_thread_start(keep, 2); library.foreign_thread_wait(thread)\n"
ENDS = CALL + "library.foreign_thread_end(library.foreign_thread_start(keep, 2))\n"
BEGINS_AT_EXIT = """
import atexit
atexit.register(lambda: library.foreign_thread_end(library.foreign_thread_start(keep, 2)))
"""
FOREIGN_EXITS = {
    "it waits": WAITS,
    "it waits, main has one": WAITS + "persist.connection()",
    "it has ended": ENDS,
    "it ends at exit": WAITS + "import atexit; atexit.register(library.foreign_thread_end, thread)",
    "it begins at exit": BEGINS_AT_EXIT + ENDS,
    "it ends after the interpreter": WAITS + "assert library.foreign_thread_end_at_exit(thread) == 0",
}


@pytest.mark.parametrize("flags", [("-W", "error"), ("-X", "dev", "-W", "error")], ids=" ".join)
@pytest.mark.parametrize("case", FOREIGN_EXITS)
def test_the_interpreter_ends_before_a_foreign_thread(
    case: str, flags: tuple[str, ...], foreign_library: Path, tmp_path: Path
) -> None:
    """C11, C4: a foreign thread that lives on does not disturb the interpreter's end, nor does its own end."""
    code = HEAD + LOAD + FOREIGN_EXITS[case]
    run = run_python("-c", code, tmp_path / "data.db", foreign_library, flags=flags)
    assert (run.returncode, run.stderr) == (0, "")


def test_threading_is_first_imported_in_a_foreign_thread(foreign_library: Path, tmp_path: Path) -> None:
    """C11: an embedding server may import everything in a foreign thread, which Python before 3.13 takes for main."""
    code = LOAD + textwrap.dedent(
        """
        opened, persists = [], []

        def call():
            if not persists:
                import sqlite3
                from persistentdb import PersistentDB
                persists.append(PersistentDB(lambda: opened.append(1) or sqlite3.connect(sys.argv[1])))
            persists[0].connection().execute("select 1").fetchall()

        keep = ctypes.CFUNCTYPE(None)(call)
        library.foreign_thread_end(library.foreign_thread_start(keep, 10))
        print(len(opened))
        """
    )
    run = run_python("-c", code, tmp_path / "data.db", foreign_library)
    assert (run.returncode, run.stderr, run.stdout) == (0, "", "1\n")


def test_a_platform_without_posix_threads(ledger: Ledger, foreign: Foreign, monkeypatch: pytest.MonkeyPatch) -> None:
    """C11: where nobody tells of a thread's end, a foreign thread gets working connections, if not always the same."""
    monkeypatch.setattr(_thread_exit, "_set_sign", None)
    monkeypatch.setattr(_thread_exit, "_install", lambda: None)
    with PersistentDB(ledger.connect) as persist:
        foreign(lambda: persist.connection().execute("select 1"), 3).end()
        assert len(ledger.records) == 3
        assert all(record.closed_at_home for record in ledger.records)


def test_the_system_refuses_the_sign(ledger: Ledger, foreign: Foreign, monkeypatch: pytest.MonkeyPatch) -> None:
    """C11, C4: where the end of a thread cannot be told (no memory for the key), no connection is kept for ever."""
    monkeypatch.setattr(_thread_exit, "_callbacks", {})
    monkeypatch.setattr(_thread_exit, "_set_sign", lambda: errno.ENOMEM)
    with PersistentDB(ledger.connect) as persist:
        foreign(persist.connection, 3).end()
        assert ledger.open_connections() == 0
