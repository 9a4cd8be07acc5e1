"""The steady connection over the real sqlite3: a database in this very process."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from persistentdb import PersistentDB, SteadyConnection, TransactionLost
from persistentdb.drivers import profile_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database file with an empty table t(x)."""
    path = tmp_path / "test.db"
    with_table = sqlite3.connect(path)
    with_table.execute("create table t (x)")
    with_table.close()
    return path


@pytest.fixture
def persist(file: Path) -> Iterator[PersistentDB[sqlite3.Connection]]:
    """A PersistentDB over that file."""
    with PersistentDB[sqlite3.Connection](sqlite3, database=str(file)) as persist:
        yield persist


@pytest.fixture
def db(persist: PersistentDB[sqlite3.Connection]) -> Any:
    """The calling thread's connection."""
    return persist.connection()


def rows(file: Path) -> list[Any]:
    """What another connection sees in t."""
    other = sqlite3.connect(file)
    try:
        return [x for (x,) in other.execute("select x from t order by x")]
    finally:
        other.close()


def test_closed_behind_the_back(db: Any, file: Path) -> None:
    """C5: a connection that somebody closed while nothing hung on it is reopened, for reads and writes."""
    db.execute("select x from t").fetchall()
    db.driver_connection.close()
    assert db.cursor().execute("select x from t").fetchall() == []
    db.driver_connection.close()
    db.cursor().execute("insert into t values (1)")
    db.commit()
    assert rows(file) == [1]


@pytest.mark.parametrize("begin", [True, False], ids=["begin", "implicit"])
def test_closed_with_work(db: Any, file: Path, begin: bool) -> None:
    """X1: work executed but not committed is never dropped in silence, begin() or not."""
    if begin:
        db.begin()
    db.execute("insert into t values (1)")
    db.driver_connection.close()
    with pytest.raises(sqlite3.ProgrammingError) as lost:
        db.execute("insert into t values (2)")
    with pytest.raises(TransactionLost) as poisoned:
        db.commit()
    assert isinstance(poisoned.value, sqlite3.OperationalError)
    assert poisoned.value.__cause__ is lost.value
    db.rollback()
    db.execute("insert into t values (3)")
    db.commit()
    assert rows(file) == [3]


def test_closed_through_a_leak(file: Path) -> None:
    """X1: a connection closed by a reference of the creator's own: what may have been work counts as work."""
    made: list[sqlite3.Connection] = []

    def creator() -> sqlite3.Connection:
        made.append(sqlite3.connect(file))
        return made[-1]

    with PersistentDB(creator) as persist:
        db: Any = persist.connection()
        db.execute("insert into t values (1)")
        made[0].close()
        with pytest.raises(sqlite3.ProgrammingError):
            db.execute("insert into t values (2)")
        with pytest.raises(TransactionLost):
            db.commit()
        db.rollback()
        db.execute("insert into t values (3)")
        db.commit()
        made[1].close()
        db.execute("insert into t values (4)")
        db.commit()
    assert rows(file) == [3, 4]


def test_commit_on_a_closed_connection(db: Any) -> None:
    """X1: a commit whose work is gone raises; one with nothing to lose succeeds."""
    db.execute("insert into t values (1)")
    db.driver_connection.close()
    with pytest.raises(TransactionLost):
        db.commit()
    db.rollback()
    db.driver_connection.close()
    db.commit()


def test_memory_is_never_replaced_in_silence() -> None:
    """X1: a database that dies with its connection is not recycled, and its loss raises, reads included."""
    with PersistentDB(sqlite3, 1, database=":memory:") as persist:
        db: Any = persist.connection()
        db.execute("create table t (x)")
        db.commit()
        for number in range(5):
            db.execute("insert into t values (?)", (number,))
            db.commit()
        assert db.execute("select count(*) from t").fetchone() == (5,)
        db.commit()
        db.driver_connection.close()
        with pytest.raises(sqlite3.ProgrammingError):
            db.execute("select count(*) from t")
        with pytest.raises(TransactionLost):
            db.execute("create table t (x)")
        db.rollback()
        db.execute("create table t (x)")


def test_a_replaced_file(db: Any, file: Path) -> None:
    """X2: when the file was replaced under the connection a write goes to the new file."""
    db.execute("select x from t").fetchall()
    db.commit()
    file.unlink()
    other = sqlite3.connect(file)
    other.execute("create table t (x)")
    other.close()
    if sys.version_info < (3, 11):
        pytest.skip("Python 3.10 hands out no extended error codes")
    db.execute("insert into t values (1)")
    db.commit()
    assert rows(file) == [1]


def test_ordinary_errors_are_no_losses(db: Any) -> None:
    """X2: a locked database, a missing table, a syntax error are raised as they are, and the session is kept."""
    raw = db.driver_connection
    for operation in ("select * from missing", "not sql", "insert into t values (1, 2)"):
        with pytest.raises(sqlite3.OperationalError) as raised:
            db.execute(operation)
        assert not hasattr(raised.value, "__notes__")
    assert db.driver_connection is raw


def test_a_lock_is_waited_for_once(file: Path) -> None:
    """X2: "database is locked" is no loss: the statement is sent once."""
    other = sqlite3.connect(file)
    other.execute("begin exclusive")
    try:
        with PersistentDB(sqlite3, database=str(file), timeout=0.05) as persist:
            db: Any = persist.connection()
            raw = db.driver_connection
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                db.execute("insert into t values (1)")
            assert db.driver_connection is raw
            assert db.usage == 1
    finally:
        other.close()


