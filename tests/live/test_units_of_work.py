"""Every unit of work that a program can be in the middle of when its connection is lost (C12, X1).

What became of the work is always read through an independent connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from servers import LiveDriver, TcpProxy, driver_params

from persistentdb import CommitOutcomeUnknown, InheritedReplay, MaskPing, PersistentDBError, TransactionLost
from persistentdb.drivers import profile_of

from .deeds import Persist, Rows, insert, kill, losses, notes, numbers, run, session_of, write

pytestmark = pytest.mark.server

POSTGRES = pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2", "pg8000", "pgdb"), indirect=True)
NAMED = pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2"), indirect=True)
MARIADB = pytest.mark.parametrize("driver", driver_params("pymysql", "mysqlclient", "mariadb"), indirect=True)
AUTOCOMMIT = pytest.mark.parametrize("autocommit", [False, True], ids=["manual", "autocommit"])
BEGIN = pytest.mark.parametrize("begin", [False, True], ids=["implicit", "begin"])


@pytest.fixture
def proxy(driver: LiveDriver, proxy_for: Any) -> TcpProxy:
    """Lend a proxy in front of the driver's server."""
    found: TcpProxy = proxy_for(driver.server)
    return found


@pytest.fixture
def far(persist: Persist, proxy: TcpProxy) -> Any:
    """Lend a connection through the proxy."""
    return persist({"port": proxy.port}).connection()


def assert_lost_until_ended(db: Any, table: str) -> None:
    """Check that nothing but an acknowledgement is possible, savepoints included; acknowledge it."""
    uses: list[Callable[[], object]] = [
        lambda: write(db, table, 90),
        lambda: run(db, "savepoint another"),
        lambda: run(db, "rollback to savepoint here"),
        lambda: run(db, "release savepoint here"),
        db.begin,
        db.commit,
    ]
    for use in uses * 2:
        with pytest.raises(TransactionLost):
            use()
    db.rollback()
    assert db.in_transaction is False


# Savepoints

WHERE = {
    "before it is set": ([], "savepoint here"),
    "just set": (["savepoint here"], "insert into {table} values (2, 'x')"),
    "before going back": (["savepoint here", "insert into {table} values (2, 'x')"], "rollback to savepoint here"),
    "gone back": (["savepoint here", "rollback to savepoint here"], "insert into {table} values (2, 'x')"),
    "before its release": (["savepoint here", "insert into {table} values (2, 'x')"], "release savepoint here"),
    "released": (["savepoint here", "release savepoint here"], "insert into {table} values (2, 'x')"),
}


@BEGIN
@pytest.mark.parametrize("where", WHERE)
def test_loss_around_a_savepoint(driver: LiveDriver, db: Any, table: str, rows: Rows, begin: bool, where: str) -> None:
    """C12, X1: wherever a savepoint stands, the loss takes the whole transaction, and says so; nothing comes back."""
    before, then = WHERE[where]
    if begin:
        db.begin()
    write(db, table, 1)
    for statement in before:
        run(db, statement.format(table=table))
    kill(driver, db)
    with pytest.raises(losses(driver)) as caught:
        run(db, then.format(table=table))
    assert not isinstance(caught.value, TransactionLost)
    assert_lost_until_ended(db, table)
    assert numbers(rows, table) == []
    write(db, table, 3)
    db.commit()
    assert numbers(rows, table) == [3]


@BEGIN
def test_going_back_to_a_savepoint_keeps_the_rest_at_stake(
    driver: LiveDriver, db: Any, table: str, rows: Rows, begin: bool
) -> None:
    """C12, X1: "rollback to savepoint" ends no transaction: the work before it is still protected, and committed."""
    session = session_of(db)
    for number, killed in enumerate((False, True)):
        if begin:
            db.begin()
        write(db, table, 10 * number)
        run(db, "savepoint here")
        with pytest.raises(driver.module.IntegrityError if driver.name != "pg8000" else driver.module.DatabaseError):
            write(db, table, 10 * number)
        run(db, "rollback to savepoint here")
        assert db.in_transaction is True
        assert session_of(db) == session
        if killed:
            kill(driver, db)
            with pytest.raises(TransactionLost):
                db.commit()
            db.rollback()
        else:
            db.commit()
    assert numbers(rows, table) == [0]


# PostgreSQL's aborted transaction


