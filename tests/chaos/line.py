"""The line to the server: a TCP cutter in a process of its own, and its remote control.

Not in ours: a driver that waits for a reply without letting other threads run (mariadb does, while it clears results
that were not read) would wait for ever for a cutter among these threads; and forked children would inherit its sockets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from persistentdb.testing import TcpCutter, Trigger

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Line"]


def _serve(orders: Connection, host: str, port: int, reply_complete: Callable[[bytes], bool]) -> None:
    """Carry out orders, a method's name and its arguments each, until nobody is left to give any."""
    triggers: list[Trigger] = []
    with TcpCutter(host, port, reply_complete) as cutter, suppress(EOFError):
        orders.send(cutter.port)
        while True:
            name, args, kwargs = orders.recv()
            if name == "fired":
                orders.send([trigger.fired.is_set() for trigger in triggers])
            elif name == "disarm":
                cutter._triggers.clear()
                orders.send(None)
            elif name.startswith("cut_"):
                triggers.append(getattr(cutter, name)(*args, **kwargs))
                orders.send(len(triggers) - 1)
            else:
                method = getattr(cutter, name)
                orders.send(method() if callable(method) else method)


class Line:
    """A TCP cutter in a process of its own, in front of a server; use it in a `with` block.

    Args:
        host: The server's address.
        port: The server's port.
        reply_complete: What the cutter takes for a complete reply; a function that can be imported.

    Attributes:
        port: Where to connect to, on 127.0.0.1.
    """

    def __init__(self, host: str, port: int, reply_complete: Callable[[bytes], bool]) -> None:
        self._orders, theirs = get_context("spawn").Pipe()
        self._process = get_context("spawn").Process(
            target=_serve, args=(theirs, host, port, reply_complete), name="cutter", daemon=True
        )
        self._process.start()
        theirs.close()
        self._turn = threading.Lock()
        self.port: int = self._orders.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the process; a forked child only lets go of it."""
        self._orders.close()

    def __repr__(self) -> str:
        return f"<Line {self.port}, {'alive' if self._process.is_alive() else 'dead'}>"

    def arm(self, method: str, match: bytes, *, rst: bool) -> int:
        """Arm a trigger; return its number, its place in what `fired` tells.

        Args:
            method: The cutter's method: `cut_before_request`, `cut_after_request` or `cut_in_reply`.
            match: At which request.
            rst: Whether by RST.
        """
        number: int = self._order(method, match, rst=rst)
        return number

    @property
    def fired(self) -> list[bool]:
        """Which triggers have fired, in the order in which they were armed."""
        fired: list[bool] = self._order("fired")
        return fired

    @property
    def links(self) -> int:
        """How many connections there are."""
        links: int = self._order("links")
        return links

    def order(self, name: str) -> None:
        """Have one of the cutter's methods called that take nothing and return nothing, or `disarm` all triggers."""
        self._order(name)

    def _order(self, name: str, *args: object, **kwargs: object) -> Any:
        with self._turn:
            self._orders.send((name, args, kwargs))
            if not self._orders.poll(20):
                raise TimeoutError(f"{self!r} did not answer to {name} within 20 s")
            return self._orders.recv()
