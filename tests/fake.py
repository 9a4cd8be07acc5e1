"""A driver of which nothing is known, with a server that counts what it executed: for logic, not for truth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

apilevel = "2.0"
threadsafety = 1
paramstyle = "qmark"


class Error(Exception):
    """As PEP 249 has it."""


class DatabaseError(Error):
    """As PEP 249 has it."""


class InterfaceError(Error):
    """As PEP 249 has it."""


class OperationalError(DatabaseError):
    """As PEP 249 has it."""


class InternalError(DatabaseError):
    """As PEP 249 has it."""


class ProgrammingError(DatabaseError):
    """As PEP 249 has it."""


class Server:
    """What the fake connections talk to.

    Attributes:
        executed: Every statement that the server executed, in order.
        committed: The statements that were committed.
        connections: Every connection ever opened.
        fail: Called with the connection and the statement before (and, if it returns one, instead of) executing it.
        refuse: Whether new connections fail.
    """

    def __init__(self) -> None:
        self.executed: list[str] = []
        self.committed: list[str] = []
        self.connections: list[Connection] = []
        self.fail_before: dict[str, list[BaseException]] = {}
        self.fail_after: dict[str, list[BaseException]] = {}
        self.refuse = False

    def connect(self, **options: Any) -> Connection:
        """Open a connection, as a driver's module-level function does."""
        if self.refuse:
            raise OperationalError("the server is away")
        connection = Connection(self, options)
        self.connections.append(connection)
        return connection

    def open_connections(self) -> int:
        """How many connections are open."""
        return sum(not connection.closed for connection in self.connections)

    def kill(self) -> None:
        """Break every open connection, as a restart does."""
        for connection in self.connections:
            connection.dead = True


class Connection:
    """A connection without status, autocommit or ping."""

    OperationalError, InterfaceError, InternalError, Error = OperationalError, InterfaceError, InternalError, Error

    def __init__(self, server: Server, options: dict[str, Any]) -> None:
        self.server = server
        self.options = options
        self.dead = self.closed = False
        self.uncommitted: list[str] = []
        self.calls: list[str] = []
        self.tag: object = None

    def cursor(self, *args: Any, **kwargs: Any) -> Cursor:
        """Open a cursor."""
        self.perform("cursor")
        return Cursor(self, args, kwargs)

    def commit(self) -> None:
        """Commit."""
        self.perform("commit")
        self.server.committed += self.uncommitted
        self.uncommitted.clear()

    def rollback(self) -> None:
        """Roll back."""
        self.perform("rollback")
        self.uncommitted.clear()

    def close(self) -> None:
        """Close, and lose what was not committed."""
        self.closed = True
        self.uncommitted.clear()

    def perform(self, call: str) -> None:
        """Note a call, and fail where the test wants it."""
        self.calls.append(call)
        errors = self.server.fail_before.get(call)
        if errors:
            raise errors.pop(0)
        if self.dead and call != "cursor":
            raise OperationalError("the connection is lost")


class Cursor:
    """A cursor whose every result is one row."""

    def __init__(self, connection: Connection, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.connection = connection
        self.args, self.kwargs = args, kwargs
        self.arraysize = 1
        self.description: Any = None
        self.rowcount = -1
        self.sizes: Any = None
        self.closed = False

    def execute(self, operation: str, parameters: Any = ()) -> Any:
        """Execute on the server."""
        del parameters
        self.connection.perform(operation)
        self.connection.server.executed.append(operation)
        self.description = (("column",) * 7,) if operation.startswith("select") else None
        if not operation.startswith("select"):
            self.connection.uncommitted.append(operation)
        errors = self.connection.server.fail_after.get(operation)
        if errors:
            self.connection.dead = True
            raise errors.pop(0)

    def executemany(self, operation: str, rows: Iterable[Any]) -> Any:
        """Execute once a row."""
        for row in rows:
            self.execute(operation, row)

    def callproc(self, name: str, parameters: Any = ()) -> Any:
        """Execute a procedure."""
        self.execute(name, parameters)
        return parameters

    def fetchone(self) -> Any:
        """Return the row."""
        self.connection.perform("fetch")
        return (1,)

    def fetchmany(self, size: int | None = None) -> Any:
        """Return the row."""
        return [(size,)]

    def fetchall(self) -> Any:
        """Return the row."""
        self.connection.perform("fetch")
        self.description = None
        return [(1,)]

    def __iter__(self) -> Any:
        """Iterate over the row."""
        yield (1,)

    def setinputsizes(self, *sizes: Any) -> None:
        """Keep the sizes."""
        self.sizes = sizes

    def close(self) -> None:
        """Close."""
        self.closed = True
