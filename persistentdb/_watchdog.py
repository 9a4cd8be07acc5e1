"""A bound for what a driver cannot bound by itself: a round trip to a server that says nothing any more (X6)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

__all__ = ["bounded"]


@contextmanager
def bounded(descriptor: int, seconds: float) -> Generator[None]:
    """End the link when the block takes too long, so that the driver's call in it returns with an error.

    Drivers have no time-out for a single call, and wait in C code that nothing in Python reaches; but a socket can be
    shut down from any thread, and whoever waits on it is told that it has ended.

    Args:
        descriptor: The socket's file descriptor.
        seconds: How long the block may take.

    Raises:
        TimeoutError: The block came to its end, but the link was ended by then.
        OSError: There is no such descriptor.
    """
    # A duplicate: should the driver close its own meanwhile, the number may be another file's by the time.
    with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as duplicate:
        timer = _End(duplicate, seconds)
        try:
            timer.start()
        except RuntimeError:  # no thread is to be had, as in Python 3.12 when the interpreter ends: do without a bound
            yield
            return
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
        if timer.came:
            raise TimeoutError(f"no answer within {seconds:g} s")


class _End(threading.Timer):
    """Ends a link when its time has come.

    Attributes:
        came: Whether it has.
    """

    def __init__(self, link: socket.socket, seconds: float) -> None:
        super().__init__(min(seconds, threading.TIMEOUT_MAX), self._end)
        self.daemon = True
        self.came = False
        self._link = link

    def _end(self) -> None:
        self.came = True
        with suppress(OSError):  # it has ended by itself
            self._link.shutdown(socket.SHUT_RDWR)
