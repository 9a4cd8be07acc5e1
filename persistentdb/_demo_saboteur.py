"""The demo's saboteur: it breaks the connections of threads that are at work on them."""

from __future__ import annotations

import os
import queue
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["Line", "Saboteur", "SocketLine"]

LONGEST_FUSE = 0.003  # seconds: about as long as a transaction takes


class Line:
    """The driver's connection under one thread; a database without a socket is lost when its owner closes it.

    Attributes:
        broken: How many connections were broken.
        unnoticed: How many were reopened without an error.
        noticed: Set by the owner when an error has told it that the connection may be lost.
    """

    def __init__(self) -> None:
        self.broken: int = 0
        self.unnoticed: int = 0
        self.noticed: bool = False
        self._connection: Any = None
        self._doomed = False

    def look(self, connection: Any) -> None:
        """Look at the driver's connection as it is now."""
        if connection is not self._connection:
            if self._connection is not None and not self.noticed:
                self.unnoticed += 1
            self._connection, self._doomed = connection, False
        self.noticed = False

    def doom(self) -> None:
        """Break the connection, now or soon."""
        if not self._doomed:
            self._doomed = True
            self._connection.close()
            self.broken += 1

    def hang_up(self) -> None:
        """Let go of the connection."""
        self._connection = None


class SocketLine(Line):
    """A line to a server, which the saboteur cuts at some moment while its owner is at work.

    Args:
        fileno: Gives the socket's file descriptor of a driver's connection.
        saboteur: Who cuts it.
    """

    def __init__(self, fileno: Callable[[Any], int], saboteur: Saboteur) -> None:
        super().__init__()
        self._fileno, self._saboteur = fileno, saboteur
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def look(self, connection: Any) -> None:
        """Look at the driver's connection as it is now, and keep hold of a new one's socket."""
        if connection is not self._connection:
            # A duplicate: by the time the saboteur comes, the descriptor itself may be another thread's.
            self._hold(socket.socket(fileno=os.dup(self._fileno(connection))))
        super().look(connection)

    def doom(self) -> None:
        """Send the saboteur, who comes when he comes."""
        if not self._doomed:
            self._doomed = True
            self._saboteur.orders.put(self)

    def cut(self) -> None:
        """Shut the socket down under its owner; called in the saboteur's thread."""
        with self._lock:
            line, self._socket = self._socket, None
        if line is None:
            return
        with line, suppress(OSError):  # dead already, without our help
            line.shutdown(socket.SHUT_RDWR)
            self.broken += 1

    def hang_up(self) -> None:
        """Let go of the connection and its socket."""
        super().hang_up()
        self._hold(None)

    def _hold(self, new: socket.socket | None) -> None:
        with self._lock:
            old, self._socket = self._socket, new
        if old is not None:
            old.close()


class Saboteur(threading.Thread):
    """Cuts the lines it is sent to, each after a random while.

    Args:
        lots: Decides how long it waits.
    """

    def __init__(self, lots: random.Random) -> None:
        super().__init__(daemon=True)
        self.orders: queue.SimpleQueue[SocketLine | None] = queue.SimpleQueue()
        self._lots = lots

    def run(self) -> None:
        """Work until the order is None."""
        while (line := self.orders.get()) is not None:
            time.sleep(self._lots.uniform(0, LONGEST_FUSE))
            line.cut()
