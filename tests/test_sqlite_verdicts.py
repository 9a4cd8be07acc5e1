"""What SQLite refuses, and what it loses: disk full, locks, a replaced file, a client-side close (X1, X2)."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from persistentdb import PersistentDB, TransactionLost, Verdict

CODES = sys.version_info >= (3, 11)  # Python 3.10 hands out none
MODES = pytest.mark.parametrize("mode", ["autocommit", "implicit", "begin", "autocommit begin"])


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Lend the path of a database with an empty table."""
    path = str(tmp_path / "database")
    with closing(sqlite3.connect(path)) as con:
        con.execute("create table t (id integer primary key, note text)")
    return path


@pytest.fixture
def persistent(file: str, request: pytest.FixtureRequest) -> Iterator[PersistentDB[Any]]:
    """Lend a PersistentDB over the file that does not wait for locks, in the test's mode."""
    mode = request.node.callspec.params["mode"]
    settings: dict[str, Any] = {"isolation_level": None} if mode.startswith("autocommit") else {}
    with PersistentDB(lambda: sqlite3.connect(file, timeout=0, **settings)) as made:
        yield made


def write(db: Any, number: int, note: str = "x") -> None:
    """Insert the row of that number."""
    db.cursor().execute("insert into t values (?, ?)", (number, note))


def numbers(file: str) -> list[int]:
    """Return the numbers of the committed rows, read by an independent connection."""
    with closing(sqlite3.connect(file)) as con:
        return [number for (number,) in con.execute("select id from t order by id")]


def refusal(persistent: PersistentDB[Any], error: sqlite3.Error, code: int) -> None:
    """Check that an error was taken for the statement's own: nothing lost, nothing said of a loss."""
    raw = persistent.connection().driver_connection
    assert persistent.failures.verdict(error, raw) is Verdict.NOT_LOST
    assert not getattr(error, "__notes__", [])
    if sys.version_info >= (3, 11):
        assert error.sqlite_errorcode & 0xFF == code


@MODES
def test_disk_full(persistent: PersistentDB[Any], file: str, mode: str) -> None:
    """X2: SQLITE_FULL is no loss: the connection is kept, nothing is sent again, and it works on with what fits."""
    db = persistent.connection()
    raw = db.driver_connection
    [(pages,)] = db.execute("pragma page_count").fetchall()
    db.execute(f"pragma max_page_count = {pages + 2}")
    sent: list[str] = []
    raw.set_trace_callback(sent.append)
    if mode.endswith("begin"):
        db.begin()
    with pytest.raises(sqlite3.OperationalError, match="full") as caught:
        write(db, 1, "x" * 100_000)
    refusal(persistent, caught.value, 13)
    assert sum("insert" in statement for statement in sent) == 1
    db.rollback()
    with db.transaction():
        write(db, 2)
    assert db.driver_connection is raw
    assert numbers(file) == [2]


@MODES
def test_busy(persistent: PersistentDB[Any], file: str, mode: str) -> None:
    """X2: SQLITE_BUSY, the lock of another connection, is no loss: raised at once, sent once, good again afterwards."""
    db = persistent.connection()
    raw = db.driver_connection
    with closing(sqlite3.connect(file)) as holder:
        holder.execute("begin exclusive")
        if mode.endswith("begin"):
            db.begin()
        for statement in ("select * from t", "insert into t values (1, 'x')"):
            with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
                db.execute(statement)
            refusal(persistent, caught.value, 5)
        holder.rollback()
    write(db, 2)
    db.commit()
    assert db.driver_connection is raw
    assert numbers(file) == [2]


@MODES
def test_busy_commit(persistent: PersistentDB[Any], file: str, mode: str) -> None:
    """X1, X2: a commit that a reader holds up is refused, not in doubt: the work stays, and the next one commits it."""
    if mode == "autocommit":
        pytest.skip("there is no commit")
    db = persistent.connection()
    raw = db.driver_connection
    if mode.endswith("begin"):
        db.begin()
    write(db, 1)
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select * from t").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
            db.commit()
        refusal(persistent, caught.value, 5)
        assert db.in_transaction is True
        reader.execute("rollback")
    db.commit()
    assert db.driver_connection is raw
    assert numbers(file) == [1]


def test_locked_in_a_shared_cache() -> None:
    """X2: SQLITE_LOCKED, the lock of a neighbour in a shared cache, is no loss either."""

    def connect() -> sqlite3.Connection:
        return sqlite3.connect("file:shared?mode=memory&cache=shared", uri=True, timeout=0)

    with closing(connect()) as neighbour, PersistentDB(connect) as persistent:
        neighbour.execute("create table t (id integer primary key, note text)")
        neighbour.commit()
        db = persistent.connection()
        raw = db.driver_connection
        neighbour.execute("insert into t values (1, 'x')")
        for statement in ("select * from t", "insert into t values (2, 'x')"):
            with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
                db.execute(statement)
            refusal(persistent, caught.value, 6)
        neighbour.commit()
        write(db, 3)
        db.commit()
        assert db.driver_connection is raw
        assert neighbour.execute("select id from t").fetchall() == [(1,), (3,)]


def replace(file: str) -> None:
    """Put another database in the place of the file, as a restore from a backup does."""
    Path(file).rename(file + ".old")
    with closing(sqlite3.connect(file)) as con:
        con.execute("create table t (id integer primary key, note text)")


@pytest.mark.skipif(not CODES, reason="Python 3.10 hands out no extended error codes")
@MODES
def test_file_replaced(persistent: PersistentDB[Any], file: str, mode: str) -> None:
    """X1, X2: SQLITE_READONLY_DBMOVED (1032) is a loss: silent before the first write, never inside a transaction."""
    db = persistent.connection()
    raw = db.driver_connection
    replace(file)
    with closing(sqlite3.connect(file + ".old")) as twin:
        twin.execute("select * from t").fetchall()
        Path(file + ".old").rename(file + ".older")
        with pytest.raises(sqlite3.OperationalError) as caught:
            twin.execute("insert into t values (1, 'x')")
        assert caught.value.sqlite_errorcode == 1032  # type: ignore[attr-defined,unused-ignore]
        assert persistent.failures.verdict(caught.value, raw) is Verdict.LOST_UNSENT
    if not mode.endswith("begin"):
        write(db, 2)
    else:
        db.begin()
        with pytest.raises(sqlite3.OperationalError):
            write(db, 1)
        with pytest.raises(TransactionLost):
            db.commit()
        db.rollback()
        write(db, 2)
    db.commit()
    assert db.driver_connection is not raw
    assert numbers(file) == [2]


@MODES
def test_closed_by_the_client(persistent: PersistentDB[Any], file: str, mode: str) -> None:
    """X1, X2: a connection that was closed under the steady one: silent when idle, raised with uncommitted work."""
    db = persistent.connection()
    db.driver_connection.close()
    write(db, 1)
    db.commit()
    if mode.endswith("begin"):
        db.begin()
    write(db, 2)
    raw = db.driver_connection
    raw.close()
    if mode != "autocommit":
        with pytest.raises(sqlite3.ProgrammingError) as caught:
            write(db, 3)
        assert persistent.failures.verdict(caught.value, raw) is Verdict.LOST_UNSENT
        with pytest.raises(TransactionLost):
            db.commit()
        db.rollback()
    write(db, 4)
    db.commit()
    assert numbers(file) == ([1, 2, 4] if mode == "autocommit" else [1, 4])
