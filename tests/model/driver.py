"""Drivers over a server that keeps the truth: who executed what, in which session, and what of it was committed.

The fake of the other tests counts calls; here it matters besides what a session's end takes with it, what autocommit
makes durable at once, and which words commit by the way. Each class of connections behaves like one family of drivers.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any, NoReturn, TypeVar

from attrs import define, field

from persistentdb import Verdict
from persistentdb.drivers import DriverProfile, Rule
from persistentdb.testing import fake

__all__ = ["CONNECTIONS", "PROFILES", "Connection", "Fault", "Kind", "Postgresque", "Server"]

T = TypeVar("T")

LOST, DEADLOCK = 2013, 1213


class Kind(Enum):
    """What can go wrong with a request."""

    LOSS = auto()
    """The session ends, and the client is told so by the failing request."""

    CLOSED = auto()
    """The client's own side finds the connection closed: nothing is sent."""

    REFUSAL = auto()
    """The server refuses the request; the session lives on."""

    ROLLBACK = auto()
    """The server refuses the request and rolls the transaction back, as after a deadlock; the session lives on."""

    INTERRUPT = auto()
    """KeyboardInterrupt comes in the middle."""


@define
class Fault:
    """What is to go wrong within the next call.

    Attributes:
        kind: What.
        skip: How many requests go well before.
        after: Whether the server has carried the request out.
    """

    kind: Kind
    skip: int = 0
    after: bool = False


@define(eq=False)
class Server:
    """What the connections talk to.

    Attributes:
        connection_type: The family of drivers.
        autocommit: Whether connections are opened in autocommit, for those that know it.
        executed: How often each token was executed.
        committed: How often each token is in the database.
        connections: Every connection ever opened.
        refuse: Whether new connections fail.
        now: The time in seconds; while it stands still nobody tries again to connect after a failure.
        failed_lately: Whether such an attempt may have failed at this time.
        wrong: What must never have happened, in words.
        at_stake: Whether the caller has something to lose; while it is true nothing may be opened or pinged.
        faults: What is to go wrong next.
        struck: What went wrong within this call.
        pinging: Whether a check is under way.
    """

    connection_type: type[Connection]
    autocommit: bool = False
    executed: Counter[int] = field(factory=Counter[int])
    committed: Counter[int] = field(factory=Counter[int])
    connections: list[Connection] = field(factory=list["Connection"])
    refuse: bool = False
    now: float = 0.0
    failed_lately: bool = False
    wrong: list[str] = field(factory=list[str])
    at_stake: Callable[[], bool] = lambda: False
    faults: list[Fault] = field(factory=list[Fault])
    struck: list[tuple[Kind, bool]] = field(factory=list[tuple[Kind, bool]])
    pinging: bool = False

    def connect(self) -> Connection:
        """Open a connection, as a driver's module-level function does."""
        if self.at_stake():
            self.wrong.append("a connection was opened while the caller had something to lose")
        fault = self.due()
        if fault is not None and fault.kind is Kind.INTERRUPT:
            raise KeyboardInterrupt
        if self.refuse or fault is not None:
            self.failed_lately = True
            raise fake.OperationalError("the server is away")
        self.connections.append(self.connection_type(self))
        return self.connections[-1]

    def due(self) -> Fault | None:
        """Return what is to go wrong with the present request, if anything."""
        if not self.faults:
            return None
        if self.faults[0].skip:
            self.faults[0].skip -= 1
            return None
        self.struck.append((self.faults[0].kind, self.pinging))
        self.failed_lately = True  # it may have been an attempt to connect, to the end of which much belongs
        return self.faults.pop(0)

    def pass_time(self) -> None:
        """Let so much time pass that connecting is tried again."""
        self.now += 3600
        self.failed_lately = False

    @property
    def current(self) -> Connection:
        """The connection that was opened last."""
        return self.connections[-1]

    def free(self) -> None:
        """Give the sockets back, whatever became of the connections."""
        for connection in self.connections:
            for end in connection.ends:
                end.close()


