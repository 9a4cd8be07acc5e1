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
    """The driver's connection under one teller; without a socket, it is the teller's own thread that closes it.

    Args:
        tally: Where breaks and reopenings are counted.
    """

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.noticed = False
        self._connection: Any = None
        self._broken = False

    def look(self, connection: Any) -> bool:
        """Look at the driver's connection; return whether it is another one than the last time."""
        renewed = connection is not self._connection
        if renewed:
            if self._connection is not None and not self.noticed:
                self.tally.unnoticed += 1
            self._connection, self._broken = connection, False
        self.noticed = False
        return renewed

    def doom(self) -> None:
        """Break the connection, now or soon."""
        if not self._broken:
            self._connection.close()
            self._broken = True
            self.tally.broken += 1

    def hang_up(self) -> None:
        """Let go of the connection."""
        self._connection = None


class SocketLine(Line):
    """A line to a server, which the saboteur cuts at some moment while the teller is at work.

    Args:
        tally: Where breaks and reopenings are counted.
        fileno: Gives the socket's file descriptor of a driver's connection.
        saboteur: Who cuts it.
    """

    def __init__(self, tally: Tally, fileno: Callable[[Any], int], saboteur: Saboteur) -> None:
        super().__init__(tally)
        self._fileno = fileno
        self._saboteur = saboteur
        self._lock = threading.Lock()
        self._doomed = False
        self._socket: socket.socket | None = None

    def look(self, connection: Any) -> bool:
        """Look at the driver's connection, and keep a hold on the socket of a new one."""
        renewed = super().look(connection)
        if renewed:
            # A duplicate: by the time the saboteur comes, the driver's own descriptor may be another thread's.
            self._hold(socket.socket(fileno=os.dup(self._fileno(connection))))
        return renewed

    def doom(self) -> None:
        """Send the saboteur, who comes when he comes."""
        if not self._doomed:
            self._doomed = True
            self._saboteur.orders.put(self)

    def cut(self) -> None:
        """Cut the line under the teller; called in the saboteur's thread."""
        self._doomed = False
        with self._lock:
            line, self._socket = self._socket, None
        if line is None:
            return
        with line, suppress(OSError):  # it may be dead already, without our help
            line.shutdown(socket.SHUT_RDWR)
            self.tally.broken += 1

    def hang_up(self) -> None:
        """Let go of the connection and its socket."""
        super().hang_up()
        self._hold(None)

    def _hold(self, new: socket.socket | None) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = new


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
