"""Two-phase commit over every driver here that has it (C12): oracledb has, too, but no server.

What became of the work is always read through an independent connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from servers import LiveDriver, TcpProxy, driver_params

from persistentdb import CommitOutcomeUnknown, PersistentDBError, TransactionLost

from .deeds import Persist, Rows, kill, losses, numbers, run, session_of, write

pytestmark = [
    pytest.mark.server,
    pytest.mark.usefixtures("none_waits"),
    pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2", "pg8000", "mariadb"), indirect=True),
]
ENDS = pytest.mark.parametrize("end", ["tpc_commit", "tpc_rollback"])
ARRIVES = pytest.mark.parametrize("arrives", [False, True], ids=["request dropped", "reply dropped"])


@pytest.fixture
def proxy(driver: LiveDriver, proxy_for: Any) -> TcpProxy:
    """Lend a proxy in front of the driver's server."""
    found: TcpProxy = proxy_for(driver.server)
    return found


@pytest.fixture
def far(persist: Persist, proxy: TcpProxy) -> Any:
    """Lend a connection through the proxy."""
    return persist({"port": proxy.port}).connection()


def waiting(driver: LiveDriver) -> list[str]:
    """Return what is prepared on the server and waits to be ended, as its SQL writes the ids."""
    if driver.server.title == "MariaDB":
        return [row[-1] for row in driver.server.query("xa recover format='sql'")]
    return [row[0] for row in driver.server.query("select quote_literal(gid) from pg_prepared_xacts")]


@pytest.fixture
def none_waits(driver: LiveDriver) -> Iterator[None]:
    """Roll back at the end what still waits."""
    yield
    for xid in waiting(driver):
        driver.server.query(statement(driver, "rollback").decode() + " " + xid)


def statement(driver: LiveDriver, phase: str) -> bytes:
    """Return the beginning of the SQL that the driver sends for a phase: `prepare`, `commit` or `rollback`."""
    if driver.server.title == "MariaDB":
        return f"xa {phase}".encode()
    return b"prepare transaction" if phase == "prepare" else f"{phase} prepared".encode()


def recover(driver: LiveDriver, db: Any, end: str) -> int:
    """End what the server still has prepared, as `tpc_recover()` lists it; return how much that was."""
    found = db.tpc_recover()
    db.rollback()
    assert len(found) == len(waiting(driver))
    for xid in found:
        recover_mariadb(driver, db, end) if driver.name == "mariadb" else getattr(db, end)(xid)
    assert waiting(driver) == []
    return len(found)


def recover_mariadb(driver: LiveDriver, db: Any, end: str) -> None:
    """The driver ends by id only what its own connection has begun; MariaDB itself wants autocommit for the rest."""
    [name] = waiting(driver)
    with pytest.raises(driver.module.ProgrammingError, match="not started"):
        getattr(db, end)(db.xid(0, name, ""))
    db.autocommit = True
    run(db, f"{statement(driver, end.removeprefix('tpc_')).decode()} {name}")
    db.autocommit = False


# Ids are of the form that pg8000 recovers: any other it leaves prepared in tpc_commit(), and says nothing.


@ENDS
def test_both_phases(driver: LiveDriver, db: Any, table: str, rows: Rows, end: str) -> None:
    """C12: tpc_* commits and rolls back in two phases; the same session is of ordinary use afterwards."""
    session = session_of(db)
    db.tpc_begin(db.xid(0, table, ""))
    write(db, table, 1)
    assert db.in_transaction is True
    assert numbers(rows, table) == []
    db.tpc_prepare()
    assert len(waiting(driver)) == 1
    assert db.in_transaction is True
    getattr(db, end)()
    assert waiting(driver) == []
    assert db.in_transaction is False
    expected = [1] * (end == "tpc_commit")
    assert numbers(rows, table) == expected
    write(db, table, 2)
    db.commit()
    assert numbers(rows, table) == [*expected, 2]
    assert session_of(db) == session


@ENDS
def test_without_the_first_phase(driver: LiveDriver, db: Any, table: str, rows: Rows, end: str) -> None:
    """C12: what was not prepared is committed or rolled back at once."""
    db.tpc_begin(db.xid(0, table, ""))
    write(db, table, 1)
    getattr(db, end)()
    assert db.in_transaction is False
    expected = [1] * (end == "tpc_commit")
    assert numbers(rows, table) == expected
    write(db, table, 2)
    db.commit()
    assert numbers(rows, table) == [*expected, 2]


