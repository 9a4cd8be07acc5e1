"""A clock that stands still until somebody sleeps on it or puts it forward."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict

__all__ = ["FakeClock"]

_PATIENCE = 10.0
"""Real seconds after which a wait for another thread of the test has failed: a test must not hang."""


class FakeClock:
    """Time that costs none: `Outage(clock=clock, wait=clock.wait)`. Any thread may use it.

    Called, it tells the time in seconds, as `time.monotonic` does.

    Args:
        start: The time at the beginning, in seconds.
        manual: False (the default): whoever sleeps puts the clock forward and goes on at once, which is the thing for a
            test with one thread. True: they wait until another thread calls `advance()`.

    Attributes:
        sleeps: How long each sleep or wait was to be, in seconds, in the order in which they began.
    """

    def __init__(self, start: float = 0.0, *, manual: bool = False) -> None:
        self.sleeps: list[float] = []
        self._manual = manual
        self._now = start
        self._of_thread: defaultdict[threading.Thread, list[float]] = defaultdict(list)
        self._waiting: Counter[threading.Condition] = Counter()
        self._lock = threading.Lock()
        self._alarm = threading.Condition()  # what `sleep` waits on
        self._joined = threading.Condition(self._lock)  # somebody has begun to wait

    def __call__(self) -> float:
        """Return the time, in seconds."""
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        """Let the time pass, as `time.sleep` does.

        Args:
            seconds: How long to sleep.

        Raises:
            ValueError: It is negative.
            TimeoutError: The clock is a manual one, and nobody puts it forward.
        """
        with self._alarm:
            until = self._begin(seconds, "sleep", self._alarm)
            try:
                while self() < until:
                    _be_woken(self._alarm)
            finally:
                self._end(self._alarm)

    def wait(self, condition: threading.Condition, seconds: float) -> bool:
        """Wait on a condition, as `threading.Condition.wait` does; it may return too early, as all such functions do.

        Args:
            condition: What to wait on; the calling thread holds it.
            seconds: How long to wait at most.

        Returns:
            Whether there is time left; never so if the clock is no manual one, for then nobody else gets to notify.

        Raises:
            ValueError: The number of seconds is negative.
            TimeoutError: The clock is a manual one, and nobody puts it forward or notifies.
        """
        until = self._begin(seconds, "wait", condition)
        try:
            if self() < until:
                _be_woken(condition)
        finally:
            self._end(condition)
        return self() < until

    def advance(self, seconds: float) -> None:
        """Put the clock forward, and wake whoever has slept long enough.

        Args:
            seconds: By how much.

        Raises:
            ValueError: It is negative: this clock is monotonic.
        """
        with self._lock:
            self._now += _checked(seconds, "advance")
            waiting = list(self._waiting)
        for condition in waiting:
            with condition:
                condition.notify_all()

    def sleeps_of(self, thread: threading.Thread | None = None) -> list[float]:
        """Return how long each sleep or wait of one thread was to be, in seconds.

        Args:
            thread: The thread; None: the calling one.
        """
        with self._lock:
            return list(self._of_thread.get(thread or threading.current_thread(), ()))

    @property
    def sleepers(self) -> int:
        """How many threads sleep or wait on a manual clock."""
        with self._lock:
            return sum(self._waiting.values())

    def await_sleepers(self, count: int) -> None:
        """Return when so many threads sleep or wait on a manual clock, so that `advance()` finds them.

        Args:
            count: How many, at least.

        Raises:
            TimeoutError: It takes longer than 10 real seconds.
        """
        with self._joined:
            if not self._joined.wait_for(lambda: sum(self._waiting.values()) >= count, _PATIENCE):
                found = sum(self._waiting.values())
                raise TimeoutError(
                    f"{found} threads sleep on the clock after {_PATIENCE:g} real s, {count} are awaited"
                )

    def _begin(self, seconds: float, call: str, condition: threading.Condition) -> float:
        """Note a sleep; return when it is over."""
        with self._lock:
            until = self._now + _checked(seconds, call)
            self.sleeps.append(seconds)
            self._of_thread[threading.current_thread()].append(seconds)
            if self._manual:
                self._waiting[condition] += 1
                self._joined.notify_all()
            else:
                self._now = until
            return until

    def _end(self, condition: threading.Condition) -> None:
        with self._lock:
            self._waiting -= Counter([condition])  # one that nobody waits on is dropped

    def __repr__(self) -> str:
        return f"<FakeClock {self():g} s>"


def _be_woken(condition: threading.Condition) -> None:
    if not condition.wait(_PATIENCE):
        raise TimeoutError(f"a thread sleeps on the clock, and in {_PATIENCE:g} real s nobody called advance()")


def _checked(seconds: float, call: str) -> float:
    if not seconds >= 0:  # not a number is refused, too
        raise ValueError(f"{call}({seconds!r}): expected a number of seconds from 0 on, for time only goes forward")
    return seconds