class Connection:
    """A connection of which nothing is known: no status, no autocommit, no socket, no ping, implicit transactions."""

    OperationalError, InterfaceError, InternalError = fake.OperationalError, fake.InterfaceError, fake.InternalError
    ProgrammingError, Error = fake.ProgrammingError, fake.Error

    known = has_autocommit = has_socket = False
    commits_by_the_way = False
    """Whether CREATE, CALL and BEGIN commit what was done before, as in MySQL."""
    aborts = False
    """Whether an error in a transaction makes the server refuse all else until it is rolled back, as in PostgreSQL."""
    always_ends = False
    """Whether `commit()` and `rollback()` do something in autocommit."""
    refuses_nesting = False
    """Whether BEGIN in a transaction, or a change of autocommit, is refused."""
    in_process = False
    """Whether the database is in this very process: nobody else can end its sessions."""
    reads_open = True
    """Whether a read opens a transaction."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.alive = True
        self.closed = self.broken = self.suspect = False
        self.open = self.told_open = self.aborted = False  # the client knows what it was told last
        self.uncommitted: list[int] = []
        self.unread: set[Cursor] = set()
        self.prepared = False
        self.tag: object = None
        self.own_autocommit = self.has_autocommit and server.autocommit
        self.ends: tuple[socket.socket, ...] = socket.socketpair() if self.has_socket else ()

    # What happens to it from outside

    def cut(self, *, seen: bool = True) -> None:
        """End the session; its open transaction is rolled back.

        Args:
            seen: Whether the end can be seen at the socket.
        """
        self.alive = self.open = False
        self.uncommitted.clear()
        self.unread.clear()
        if seen and self.ends:
            self.ends[1].close()

    # What drivers have

    def cursor(self, streaming: bool = False) -> Cursor:
        """Open a cursor; that says nothing to the server, and so does not find a session dead."""
        self.request(lambda: None, local=True)
        return Cursor(self, streaming=streaming)

    def commit(self) -> None:
        """Commit."""
        if self.always_ends or not self.own_autocommit:
            self.request(self._commit)

    def rollback(self) -> None:
        """Roll back."""
        if self.always_ends or not self.own_autocommit:
            self.request(self._rollback)

    def close(self) -> None:
        """Close; the server rolls an open transaction back."""
        self.closed = True
        self.cut()
        for end in self.ends:
            end.close()

    # Between client and server

    def request(self, effect: Callable[[], T], *, local: bool = False) -> T:
        """Let the server carry something out, and fail where the test wants it.

        Args:
            effect: What the server does.
            local: It is the client's own affair, that needs no living session.
        """
        if self.closed or self.broken:
            raise fake.InterfaceError("the connection is already closed")
        if self.suspect:
            self.server.wrong.append("a connection was used again out of which an interrupt had come")
        fault = self.server.due()
        if fault is None:
            return self._reply(effect, local=local)
        if fault.kind is Kind.CLOSED:
            self.close()
            raise fake.InterfaceError("the connection is already closed")
        if not self.alive and (fault.after or fault.kind is not Kind.INTERRUPT):
            self.server.struck[-1] = (Kind.LOSS, self.server.pinging)  # nobody is there to do or refuse anything
            return self._reply(effect)
        if fault.after and fault.kind in (Kind.LOSS, Kind.INTERRUPT):
            self._reply(effect, local=local)
        return self._fail(fault)

    def _fail(self, fault: Fault) -> NoReturn:
        if fault.kind is Kind.INTERRUPT:
            self.suspect = True
            raise KeyboardInterrupt
        if fault.kind is Kind.LOSS:
            self.cut()
        self._reply(lambda: self._refuse(fault.kind))
        raise AssertionError(fault)  # _refuse() raises

    def _reply(self, effect: Callable[[], T], *, local: bool = False) -> T:
        if not self.alive and not local:
            self.broken = self.aborts  # psycopg's kind knows it from then on, MySQL's does not
            raise fake.OperationalError(LOST, "the connection is lost")
        try:
            return effect()
        finally:
            self.told_open = self.open if self.alive else self.told_open

    def _refuse(self, kind: Kind) -> None:
        if kind is Kind.ROLLBACK and self.known and not self.aborts:
            self._rollback()
            raise fake.OperationalError(DEADLOCK, "refused: deadlock")
        self.aborted = self.aborts and self.open
        raise fake.ProgrammingError("refused")

    # What the server does

    def perform(self, word: str, token: int) -> None:
        """Execute a statement of that first word."""
        if self.aborted and word not in ("commit", "rollback"):
            self._refuse(Kind.REFUSAL)
        if word == "begin" and self.open and self.refuses_nesting:
            self._refuse(Kind.REFUSAL)
        if self.commits_by_the_way and word in ("begin", "create", "call"):
            self._commit()
        if word == "commit":
            self._commit()
        elif word == "rollback":
            self._rollback()
        elif word in ("select", "set"):
            self.open = self.open or (self.reads_open and not self.own_autocommit)
        elif word == "begin":
            self.open = True
        else:
            self._write(token, alone=self.commits_by_the_way and word != "insert")

    def _write(self, token: int, *, alone: bool) -> None:
        self.server.executed[token] += 1
        if not self.prepared:
            self.server.wrong.append("a statement ran on a session that was not prepared")
        if alone or (self.own_autocommit and not self.open):
            self.server.committed[token] += 1
        else:
            self.open = True
            self.uncommitted.append(token)

    def _commit(self) -> None:
        if not self.aborted:
            self.server.committed.update(self.uncommitted)
        self._rollback()

    def _rollback(self) -> None:
        self.open = self.aborted = False
        self.uncommitted.clear()


class Outspoken(Connection):
    """Of which nothing is known, but that it has `autocommit` and `ping`."""

    has_autocommit = True
    autocommit = property(lambda self: self.own_autocommit, lambda self, value: self._switch(value))

    def _switch(self, value: bool) -> None:
        if self.told_open and value != self.own_autocommit:
            raise fake.ProgrammingError("refused by the client: in a transaction")
        self.own_autocommit = value

    def ping(self) -> None:
        """Ask the server for a sign of life."""
        self.request(lambda: None)


class Postgresque(Outspoken):
    """A known driver that knows its transaction's status, and that it is broken once it has met the loss."""

    __module__ = "postgresque"
    known = has_socket = aborts = True

    def cancel(self) -> None:
        """Have the server cancel the statement that it is at."""
        self.request(lambda: None)


