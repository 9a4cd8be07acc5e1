"""What a killed session cannot show: a link cut at a chosen byte, before or after the server did its work (X1)."""

from __future__ import annotations

from typing import Any

import pytest
from servers import LiveDriver, TcpProxy, driver_params

from persistentdb import CommitOutcomeUnknown, InheritedReplay, NoReplay, TransactionLost

from .deeds import Persist, Rows, insert, losses, notes, numbers, run, session_of, unbuffered, write

pytestmark = pytest.mark.server

NOT_RESENT = "not sent again, because the server may have executed it"
OUTCOME_UNKNOWN = "may or may not have happened"


@pytest.fixture
def proxy(driver: LiveDriver, proxy_for: Any) -> TcpProxy:
    """Lend a proxy in front of the driver's server."""
    found: TcpProxy = proxy_for(driver.server)
    return found


@pytest.fixture
def far(persist: Persist, proxy: TcpProxy) -> Any:
    """Lend a function that gives a connection through the proxy."""

    def connect(*, autocommit: bool = False, **kwargs: Any) -> Any:
        return persist({"port": proxy.port, "autocommit": autocommit}, **kwargs).connection()

    return connect


RST = pytest.mark.parametrize("rst", [False, True], ids=["fin", "rst"])
AUTOCOMMIT = pytest.mark.parametrize("autocommit", [False, True], ids=["manual", "autocommit"])


# Statements


@RST
@AUTOCOMMIT
def test_request_dropped(
    driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows, autocommit: bool, rst: bool
) -> None:
    """X1: a request lost on its way looks to the driver as if it was executed: it raises, and is sent by nobody."""
    db = far(autocommit=autocommit)
    run(db, "select 1")
    trigger = proxy.cut_before_request(b"insert into", rst=rst)
    with pytest.raises(losses(driver)) as caught:
        write(db, table, 1)
    assert trigger.fired.is_set()
    assert NOT_RESENT in notes(caught.value)
    db.commit()
    assert numbers(rows, table) == []
    write(db, table, 2)
    db.commit()
    assert numbers(rows, table) == [2]


def doubling(driver: LiveDriver, table: str) -> str:
    """Create a table without a key, and return the statement that writes to it, which could be executed twice."""
    driver.server.query(f"create table {table}_rows (note varchar(100))")
    return f"insert into {table}_rows values ('x')"


@pytest.fixture
def twice(driver: LiveDriver, table: str) -> Any:
    """Lend an insert that could be executed twice, and a function that counts its rows."""
    statement = doubling(driver, table)
    yield statement, lambda: len(driver.server.rows(f"{table}_rows"))
    driver.server.ensure_running()
    driver.server.drop_table(f"{table}_rows")


@RST
def test_reply_dropped_in_autocommit(driver: LiveDriver, proxy: TcpProxy, far: Any, twice: Any, rst: bool) -> None:
    """X1: what the server has executed and committed is not executed again when only its reply was lost."""
    statement, count = twice
    db = far(autocommit=True)
    trigger = proxy.cut_after_request(b"insert into", rst=rst)
    with pytest.raises(losses(driver)) as caught:
        run(db, statement)
    assert trigger.fired.is_set()
    assert NOT_RESENT in notes(caught.value)
    assert count() == 1
    run(db, statement)
    assert count() == 2


def test_reply_dropped_of_a_call_that_commits(
    driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows
) -> None:
    """X1: a procedure that commits by itself is called once, although its reply was lost (F2)."""
    name = f"{table}_call"
    mine = (
        "language plpgsql as 'begin {}; commit; end'"
        if driver.server.title == "PostgreSQL"
        else "begin {}; commit; end"
    )
    driver.server.query(
        f"create procedure {name}() {mine.format(f'insert into {table} select count(*), null from {table}')}"
    )
    db = far(autocommit=True)
    proxy.cut_after_request(b"call ")
    with pytest.raises(losses(driver)) as caught:
        run(db, f"call {name}()")
    assert NOT_RESENT in notes(caught.value)
    assert numbers(rows, table) == [0]
    run(db, f"call {name}()")
    assert numbers(rows, table) == [0, 1]
    driver.server.query(f"drop procedure {name}")


@pytest.mark.parametrize("executed", [False, True], ids=["request dropped", "reply dropped"])
def test_inherited_replay_sends_again(
    driver: LiveDriver, proxy: TcpProxy, far: Any, twice: Any, executed: bool
) -> None:
    """X1: with InheritedReplay a lost statement is sent again, executed or not: that is its user's choice."""
    statement, count = twice
    db = far(autocommit=True, replay=InheritedReplay())
    before = session_of(db)
    (proxy.cut_after_request if executed else proxy.cut_before_request)(b"insert into")
    run(db, statement)
    assert count() == 1 + executed
    assert session_of(db) != before


