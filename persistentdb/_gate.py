"""The one way by which all threads of a `PersistentDB` come to new connections (X6)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from persistentdb._discovery import error_class, error_class_beside, module_of_creator
from persistentdb._opening import close_quietly
from persistentdb.exceptions import ServerUnavailable, add_note, in_drivers_stead
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
        self.generation: int = 0
        self._opened: WeakSet[_Opened] = WeakSet()
        self._opening: dict[object, int] = {}
        """The attempts that are under way, and in which phase each began."""
        self._phase = 0
        """Counts all failures so far: one that began before the last of them is old news."""
        self._failures = 0
        self._next_attempt = 0.0
        self._error: BaseException | None = None
        self._stands_for = _operational_error(module_of_creator(getattr(opener, "connect", opener)))
        self._changed = threading.Condition()

    def open(self) -> Any:
        """Return a new connection of the driver.

        Raises:
            ServerUnavailable: The server is away, and it was not this caller's turn to try; or others took too long.
            Exception: What the attempt to connect raised.
        """
        began = self._outage.clock()
        while True:
            try:
                return self._open_in_turn(began)
            except Exception as error:  # noqa: PERF203  an attempt to connect costs a thousand times more
                if not means_away(error) or self._outage.clock() - began >= self._outage.give_up_after:
                    raise

    def _open_in_turn(self, began: float) -> Any:
        attempt, connection = object(), None
        try:
            self._enter(attempt, began)
            connection = self._opener()
            self._over(attempt, None)
            return connection  # noqa: TRY300  an interrupt may come before it, too
        except BaseException as error:
            self._over(attempt, error)  # once more, if need be: what is over already stays as it is
            if connection is not None:
                close_quietly(connection)
            raise

    def joined(self, link: _Opened) -> None:
        """Have a connection that is in use now hear of the losses of others."""
        with self._changed:
            self._stands_for = error_class(link.connection, "OperationalError") or self._stands_for
            self._opened.add(link)
            if link.generation != self.generation:
                link.doubt()

    def lost(self, link: _Opened) -> None:
        """Have every connection that is as old as a lost one look before its next use."""
        with self._changed:
            if link.generation != self.generation:
                return  # they were told of it
            self.generation += 1
            for one in self._opened:  # the lost one as well: it is not used any more
                one.doubt()

    def renewed_after_fork(self) -> Self:
        """Forget, in a forked child, what threads of the parent were doing; the server may still be away."""
        self._changed = threading.Condition()
        self._opening = {}
        self._opened = WeakSet()  # all of them are the parent's
        return self

    # Who is let in

    def _enter(self, attempt: object, began: float) -> None:
        """Wait to be let in."""
        with self._changed:
            while True:
                now = self._outage.clock()
                pause = self._pause(now)
                if pause is None:
                    self._opening[attempt] = self._phase
                    return
                left = began + self._patience() - now
                if left <= 0:
                    raise self._refusal(now) from self._error
                self._outage.wait(self._changed, min(left, pause))

    def _pause(self, now: float) -> float | None:
        """Return None if a caller is let in now, else the seconds after which to look again."""
        if self._failures and now < self._next_attempt:
            return self._next_attempt - now
        limit = 1 if self._failures else self._outage.simultaneous
        return None if len(self._opening) < limit else float(threading.TIMEOUT_MAX)

    def _patience(self) -> float:
        give_up_after = self._outage.give_up_after
        return give_up_after if self._failures else max(give_up_after, self._outage.turn_timeout)

    def _refusal(self, now: float) -> ServerUnavailable:
        if self._error is None:
            text = (
                f"no connection could be opened within {self._patience():g} s: {len(self._opening)} other threads are "
                "still waiting for theirs; the server may be overloaded, or gone without a word"
            )
        else:
            text = (
                f"the server is away: attempt {self._failures} to connect has failed ({type(self._error).__name__}), "
                f"the next one is made in {max(0.0, self._next_attempt - now):.2f} s"
            )
        kind: Any = in_drivers_stead(ServerUnavailable, self._stands_for)
        refusal: ServerUnavailable = kind(text)
        add_note(refusal, "persistentdb: nothing was sent; Outage(give_up_after=...) has callers wait for the server")
        return refusal

    # What became of it

    def _over(self, attempt: object, error: BaseException | None) -> None:
        """Give the turn back, and note what the attempt tells of the server; of one that is over already, nothing."""
        with self._changed:
            phase = self._opening.pop(attempt, None)
            if phase is None:
                return
            self._changed.notify_all()  # they go on when the lock is free
            if error is None:
                self._note_success()
            elif phase == self._phase and means_away(error):
                self._note_failure(error)

    def _note_failure(self, error: BaseException) -> None:
        """Of several that began in one phase only the first comes here: the others tell nothing new."""
        self._phase += 1
        self._failures += 1
        self._error = error
        self._stands_for = self._stands_for or error_class_beside(error, "OperationalError")
        self._next_attempt = self._outage.clock() + self._outage.backoff.pause(self._failures)

    def _note_success(self) -> None:
        self._failures = 0
        self._error = None  # its traceback holds on to the frames of whoever met it


def _operational_error(module: object) -> type[Exception] | None:
    found: Any = getattr(module, "OperationalError", None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None
