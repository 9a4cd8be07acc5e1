"""The fake driver of the fault kit (X10) under persistentdb: as one that it does not know, and as one that it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from persistentdb import CommitOutcomeUnknown, MaskPing, PersistentDB, Ping, TransactionLost, Verdict
from persistentdb.drivers import UNKNOWN, DriverProfile, profile_of, register
from persistentdb.failures import FailureClasses
from persistentdb.testing import FakeServer, fake
from persistentdb.testing._known import PROFILE

ROOT = Path(__file__).resolve().parents[1]

KNOWN = {"unknown": False, "known": True}
either = pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)


@pytest.fixture
def opened() -> Iterator[Callable[..., Any]]:
    """Lend a function that opens a steady connection to a fake server."""
    made: list[PersistentDB[Any]] = []

    def steady(server: FakeServer, **options: Any) -> Any:
        made.append(PersistentDB(server.connect, **options))
        return made[-1].connection()

    yield steady
    for persist in made:
        persist.close()


def work(connection: Any, *statements: str) -> None:
    """Execute statements on a connection, and commit them."""
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    connection.commit()


def test_by_default_nothing_is_known(opened: Callable[..., Any]) -> None:
    """X10: the driver has no profile, no status, no socket; so the inherited rule sends a lost statement again."""
    server = FakeServer()
    assert profile_of(server.connect()) is UNKNOWN
    assert not hasattr(server.connections[0], "fileno")
    fault = server.lose_after("insert")
    opened(server, ping=0).cursor().execute("insert a")
    assert fault.fired.is_set()
    assert server.executed == ["insert a", "insert a"]


def test_a_known_driver_is_found_dead_before_the_send(opened: Callable[..., Any]) -> None:
    """X10: a real socket tells that the server has hung up, so the statement is proven unsent and goes out once."""
    server = FakeServer(known=True)
    db = opened(server, ping=0)
    server.kill()
    db.cursor().execute("insert a")
    db.commit()
    assert server.executed == server.committed == ["insert a"]
    assert server.connections[0].calls == ["cursor"]
    assert server.open_connections() == 1


def test_a_known_driver_proves_that_it_did_not_send(opened: Callable[..., Any]) -> None:
    """X10: lose_unsent() is a loss with proof, the statement goes to a new connection, once."""
    server = FakeServer(known=True)
    db = opened(server, ping=0)
    fault = server.lose_unsent("insert")
    db.cursor().execute("insert a")
    assert fault.fired.is_set()
    assert server.executed == ["insert a"]
    assert len(server.connections) == 2


@pytest.mark.parametrize(("lose", "executed"), [("lose_before", []), ("lose_after", ["insert a"])])
def test_a_known_driver_that_cannot_tell(opened: Callable[..., Any], lose: str, executed: list[str]) -> None:
    """X10: before or after, the driver says the same, so nothing is sent again; the next use reopens."""
    server = FakeServer(known=True)
    db = opened(server, ping=0)
    getattr(server, lose)("insert a")
    with pytest.raises(fake.OperationalError) as raised:
        db.cursor().execute("insert a")
    assert "not sent again" in raised.value.__notes__[0]
    assert server.executed == executed
    work(db, "insert b")
    assert server.committed == ["insert b"]


COMMITS: dict[str, tuple[str, type[Exception], list[str]]] = {
    "before": ("lose_before", CommitOutcomeUnknown, []),
    "after": ("lose_after", CommitOutcomeUnknown, ["insert a"]),
    "unsent": ("lose_unsent", TransactionLost, []),
}


@pytest.mark.parametrize("autocommit", [False, True])
@pytest.mark.parametrize("case", COMMITS)
def test_a_loss_in_the_commit(opened: Callable[..., Any], case: str, autocommit: bool) -> None:
    """X10: before it took effect and after, the caller sees the same; with proof it is a lost transaction."""
    lose, error, committed = COMMITS[case]
    server = FakeServer(known=True)
    db = opened(server, autocommit=autocommit)
    fault = getattr(server, lose)("commit")
    with pytest.raises(error), db.transaction():
        db.cursor().execute("insert a")
    assert fault.fired.is_set()
    assert server.committed == committed


def test_a_loss_at_begin(opened: Callable[..., Any]) -> None:
    """X10: in autocommit BEGIN is sent, and its loss is made good; the same for a cursor's."""
    server = FakeServer(known=True)
    db = opened(server, autocommit=True)
    for connections, lose, call in ((2, server.lose_after, "begin"), (3, server.lose_before, "cursor")):
        fault = lose(call)
        with db.transaction():
            db.cursor().execute("insert a")
        assert fault.fired.is_set()
        assert len(server.connections) == connections
    assert server.committed == ["insert a", "insert a"]


