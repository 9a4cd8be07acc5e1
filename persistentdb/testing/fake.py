"""A fake DB-API 2 driver, and a server behind it that fails when it is told to and remembers what it did.

`PersistentDB(FakeServer().connect)` is all it takes. The module is one in the sense of PEP 249, too:
`PersistentDB(fake, server=FakeServer())`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from typing import Any

from persistentdb.testing._faults import Fault, Faults, Moment
from persistentdb.testing._known import KnownConnection
from persistentdb.testing._session import Connection, Cursor, Statement, is_read
from persistentdb.testing.clock import FakeClock
from persistentdb.testing.errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,  # noqa: A004  PEP 249 has it so
)

__all__ = [
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Error",
    "FakeServer",
    "Fault",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "KnownConnection",
    "Moment",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Server",
    "Statement",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]

apilevel: str = "2.0"
threadsafety: int = 1
paramstyle: str = "qmark"


class FakeServer:
    """What the fake connections talk to. Everything but `connect` may be called from any thread at any time.

    Args:
        known: False (the default): to persistentdb the driver is one of which nothing is known, so the inherited rules
            hold. True: it is one with a profile, as psycopg is: status, autocommit, a socket to look at.
        clock: On it `connect_timeout` passes; without one it takes no time.
        connect_timeout: Seconds that an attempt takes while the server is `silent`.

    Attributes:
        executed: Every statement that the server executed, in order; each equals its text, and has its `parameters`.
        committed: The statements that were committed.
        connections: Every connection ever opened.
        attempts: How many times somebody tried to connect.
        refuse: Whether new connections are refused.
        silent: Whether attempts to connect get no answer and time out.
        connect_timeout: Seconds that such an attempt takes.
        fail_before: By the exact name of a call or text of a statement: errors to be raised instead of it, one a time.
            The connection lives on.
        fail_after: The same, raised after the server has done it; the connection is lost.
    """

    def __init__(self, *, known: bool = False, clock: FakeClock | None = None, connect_timeout: float = 5.0) -> None:
        self.executed: list[str] = []
        self.committed: list[str] = []
        self.connections: list[Connection] = []
        self.attempts: int = 0
        self.refuse: bool = False
        self.silent: bool = False
        self.connect_timeout: float = connect_timeout
        self.fail_before: dict[str, list[BaseException]] = {}
        self.fail_after: dict[str, list[BaseException]] = {}
        self._connection_class: type[Connection] = KnownConnection if known else Connection
        self._clock = clock
        self._answers: dict[str, list[Any]] = {}
        self._faults = Faults()
        self._lock = threading.RLock()  # for all that the server knows

    # What the client does

    def connect(self, **options: Any) -> Connection:
        """Open a connection, as a driver's function of that name does.

        Raises:
            OperationalError: The server refuses, or does not answer.
        """
        with self._lock:
            self.attempts += 1
        self._raise_next(self.fail_before, "connect")
        self._faults.strike("connect", Moment.BEFORE, lambda: None)
        if self.silent:
            if self._clock is not None:
                self._clock.sleep(self.connect_timeout)
            raise OperationalError(f"the server did not answer within {self.connect_timeout:g} s")
        if self.refuse:
            raise OperationalError("the server is away")
        with self._lock:
            connection = self._connection_class(self, options)
            self.connections.append(connection)
        try:
            self.after("connect", connection)
        except BaseException:
            connection.close()  # nobody ever gets it
            raise
        return connection

    # What goes wrong

    def lose_before(self, what: str, *, error: BaseException | None = None) -> Fault:
        """Once: the link breaks before the server hears of it; the driver cannot tell whether the server did.

        Args:
            what: `commit`, `cursor`, `fetch`, `rollback`, `begin`, `connect`, `ping`, or a fragment of a statement.
            error: What the driver raises; default: an `OperationalError`.
        """
        broken = error or OperationalError("the server closed the connection unexpectedly")
        return self._faults.arm(Fault(what, Moment.BEFORE, loses=True, error=broken))

    def lose_after(self, what: str, *, error: BaseException | None = None) -> Fault:
        """Once: the server does it, commits it where that is due, and the link breaks before the client learns.

        Args:
            what: As for `lose_before`.
            error: What the driver raises; default: an `OperationalError`, the same as `lose_before` raises.
        """
        broken = error or OperationalError("the server closed the connection unexpectedly")
        return self._faults.arm(Fault(what, Moment.AFTER, loses=True, error=broken))

    def lose_unsent(self, what: str) -> Fault:
        """Once: the link breaks, and the driver says that it has not sent; of an unknown driver nobody understands it.

        Args:
            what: As for `lose_before`.
        """
        unsent = OperationalError("the link was found dead before the request was sent", code="unsent")
        return self._faults.arm(Fault(what, Moment.BEFORE, loses=True, error=unsent))

    def fail(self, what: str, error: BaseException) -> Fault:
        """Once: the server refuses it, and the session lives on: a syntax error, a deadlock, a lock's time-out.

        Args:
            what: As for `lose_before`.
            error: What the driver raises. From an unknown driver an `OperationalError`, `InterfaceError` or
                `InternalError` is taken for a loss all the same: that is the inherited rule.
        """
        return self._faults.arm(Fault(what, Moment.BEFORE, loses=False, error=error))

    @property
    def waiting(self) -> list[Fault]:
        """The faults that were armed and have not happened: after a test there should be none."""
        return list(self._faults.waiting)

    def kill(self, connection: Connection | None = None) -> None:
        """End a session, or all of them; the clients learn when they use their connections, or look.

        Args:
            connection: The driver's connection; None: all.
        """
        for one in self.sessions if connection is None else [connection]:
            one.lose()

    def stop(self) -> None:
        """End all sessions and refuse new ones, until `start()`."""
        self.refuse = True
        self.kill()

    def start(self) -> None:
        """Take connections again."""
        self.refuse = self.silent = False

    def restart(self) -> None:
        """End all sessions and take new ones."""
        self.stop()
        self.start()

    # What can be seen

    def answer(self, fragment: str, rows: Iterable[Any]) -> None:
        """Have statements return rows; without that what begins with `select` returns one row, `(1,)`.

        Args:
            fragment: What to look for in a statement, in upper or lower case; the last one given counts first.
            rows: What it returns, each time.
        """
        with self._lock:
            self._answers.pop(fragment.lower(), None)
            self._answers[fragment.lower()] = list(rows)

    @property
    def sessions(self) -> list[Connection]:
        """The connections that are open to the server: not closed, and not lost."""
        return [one for one in list(self.connections) if not (one.closed or one.dead)]

    def open_connections(self) -> int:
        """Return how many connections the clients have open, lost ones that they have not closed yet included."""
        return sum(not one.closed for one in list(self.connections))

    # For the connections

    def before(self, call: str, connection: Connection) -> None:
        """Raise what is to go wrong before the server has done a call or statement."""
        self._raise_next(self.fail_before, call)
        self._faults.strike(call, Moment.BEFORE, partial(connection.lose, noticed=True))

    def after(self, call: str, connection: Connection) -> None:
        """Raise what is to go wrong after the server has done a call or statement."""
        try:
            self._raise_next(self.fail_after, call)
        except BaseException:
            connection.lose(noticed=True)
            raise
        self._faults.strike(call, Moment.AFTER, partial(connection.lose, noticed=True))

    def rows_for(self, operation: str) -> list[Any] | None:
        """Return the rows that a statement gives; None if it gives no result."""
        with self._lock:
            found = [rows for fragment, rows in self._answers.items() if fragment in operation.lower()]
        if found:
            return list(found[-1])
        return [(1,)] if is_read(operation) else None

    def _raise_next(self, errors: dict[str, list[BaseException]], call: str) -> None:
        with self._lock:
            waiting = errors.get(call)
            error = waiting.pop(0) if waiting else None
        if error is not None:
            raise error

    def __repr__(self) -> str:
        state = "silent" if self.silent else "away" if self.refuse else "running"
        return f"<FakeServer {state}, {len(self.sessions)} sessions, {len(self.executed)} statements>"


Server = FakeServer
"""A shorter name."""


def connect(server: FakeServer, **options: Any) -> Connection:
    """Open a connection to a fake server.

    Args:
        server: The server.
        **options: What is kept as the connection's `options`.

    Raises:
        OperationalError: The server refuses, or does not answer.
    """
    return server.connect(**options)
