"""The TCP cutter that ships, in front of a server on this machine."""

from __future__ import annotations

from collections.abc import Callable

from persistentdb.testing import TcpCutter, Trigger

__all__ = ["TcpProxy", "Trigger"]


class TcpProxy(TcpCutter):
    """A cutter in front of *port* of 127.0.0.1."""

    def __init__(self, port: int, reply_complete: Callable[[bytes], bool] = bool) -> None:
        super().__init__("127.0.0.1", port, reply_complete)