@POSTGRES
@BEGIN
def test_aborted_transaction(driver: LiveDriver, persist: Persist, table: str, rows: Rows, begin: bool) -> None:
    """C12: "current transaction is aborted" (25P02) is the caller's affair: no reopening, until rollback() ends it."""
    persistent = persist(maxusage=1, ping=MaskPing(7, window=0))
    db = persistent.connection()
    if begin:
        db.begin()
    write(db, table, 1)
    session = session_of(db)
    with pytest.raises(driver.module.Error):
        run(db, "this is no SQL")
    for _ in range(3):
        with pytest.raises(driver.module.Error) as caught:
            write(persistent.connection(), table, 2)
        assert profile_of(db.driver_connection).code(caught.value) == "25P02"
        assert not isinstance(caught.value, PersistentDBError)
        assert session_of(db) == session
        assert db.in_transaction is True
    db.rollback()
    assert db.in_transaction is False
    write(db, table, 3)
    db.commit()
    assert numbers(rows, table) == [3]


@POSTGRES
def test_loss_of_an_aborted_transaction(driver: LiveDriver, db: Any, table: str, rows: Rows) -> None:
    """C12, X1: one that is lost on top of it does not go on in a new session either, before rollback() has ended it."""
    write(db, table, 1)
    with pytest.raises(driver.module.Error):
        run(db, "this is no SQL")
    kill(driver, db)
    with pytest.raises(losses(driver)):
        write(db, table, 2)
    assert_lost_until_ended(db, table)
    assert numbers(rows, table) == []


# A generator given to executemany; mariadb's takes none

TAKES_GENERATORS = pytest.mark.parametrize(
    "driver", driver_params("psycopg", "psycopg2", "pg8000", "pgdb", "pymysql", "mysqlclient"), indirect=True
)


@TAKES_GENERATORS
@AUTOCOMMIT
def test_generator_after_an_idle_loss(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, autocommit: bool
) -> None:
    """C5, X1: a session found dead before the first row was taken from the generator is replaced: each row once."""
    db = persist({"autocommit": autocommit}).connection()
    cursor = db.cursor()
    kill(driver, db)
    place = driver.placeholder
    cursor.executemany(f"insert into {table} values ({place}, {place})", ((number, "x") for number in range(5)))
    db.commit()
    assert numbers(rows, table) == [0, 1, 2, 3, 4]


@TAKES_GENERATORS
@pytest.mark.parametrize("policy", [None, InheritedReplay()], ids=["default", "inherited"])
@pytest.mark.parametrize("mode", ["autocommit", "implicit", "work", "begin"])
def test_loss_in_the_middle_of_a_generator(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, mode: str, policy: Any
) -> None:
    """X1: a generator is read once whatever the policy: the loss in its middle raises, and no second half is sent."""
    db = persist({"autocommit": mode == "autocommit"}, replay=policy).connection()
    if mode == "begin":
        db.begin()
    if mode in ("work", "begin"):
        write(db, table, 100)
    taken = []

    def pairs() -> Iterator[tuple[int, str]]:
        for number in range(10):
            if number == 5:
                kill(driver, db)
            taken.append(number)
            yield number, "x"

    place = driver.placeholder
    with pytest.raises(losses(driver)):
        db.cursor().executemany(f"insert into {table} values ({place}, {place})", pairs())
    assert taken == sorted(set(taken)), "nothing was taken twice"
    if mode in ("work", "begin"):
        with pytest.raises(TransactionLost):
            db.commit()
    db.rollback()
    found = numbers(rows, table)
    assert found == (list(range(len(found))) if mode == "autocommit" else [])
    assert len(found) <= 5
    write(db, table, 200)
    db.commit()
    assert numbers(rows, table) == [*found, 200]


# Procedures, and what else commits on the way


def commits_by_call(db: Any, table: str) -> None:
    """Call the procedure by a statement."""
    run(db, f"call {table}_call()")


def commits_by_callproc(db: Any, table: str) -> None:
    """Call it by the driver's method."""
    db.cursor().callproc(f"{table}_call")


def commits_by_ddl(db: Any, table: str) -> None:
    """Change the schema, which commits in MariaDB."""
    run(db, f"alter table {table}_call_rows comment = 'call {table}_call'")