class Mysqlesque(Outspoken):
    """A known driver that tells no status, with a server where many statements commit by the way."""

    __module__ = "mysqlesque"
    known = has_socket = always_ends = commits_by_the_way = True

    def begin(self) -> None:
        """Start a transaction; an open one is committed."""
        self.request(lambda: self.perform("begin", 0))

    def _switch(self, value: bool) -> None:
        self.request(lambda: self._switched(value))

    def _switched(self, value: bool) -> None:
        if value and not self.own_autocommit:
            self._commit()
        self.own_autocommit = value


class Sqlitesque(Outspoken):
    """A known driver with the database in this very process: reads open no transaction, an open one means work."""

    __module__ = "sqlitesque"
    known = always_ends = refuses_nesting = in_process = True
    reads_open = False

    def cut(self, *, seen: bool = True) -> None:
        """End the session: here that is always the client's own doing."""
        super().cut(seen=seen)
        self.closed = True


class Cursor:
    """A cursor whose every result has three rows."""

    def __init__(self, connection: Connection, *, streaming: bool) -> None:
        self.connection = connection
        self.streaming = streaming
        self.arraysize = 1
        self.description: Any = None
        self.rowcount = -1
        self.rows: list[tuple[int, int]] = []

    def execute(self, operation: str, parameters: tuple[int, ...] = (0,)) -> Cursor:
        """Execute on the server."""
        self._forget()
        word = operation.partition(" ")[0]
        self.connection.request(lambda: self.connection.perform(word, parameters[0]))
        if word == "select":
            self.description = (("column",) * 7,)
            self.rows = [(parameters[0], number) for number in range(3)]
            if self.streaming:
                self.connection.unread.add(self)
        return self

    def executemany(self, operation: str, rows: Iterable[tuple[int, ...]]) -> Cursor:
        """Execute once a row."""
        for row in rows:
            self.execute(operation, row)
        return self

    def callproc(self, name: str, parameters: tuple[int, ...]) -> tuple[int, ...]:
        """Execute a procedure."""
        del name
        self.execute("call", parameters)
        return parameters

    def fetchone(self) -> tuple[int, int] | None:
        """Return the next row, a streaming cursor gets it from the server."""
        if self.streaming:
            self.connection.request(lambda: None)
        if self.rows:
            return self.rows.pop(0)
        self._forget()
        return None

    def fetchmany(self, size: int = 1) -> list[tuple[int, int]]:
        """Return the next rows."""
        return [row for row in (self.fetchone() for _ in range(size)) if row is not None]

    def fetchall(self) -> list[tuple[int, int]]:
        """Return all other rows."""
        return self.fetchmany(len(self.rows) + 1)

    def __iter__(self) -> Cursor:
        return self

    def __next__(self) -> tuple[int, int]:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def setinputsizes(self, *sizes: Any) -> None:
        """Do nothing, as most drivers."""

    def close(self) -> None:
        """Close."""
        self._forget()

    def _forget(self) -> None:
        self.rows, self.description = [], None
        self.connection.unread.discard(self)


