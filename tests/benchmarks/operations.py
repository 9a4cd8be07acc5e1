"""What is measured, on whom: the operations as source text with their goals, and the contestants they are run on."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from timeit import Timer
from types import ModuleType
from typing import Any

from attrs import frozen
from dbutils.persistent_db import PersistentDB as DBUtilsPersistentDB

from persistentdb import PersistentDB

__all__ = ["DBUTILS", "DBUTILS_TL", "ON_SERVERS", "ON_SQLITE", "OURS", "RAW", "UNIT", "Contestant", "Operation"]

RAW, OURS, DBUTILS, DBUTILS_TL = "raw", "persistentdb", "DBUtils", "DBUtils tl"
IS_OLD = sys.version_info < (3, 12)  # held against the goals for 3.11


@frozen
class Contestant:
    """Somebody who hands out connections.

    Attributes:
        name: `RAW`, `OURS`, `DBUTILS` or `DBUTILS_TL`.
        acquire: The source text that gets the connection out of the object `here`.
        begin: The source text that begins a transaction on `con`; the raw driver's opens by itself.
        names: `source`, which becomes `here`, and `first`, which opens a connection in a thread that has none.
    """

    name: str
    acquire: str
    begin: str
    names: dict[str, Any]


@frozen
class Operation:
    """Something that users do all day.

    Attributes:
        key: The name that `--only` takes.
        label: What it is.
        statement: Its source text, with `{acquire}` and `{begin}` to be filled in by the contestant.
        goals: At most so many times the raw driver's time; at least so many times faster than `DBUTILS`, `DBUTILS_TL`.
        old_goals: The same for Python 3.11, where it differs.
        clock: CPU time, but wall time where a server does a part of the work.
        empty: What is subtracted: the same without the operation.
    """

    key: str
    label: str
    statement: str
    goals: tuple[float, ...]
    old_goals: tuple[float, ...] = ()
    clock: Callable[[], float] = time.thread_time
    empty: str = "pass"

    def timer(self, contestant: Contestant, statement: str | None = None) -> Timer:
        """Return the loop over this operation (or *statement*), compiled, on a connection and a cursor open already."""
        text = (statement or self.statement).format(acquire=contestant.acquire, begin=contestant.begin)
        setup = f"here = source; con = {contestant.acquire}; cursor = con.cursor()"
        return Timer(text, setup, self.clock, {**contestant.names, "run": _run, "values": _VALUES})


_VALUES = [(number, f"entry {number}") for number in range(1000)]
_ROWS = "cursor.execute('select * from entries'); "
_INSERT = "'insert or replace into entries values (?, ?)'"
_ADD = f"cursor.execute({_INSERT}, values[0])"
UNIT = """\
con = {acquire}
cursor = con.cursor()
cursor.execute('select 1')
cursor.fetchone()
cursor.close()"""
UNIT_COUNTS = (129, 5) if IS_OLD else (118, 5)  # the goal in bytecodes and frames

ON_SQLITE = (
    Operation("a", "acquire", "{acquire}", (2.8, 24, 1.25), (2.8, 21, 1.2)),
    Operation("b", "cursor + close", "con.cursor().close()", (2.9, 3.6), (3.2, 4.2)),
    Operation("c", "execute + fetchone", "cursor.execute('select 1'); cursor.fetchone()", (1.35, 1.9), (1.45, 3.4)),
    Operation("d", "insert in begin/commit", f"{{begin}}; {_ADD}; con.commit()", (1.22, 1.45), (1.25, 1.6)),
    Operation("e1", "fetchone, 1000 rows", f"{_ROWS}\nwhile cursor.fetchone(): pass", (1.12, 1.45), (1.15, 3)),
    Operation("e2", "iteration, 1000 rows", f"{_ROWS}\nfor row in cursor: pass", (1.03,)),
    Operation("e3", "fetchmany(100), 1000 rows", f"{_ROWS}\nwhile cursor.fetchmany(100): pass", (1.03,)),
    Operation("e4", "fetchall, 1000 rows", f"{_ROWS}cursor.fetchall()", (1.03,)),
    Operation("f", "executemany, 1000 rows", f"cursor.executemany({_INSERT}, values); con.commit()", (1.05, 0.95)),
    Operation("g", "unit of work", UNIT, (1.65, 3.4, 2.1), (1.85, 4.6, 3.3)),
    Operation("h", "a thread's first connection", "run(first)", (1.15,), (), time.process_time, "run(int)"),
)
ON_SERVERS = {
    "psycopg": Operation("g-pg", "unit on PostgreSQL", UNIT, (1.08, 1.3), (1.08, 1.35), time.perf_counter),
    "pymysql": Operation("g-maria", "unit on MariaDB", UNIT, (1.08, 1.7), (1.08, 1.8), time.perf_counter),
}


def _run(target: Callable[[], object]) -> None:
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()


def _contestants(module: ModuleType, **arguments: Any) -> list[Contestant]:
    local = threading.local()
    local.con = module.connect(**arguments)

    def first() -> None:
        local.con = module.connect(**arguments)
        local.con.close()

    persists: dict[str, Any] = {
        OURS: PersistentDB(module, **arguments),
        DBUTILS: DBUtilsPersistentDB(module, **arguments),
        DBUTILS_TL: DBUtilsPersistentDB(module, threadlocal=threading.local, **arguments),
    }
    found = [Contestant(RAW, "here.con", "pass", {"source": local, "first": first})]
    for name, it in persists.items():
        found.append(Contestant(name, "here.connection()", "con.begin()", {"source": it, "first": it.connection}))
    return found


def sqlite_contestants() -> list[Contestant]:
    """Return the contestants on sqlite3, the raw driver first, each with a database in memory of its own."""
    found = _contestants(sqlite3, database=":memory:")
    create = "cursor.execute('create table entries (id integer primary key, note text)')"
    for contestant in found:
        ON_SQLITE[0].timer(contestant, f"{create}; cursor.executemany({_INSERT}, values); con.commit()").timeit(1)
    return found


def server_contestants() -> Iterator[tuple[Operation, list[Contestant]]]:
    """Lend the unit of work with its contestants, on a unix socket in autocommit, on each server that is installed."""
    from tests.servers import DRIVERS  # needs pytest

    if hasattr(os, "sched_setaffinity"):  # client and server on one core: unpinned, the round trip wanders
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for driver in DRIVERS:
        if driver.name in ON_SERVERS and driver.missing() is None:
            with driver.server_class() as server:
                arguments = driver.connect_kwargs(server, via="socket") | {"autocommit": True}
                yield ON_SERVERS[driver.name], _contestants(driver.module(), **arguments)
