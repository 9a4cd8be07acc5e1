"""`PersistentDB` itself: creators, refusals, affinity, closing (C1, C2, C3)."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import json
import sqlite3
import sys
import threading
import time
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from persistentdb import Backoff, MaskPing, NotSupportedError, Outage, PersistentDB, PersistentDBError, ProvenReplay
from persistentdb.locality import PerThread
from persistentdb.session import SQLSetup
from persistentdb.testing import fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.postgres import PostgresServer

PARAMETERS = ["creator", "maxusage", "setsession", "failures", "ping", "closeable", "threadlocal"]
SECRET = "s3cret"
TIMEOUT = 1.5
BUSY_TIMEOUT_MS = 1500

# The creator (C1)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Lend the name of a SQLite file."""
    return str(tmp_path / "data.db")


@pytest.fixture
def server() -> fake.Server:
    """Lend a server of the fake driver."""
    return fake.Server()


def connect_here(database: str, timeout: float = 5.0) -> sqlite3.Connection:
    """Connect, as a user's own function does."""
    return sqlite3.connect(database, timeout=timeout)


def function_with_dbapi(database: str, timeout: float) -> sqlite3.Connection:
    """Connect, and say by an attribute which driver that is."""
    return sqlite3.connect(database, timeout=timeout)


function_with_dbapi.dbapi = sqlite3  # type: ignore[attr-defined]


class ByClassmethod:
    """A class to connect by, such as `psycopg.Connection`."""

    @classmethod
    def connect(cls, database: str, timeout: float) -> sqlite3.Connection:
        """Connect."""
        return sqlite3.connect(database, timeout=timeout)


class WithConnectMethod(sqlite3.Connection):
    """Connections that have a method `connect` of their own, as PyMySQL's do."""

    def connect(self) -> None:
        """Do what PyMySQL's does: connect this object again."""
        raise AssertionError("the class is the creator, not this method")


class Provider:
    """An object with `connect`."""

    def connect(self, database: str, timeout: float) -> sqlite3.Connection:
        """Connect."""
        return sqlite3.connect(database, timeout=timeout)


