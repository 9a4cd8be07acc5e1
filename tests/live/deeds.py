"""What the live tests do over and over: run a statement, write a row, name a session, end it."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psutil
from servers import LiveDriver, wait_until

from persistentdb import PersistentDB

Rows = Callable[[str], list[tuple[Any, ...]]]
Persist = Callable[..., PersistentDB[Any]]


def run(con: Any, sql: Any) -> list[tuple[Any, ...]]:
    """Return all rows of a statement, run on a cursor of its own."""
    with closing(con.cursor()) as cursor:
        cursor.execute(sql)
        rows = cursor.fetchall() if cursor.description else []
        return [tuple(row) if isinstance(row, list) else row for row in rows]  # pg8000's are lists


def write(con: Any, table: str, number: int) -> None:
    """Insert the row of that number, without a commit."""
    run(con, insert(table, number))


def insert(table: str, number: int) -> str:
    """Return the statement that inserts the row of that number."""
    return f"insert into {table} values ({number}, 'x')"


def numbers(rows: Rows, table: str) -> list[int]:
    """Return the numbers of the committed rows."""
    return [row[0] for row in rows(table)]


def session_of(con: Any) -> int:
    """Return the number of a connection's session as the client knows it: no round trip, no use is counted."""
    if hasattr(con, "thread_id"):  # MySQL's kind: a method, of mariadb a property
        return int(con.thread_id() if callable(con.thread_id) else con.thread_id)
    if hasattr(con, "_backend_key_data"):  # pg8000, in the protocol's own form
        return int.from_bytes(con._backend_key_data[:4], "big")
    return int(con._cnx.backend_pid if hasattr(con, "_cnx") else con.info.backend_pid)


def kill(driver: LiveDriver, con: Any) -> int:
    """End a connection's session from the server's side; return its number."""
    session = session_of(con)
    if driver.server.title == "PostgreSQL":
        # `driver.kill()` lets the server wait for it, in steps of 0.1 s.
        assert driver.server.query(f"select pg_terminate_backend({session})") == [(True,)]
        wait_until(lambda: not psutil.pid_exists(session), f"session {session} to be gone")
    else:
        driver.kill(session)
    return session


def transaction_open(driver: LiveDriver, con: Any) -> bool:
    """Ask the server whether a connection's session is in a transaction; asking opens none."""
    if driver.server.title == "PostgreSQL":
        [(state,)] = driver.server.query(f"select state from pg_stat_activity where pid = {session_of(con)}")
        return bool(state != "idle")
    return run(con, "select @@in_transaction") == [(1,)]


def losses(driver: LiveDriver) -> tuple[type[Exception], ...]:
    """Return the classes in which the driver reports a loss.

    pgdb takes an error without a code for a programmer's, pg8000 lets errors of its socket escape.
    """
    classes = (driver.module.OperationalError, driver.module.InterfaceError)
    further = {"pgdb": (driver.module.ProgrammingError,), "pg8000": (OSError,)}
    return (*classes, *further.get(driver.name, ()))


def notes(error: BaseException) -> str:
    """Return the notes that were attached to an error."""
    return "\n".join(getattr(error, "__notes__", []))


@contextmanager
def meanwhile(deed: Callable[[], object]) -> Iterator[None]:
    """Do a deed in another thread while the block runs; what it raises is raised at the end of the block."""
    errors: list[BaseException] = []

    def do() -> None:
        try:
            deed()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=do)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
        if errors:
            raise errors[0]


@contextmanager
def unbuffered(driver: LiveDriver, con: Any) -> Iterator[Any]:
    """Lend an unbuffered cursor of a MySQL driver.

    PyMySQL's fails in `__del__` once its connection is lost, on a raw connection too: it is told that it is done.
    """
    if driver.name == "mariadb":
        yield con.cursor(buffered=False)
        return
    cursors = importlib.import_module(f"{driver.module.__name__}.cursors")
    cursor = con.cursor(cursors.SSCursor)
    raw = cursor.driver_cursor
    try:
        yield cursor
    finally:
        if hasattr(raw._result, "unbuffered_active"):
            raw._result.unbuffered_active = False