def test_errors_of_a_living_session_are_no_losses(opened: Callable[..., Any]) -> None:
    """X2, X10: with a code or without, what a known driver raises on a living session keeps the session."""
    server = FakeServer(known=True)
    db = opened(server)
    db.begin()
    for code in ("40P01", None):
        server.fail("update", fake.OperationalError("deadlock", code=code))
        with pytest.raises(fake.OperationalError):
            db.cursor().execute("update a")
    db.cursor().execute("insert b")
    db.commit()
    assert server.committed == ["insert b"]
    assert len(server.connections) == 1


VERDICTS: dict[str, tuple[Callable[[Any], object], Verdict]] = {
    "killed": (lambda connection: connection.lose(), Verdict.LOST_MAYBE_SENT),
    "closed": (lambda connection: connection.close(), Verdict.LOST_UNSENT),
    "alive": (lambda connection: connection.server.fail("commit", fake.OperationalError("x")), Verdict.NOT_LOST),
    "lost, by an error of another class": (
        lambda connection: connection.server.lose_after("commit", error=fake.ProgrammingError("x")),
        Verdict.LOST_MAYBE_SENT,
    ),
    "killed after an answer": (
        lambda connection: (
            connection.server.fail("commit", fake.OperationalError("deadlock", code="40P01")),
            connection.lose(),
        ),
        Verdict.NOT_LOST,
    ),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdicts_of_the_known_driver(case: str) -> None:
    """X2, X10: the profile is a real one, asked by the same rules as any other."""
    deed, verdict = VERDICTS[case]
    connection: Any = FakeServer(known=True).connect()
    assert profile_of(connection) is PROFILE
    deed(connection)
    with pytest.raises(fake.Error) as raised:
        connection.commit()
    assert FailureClasses().verdict(raised.value, connection) is verdict
    assert connection.in_transaction is (None if verdict is Verdict.LOST_MAYBE_SENT else False)
    connection.close()


def test_a_ping_of_the_known_driver(opened: Callable[..., Any]) -> None:
    """X10: it makes a round trip and opens no transaction."""
    server = FakeServer(known=True)
    connection: Any = opened(server).driver_connection
    PROFILE.ping(connection)
    assert connection.calls == ["ping"]
    assert not connection.in_transaction
    server.kill()
    with pytest.raises(fake.OperationalError):
        PROFILE.ping(connection)


def test_rows_left_at_the_server_are_seen(opened: Callable[..., Any]) -> None:
    """C9, X10: as cursors read from the server, a ping waits until they have read all."""
    server = FakeServer(known=True)
    server.answer("select", [(1,), (2,)])
    pings: list[object] = []
    db = opened(server, ping=MaskPing(Ping.CURSOR, pings.append, window=0))
    reader = db.cursor()
    reader.execute("select 1")
    db.rollback()
    pings.clear()
    db.cursor()
    assert pings == []
    assert reader.fetchall() == [(1,), (2,)]
    db.cursor()
    assert len(pings) == 1


# Registering a profile


def test_a_driver_becomes_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """X2: register() takes effect at once, for a package and for one module of it, and the innermost counts."""
    from persistentdb import drivers

    monkeypatch.setattr(drivers, "_PROFILES", dict(drivers._PROFILES))
    connections = [type("Connection", (), {"__module__": name})() for name in ("one.two.a.b", "one.three", "oneself")]
    assert [profile_of(connection) for connection in connections] == [UNKNOWN] * 3
    outer, inner = (DriverProfile(name=name, is_closed=bool, rules=()) for name in ("one", "one.two"))
    register(outer)
    register(inner)
    assert [profile_of(connection) for connection in connections] == [inner, outer, UNKNOWN]
    drivers._profile_of_class.cache_clear()