SPELLINGS: dict[str, Callable[[str], PersistentDB[Any]]] = {
    "module, keywords": lambda path: PersistentDB(sqlite3, database=path, timeout=TIMEOUT),
    "module, 1000 and a keyword": lambda path: PersistentDB(sqlite3, 1000, database=path, timeout=TIMEOUT),
    "module, positional": lambda path: PersistentDB(sqlite3, 0, None, None, 1, False, None, path, timeout=TIMEOUT),
    "the driver's function": lambda path: PersistentDB(sqlite3.connect, database=path, timeout=TIMEOUT),
    "own function, positional": lambda path: PersistentDB(connect_here, 0, None, None, 1, False, None, path, TIMEOUT),
    "lambda": lambda path: PersistentDB(lambda: sqlite3.connect(path, timeout=TIMEOUT)),
    "partial": lambda path: PersistentDB(functools.partial(sqlite3.connect, path), timeout=TIMEOUT),
    "object with connect": lambda path: PersistentDB(Provider(), database=path, timeout=TIMEOUT),
    "bound method": lambda path: PersistentDB(Provider().connect, database=path, timeout=TIMEOUT),
    "class with a classmethod": lambda path: PersistentDB(ByClassmethod, database=path, timeout=TIMEOUT),
    "class of connections": lambda path: PersistentDB(sqlite3.Connection, database=path, timeout=TIMEOUT),
    "class, connect is a method": lambda path: PersistentDB(WithConnectMethod, database=path, timeout=TIMEOUT),
    "function with dbapi": lambda path: PersistentDB(function_with_dbapi, database=path, timeout=TIMEOUT),
    "from_creator": lambda path: PersistentDB.from_creator(lambda: sqlite3.connect(path, timeout=TIMEOUT)),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_the_creator(spelling: str, path: str) -> None:
    """C1: a module, a function, an object or a class gives connections, and gets the arguments after the seven."""
    with PersistentDB(sqlite3, database=path) as other:
        other.connection().execute("create table marked (x)")
    with SPELLINGS[spelling](path) as persist:
        db = persist.connection()
        assert db.execute("pragma busy_timeout").fetchall() == [(BUSY_TIMEOUT_MS,)]
        assert db.execute("select name from sqlite_master").fetchall() == [("marked",)]
        assert isinstance(db.driver_connection, sqlite3.Connection)


def test_psycopg_connection_class(postgres: PostgresServer) -> None:
    """C1: a driver's class with a classmethod `connect` is a creator, too."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    before = postgres.sessions()
    with PersistentDB(psycopg.Connection, 0, None, None, 1, False, None, postgres.dsn) as persist:
        assert persist.connection().execute("select 1").fetchone() == (1,)
        assert postgres.sessions() == before + 1
    postgres.await_sessions(before)


def test_the_position_of_the_parameters() -> None:
    """C1: the seven parameters keep their names, places and defaults; what was added is keyword-only, after `*args`."""
    parameters = list(inspect.signature(PersistentDB).parameters.values())
    assert [one.name for one in parameters[:8]] == [*PARAMETERS, "args"]
    assert [one.default for one in parameters[:7]] == [inspect.Parameter.empty, None, None, None, 1, False, None]
    assert {one.kind for one in parameters[:7]} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    assert parameters[7].kind is inspect.Parameter.VAR_POSITIONAL
    assert {one.kind for one in parameters[8:-1]} == {inspect.Parameter.KEYWORD_ONLY}
    assert parameters[-1].kind is inspect.Parameter.VAR_KEYWORD


def test_the_strict_door() -> None:
    """C1: `from_creator` has the same options, keyword-only, and passes nothing through."""
    constructor = inspect.signature(PersistentDB).parameters
    strict = inspect.signature(PersistentDB.from_creator).parameters
    assert list(strict) == [name for name in constructor if name not in ("args", "kwargs")]
    assert all(strict[name].default == constructor[name].default for name in strict)
    assert {strict[name].kind for name in list(strict)[1:]} == {inspect.Parameter.KEYWORD_ONLY}
    wrong: Any = PersistentDB.from_creator
    with pytest.raises(TypeError, match="pnig"):
        wrong(lambda: sqlite3.connect(":memory:"), pnig=7)


def test_options_reach_their_place(server: fake.Server) -> None:
    """C1: given by position or by keyword, each option is the same, and no option goes to the creator."""
    classifier, replay = fake.OperationalError, ProvenReplay()
    wanted = {"user": "me"}
    by_position = PersistentDB(server.connect, 3, ["a"], classifier, 7, True, threading.local, replay=replay, **wanted)
    by_keyword = PersistentDB(
        server.connect,
        maxusage=3,
        setsession=["a"],
        failures=classifier,
        ping=7,
        closeable=True,
        threadlocal=threading.local,
        replay=replay,
        **wanted,
    )
    for persist in (by_position, by_keyword):
        with persist:
            assert (persist.maxusage, persist.closeable, persist.ping) == (3, True, MaskPing(7))
            assert (persist.setsession, persist.replay) == (SQLSetup(("a",)), replay)
            persist.connection()
    assert [connection.options for connection in server.connections] == [wanted, wanted]
    assert server.executed == ["a", "a"]


# Drivers that cannot be used with threads (C2)

MISSING: Any = object()
UNSAFE = {"0": 0, "None": None, "missing": MISSING}
of_unsafe_levels = pytest.mark.parametrize("level", UNSAFE.values(), ids=UNSAFE)


class Driver(ModuleType):
    """A DB-API 2 module of a name of its own, with connections of its own."""

    def __init__(self, name: str, level: Any, server: fake.Server) -> None:
        super().__init__(name)
        self.apilevel = "2.0"
        if level is not MISSING:
            self.threadsafety = level
        self.connection_class = type("Connection", (fake.Connection,), {"__module__": name})
        self.server = server

    def connect(self, **options: Any) -> fake.Connection:
        """Open a connection whose class lives in this module."""
        connection: fake.Connection = self.connection_class(self.server, options)
        self.server.connections.append(connection)
        return connection


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch, server: fake.Server) -> Iterator[Callable[[Any], Driver]]:
    """Lend a function that makes a driver of a threadsafety, imported as `some_driver`."""

    def make(level: Any) -> Driver:
        driver = Driver("some_driver", level, server)
        monkeypatch.setitem(sys.modules, driver.__name__, driver)
        return driver

    return make


@of_unsafe_levels
def test_an_unsafe_module_is_refused(level: Any, imported: Callable[[Any], Driver], server: fake.Server) -> None:
    """C2: a module whose threadsafety is 0, None or missing is refused at once, by name and with the reason."""
    shown = None if level is MISSING else level
    with pytest.raises(NotSupportedError, match=rf"^some_driver cannot .* threadsafety is {shown}, at least 1"):
        PersistentDB(imported(level))
    assert server.connections == []


@pytest.mark.parametrize("level", [1, 2, 3, True])
def test_a_safe_module_is_taken(level: Any, imported: Callable[[Any], Driver]) -> None:
    """C2: from threadsafety 1 on a module is taken; the mariadb driver says True."""
    with PersistentDB(imported(level)) as persist:
        assert persist.connection().cursor() is not None


@of_unsafe_levels
def test_a_function_that_shows_its_module_is_refused(level: Any, imported: Callable[[Any], Driver]) -> None:
    """C2: the module is found through the function's attribute `dbapi`, and through the function's own module."""
    driver = imported(level)

    def by_attribute() -> fake.Connection:
        raise AssertionError("not to be called")

    by_attribute.dbapi = driver  # type: ignore[attr-defined]

    def by_module() -> fake.Connection:
        raise AssertionError("not to be called")

    by_module.__module__ = "some_driver.connections"
    for creator in (by_attribute, by_module):
        with pytest.raises(NotSupportedError, match="some_driver"):
            PersistentDB(creator)


@of_unsafe_levels
def test_an_object_that_shows_its_module_is_refused(
    level: Any, imported: Callable[[Any], Driver], server: fake.Server
) -> None:
    """C2: the attribute `dbapi` of an object with `connect` counts like a function's."""
    with pytest.raises(NotSupportedError, match="some_driver"):
        PersistentDB(SimpleNamespace(connect=server.connect, dbapi=imported(level)))


@of_unsafe_levels
@pytest.mark.parametrize("shown_by", ["class", "errors"])
def test_the_first_connection_shows_an_unsafe_module(
    level: Any, shown_by: str, imported: Callable[[Any], Driver], server: fake.Server
) -> None:
    """C2: a function is taken on trust until its first connection, which is then closed, and so is the next."""
    driver = imported(level)
    if shown_by == "errors":
        error = type("OperationalError", (Exception,), {"__module__": "some_driver"})
        driver.connection_class = type(
            "Connection", (fake.Connection,), {"__module__": "nowhere", "OperationalError": error}
        )

    def creator() -> fake.Connection:
        return driver.connect()

    persist = PersistentDB(creator)
    for asked in (persist.connection, persist.connection, persist.steady_connection):
        with pytest.raises(NotSupportedError, match="some_driver"):
            asked()
    assert len(server.connections) == 3
    assert server.open_connections() == 0


# Arguments that are none of the accepted forms

BAD: list[tuple[str, type[Exception], list[Any]]] = [
    ("maxusage", TypeError, ["10", 1.5, True, [], object()]),
    ("maxusage", ValueError, [-1]),
    ("setsession", TypeError, ["set x", b"set x", 5, [1], ("a", None), {"a"}, {"a": 1}, iter(["a"]), SQLSetup]),
    ("failures", TypeError, ["OperationalError", 5, int, (ValueError, 5), (ValueError, int), [ValueError], True]),
    ("ping", TypeError, [1.5, [], (), (1,), (1, "x", 2), ("1", "x"), (1, 5), b"select 1", object(), MaskPing]),
    ("ping", ValueError, [-1, 8, (8, "select 1")]),
    ("closeable", TypeError, ["dbname", [], object(), 1.5]),
    ("threadlocal", TypeError, [threading.local(), "local", 5, True, PerThread, int, dict]),
    ("replay", TypeError, ["always", 5, True, ProvenReplay, lambda loss: True]),
]
DOORS: dict[str, Callable[..., Any]] = {"constructor": PersistentDB, "strict": PersistentDB.from_creator}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("parameter", "error", "value"),
    [
        pytest.param(parameter, error, value, id=f"{parameter}-{place}-{error.__name__}")
        for parameter, error, values in BAD
        for place, value in enumerate(values)
    ],
)
def test_a_wrong_argument(door: str, parameter: str, error: type[Exception], value: Any, server: fake.Server) -> None:
    """C1: a wrong argument is refused at once; the error names it, what came, and what is accepted."""
    with pytest.raises(error) as caught:
        DOORS[door](server.connect, **{parameter: value})
    text = str(caught.value)
    assert text.startswith(f"{parameter}=")
    shown = value[0] if error is ValueError and isinstance(value, tuple) else value
    assert repr(shown) in text or type(shown).__name__ in text
    assert "expected" in text
    assert server.connections == []


