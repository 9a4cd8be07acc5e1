"""Connection and cursor of the fake driver, and what the fake server does for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from persistentdb.testing import errors

if TYPE_CHECKING:
    from persistentdb.testing.fake import FakeServer

__all__ = ["Connection", "Cursor", "Statement"]


class Statement(str):
    """A statement as the server got it; it equals its text.

    Attributes:
        parameters: What was given with it.
        session: On which connection it came: its number in the order of opening, from 0.
    """

    __slots__ = ("parameters", "session")

    parameters: Any
    session: int

    def __new__(cls, text: str, parameters: Any = (), session: int = -1) -> Statement:  # noqa: PYI034  subclasses str
        """Return the text with what belongs to it."""
        statement = super().__new__(cls, text)
        statement.parameters, statement.session = parameters, session
        return statement


class Connection:
    """A connection without status, socket or ping: nothing is known of its driver but PEP 249.

    Args:
        server: Whom it talks to.
        options: What was given to `connect`.

    Attributes:
        server: Whom it talks to.
        options: What was given to `connect`.
        session: Its number in the order of opening, from 0.
        dead: Whether the link is broken.
        broken: Whether the driver has noticed that.
        closed: Whether the client has closed it.
        uncommitted: What the server executed on it and has not committed.
        calls: What the client did, in order: the names of calls, and statements.
        tag: Yours, an attribute to set.
    """

    Warning: type[Exception] = errors.Warning
    Error: type[Exception] = errors.Error
    InterfaceError: type[Exception] = errors.InterfaceError
    DatabaseError: type[Exception] = errors.DatabaseError
    DataError: type[Exception] = errors.DataError
    OperationalError: type[Exception] = errors.OperationalError
    IntegrityError: type[Exception] = errors.IntegrityError
    InternalError: type[Exception] = errors.InternalError
    ProgrammingError: type[Exception] = errors.ProgrammingError
    NotSupportedError: type[Exception] = errors.NotSupportedError

    def __init__(self, server: FakeServer, options: dict[str, Any]) -> None:
        self.server: FakeServer = server
        self.options: dict[str, Any] = options
        self.session: int = len(server.connections)
        self.dead: bool = False
        self.broken: bool = False
        self.closed: bool = False
        self.uncommitted: list[str] = []
        self.calls: list[str] = []
        self.tag: object = None
        self._begun: bool = False  # by SQL

    def cursor(self, *args: Any, **kwargs: Any) -> Cursor:
        """Open a cursor; that needs no server, so a dead link is not noticed by it."""
        self.perform("cursor")
        return Cursor(self, args, kwargs)

    def commit(self) -> None:
        """Commit."""
        self.perform("commit")
        self._end(commit=True)
        self.performed("commit")

    def rollback(self) -> None:
        """Roll back."""
        self.perform("rollback")
        self._end(commit=False)
        self.performed("rollback")

    def close(self) -> None:
        """Close, and lose what was not committed."""
        self.closed = True
        self.uncommitted.clear()

    def lose(self, *, noticed: bool = False) -> None:
        """Break the link, and have the server roll back.

        Args:
            noticed: Whether the driver learns at once; else when it next uses the connection.
        """
        with self.server._lock:
            self.dead = True
            self.broken = self.broken or noticed
            self.uncommitted.clear()

    def perform(self, call: str) -> None:
        """Note a call or statement, and fail where the test wants it before the server has done it.

        Raises:
            InterfaceError: The connection is closed.
            OperationalError: The link is broken.
            BaseException: What a fault or `fail_before` is to raise.
        """
        self.calls.append(call)
        self.server.before(call, self)
        if self.closed:
            raise errors.InterfaceError("the connection is closed", code="closed")
        if call != "cursor":
            self._refuse_dead()

    def performed(self, call: str) -> None:
        """Fail where the test wants it after the server has done the call or statement.

        Raises:
            BaseException: What a fault or `fail_after` is to raise.
        """
        self.server.after(call, self)

    def execute_on_server(self, statement: Statement) -> None:
        """Do what the server does for a statement: run it, and commit it where it commits by itself."""
        with self.server._lock:
            self._refuse_dead()  # by another thread, in the meantime
            self.server.executed.append(statement)
            word = first_word(statement)
            if word in ("begin", "start"):
                self._begun = True
            elif word in ("commit", "end"):
                self._end(commit=True)
            elif word in ("rollback", "abort") and " to " not in statement.lower():
                self._end(commit=False)
            elif not is_read(statement):
                self.uncommitted.append(statement)
                # An attribute that a driver may have; this one has it as soon as somebody sets it.
                if getattr(self, "autocommit", False) is True and not self._begun:
                    self._end(commit=True)

    def _end(self, *, commit: bool) -> None:
        with self.server._lock:
            self._refuse_dead()  # by another thread, in the meantime
            if commit:
                self.server.committed.extend(self.uncommitted)
            self.uncommitted.clear()
            self._begun = False

    def _refuse_dead(self) -> None:
        if self.dead:
            self.broken = True
            raise errors.OperationalError("the connection is lost")

    def __repr__(self) -> str:
        state = "closed" if self.closed else "dead" if self.dead else "open"
        return f"<{type(self).__name__} {self.session} {state}>"


class Cursor:
    """A cursor that reads its rows from the server one by one.

    Args:
        connection: The connection it belongs to.
        args: What was given to `cursor`.
        kwargs: What was given to `cursor`.

    Attributes:
        connection: The connection it belongs to.
        args: What was given to `cursor`.
        kwargs: What was given to `cursor`.
        arraysize: How many rows `fetchmany` gives by default.
        description: Seven items a column, None without a result.
        rowcount: How many rows the last statement gave or changed; -1 before the first.
        sizes: What was given to `setinputsizes`.
        output_size: What was given to `setoutputsize`.
        closed: Whether it is closed.
    """

    def __init__(self, connection: Connection, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.connection: Connection = connection
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs
        self.arraysize: int = 1
        self.description: Any = None
        self.rowcount: int = -1
        self.sizes: Any = None
        self.output_size: Any = None
        self.closed: bool = False
        self._rows: list[Any] | None = None

    def execute(self, operation: str, parameters: Any = ()) -> None:
        """Execute on the server; see `FakeServer.answer` for the rows."""
        self.connection.perform(operation)
        self.connection.execute_on_server(Statement(operation, parameters, self.connection.session))
        self._rows = self.connection.server.rows_for(operation)
        self.description = None if self._rows is None else _described(self._rows)
        self.rowcount = 1 if self._rows is None else len(self._rows)
        self.connection.performed(operation)

    def executemany(self, operation: str, rows: Iterable[Any]) -> None:
        """Execute once a row."""
        count = 0
        for row in rows:
            self.execute(operation, row)
            count += 1
        self.rowcount = count

    def callproc(self, name: str, parameters: Any = ()) -> Any:
        """Execute a procedure; to the server its name is the statement."""
        self.execute(name, parameters)
        return parameters

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(iter(self._fetch(1)), None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows."""
        return self._fetch(self.arraysize if size is None else size)

    def fetchall(self) -> list[Any]:
        """Return the rest of the rows."""
        return self._fetch(None)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the rest of the rows."""
        while rows := self._fetch(1):
            yield from rows

    def _fetch(self, size: int | None) -> list[Any]:
        self.connection.perform("fetch")
        if self._rows is None:
            raise errors.ProgrammingError("there is no result to fetch from")
        end = len(self._rows) if size is None else size
        rows, self._rows = self._rows[:end], self._rows[end:]
        self.connection.performed("fetch")
        return rows

    @property
    def has_rows_left(self) -> bool:
        """Whether rows are still to be read from the server."""
        return bool(self._rows)

    def setinputsizes(self, *sizes: Any) -> None:
        """Keep the sizes."""
        self.sizes = sizes

    def setoutputsize(self, *size: Any) -> None:
        """Keep the size."""
        self.output_size = size

    def close(self) -> None:
        """Close."""
        self.closed = True
        self._rows = None


def first_word(operation: str) -> str:
    """Return the first word of a statement, in lower case."""
    return next(iter(operation.lower().split()), "").strip(";")


def is_read(operation: str) -> bool:
    """Whether a statement only reads, as far as the fake server is concerned."""
    return first_word(operation) in ("select", "show", "values")


def _described(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    columns = len(rows[0]) if rows else 1
    return [(f"column{number}", None, None, None, None, None, None) for number in range(1, columns + 1)]
