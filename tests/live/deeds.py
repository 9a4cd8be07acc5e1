"""What the live tests do over and over: run a statement, write a row, name a session, end it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from servers import LiveDriver

from persistentdb import PersistentDB

Rows = Callable[[str], list[tuple[Any, ...]]]
Persist = Callable[..., PersistentDB[Any]]


def run(con: Any, sql: Any) -> list[tuple[Any, ...]]:
    """Return all rows of a statement, run on a cursor of its own."""
    with closing(con.cursor()) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


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
    return int(con.thread_id() if hasattr(con, "thread_id") else con.info.backend_pid)


def kill(driver: LiveDriver, con: Any) -> int:
    """End a connection's session from the server's side; return its number."""
    session = session_of(con)
    driver.kill(session)
    return session


def end_all_sessions(driver: LiveDriver) -> None:
    """End all sessions from the server's side; PostgreSQL waits 0.1 s for each if it is not told beforehand."""
    if driver.server.title == "PostgreSQL":
        others = "backend_type = 'client backend' and pid <> pg_backend_pid()"
        driver.server.query(f"select pg_terminate_backend(pid) from pg_stat_activity where {others}")
    driver.server.end_sessions()


def losses(driver: LiveDriver) -> tuple[type[Exception], ...]:
    """Return the classes in which the driver reports a loss."""
    return (driver.module.OperationalError, driver.module.InterfaceError)


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
