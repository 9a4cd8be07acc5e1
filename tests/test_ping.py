"""The window of a ping, on a clock that is put forward by hand (C9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from persistentdb import MaskPing, PersistentDB
from persistentdb.testing import FakeClock, FakeServer

WINDOW = 4.0


@pytest.fixture
def clock() -> FakeClock:
    """Lend a clock that stands still."""
    return FakeClock(start=100)


@pytest.fixture
def opened(clock: FakeClock) -> tuple[PersistentDB[Any], FakeServer]:
    """Lend a PersistentDB that pings at every event, and its server."""
    server = FakeServer(known=True)
    return PersistentDB(server.connect, ping=MaskPing(7, window=WINDOW, clock=clock), autocommit=True), server


Use = Callable[[PersistentDB[Any]], object]
USES: list[Use] = [
    lambda persist: persist.connection(),
    lambda persist: persist.connection().cursor(),
    lambda persist: persist.connection().cursor().execute("insert a"),
]


def pings(server: FakeServer) -> int:
    """Return how many round trips were made to ask whether a session lives."""
    return sum(connection.calls.count("ping") for connection in server.connections)


@pytest.mark.parametrize("use", USES)
def test_a_ping_is_due_when_the_window_is_over(
    opened: tuple[PersistentDB[Any], FakeServer], clock: FakeClock, use: Use
) -> None:
    """C9: what was alive within the window is not asked; at its end it is, once, and that proves its life anew."""
    persist, server = opened
    persist.connection()
    clock.advance(WINDOW - 1)
    use(persist)
    assert pings(server) == 0
    clock.advance(1)
    use(persist)
    assert pings(server) == 1
    clock.advance(WINDOW - 1)
    use(persist)
    assert pings(server) == 1
    persist.close()


def test_the_end_of_a_transaction_proves_life(opened: tuple[PersistentDB[Any], FakeServer], clock: FakeClock) -> None:
    """C9: the window begins anew with a commit, for the server has answered."""
    persist, server = opened
    with persist.connection().transaction() as db:
        db.cursor().execute("insert a")
        clock.advance(WINDOW)
    clock.advance(WINDOW - 1)
    persist.connection()
    assert pings(server) == 0
    clock.advance(1)
    persist.connection()
    assert pings(server) == 1
    persist.close()


def test_a_clock_that_is_none_is_refused() -> None:
    """C9: the clock has to be a function; it is named in the error."""
    wrong: Any = 5.0
    with pytest.raises(TypeError, match="clock"):
        MaskPing(1, clock=wrong)