@pytest.fixture
def procedure(driver: LiveDriver, table: str) -> Iterator[None]:
    """Make a procedure that writes into a table of its own, commits, and is counted there."""
    driver.server.query(f"create table {table}_call_rows (note varchar(100))")
    driver.server.query(
        f"create procedure {table}_call() begin insert into {table}_call_rows values ('x'); commit; end"
    )
    yield
    driver.server.query(f"drop procedure {table}_call")
    driver.server.query(f"drop table {table}_call_rows")


@MARIADB
@BEGIN
@pytest.mark.usefixtures("procedure")
@pytest.mark.parametrize("way", [commits_by_call, commits_by_callproc, commits_by_ddl])
def test_reply_dropped_of_what_commits_on_the_way(
    driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows, begin: bool, way: Callable[[Any, str], None]
) -> None:
    """X1: a procedure (or DDL) that committed what was done before leaves that in doubt when its reply was lost."""
    if begin:
        far.begin()
    write(far, table, 1)
    trigger = proxy.cut_after_request(f"{table}_call".encode())
    with pytest.raises(CommitOutcomeUnknown):
        way(far, table)
    assert trigger.fired.is_set()
    for use in (far.commit, lambda: write(far, table, 2)):
        with pytest.raises(CommitOutcomeUnknown):
            use()
    far.rollback()
    assert numbers(rows, table) == [1]
    assert len(driver.server.rows(f"{table}_call_rows")) == (way is not commits_by_ddl)


@MARIADB
@pytest.mark.usefixtures("procedure")
@pytest.mark.parametrize("policy", [None, InheritedReplay()], ids=["default", "inherited"])
def test_procedure_is_called_once(
    driver: LiveDriver, persist: Persist, proxy: TcpProxy, table: str, policy: Any
) -> None:
    """X1: callproc() is sent again by nobody's default; the inherited rule would, and that is its user's choice."""
    db = persist({"port": proxy.port}, replay=policy).connection()
    proxy.cut_after_request(f"{table}_call".encode())
    if policy is None:
        with pytest.raises(losses(driver)) as caught:
            db.cursor().callproc(f"{table}_call")
        assert "not sent again" in notes(caught.value)
    else:
        db.cursor().callproc(f"{table}_call")
    assert len(driver.server.rows(f"{table}_call_rows")) == (1 if policy is None else 2)


# Nested callers of connection()


@BEGIN
@AUTOCOMMIT
def test_loss_in_a_nested_caller(
    driver: LiveDriver, persist: Persist, table: str, rows: Rows, begin: bool, autocommit: bool
) -> None:
    """C12, X1: a helper that swallows the loss inside its caller's transaction cannot make that commit a half."""
    persistent = persist({"autocommit": autocommit})

    def helper() -> None:
        db = persistent.connection()
        write(db, table, 2)
        kill(driver, db)
        with suppress(driver.module.Error):
            write(db, table, 3)
        with suppress(driver.module.Error):
            write(persistent.connection(), table, 4)

    def caller() -> None:
        db = persistent.connection()
        if begin:
            db.begin()
        write(db, table, 1)
        helper()
        write(db, table, 5)
        db.commit()

    if autocommit and not begin:
        with suppress(driver.module.Error):
            caller()
        # Each by itself: 3 met the loss unsent, found by the look at the socket, and went to the new session.
        assert numbers(rows, table) == [1, 2, 3, 4, 5]
        return
    with pytest.raises(TransactionLost):
        caller()
    with pytest.raises(TransactionLost):
        persistent.connection().commit()
    assert numbers(rows, table) == []
    persistent.connection().rollback()
    write(persistent.connection(), table, 6)
    persistent.connection().commit()
    assert numbers(rows, table) == [6]


def test_loss_in_a_nested_caller_inside_a_block(driver: LiveDriver, persist: Persist, table: str, rows: Rows) -> None:
    """C12, X1: the same in a block of transaction(): its end raises, although the helper saw and kept the error."""
    persistent = persist()

    def helper() -> None:
        with suppress(PersistentDBError), persistent.connection().transaction():
            raise AssertionError("a transaction inside a transaction")
        kill(driver, persistent.connection())
        with suppress(driver.module.Error), closing(persistent.connection().cursor()) as cursor:
            cursor.execute(insert(table, 2))

    with pytest.raises(TransactionLost), persistent.connection().transaction() as db:
        write(db, table, 1)
        helper()
    assert numbers(rows, table) == []
    assert persistent.connection().in_transaction is False
