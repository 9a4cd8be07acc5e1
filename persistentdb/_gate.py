"""The one way by which all threads of a `PersistentDB` come to new connections (X6)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from persistentdb._discovery import error_class, error_class_beside
from persistentdb.exceptions import ServerUnavailable, in_drivers_stead
from persistentdb.outage import Outage, means_away

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Gate"]


class _Opened(Protocol):
    """What hears of the losses of others."""

    generation: int
    connection: Any

    def doubt(self) -> None:
        """Look before the next use; called by another thread."""


class Gate:
    """Opens connections, as many at a time as allowed; while the server is away one now and then.

    It knows two states. The server is *up*: whoever comes is let in, `simultaneous` at a time. It is *away* since an
    attempt failed: one is let in when the pause is over, all others are refused or wait.

    Args:
        opener: Opens and prepares a connection of the driver.
        outage: The rules.

    Attributes:
        generation: Counts the losses of what was opened last; older connections are to look before their next use.
    """

    def __init__(self, opener: Callable[[], Any], outage: Outage) -> None:
        self._opener = opener
        self._outage = outage
        self.generation = 0
        self._opened: WeakSet[_Opened] = WeakSet()
        self._failures = 0
        self._next_attempt = 0.0
        self._opening = 0
        self._error: BaseException | None = None
        self._stands_for: type[Exception] | None = None
        self._changed = threading.Condition()

    def open(self) -> Any:
        """Return a new connection of the driver.

        Raises:
            ServerUnavailable: The server is away, and it was not this caller's turn to try; or others took too long.
            Exception: What the attempt to connect raised.
        """
        began = self._outage.clock()
        while True:
            failures = self._enter(began)
            try:
                connection = self._opener()
            except BaseException as error:
                self._failed(error, failures)
                if not means_away(error) or self._outage.clock() - began >= self._outage.give_up_after:
                    raise
            else:
                self._succeeded()
                return connection

    def joined(self, link: _Opened) -> None:
        """Have a connection that is in use now hear of the losses of others."""
        with self._changed:
            self._stands_for = error_class(link.connection, "OperationalError")
            self._opened.add(link)
            if link.generation != self.generation:
                link.doubt()

    def lost(self, link: _Opened) -> None:
        """Have every connection that is as old as a lost one look before its next use."""
        with self._changed:
            if link.generation != self.generation:
                return  # they were told of it
            self.generation += 1
            for other in self._opened:
                if other is not link:
                    other.doubt()

    def renewed_after_fork(self) -> Self:
        """Forget, in a forked child, what threads of the parent were doing; the server may still be away."""
        self._changed = threading.Condition()
        self._opening = 0
        return self

    # Who is let in

    def _enter(self, began: float) -> int:
        """Wait to be let in; return how many attempts had failed by then."""
        with self._changed:
            while True:
                now = self._outage.clock()
                pause = self._pause(now)
                if pause is None:
                    self._opening += 1
                    return self._failures
                left = began + self._patience() - now
                if left <= 0:
                    raise self._refusal(now) from self._error
                self._outage.wait(self._changed, min(left, pause))

    def _pause(self, now: float) -> float | None:
        """Return None if a caller is let in now, else the seconds after which to look again."""
        if self._failures and now < self._next_attempt:
            return self._next_attempt - now
        limit = 1 if self._failures else self._outage.simultaneous
        return None if self._opening < limit else float(threading.TIMEOUT_MAX)

    def _patience(self) -> float:
        give_up_after = self._outage.give_up_after
        return give_up_after if self._failures else max(give_up_after, self._outage.turn_timeout)

    def _refusal(self, now: float) -> ServerUnavailable:
        if self._error is None:
            text = (
                f"no connection could be opened within {self._patience():g} s: {self._opening} other threads are "
                "still waiting for theirs; the server may be overloaded, or gone without a word"
            )
        else:
            text = (
                f"the server is away: attempt {self._failures} to connect has failed ({type(self._error).__name__}), "
                f"the next one is made in {max(0.0, self._next_attempt - now):.2f} s"
            )
        kind: Any = in_drivers_stead(ServerUnavailable, self._stands_for)
        refusal: ServerUnavailable = kind(text)
        return refusal

    # What became of it

    def _failed(self, error: BaseException, failures: int) -> None:
        """Note a failed attempt; of several that began together only the first counts."""
        with self._changed:
            self._opening -= 1
            if means_away(error) and failures == self._failures:
                self._failures += 1
                self._next_attempt = self._outage.clock() + self._outage.backoff.pause(self._failures)
                self._error = error
                self._stands_for = self._stands_for or error_class_beside(error, "OperationalError")
            self._changed.notify_all()

    def _succeeded(self) -> None:
        with self._changed:
            self._opening -= 1
            self._failures = 0
            self._error = None  # its traceback holds on to the frames of whoever met it
            self._changed.notify_all()
