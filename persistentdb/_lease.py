"""What a thread keeps of its connection, so that it is closed when the thread ends (C4)."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from persistentdb.steady import SteadyConnection

__all__ = ["Lease"]


class Lease:
    """What a thread keeps of its connection: enough to close it when the thread ends, not enough to hold it.

    Args:
        steady: The thread's connection.
    """

    __slots__ = ("_owner", "_steady", "link")

    def __init__(self, steady: SteadyConnection[Any]) -> None:
        self.link = steady.link
        self._owner = threading.get_ident()
        self._steady: weakref.ref[SteadyConnection[Any]] | None = weakref.ref(steady, self._dropped)
        steady._lease = self

    # Bound early: at the interpreter's end the module's names are gone before the last connections.
    def _dropped(
        self,
        _: object,
        get_ident: Callable[[], int] = threading.get_ident,
        is_finalizing: Callable[[], bool] = sys.is_finalizing,
    ) -> None:
        """Nobody holds the connection any more: close it, if its own thread finds that out, or if that is no more."""
        self._steady = None
        if get_ident() == self._owner or is_finalizing():
            self.link.close()

    def forgotten(self) -> bool:
        """Whether nobody holds the connection any more, which is closed then."""
        if self._steady is not None:
            return False
        self.link.close()
        return True

    def rest(self) -> None:
        """Close the connection; the next use opens it again."""
        self.link.close()

    def thread_ended(self) -> None:
        """Close the connection for good."""
        steady = self._steady() if self._steady is not None else None
        self._steady = None
        self.link.close()
        if steady is not None:
            steady.give_up("this connection was closed when its thread ended", now=True)
