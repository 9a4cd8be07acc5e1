"""A gate on a fake clock, and a creator that counts, waits and fails as it is told to: for the tests of outages."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from attrs import define, field

from persistentdb import Backoff, Outage
from persistentdb._gate import Gate
from persistentdb.testing import FakeClock, FakeServer, fake

PLAIN = Backoff(first=1, limit=8, factor=2, jitter=0)
"""Pauses that one can add up in the head: 1, 2, 4, 8, 8, ..."""

REFUSED = fake.OperationalError("connection refused, user=scott password=tiger")


def cannot_connect() -> Any:
    """Meet a server that is away."""
    raise REFUSED


@define
class Creator:
    """Connects to a fake server; an attempt can be held back, and its outcome chosen."""

    clock: FakeClock
    server: FakeServer = field(factory=FakeServer)
    outcomes: Iterator[Callable[[], Any]] = field(factory=lambda: itertools.repeat(dict))
    held: bool = False
    began: list[float] = field(factory=list)
    most: int = 0
    _running: int = 0
    _changed: threading.Condition = field(factory=threading.Condition)
    _passes: threading.Semaphore = field(factory=lambda: threading.Semaphore(0))

    def __call__(self) -> Any:
        """Make an attempt."""
        with self._changed:
            self.began.append(self.clock())
            self._running += 1
            self.most = max(self.most, self._running)
            outcome = next(self.outcomes)
            self._changed.notify_all()
        try:
            if self.held:
                assert self._passes.acquire(timeout=10)
            outcome()
            return self.server.connect()
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def let_go(self, attempts: int = 1) -> None:
        """Let attempts that are held back come to their end."""
        self._passes.release(attempts)

    def await_attempts(self, count: int) -> None:
        """Return when so many attempts have begun."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.began) >= count, 10)


@contextlib.contextmanager
def threads(creator: Creator, count: int = 64) -> Iterator[Callable[..., Future[Any]]]:
    """Lend a function that starts something in a thread of its own; none is left waiting at the end."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool.submit
    finally:
        creator.let_go(count)
        pool.shutdown()


def made(clock: FakeClock, **rules: Any) -> tuple[Gate, Creator]:
    """Return a gate on a fake clock, and what it opens connections with."""
    creator = Creator(clock)
    return Gate(creator, Outage(clock=clock, wait=clock.wait, **{"backoff": PLAIN, **rules})), creator


def away_until(clock: FakeClock, back_at: float) -> Iterator[Callable[[], Any]]:
    """Yield the outcomes of attempts on a server that is away until some time."""
    while True:
        yield cannot_connect if clock() < back_at else dict


def fails(error: BaseException) -> Callable[[], Any]:
    """Return an outcome."""

    def fail() -> Any:
        raise error

    return fail


KINDS = [
    REFUSED,
    ConnectionRefusedError(),
    fake.ProgrammingError("no such table"),
    ValueError(),
    KeyboardInterrupt(),
    SystemExit(),
    GeneratorExit(),
]
EVERY_KIND = pytest.mark.parametrize("error", KINDS, ids=lambda error: type(error).__name__)