def test_inherited_replay_never_in_a_transaction(
    driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows
) -> None:
    """X1: with InheritedReplay, too, uncommitted work is never dropped in silence, begin() or not."""
    for begin in (False, True):
        db = far(replay=InheritedReplay())
        if begin:
            db.begin()
        write(db, table, 1)
        proxy.cut_before_request(b"insert into")
        with pytest.raises(losses(driver)):
            write(db, table, 2)
        with pytest.raises(TransactionLost):
            db.commit()
        db.rollback()
    assert numbers(rows, table) == []


@pytest.mark.parametrize("executed", [False, True], ids=["request dropped", "reply dropped"])
def test_no_replay_never_sends_again(driver: LiveDriver, proxy: TcpProxy, far: Any, twice: Any, executed: bool) -> None:
    """X1: with NoReplay a lost statement is never sent again."""
    statement, count = twice
    db = far(autocommit=True, replay=NoReplay())
    (proxy.cut_after_request if executed else proxy.cut_before_request)(b"insert into")
    with pytest.raises(losses(driver)):
        run(db, statement)
    assert count() == executed
    run(db, statement)
    assert count() == 1 + executed


def test_generator_is_not_sent_half_consumed(
    driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows
) -> None:
    """X1: executemany with a generator raises after a loss whatever the policy says, for it is half consumed."""
    db = far(autocommit=True, replay=InheritedReplay())
    proxy.cut_before_request(b"lost-here")
    notes_of_rows = ["x", "lost-here", "x"]
    pairs = (pair for pair in enumerate(notes_of_rows))
    if driver.name == "mariadb":
        with pytest.raises(TypeError, match="no len"):
            db.cursor().executemany(f"insert into {table} values (?, ?)", pairs)  # it takes none, then as now
        return
    with pytest.raises(losses(driver)):
        db.cursor().executemany(f"insert into {table} values (%s, %s)", pairs)
    assert numbers(rows, table) in ([], [0])
    write(db, table, 7)
    assert numbers(rows, table)[-1] == 7


# Idle


@RST
def test_cut_while_idle_is_not_noticed(
    driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows, rst: bool
) -> None:
    """C5: a link that a firewall cuts or resets while it is idle is replaced in silence, before each kind of use."""
    db = far()
    cursor = db.cursor()

    def cut() -> None:
        (proxy.reset if rst else proxy.cut)()

    cut()
    write(db, table, 1)
    db.commit()
    cut()
    cursor.execute(insert(table, 2))
    db.commit()
    cut()
    with db.transaction():
        cursor.execute(insert(table, 3))
    assert numbers(rows, table) == [1, 2, 3]


@RST
def test_cut_inside_a_transaction(
    driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows, rst: bool
) -> None:
    """X1: a cut inside a transaction is never papered over, an RST neither."""
    db = far()
    write(db, table, 1)
    (proxy.reset if rst else proxy.cut)()
    with pytest.raises(losses(driver)):
        write(db, table, 2)
    with pytest.raises(TransactionLost):
        db.commit()
    db.rollback()
    assert numbers(rows, table) == []


# Commit


def commit_of(driver: LiveDriver, *, by_sql: bool = False) -> bytes:
    """Return how the request that commits looks on the wire: pg8000 prepares it first, then has it executed."""
    return b"e\0\0\0\x09\0" if driver.name == "pg8000" and not by_sql else b"commit"


@RST
@pytest.mark.parametrize("happened", [False, True], ids=["request dropped", "reply dropped"])
@pytest.mark.parametrize("mode", ["implicit", "begin", "autocommit begin"])
def test_commit_in_doubt(
    driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows, mode: str, happened: bool, rst: bool
) -> None:
    """X1: a commit that may have happened raises CommitOutcomeUnknown until it is acknowledged."""
    db = far(autocommit=mode.startswith("autocommit"))
    if mode != "implicit":
        db.begin()
    write(db, table, 1)
    commit = commit_of(driver, by_sql=mode == "autocommit begin")
    trigger = (proxy.cut_after_request if happened else proxy.cut_before_request)(commit, rst=rst)
    with pytest.raises(CommitOutcomeUnknown, match=OUTCOME_UNKNOWN) as caught:
        db.commit()
    assert trigger.fired.is_set()
    assert isinstance(caught.value, driver.module.OperationalError)
    assert isinstance(caught.value.__cause__, losses(driver))
    for use in (db.commit, lambda: write(db, table, 2)):
        with pytest.raises(CommitOutcomeUnknown, match="outcome of the last commit"):
            use()
    db.rollback()
    assert numbers(rows, table) == [1] * happened
    write(db, table, 3)
    db.commit()
    assert numbers(rows, table) == [1] * happened + [3]