class Anything:
    """Neither callable nor with `connect`."""


NO_CREATORS = {
    "None": None,
    "a number": 5,
    "a name": "sqlite3",
    "an object": Anything(),
    "a module without connect": json,
}


@pytest.mark.parametrize("creator", NO_CREATORS.values(), ids=NO_CREATORS)
def test_a_wrong_creator(creator: Any) -> None:
    """C1: what is neither module nor function is refused at once, by the name of its kind."""
    wrong: Any = PersistentDB
    with pytest.raises(TypeError, match=r"^creator=.*: expected a DB-API 2 module or a function") as caught:
        wrong(creator)
    assert getattr(creator, "__name__", type(creator).__name__) in str(caught.value)


def test_a_connection_is_no_creator() -> None:
    """C1: a connection in the creator's place is refused at once; sqlite3's can be called, PyMySQL's has `connect`."""
    wrong: Any = PersistentDB
    for kind in (sqlite3.Connection, WithConnectMethod):
        with (
            contextlib.closing(kind(":memory:")) as connection,
            pytest.raises(TypeError, match=f"^creator=.*{kind.__name__}"),
        ):
            wrong(connection)


def test_a_creator_that_is_called_wrongly(path: str) -> None:
    """C1: arguments that the creator does not take are its own error, and nothing is kept of the attempt."""
    persist = PersistentDB(connect_here, no_such_option=path)
    for _ in range(2):
        with pytest.raises(TypeError, match="no_such_option"):
            persist.connection()