@ENDS
def test_an_idle_loss_before_it(driver: LiveDriver, db: Any, table: str, rows: Rows, end: str) -> None:
    """C5: a unit of work that opens with tpc_begin() after an idle loss is no exception."""
    killed = kill(driver, db)
    db.tpc_begin(db.xid(0, table, ""))
    write(db, table, 1)
    db.tpc_prepare()
    getattr(db, end)()
    assert session_of(db) != killed
    assert numbers(rows, table) == [1] * (end == "tpc_commit")


@pytest.mark.parametrize("met_in", ["tpc_prepare", "tpc_commit", "a statement"])
def test_loss_before_the_first_phase(driver: LiveDriver, db: Any, table: str, rows: Rows, met_in: str) -> None:
    """C12, X1: work that was not prepared is lost with its connection; tpc_rollback() acknowledges that."""
    db.tpc_begin(db.xid(0, table, ""))
    write(db, table, 1)
    kill(driver, db)
    if met_in == "a statement":
        with pytest.raises(losses(driver)) as caught:
            write(db, table, 2)
        assert not isinstance(caught.value, PersistentDBError)
    else:
        with pytest.raises(TransactionLost):
            getattr(db, met_in)()
    for use in (db.tpc_prepare, db.tpc_commit, db.commit, lambda: write(db, table, 3)):
        with pytest.raises(TransactionLost):
            use()
    db.tpc_rollback()
    assert waiting(driver) == []
    assert numbers(rows, table) == []
    write(db, table, 4)
    db.commit()
    assert numbers(rows, table) == [4]


@ARRIVES
def test_loss_in_the_first_phase(
    driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows, arrives: bool
) -> None:
    """C12, X1: broken in tpc_prepare() the outcome is unknown; tpc_recover() tells it, and both ways lead on."""
    far.tpc_begin(far.xid(0, table, ""))
    write(far, table, 1)
    trigger = (proxy.cut_after_request if arrives else proxy.cut_before_request)(statement(driver, "prepare"))
    with pytest.raises(CommitOutcomeUnknown):
        far.tpc_prepare()
    assert trigger.fired.is_set()
    for use in (far.tpc_prepare, far.tpc_commit, lambda: write(far, table, 2)):
        with pytest.raises(CommitOutcomeUnknown):
            use()
    far.rollback()
    found = recover(driver, far, "tpc_commit")
    assert bool(found) is arrives or driver.name == "pg8000"  # whose first reply says only that it was understood
    assert numbers(rows, table) == [1] * found


@ENDS
def test_loss_between_the_phases(driver: LiveDriver, db: Any, table: str, rows: Rows, end: str) -> None:
    """C12: a prepared transaction outlives its connection, and is the caller's to recover, on the same connection."""
    db.tpc_begin(db.xid(0, table, ""))
    write(db, table, 1)
    db.tpc_prepare()
    kill(driver, db)
    with pytest.raises(losses(driver)) as caught:
        getattr(db, end)()
    assert not isinstance(caught.value, PersistentDBError)
    assert numbers(rows, table) == []
    assert recover(driver, db, end) == 1
    assert numbers(rows, table) == [1] * (end == "tpc_commit")
    write(db, table, 2)
    db.commit()
    assert numbers(rows, table)[-1] == 2


@ARRIVES
@ENDS
def test_loss_in_the_second_phase(
    driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows, end: str, arrives: bool
) -> None:
    """C12: what is prepared outlives its connection: the driver's error is raised, and what is left is recovered."""
    far.tpc_begin(far.xid(0, table, ""))
    write(far, table, 1)
    far.tpc_prepare()
    phase = statement(driver, end.removeprefix("tpc_"))
    trigger = (proxy.cut_after_request if arrives else proxy.cut_before_request)(phase)
    with pytest.raises(losses(driver)) as caught:
        getattr(far, end)()
    assert trigger.fired.is_set()
    assert not isinstance(caught.value, PersistentDBError)
    far.rollback()
    found = recover(driver, far, end)
    assert bool(found) is not arrives or driver.name == "pg8000"
    assert numbers(rows, table) == [1] * (end == "tpc_commit")


def test_prepared_transaction_outlives_its_server(driver: LiveDriver, db: Any, table: str, rows: Rows) -> None:
    """C12: after a crash of the server a prepared transaction is still there, and the connection can commit it."""
    db.tpc_begin(db.xid(0, table, ""))
    write(db, table, 1)
    db.tpc_prepare()
    driver.server.kill()
    driver.server.start()
    with pytest.raises(losses(driver)):
        db.tpc_commit()
    assert recover(driver, db, "tpc_commit") == 1
    assert numbers(rows, table) == [1]
    write(db, table, 2)
    db.commit()
    assert numbers(rows, table) == [1, 2]
