"""A loss that one thread meets makes the others look, and nobody waits for a silent server for ever."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from persistentdb import MaskPing, PersistentDB
from persistentdb._watchdog import bounded
from persistentdb.testing import FakeServer

# The word of a loss


NEVER_BY_ITSELF = MaskPing(7, window=1e9)


def pings(*connections: Any) -> list[int]:
    """Return how often each steady connection's driver's connection was pinged."""
    return [one.driver_connection.calls.count("ping") for one in connections]


def use(*connections: Any) -> None:
    """Read something, and end the transaction."""
    for one in connections:
        one.cursor().execute("select 1")
        one.commit()


@pytest.fixture
def server() -> FakeServer:
    """Lend a fake server whose driver is known."""
    return FakeServer(known=True)


@pytest.fixture
def persist(server: FakeServer) -> PersistentDB[Any]:
    """Lend connections that are pinged only in doubt."""
    return PersistentDB(server.connect, ping=NEVER_BY_ITSELF)


def test_a_loss_makes_older_connections_look(server: FakeServer, persist: PersistentDB[Any]) -> None:
    """X6: once, before their next use, whatever the window; not the younger ones, nor the one that was lost."""
    older, lost = persist.steady_connection(), persist.steady_connection()
    server.kill(lost.driver_connection)
    use(lost)
    younger = persist.steady_connection()
    for _ in range(3):
        use(older, lost, younger)
    assert pings(older, lost, younger) == [1, 0, 0]
    assert len(server.connections) == 4


def test_a_doubt_finds_what_a_look_cannot(server: FakeServer, persist: PersistentDB[Any]) -> None:
    """X6: a connection that is gone without a word is found by the ping, and replaced before the statement is sent."""
    silent, lost = persist.steady_connection(), persist.steady_connection()
    server.kill(lost.driver_connection)
    server.lose_before("ping")
    use(lost, silent)
    assert server.executed == ["select 1"] * 2
    assert len(server.sessions) == 2


def test_a_doubt_outlives_a_transaction(server: FakeServer, persist: PersistentDB[Any]) -> None:
    """X6: in a transaction nobody is asked; the doubt stands until it is over, be it of reads only."""
    reading, begun, lost = (persist.steady_connection() for _ in range(3))
    reading.cursor().execute("select 1")
    begun.begin()
    server.kill(lost.driver_connection)
    use(lost)
    reading.cursor().execute("select 2")
    begun.cursor().execute("select 2")
    assert pings(reading, begun) == [0, 0]
    reading.rollback()
    begun.commit()
    for _ in range(2):
        use(reading, begun)
    assert pings(reading, begun) == [1, 1]


def test_every_loss_is_told(server: FakeServer, persist: PersistentDB[Any]) -> None:
    """X6: a connection that has outlived a doubt is believed when it is lost itself."""
    other, first, second = (persist.steady_connection() for _ in range(3))
    server.kill(first.driver_connection)
    use(first, second, other)
    assert pings(other, second) == [1, 1]
    server.kill(second.driver_connection)
    use(second, other, first)
    assert pings(other, first) == [2, 1]


def test_one_loss_by_many_threads_is_told_once(server: FakeServer, persist: PersistentDB[Any]) -> None:
    """X6: a restart breaks 64 connections at once; those opened afterwards are not doubted on their account."""
    everybody, restarted = threading.Barrier(64), threading.Barrier(64, action=server.restart)

    def work() -> Any:
        db = persist.connection()
        restarted.wait(10)
        use(db)
        everybody.wait(10)
        use(db)
        return pings(db)

    with ThreadPoolExecutor(64) as pool:
        assert [one.result(20) for one in [pool.submit(work) for _ in range(64)]] == [[0]] * 64


def test_a_loss_during_an_opening_is_heard(server: FakeServer) -> None:
    """X6: what was being opened when another connection was lost may be as dead as that: it looks, too."""
    met: list[Any] = []

    def meets_a_loss(_: Any) -> None:
        if met:
            lost = met.pop()
            server.kill(lost.driver_connection)
            use(lost)

    persist = PersistentDB(server.connect, ping=NEVER_BY_ITSELF, setsession=meets_a_loss)
    met.append(persist.steady_connection())
    opened = persist.steady_connection()
    use(opened, opened)
    assert pings(opened) == [1]


def test_a_database_in_the_process_tells_nobody() -> None:
    """X6: that somebody closed a connection to SQLite says nothing of the others: they are not asked."""
    asked: list[object] = []
    ping = MaskPing(7, asked.append, window=1e9)
    persist = PersistentDB(sqlite3, ping=ping, database="file:told?mode=memory&cache=shared", uri=True)
    other, closed = persist.steady_connection(), persist.steady_connection()
    before = persist._terms.gate.generation
    closed.driver_connection.close()
    with contextlib.suppress(sqlite3.Error):
        use(closed)
    assert persist._terms.gate.generation == before
    other.close()
    closed.close()


# The bound of a round trip


def test_a_round_trip_is_ended_when_it_takes_too_long() -> None:
    """X6: whoever waits for an answer on a silent link is told that it has ended; the link is of no use any more."""
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(TimeoutError, match=r"within 0\.02 s"), bounded(ours.fileno(), 0.02):
        assert ours.recv(1) == b""


@pytest.mark.parametrize("seconds", [60, float("inf")])
def test_an_answer_in_time_leaves_the_link_alone(seconds: float) -> None:
    """X6: neither the link nor a thread is touched by a bound that was kept."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        before = threading.active_count()
        with bounded(ours.fileno(), seconds):
            theirs.send(b"x")
            assert ours.recv(1) == b"x"
        assert threading.active_count() == before
        theirs.send(b"y")
        assert ours.recv(1) == b"y"


def test_a_ping_without_threads_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """X6: at the interpreter's end Python starts no thread any more: the connection is asked without a bound."""

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    server = FakeServer(known=True)
    db = PersistentDB(server.connect, ping=MaskPing(7, window=0)).steady_connection()
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    db.cursor().execute("select 1")
    assert pings(db) == [2]