# Creators that fail


async def asynchronous() -> fake.Connection:
    """Connect, as an asyncio driver does."""
    raise AssertionError("never awaited")


NO_CONNECTIONS: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "object": object,
    "a cursor": lambda: fake.Cursor(fake.Server().connect(), (), {}),
    "a coroutine": asynchronous,
}


@pytest.mark.parametrize("wrong", NO_CONNECTIONS.values(), ids=NO_CONNECTIONS)
def test_a_creator_that_returns_no_connection(wrong: Callable[[], Any], server: fake.Server) -> None:
    """C1: what is no connection is refused with the creator's name and the kind of what came; the next call tries."""
    answers = [wrong, server.connect]

    def sometimes() -> Any:
        return answers.pop(0)()

    with PersistentDB(sometimes) as persist:
        with pytest.raises(TypeError, match=r"sometimes returned .*, which is no DB-API 2 connection"):
            persist.connection()
        assert persist.connection().driver_connection is server.connections[0]


def test_a_reopening_that_returns_no_connection(server: fake.Server) -> None:
    """C1: a creator that once gave a connection may give none later; that error is as clear as at first."""
    answers: list[Callable[[], Any]] = [server.connect, lambda: None, server.connect]

    def sometimes() -> Any:
        return answers.pop(0)()

    with PersistentDB(sometimes, closeable=True) as persist:
        db = persist.connection()
        db.close()
        with pytest.raises(TypeError, match="sometimes returned NoneType, which is no DB-API 2 connection"):
            db.cursor()
        db.cursor()
        assert server.open_connections() == 1


@pytest.mark.parametrize("error", [fake.OperationalError("away"), RuntimeError("odd"), KeyboardInterrupt()])
def test_a_creator_that_raises(error: BaseException, server: fake.Server) -> None:
    """C1, C3: the creator's error reaches the caller as it is, nothing is kept half-open, the next call tries again."""
    errors = [error, error]

    def sometimes() -> fake.Connection:
        if errors:
            raise errors.pop()
        return server.connect()

    with PersistentDB(sometimes, outage=Outage(backoff=Backoff(first=0))) as persist:
        for asked in (persist.connection, persist.steady_connection):
            with pytest.raises(type(error)) as caught:
                asked()
            assert caught.value is error
        db = persist.connection()
        assert persist.connection() is db
        assert len(server.connections) == 1