def _code(error: BaseException) -> object:
    return error.args[0] if isinstance(error.args[0], int) else None


_UNSENT = Rule(Verdict.LOST_UNSENT, text="already closed", why="closed by the client")
_TOLD = (_UNSENT, Rule(Verdict.LOST_MAYBE_SENT, codes=frozenset({LOST}), why="the link broke"))


def _begins(connection: Any) -> tuple[bool, bool]:
    return not connection.open, False


PROFILES = {
    "postgresque": DriverProfile(
        name="postgresque",
        is_closed=lambda connection: connection.closed or connection.broken,
        closed_is_truth=True,
        rules=(_UNSENT,),
        in_transaction=lambda connection: None if connection.broken or connection.closed else connection.told_open,
        autocommit=lambda connection: connection.own_autocommit,
        fileno=lambda connection: connection.ends[0].fileno(),
        ping=lambda connection: connection.ping(),
        is_streaming=lambda connection: bool(connection.unread),
    ),
    "mysqlesque": DriverProfile(
        name="mysqlesque",
        is_closed=lambda connection: connection.closed,
        rules=_TOLD,
        code=_code,
        code_is_truth=True,
        autocommit=lambda connection: connection.own_autocommit,
        fileno=lambda connection: connection.ends[0].fileno(),
        ping=lambda connection: connection.ping(),
        cursor_is_streaming=lambda cursor: cursor.streaming,
        autocommit_commits=True,
        committing=frozenset({"begin", "call", "create"}),
    ),
    "sqlitesque": DriverProfile(
        name="sqlitesque",
        is_closed=lambda connection: connection.closed,
        rules=(_UNSENT,),
        code=_code,
        code_is_truth=True,
        in_transaction=lambda connection: None if connection.closed else connection.told_open,
        transaction_is_work=True,
        autocommit=lambda connection: connection.own_autocommit,
        begins=_begins,
    ),
}

CONNECTIONS: tuple[type[Connection], ...] = (Connection, Outspoken, Postgresque, Mysqlesque, Sqlitesque)