@pytest.mark.parametrize("isolation_level", ["DEFERRED", None])
def test_begin_is_a_real_transaction(file: Path, isolation_level: str | None) -> None:
    """C12: also in autocommit, and also for DDL, which sqlite3 would commit by itself."""
    with PersistentDB(sqlite3, database=str(file), isolation_level=isolation_level) as persist:
        db: Any = persist.connection()
        db.begin()
        db.execute("create table other (y)")
        db.execute("insert into t values (1)")
        db.rollback()
        assert db.execute("select count(*) from sqlite_master where name = 'other'").fetchone() == (0,)
        with db.transaction():
            db.execute("insert into t values (2)")
        assert rows(file) == [2]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the attribute autocommit came with Python 3.12")
@pytest.mark.parametrize("autocommit", [True, False])
def test_the_newer_autocommit(file: Path, autocommit: bool) -> None:
    """C12, C6: with `autocommit=` of Python 3.12, too: begin() is real, and reads alone keep nothing from recycling."""
    made: list[Any] = []

    def creator() -> sqlite3.Connection:
        made.append(sqlite3.connect(file, autocommit=autocommit))
        return made[-1]

    with PersistentDB(creator, 2) as persist:
        db: Any = persist.connection()
        with pytest.raises(KeyError), db.transaction():
            db.execute("insert into t values (1)")
            raise KeyError
        with db.transaction():
            db.execute("insert into t values (2)")
        assert rows(file) == [2]
        for _ in range(3):
            db.execute("select 1").fetchall()
            db.rollback()
        assert len(made) > 1
    assert rows(file) == [2]


def test_executescript_is_protected(db: Any, file: Path) -> None:
    """X4: what else sends statements is as careful as `execute`."""
    db.driver_connection.close()
    db.executescript("insert into t values (1); insert into t values (2);")
    assert rows(file) == [1, 2]


def test_session_state_survives(db: Any) -> None:
    """X3: attributes and functions set through the steady connection are there on the new connection."""
    db.row_factory = sqlite3.Row
    db.create_function("one", 0, lambda: 1)
    db.create_function("two", 0, lambda: 2)
    db.driver_connection.close()
    row = db.execute("select one() as a, two() as b").fetchone()
    assert (row["a"], row["b"]) == (1, 2)


def test_it_is_the_whole_driver(persist: PersistentDB[sqlite3.Connection], db: Any) -> None:
    """X4: every public name of the driver's connection and cursor is there."""
    cursor = db.cursor()
    raw = persist.connection().driver_connection
    missing = [name for name in dir(raw) if not name.startswith("_") and not hasattr(db, name)]
    missing += [name for name in dir(raw.cursor()) if not name.startswith("_") and not hasattr(cursor, name)]
    assert missing == []
    assert not hasattr(cursor, "callproc")
    assert cursor.connection is db
    assert list(db.iterdump())


def test_reads_cost_what_the_driver_s_cost(db: Any) -> None:
    """X4: iteration is the driver's own, and no class over sqlite3 has `__getattr__`."""
    cursor = db.cursor()
    cursor.execute("select 1 union select 2")
    assert iter(cursor) is cursor.driver_cursor
    assert next(cursor) == (1,)
    assert not any("__getattr__" in vars(one) for kind in (type(db), type(cursor)) for one in kind.__mro__)


def test_execute_returns_the_steady_cursor(db: Any) -> None:
    """X4: `execute(...)` returns what the driver's returns: itself, so that calls can be chained."""
    cursor = db.cursor()
    assert cursor.execute("select 1") is cursor
    assert cursor.executemany("insert into t values (?)", [(1,), (2,)]) is cursor
    assert db.execute("select x from t where x = ?", (2,)).fetchall() == [(2,)]
    assert db.cursor().execute("select x from t").fetchmany(1) == [(1,)]


def test_a_chain_on_a_fresh_connection(persist: PersistentDB[sqlite3.Connection]) -> None:
    """X4: `con.cursor().execute(...).fetchall()` works, also where nobody keeps the steady objects."""
    steady: Any = persist.steady_connection()
    assert steady.cursor().execute("select 1").fetchall() == [(1,)]
    iterator = iter(steady.cursor().execute("select 1 union select 2"))
    assert list(iterator) == [(1,), (2,)]
    steady.close()
    steady.driver_connection.close()


def test_in_transaction(db: Any) -> None:
    """C12: `in_transaction` tells what the driver tells."""
    assert not db.in_transaction
    db.execute("select 1").fetchall()
    assert not db.in_transaction
    db.execute("insert into t values (1)")
    assert db.in_transaction
    db.close()
    assert not db.in_transaction


def test_a_derived_connection_keeps_its_profile(file: Path) -> None:
    """X2: a class that the user derived from the driver's is the driver's all the same."""

    class Mine(sqlite3.Connection):
        pass

    with PersistentDB(sqlite3, database=str(file), factory=Mine) as persist:
        db = persist.connection()
        assert isinstance(db, SteadyConnection)
        assert profile_of(db.driver_connection).name == "sqlite3"


def test_work_past_us_is_rolled_back_by_close(db: Any, file: Path) -> None:
    """C12: what went through the driver's own connection is uncommitted work, too."""
    db.driver_connection.execute("insert into t values (1)")
    db.close()
    db.execute("insert into t values (2)")
    db.commit()
    assert rows(file) == [2]


def test_memory_lost_while_idle() -> None:
    """X1: the loss of a database in memory raises, at a rollback() and a commit(), too."""
    for end in ("rollback", "commit"):
        with PersistentDB(sqlite3, database=":memory:") as persist:
            db: Any = persist.connection()
            db.execute("create table t (x)")
            db.commit()
            db.driver_connection.close()
            with pytest.raises(sqlite3.Error):
                getattr(db, end)()
