"""The fake driver as one that we know: with status, autocommit, and a socket that one can look at."""

from __future__ import annotations

import socket
import weakref
from typing import TYPE_CHECKING, Any

from persistentdb._recovery import Verdict
from persistentdb.drivers import DriverProfile, Rule, register
from persistentdb.testing import errors
from persistentdb.testing._session import Connection, Statement

if TYPE_CHECKING:
    from persistentdb.testing.fake import FakeServer

__all__ = ["PROFILE", "KnownConnection"]


class KnownConnection(Connection):
    """A connection that tells what it knows of itself, as psycopg's does; see `Connection` for the rest.

    The option `autocommit` of `connect` sets the attribute of that name.
    """

    def __init__(self, server: FakeServer, options: dict[str, Any]) -> None:
        super().__init__(server, options)
        self._in_transaction = False
        self._autocommit = bool(options.get("autocommit", False))
        # A real one: that it can be read from when the server has hung up is what proves a link dead.
        self._socket, self._servers_end = socket.socketpair()
        self._hang_up = weakref.finalize(self, _close_both, self._socket, self._servers_end)

    @property
    def autocommit(self) -> bool:
        """Whether each statement commits by itself; set it between two transactions only.

        Raises:
            ProgrammingError: A transaction is open.
        """
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if self._in_transaction:
            raise errors.ProgrammingError("autocommit cannot be set in a transaction")
        self._autocommit = value

    @property
    def in_transaction(self) -> bool | None:
        """Whether a transaction is open; None when the link is known to be broken."""
        return None if self.broken else self._in_transaction

    def fileno(self) -> int:
        """Return the socket's file descriptor."""
        return self._socket.fileno()

    def ping(self) -> None:
        """Make a round trip.

        Raises:
            OperationalError: The link is broken.
        """
        self.perform("ping")
        self.performed("ping")

    def execute_on_server(self, statement: Statement) -> None:
        """Do what the server does for a statement, and tell the client that a transaction is open."""
        self._in_transaction = not self._autocommit
        super().execute_on_server(statement)
        self._in_transaction = self._in_transaction or self._begun

    def _end(self, *, commit: bool) -> None:
        super()._end(commit=commit)
        self._in_transaction = False

    def lose(self, *, noticed: bool = False) -> None:
        """Break the link, and hang up: who looks at the socket can see it; see `Connection.lose`."""
        with self.server._lock:
            super().lose(noticed=noticed)
            if self._hang_up.alive:
                # Not close(): a forked child may hold another copy of it.
                self._servers_end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close, and lose what was not committed."""
        with self.server._lock:
            super().close()
            self._in_transaction = False
            self._hang_up()


def _close_both(*ends: socket.socket) -> None:
    for end in ends:
        end.close()


def _is_closed(connection: Any) -> bool:
    return bool(connection.closed or connection.broken)


def _code(error: BaseException) -> object:
    return getattr(error, "code", None)


def _in_transaction(connection: Any) -> bool | None:
    found: bool | None = connection.in_transaction
    return found


def _autocommit(connection: Any) -> bool | None:
    return bool(connection.autocommit)


def _fileno(connection: Any) -> int:
    return int(connection.fileno())


def _ping(connection: Any) -> None:
    connection.ping()


def _cursor_is_streaming(cursor: Any) -> bool:
    return bool(cursor.has_rows_left)


PROFILE = DriverProfile(
    name=__name__,
    is_closed=_is_closed,
    rules=(
        Rule(Verdict.LOST_UNSENT, codes=frozenset({"closed"}), why="closed before the request"),
        Rule(Verdict.LOST_UNSENT, codes=frozenset({"unsent"}), why="the driver says that it did not send"),
    ),
    code=_code,
    code_is_truth=True,
    in_transaction=_in_transaction,
    autocommit=_autocommit,
    fileno=_fileno,
    ping=_ping,
    cursor_is_streaming=_cursor_is_streaming,
)

register(PROFILE)
