"""The fixtures for pytest, which finds them by itself where persistentdb is installed.

All names begin with `persistentdb_`, so that they meet no fixture of yours or of another plugin's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from persistentdb.testing.clock import FakeClock
from persistentdb.testing.cutter import TcpCutter
from persistentdb.testing.fake import FakeServer

__all__: list[str] = []


@pytest.fixture(name="persistentdb_fake_server")
def _fake_server(persistentdb_fake_clock: FakeClock) -> Iterator[FakeServer]:
    """Lend a server of a fake driver; the test fails if a fault that it armed never happened."""
    server = FakeServer(clock=persistentdb_fake_clock)
    yield server
    _fail_if_left(server.waiting)


@pytest.fixture(name="persistentdb_known_server")
def _known_server(persistentdb_fake_clock: FakeClock) -> Iterator[FakeServer]:
    """Lend a server whose driver is one that persistentdb knows; the same holds for it."""
    server = FakeServer(known=True, clock=persistentdb_fake_clock)
    yield server
    _fail_if_left(server.waiting)


@pytest.fixture(name="persistentdb_tcp_cutter")
def _tcp_cutter() -> Iterator[Callable[..., TcpCutter]]:
    """Lend a function of host and port that puts a running cutter in front of a server; the same holds for it."""
    cutters: list[TcpCutter] = []
    with ExitStack() as running:

        def make(host: str, port: int, reply_complete: Callable[[bytes], bool] = bool) -> TcpCutter:
            cutters.append(running.enter_context(TcpCutter(host, port, reply_complete)))
            return cutters[-1]

        yield make
    _fail_if_left([trigger for cutter in cutters for trigger in cutter.waiting])


@pytest.fixture(name="persistentdb_fake_clock")
def _fake_clock() -> FakeClock:
    """Lend a clock on which a sleep takes no time; it begins at 0."""
    return FakeClock()


def _fail_if_left(waiting: Sequence[object]) -> None:
    if waiting:
        pytest.fail(f"armed, but it never happened: {', '.join(map(repr, waiting))}", pytrace=False)
