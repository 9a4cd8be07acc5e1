"""Where a fault is played: one contender over one driver, with a table of its own and a witness in the database."""

from __future__ import annotations

import itertools
import os
import signal
import struct
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Any

import psutil
from attrs import Factory, define

from persistentdb import PersistentDBError
from tests.servers import LiveDriver, TcpProxy, Trigger, wait_until

from .contenders import Connect, Contender
from .verdicts import LIMIT, Outcome, Verdict, judged

__all__ = ["NotPlayableError", "Stage", "run"]

_numbers = itertools.count(1)


class NotPlayableError(Exception):
    """Raised when a contender or a driver does not have what a fault takes."""


@define
class Stage:
    """What a fault has to act with.

    Attributes:
        driver: The driver and its server.
        contender: Who is put to the test.
        connection: Gets the calling thread's connection; there after `open`.
        table: The name of a table `(id integer, note varchar(100))` without a key; there after `open`.
        errors: What reached the program.
    """

    driver: LiveDriver
    contender: Contender
    connection: Connect = None  # type: ignore[assignment]  # set by open()
    table: str = Factory(lambda: f"c_{next(_numbers)}")
    errors: list[BaseException] = Factory(list)
    _after: ExitStack = Factory(ExitStack)

    # Before the fault

    def open(self, *, autocommit: bool = False, port: int | None = None, after: str = "", **options: Any) -> Any:
        """Make the table, and return the contender's connection.

        Args:
            autocommit: Whether the driver's connections are in autocommit.
            port: That of a cutter; the server's own otherwise.
            after: A statement for each new connection of the driver.
            **options: For the contender.

        Raises:
            NotPlayableError: The contender takes no options.
        """
        if options and not self.contender.takes:
            raise NotPlayableError
        self.query(f"create table {self.table} (id integer, note varchar(100))")

        def creator() -> Any:
            raw = self.driver.connect(autocommit=autocommit, port=port)
            if after:
                run(raw, after)
                raw.commit()
            return raw

        self.connection = self.contender.open(creator, **options)
        return self.connection()

    def open_behind_cutter(self, moment: str, match: str, **arguments: Any) -> tuple[Any, Trigger]:
        """Return the contender's connection behind a cutter, and the one cut that it is to make.

        Args:
            moment: `before_request` or `after_request`.
            match: What the request has in it.
            **arguments: Those of `open`.
        """
        server = self.driver.server
        cutter = self._after.enter_context(TcpProxy(server.port, server.reply_complete))
        con = self.open(port=cutter.port, **arguments)
        cut: Trigger = getattr(cutter, f"cut_{moment}")(match.encode())
        return con, cut

    def independent(self) -> Any:
        """Return a raw connection that is closed after the play."""
        return self._after.enter_context(closing(self.driver.connect()))

    @property
    def is_postgres(self) -> bool:
        """Whether the server is PostgreSQL; MariaDB otherwise."""
        return bool(self.driver.server.title == "PostgreSQL")

    def by_server(self, postgres: str, mariadb: str) -> str:
        """Return the one of two statements that the server understands."""
        return postgres if self.is_postgres else mariadb

    # What the program does

    def program(self) -> _Program:
        """Run the program's own steps in a `with` block; an error of the connection's ends it, and is noted as seen."""
        return _Program(self)

    def insert(self, con: Any, number: int, note: str = "'x'") -> None:
        """Insert the row of that number, without a commit; *note* is SQL."""
        run(con, f"insert into {self.table} select {number}, {note}")

    def begin(self, con: Any) -> None:
        """Begin a transaction by `begin()` where there is one; else the driver does it with the next statement."""
        if hasattr(con, "begin"):
            con.begin()

    # The fault

    def session(self, con: Any) -> int:
        """Ask for the number of the session; without autocommit that opens a transaction."""
        return self.driver.session_id(con)

    def session_at_rest(self, con: Any) -> int:
        """Ask for the number of the session, and leave no transaction open."""
        session = self.session(con)
        con.commit()
        return session

    def kill(self, session: int) -> None:
        """End a session from the server's side; when this returns, its socket is closed."""
        if self.is_postgres:
            # `driver.kill()` lets the server wait for it, in steps of 0.1 s.
            self.query(f"select pg_terminate_backend({session})")
            wait_until(lambda: not psutil.pid_exists(session), f"session {session} to be gone")
        else:
            self.driver.kill(session)

    def in_fork(self) -> int:
        """Fork; return 0 in the child, and its number in the parent. A child that hangs is ended."""
        child = os.fork()
        if not child:
            signal.alarm(LIMIT // 2)
        return child

    # What the witness says

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, run on an independent connection."""
        return self.driver.server.query(sql)

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the committed rows, in the order of their numbers."""
        return self.query(f"select id, note from {self.table} order by id")

    def judge(self, *expected: int) -> Outcome:
        """Return the verdict on a piece of work that should have left rows of these numbers."""
        found = [row[0] for row in self.rows()]
        return self.outcome(judged(found, list(expected), noticed=bool(self.errors)))

    def right(self, *, holds: bool, else_wrong: str) -> Outcome:
        """Return the verdict on something that holds or not, apart from rows."""
        if not holds:
            return self.outcome(Verdict.WRONG, else_wrong)
        return self.outcome(Verdict.ERROR if self.errors else Verdict.OK)

    def outcome(self, verdict: Verdict, detail: str = "") -> Outcome:
        """Return an outcome with the last error that the program saw."""
        error = self.errors[-1] if self.errors else None
        return Outcome(verdict, detail, "" if error is None else " ".join(f"{type(error).__name__}: {error}".split()))

    def comes_true(self, condition: Any, what: str, timeout: float = 1) -> bool:
        """Return whether a condition is fulfilled within *timeout* seconds."""
        try:
            wait_until(condition, what, timeout)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Close what the play needed beside the contender."""
        self._after.close()


class _Program:
    """A block of the program under test. No generator with a decorator: that would choke on a StopIteration."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __enter__(self) -> None:
        """Nothing is needed."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> bool:
        from dbutils.steady_db import SteadyDBError

        # Not all: what else is raised is a fault of this script. PyMySQL raises StopIteration where DBUtils gives it
        # a generator that is used up.
        drivers = (self._stage.driver.module.Error, OSError, struct.error)
        theirs = (*drivers, PersistentDBError, SteadyDBError, StopIteration)
        if not isinstance(value, theirs):
            return False
        self._stage.errors.append(value)
        return True


def run(con: Any, sql: str) -> list[tuple[Any, ...]]:
    """Return all rows of a statement, run on a cursor of its own."""
    cursor = con.cursor()
    cursor.execute(sql)
    rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []  # pg8000 has lists
    cursor.close()
    return rows