def test_a_session_that_cannot_be_prepared(server: fake.Server) -> None:
    """C7: a connection whose setup fails is closed, its error raised; the next call opens another."""
    server.fail_before["set x"] = [fake.ProgrammingError("no x")]
    with PersistentDB(server.connect, setsession=["set x"]) as persist:
        with pytest.raises(fake.ProgrammingError, match="no x"):
            persist.connection()
        assert server.open_connections() == 0
        persist.connection()
        assert server.open_connections() == 1


def test_a_connection_that_fails_on_first_sight(path: str) -> None:
    """C1: a connection that cannot be asked what it is, is closed, not left half-open."""
    closed = []

    class Broken(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            raise sqlite3.OperationalError("disk I/O error")

        def close(self) -> None:
            super().close()
            closed.append(self)

    persist = PersistentDB(sqlite3, database=path, factory=Broken)
    with pytest.raises(sqlite3.OperationalError, match="disk"):
        persist.connection()
    assert len(closed) == 1


# Passwords


@dataclasses.dataclass
class SecretProvider:
    """An object with `connect` whose repr shows everything."""

    server: fake.Server
    password: str

    def connect(self, **options: Any) -> fake.Connection:
        """Connect."""
        return self.server.connect(password=self.password)

    __call__ = connect


SECRETIVE: dict[str, Callable[[fake.Server], PersistentDB[Any]]] = {
    "positional": lambda server: PersistentDB(
        lambda *args: server.connect(), 0, None, None, 1, False, None, "me", SECRET
    ),
    "keyword": lambda server: PersistentDB(server.connect, user="me", password=SECRET),
    "dsn": lambda server: PersistentDB(server.connect, dsn=f"postgresql://me:{SECRET}@host/db"),
    "partial": lambda server: PersistentDB(functools.partial(server.connect, password=SECRET)),
    "object with connect": lambda server: PersistentDB(SecretProvider(server, SECRET)),
    "callable object": lambda server: PersistentDB.from_creator(SecretProvider(server, SECRET).__call__),
    "setsession": lambda server: PersistentDB(server.connect, setsession=[f"set password = '{SECRET}'"]),
}


@pytest.mark.parametrize("spelling", SECRETIVE)
def test_no_repr_shows_a_password(spelling: str, server: fake.Server) -> None:
    """X9: a password never appears in a repr or in an error of ours, however it was given."""
    persist = SECRETIVE[spelling](server)
    shown = [repr(persist), repr(persist._opener)]
    db = persist.connection()
    shown += [repr(db), repr(db.cursor()), str(db)]
    persist.close()
    for asked in (persist.connection, db.cursor):
        with pytest.raises(PersistentDBError) as caught:
            asked()
        shown.append(repr(caught.value))
    assert "PersistentDB" in shown[0]
    assert not [text for text in shown if SECRET in text]


@pytest.mark.parametrize("wrong", [lambda **kwargs: None, SimpleNamespace])
def test_no_error_about_a_creator_shows_a_password(wrong: Callable[..., Any]) -> None:
    """X9: what a creator got and what it returned instead of a connection stays out of the error."""
    for persist in (PersistentDB(wrong, password=SECRET), PersistentDB(functools.partial(wrong, password=SECRET))):
        with pytest.raises(TypeError) as caught:
            persist.connection()
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("place", range(1, 7))
def test_a_password_in_the_wrong_place(place: int, server: fake.Server) -> None:
    """X9: a connection string given too early is refused without being shown; as `ping` it is taken for SQL."""
    dsn = f"host=db password={SECRET}"
    options: list[Any] = [None, None, None, 1, False, None]
    options[place - 1] = dsn
    if PARAMETERS[place] == "ping":
        assert SECRET not in repr(PersistentDB(server.connect, *options))
        return
    with pytest.raises(TypeError, match=f"^{PARAMETERS[place]}=") as caught:
        PersistentDB(server.connect, *options)
    assert SECRET not in str(caught.value)
    wrong: Any = PersistentDB
    with pytest.raises(TypeError, match=r"^creator=") as caught:
        wrong(dsn)
    assert SECRET not in str(caught.value)


# Which thread has which connection (C3)


def run_threads(target: Callable[[], object], count: int) -> None:
    """Run *target* in *count* threads that live at the same time; raise what one of them raised."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            barrier.wait(30)
            target()
            barrier.wait(30)
        except BaseException as error:
            barrier.abort()
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_a_thread_has_its_own_connection(server: fake.Server) -> None:
    """C3: each of 16 threads gets the same connection at each call, and no other thread ever gets it."""
    found: list[list[object]] = []
    with PersistentDB(server.connect) as persist:
        own = persist.connection()

        def work() -> None:
            mine = [persist.connection() for _ in range(200)]
            raw = [persist.connection().driver_connection for _ in range(200)]
            assert len({id(one) for one in mine}) == len({id(one) for one in raw}) == 1
            found.append([mine[0], raw[0]])

        run_threads(work, 16)
        assert len({id(db) for db, _ in found} | {id(own)}) == 17
        assert len({id(raw) for _, raw in found} | {id(own.driver_connection)}) == 17
        assert len(server.connections) == 17
        assert persist.connection() is own
        assert server.open_connections() == 1


def test_a_driver_sees_one_thread_only(path: str) -> None:
    """C3: sqlite3, which refuses a second thread, never sees one, while threads write at the same time."""
    with PersistentDB(sqlite3, database=path, timeout=60) as persist:
        persist.connection().execute("create table t (x)")

        def work() -> None:
            for number in range(5):
                with persist.connection() as db:
                    db.execute("insert into t values (?)", (number,))

        run_threads(work, 16)
        assert persist.connection().execute("select count(*) from t").fetchone() == (80,)


def test_names_for_callers_of_a_pool(server: fake.Server) -> None:
    """C3: `connection(shareable=...)` and `dedicated_connection()` are the thread's connection."""
    with PersistentDB(server.connect) as persist:
        db = persist.connection()
        assert persist.connection(True) is persist.connection(False) is db
        assert persist.connection(shareable=True) is persist.connection(shareable=False) is db
        assert persist.dedicated_connection() is db
        assert len(server.connections) == 1


def test_a_steady_connection_is_cached_for_nobody(server: fake.Server) -> None:
    """C3: `steady_connection()` is a new, hardened connection each time, and no thread's own."""
    with PersistentDB(server.connect, closeable=True) as persist:
        first, second = persist.steady_connection(), persist.steady_connection()
        assert len({id(first), id(second), id(persist.connection())}) == 3
        assert len(server.connections) == 3
        first.close()
        second.close()
        first.cursor().execute("select 1")
        assert len(server.connections) == 4
        first.close()
        assert server.open_connections() == 1


def test_two_databases_in_a_thread(server: fake.Server) -> None:
    """C3: each `PersistentDB` has connections of its own, in the same thread too."""
    with PersistentDB(server.connect, name="one") as one, PersistentDB(server.connect, name="two") as two:
        for _ in range(2):
            assert one.connection().driver_connection.options == {"name": "one"}
            assert two.connection().driver_connection.options == {"name": "two"}
        assert len(server.connections) == 2


# Closing


@pytest.mark.parametrize("closeable", [False, True])
def test_close(closeable: bool, server: fake.Server) -> None:
    """C3: `close()` closes the thread's connection at once and gives out no more; twice is once."""
    persist = PersistentDB(server.connect, closeable=closeable)
    db = persist.connection()
    persist.close()
    persist.close()
    assert server.open_connections() == 0
    for asked in (persist.connection, persist.dedicated_connection, persist.steady_connection, db.cursor, db.begin):
        with pytest.raises(PersistentDBError, match="this PersistentDB is closed; make a new one"):
            asked()
    assert len(server.connections) == 1


def test_close_before_the_first_use(server: fake.Server) -> None:
    """C3: a `PersistentDB` that nobody used can be closed, too."""
    persist = PersistentDB(server.connect)
    persist.close()
    with pytest.raises(PersistentDBError, match="closed"):
        persist.connection()
    assert server.connections == []


def test_with_block(server: fake.Server) -> None:
    """C3: a `with` block closes at its end, and lets an exception through."""
    with pytest.raises(KeyError), PersistentDB(server.connect) as persist:
        assert persist.connection().cursor() is not None
        raise KeyError
    assert server.open_connections() == 0


def test_a_connection_is_closed_once(server: fake.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """C4: the driver's connection is closed once, for some drivers fail on a second time."""
    calls: list[fake.Connection] = []

    def close(connection: fake.Connection) -> None:
        calls.append(connection)

    monkeypatch.setattr(fake.Connection, "close", close)
    with PersistentDB(server.connect, closeable=True) as persist:
        persist.connection().close()
        persist.connection().cursor()
    assert calls == server.connections
    assert len(calls) == 2


class OtherThread:
    """A thread that does what it is told, step by step."""

    def __init__(self) -> None:
        self._step = threading.Semaphore(0)
        self._done = threading.Semaphore(0)
        self._todo: Callable[[], object] | None = None
        self._result: tuple[object, BaseException | None] = (None, None)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while self._step.acquire() and self._todo is not None:
            try:
                self._result = (self._todo(), None)
            except BaseException as error:
                self._result = (None, error)
            self._done.release()

    def start(self, todo: Callable[[], object] | None) -> None:
        """Have the thread do something."""
        self._todo = todo
        self._step.release()

    def result(self) -> Any:
        """Return what came of it, or raise it."""
        assert self._done.acquire(timeout=30)
        (value, error), self._result = self._result, (None, None)
        if error is not None:
            raise error
        return value

    def do(self, todo: Callable[[], object]) -> Any:
        """Have the thread do something, and return what came of it."""
        self.start(todo)
        return self.result()

    def end(self) -> None:
        """Return when the thread has ended."""
        self.start(None)
        self._thread.join()


@pytest.fixture
def other() -> Iterator[OtherThread]:
    """Lend another thread."""
    thread = OtherThread()
    yield thread
    thread.end()


def test_close_leaves_a_living_thread_its_connection(other: OtherThread, path: str) -> None:
    """C3: another thread's connection is not touched by `close()`; that thread closes it before its next use."""
    closed = []

    class Recorded(sqlite3.Connection):
        def close(self) -> None:
            super().close()  # raises in any thread but its own
            closed.append(threading.get_ident())

    persist = PersistentDB(sqlite3, database=path, factory=Recorded)
    db = other.do(persist.connection)
    persist.close()
    assert closed == []
    for use in (persist.connection, lambda: db.execute("select 1")):
        with pytest.raises(PersistentDBError, match="this PersistentDB is closed"):
            other.do(use)
        assert set(closed) == {other._thread.ident}


def test_close_lets_another_thread_finish_its_transaction(other: OtherThread, server: fake.Server) -> None:
    """C12: work that another thread has begun is not taken from it; then its connection is closed."""
    persist = PersistentDB(server.connect)
    db = other.do(persist.connection)
    other.do(db.begin)
    other.do(lambda: db.cursor().execute("insert 1"))
    persist.close()
    assert other.do(persist.connection) is db
    other.do(lambda: db.cursor().execute("insert 2"))
    other.do(db.commit)
    assert server.committed == ["insert 1", "insert 2"]
    with pytest.raises(PersistentDBError, match="this PersistentDB is closed"):
        other.do(lambda: db.cursor().execute("insert 3"))
    assert server.open_connections() == 0


def test_close_while_another_thread_connects(other: OtherThread, server: fake.Server) -> None:
    """C3: a connection that is being opened during `close()` is not given out for good after it."""
    connecting, go = threading.Event(), threading.Event()

    def slowly() -> fake.Connection:
        connecting.set()
        assert go.wait(30)
        return server.connect()

    persist = PersistentDB(slowly)
    other.start(persist.connection)
    assert connecting.wait(30)
    persist.close()
    go.set()
    with pytest.raises(PersistentDBError, match="this PersistentDB is closed"):
        other.result().cursor()  # refused at once, or at its first use
    with pytest.raises(PersistentDBError, match="this PersistentDB is closed"):
        other.do(lambda: persist.connection().cursor())
    assert server.open_connections() == 0


def test_close_and_first_uses_at_the_same_time(server: fake.Server) -> None:
    """C3: whoever wins, after `close()` no thread goes on working, and nothing stays open."""
    for _ in range(50):
        persist = PersistentDB(server.connect)
        turn = iter(range(8))
        run_threads(lambda turn=turn, persist=persist: close_or_work(next(turn), persist), 8)  # type: ignore[misc]
    assert server.open_connections() == 0


def close_or_work(turn: int, persist: PersistentDB[Any]) -> None:
    """Close it if it is our turn, else work until we are refused."""
    if turn == 0:
        persist.close()
        return
    give_up = time.monotonic() + 20
    with pytest.raises(PersistentDBError, match="this PersistentDB is closed"):
        while time.monotonic() < give_up:
            persist.connection().cursor()