def test_commit_in_doubt_at_the_end_of_a_block(
    driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows
) -> None:
    """X1, C13: leaving `with db.transaction()` or `with db` raises it too, and acknowledges it."""
    db = far()
    for number, block in enumerate((db.transaction, lambda: db)):
        with pytest.raises(CommitOutcomeUnknown), block():
            write(db, table, number)
            proxy.cut_after_request(commit_of(driver))
        assert db.in_transaction is False
    assert numbers(rows, table) == [0, 1]


def test_commit_of_reads_is_never_in_doubt(driver: LiveDriver, proxy: TcpProxy, far: Any) -> None:
    """X1: a commit with nothing at stake succeeds although its link broke."""
    db = far()
    run(db, "select 1")
    proxy.cut_before_request(b"commit")
    db.commit()
    assert run(db, "select 1") == [(1,)]


# Rows

MANY = 20_000
SERIES = {
    "PostgreSQL": f"select g, repeat('x', 50) from generate_series(1, {MANY}) g",
    "MariaDB": f"select seq, repeat('x', 50) from seq_1_to_{MANY}",
}


@pytest.mark.parametrize("size", [5, 100_000], ids=["at its beginning", "in its middle"])
@pytest.mark.parametrize("fetch", ["fetchall", "iteration", "fetchmany"])
def test_cut_in_the_reply(driver: LiveDriver, proxy: TcpProxy, far: Any, fetch: str, size: int) -> None:
    """X1: rows that were cut off are an error, at the execution or the fetch; there are never silently fewer.

    MariaDB's connector keeps all threads from running while it reads rows, those of our proxy too: the proxy has to
    have passed the reply on in one go.
    """
    many, statement = MANY, SERIES[driver.server.title]
    if driver.name == "mariadb":
        many, size, statement = 200, min(size, 5_000), statement.replace(str(MANY), "200")
    db = far()
    trigger = proxy.cut_in_reply(b"repeat", size=size)
    with pytest.raises(losses(driver)):
        read_by(fetch, db.cursor())(statement)
    assert trigger.fired.is_set()
    assert len(read_by(fetch, db.cursor())(statement)) == many


MYSQL = pytest.mark.parametrize("driver", driver_params("pymysql", "mysqlclient"), indirect=True)


@MYSQL
@pytest.mark.parametrize("fetch", ["fetchall", "iteration", "fetchmany"])
def test_cut_in_the_reply_of_an_unbuffered_cursor(driver: LiveDriver, proxy: TcpProxy, far: Any, fetch: str) -> None:
    """X1: the same where rows come from the server one by one: the error is raised while fetching."""
    db = far()
    proxy.cut_in_reply(b"repeat", size=100_000)
    with unbuffered(driver, db) as cursor:
        with pytest.raises(losses(driver)):
            read_by(fetch, cursor)(SERIES["MariaDB"])
        cursor.close()
    with unbuffered(driver, db) as cursor:
        assert len(read_by(fetch, cursor)(SERIES["MariaDB"])) == MANY


@MYSQL
def test_lost_unbuffered_cursor_is_closed_after_a_reopening(driver: LiveDriver, proxy: TcpProxy, far: Any) -> None:
    """C5: closing a cursor whose connection was lost and replaced meanwhile is no error: there is nothing to close."""
    db = far()
    proxy.cut_in_reply(b"repeat", size=100_000)
    with unbuffered(driver, db) as cursor:
        with pytest.raises(losses(driver)):
            read_by("iteration", cursor)(SERIES["MariaDB"])
        assert run(db, "select 1") == [(1,)]
        cursor.close()


def read_by(fetch: str, cursor: Any) -> Any:
    """Return a function that executes a statement on a cursor and reads all its rows in the given way."""

    def read(statement: str) -> list[Any]:
        cursor.execute(statement)
        if fetch == "fetchall":
            return list(cursor.fetchall())
        if fetch == "iteration":
            return list(cursor)
        found: list[Any] = []
        while part := cursor.fetchmany(1000):
            found += part
        return found

    return read


def test_commit_by_sql_in_doubt(driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows) -> None:
    """X1: a COMMIT that went by `execute` and broke is in doubt like any other, for the work may be there."""
    db = far()
    write(db, table, 1)
    proxy.cut_after_request(b"commit")
    with pytest.raises(CommitOutcomeUnknown):
        run(db, "commit")
    with pytest.raises(CommitOutcomeUnknown):
        db.commit()
    db.rollback()
    assert numbers(rows, table) == [1]


@MYSQL
def test_work_committed_by_switching(driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows) -> None:
    """X1: what MySQL committed when autocommit was switched on is not called lost with a later connection."""
    db = far()
    write(db, table, 1)
    db.autocommit(True)
    proxy.cut()
    write(db, table, 2)
    assert numbers(rows, table) == [1, 2]
