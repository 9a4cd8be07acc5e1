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
    """
    # A duplicate: should the driver close its own meanwhile, the number may be another file's by the time.
    with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as duplicate:
        timer = threading.Timer(seconds, _end, (duplicate,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _end(link: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        link.shutdown(socket.SHUT_RDWR)
