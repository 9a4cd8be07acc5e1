"""Right strategies of every kind, for every parameter that takes one. Read by checkers, never executed.

The classes import nothing of ours but the values they answer with: satisfying a Protocol is enough. Most calls have no
name to go to, for a variable's type would help the checkers to infer. Wrong ones stand in ``check_negative.py``.
"""

from __future__ import annotations

import _threading_local
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg.rows
import pymysql
import pymysql.cursors
from typing_extensions import assert_type

from persistentdb import (
    WRONG_NODE,
    Backoff,
    Explanation,
    FailureClasses,
    FailureClassifier,
    InheritedReplay,
    Loss,
    MaskPing,
    NoReplay,
    Outage,
    PersistentDB,
    Ping,
    PingStrategy,
    ProvenReplay,
    ReplayPolicy,
    Rule,
    SessionSetup,
    ThreadLocality,
    Verdict,
    explain,
)

if TYPE_CHECKING:
    from persistentdb import Connection

# `ping`


class PingWithoutBase:
    """For any connection; it knows no name of ours."""

    def due(self, event: int) -> bool:
        """Only on request."""
        return event == 1

    def alive(self, connection: Any) -> bool:
        """Ask."""
        connection.cursor().execute("select 1")
        return True


class PingOfSqlite(PingStrategy[sqlite3.Connection]):
    """For sqlite3 alone, and derived from the Protocol, so that a checker sees mistakes right here."""

    def due(self, event: Ping, /) -> bool:
        """Only on request."""
        return event is Ping.REQUEST

    def alive(self, connection: sqlite3.Connection, /) -> bool:
        """Use what only sqlite3 has."""
        return connection.execute("select 1").fetchone() is not None


class PingOfAny:
    """For any DB-API 2 connection, by our Protocol; the parameters may have any names."""

    def due(self, when: Ping) -> bool:
        """Only with cursors."""
        return bool(when & Ping.CURSOR)

    def alive(self, link: Connection) -> bool:
        """Use what every connection has."""
        return link.cursor().fetchone() is None


def is_alive(connection: sqlite3.Connection) -> bool:
    """Check, as a plain function."""
    return connection.execute("select 1").fetchone() is not None


def right_pings() -> None:
    """X8, C9: a mask, SQL, a function, a pair, a strategy, None."""
    PersistentDB(sqlite3, ping=0)
    PersistentDB(sqlite3, ping=7)
    PersistentDB(sqlite3, ping=None)
    PersistentDB(sqlite3, ping=Ping.REQUEST | Ping.EXECUTE)
    PersistentDB(sqlite3, ping="select 1")
    PersistentDB(sqlite3, ping=(Ping.EXECUTE, "select 1"))
    PersistentDB(sqlite3, ping=(4, is_alive))
    PersistentDB(sqlite3, ping=(4, lambda con: con.total_changes < 1000))
    PersistentDB(sqlite3, ping=is_alive)
    PersistentDB(sqlite3, ping=lambda con: con.total_changes < 1000)
    PersistentDB(sqlite3, ping=MaskPing(1, "select 1", window=0))
    PersistentDB(sqlite3, ping=MaskPing(1, is_alive))
    PersistentDB(sqlite3, ping=PingWithoutBase())
    PersistentDB(sqlite3, ping=PingOfSqlite())
    persist = PersistentDB(sqlite3, ping=PingOfAny())
    assert_type(persist, PersistentDB[sqlite3.Connection])
    assert_type(persist.ping, PingStrategy[sqlite3.Connection])


def pings_go_where_their_connection_goes() -> None:
    """X8, C9: one for any connection serves every driver; one for a driver knows what only that has."""
    of_tuples = PersistentDB(lambda: psycopg.connect("dbname=my"), ping=lambda con: not con.broken)
    assert_type(of_tuples, PersistentDB[psycopg.Connection[tuple[Any, ...]]])
    of_tuples = PersistentDB(lambda: psycopg.connect("dbname=my"), ping=PingOfAny())
    assert_type(of_tuples, PersistentDB[psycopg.Connection[tuple[Any, ...]]])
    by_dicts = lambda: pymysql.connect(cursorclass=pymysql.cursors.DictCursor)  # noqa: E731
    of_dicts = PersistentDB.from_creator(by_dicts, ping=lambda con: con.ping(reconnect=False))
    assert_type(of_dicts, PersistentDB[pymysql.Connection[pymysql.cursors.DictCursor]])


# `failures`


class ClassifierWithoutBase:
    """It imports nothing but the answer."""

    def verdict(self, error: BaseException, connection: object) -> Verdict:
        """Look at the message."""
        return Verdict.LOST_MAYBE_SENT if "gone" in str(error) else Verdict.NOT_LOST


class Classifier(FailureClassifier):
    """Derived from the Protocol."""

    def verdict(self, error: BaseException, connection: object, /) -> Verdict:
        """Say that nothing is ever lost."""
        return Verdict.NOT_LOST


def is_fatal(error: BaseException) -> bool:
    """Judge, as a plain function."""
    return isinstance(error, ConnectionError)


def right_failures() -> None:
    """X8, C8: a class, a tuple of classes, a function, a strategy, None."""
    PersistentDB(sqlite3, failures=None)
    PersistentDB(sqlite3, failures=sqlite3.OperationalError)
    PersistentDB(sqlite3, failures=(sqlite3.OperationalError,))
    PersistentDB(sqlite3, failures=(sqlite3.OperationalError, ConnectionError, OSError))
    PersistentDB(sqlite3, failures=())
    PersistentDB(sqlite3, failures=is_fatal)
    PersistentDB(sqlite3, failures=lambda error: "gone" in str(error))
    PersistentDB(sqlite3, failures=ClassifierWithoutBase())
    persist = PersistentDB(sqlite3, failures=Classifier())
    assert_type(persist, PersistentDB[sqlite3.Connection])
    assert_type(persist.failures, FailureClassifier)


def rows_of_ones_own(error: Exception, connection: sqlite3.Connection) -> None:
    """X8, X2: rows are data, in any iterable of conditions; their classifier and its explanation are typed."""
    row = Rule(Verdict.NOT_LOST, codes={5, "57014"}, sqlstates=["53"], classes=("Error",), attribute="dead", why="mine")
    assert_type(row.codes, frozenset[object])
    assert_type(row.sqlstates, frozenset[str])
    failures = FailureClasses((sqlite3.Error,), rules=[row, *WRONG_NODE])
    assert_type(failures.rules, tuple[Rule, ...])
    PersistentDB(sqlite3, failures=failures)
    told = explain(error, connection, failures)
    assert_type(told, Explanation)
    assert_type(told.verdict, Verdict)
    assert_type(told.rule, Rule | None)
    explain(error, connection, sqlite3.Error)
    explain(error, connection, lambda error: "gone" in str(error))


# `setsession`


class SetupWithoutBase:
    """It imports nothing but its driver."""

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Use what only sqlite3 has."""
        connection.create_function("one", 0, lambda: 1)


class SetupOfAny:
    """For any DB-API 2 connection; what it returns is nobody's business."""

    def prepare(self, connection: Connection) -> Connection:
        """Use what every connection has."""
        connection.cursor().execute("set x to 1")
        return connection


class SetupOfPsycopg(SessionSetup["psycopg.Connection[Any]"]):
    """Derived from the Protocol; for psycopg, whatever its rows are."""

    def prepare(self, connection: psycopg.Connection[Any], /) -> None:
        """Use what only psycopg has."""
        connection.autocommit = True


def with_names(connection: sqlite3.Connection) -> None:
    """Prepare, as a plain function."""
    connection.row_factory = sqlite3.Row


def right_setups() -> None:
    """X8, C7: a list or tuple of SQL, a function, a strategy, None."""
    PersistentDB(sqlite3, setsession=None)
    PersistentDB(sqlite3, setsession=["pragma foreign_keys = on"])
    PersistentDB(sqlite3, setsession=[])
    PersistentDB(sqlite3, setsession=("pragma foreign_keys = on", "pragma synchronous = off"))
    PersistentDB(sqlite3, setsession=with_names)
    PersistentDB(sqlite3, setsession=lambda con: con.create_function("one", 0, lambda: 1))
    PersistentDB(sqlite3, setsession=SetupWithoutBase())
    persist = PersistentDB(sqlite3, setsession=SetupOfAny())
    assert_type(persist, PersistentDB[sqlite3.Connection])
    assert_type(persist.setsession, SessionSetup[sqlite3.Connection])
    of_dicts = PersistentDB(
        lambda: psycopg.Connection[dict[str, Any]].connect(row_factory=psycopg.rows.dict_row),
        setsession=SetupOfPsycopg(),
    )
    assert_type(of_dicts, PersistentDB[psycopg.Connection[dict[str, Any]]])


# `threadlocal`


class LocalOfOurs(threading.local):
    """A subclass will do."""


class LocalityWithoutBase:
    """It imports nothing."""

    def __init__(self) -> None:
        self.values: dict[int, object] = {}

    def get(self) -> object | None:
        """Look the thread up."""
        return self.values.get(threading.get_ident())

    def set(self, value: object) -> None:
        """Remember it."""
        self.values[threading.get_ident()] = value

    def discard(self) -> None:
        """Forget it."""
        self.values.pop(threading.get_ident(), None)


def right_localities() -> None:
    """X8, C11: a class for thread-local data, a strategy, None."""
    PersistentDB(sqlite3, threadlocal=None)
    PersistentDB(sqlite3, threadlocal=threading.local)
    PersistentDB(sqlite3, threadlocal=LocalOfOurs)
    PersistentDB(sqlite3, threadlocal=_threading_local.local)
    persist = PersistentDB(sqlite3, threadlocal=LocalityWithoutBase())
    assert_type(persist, PersistentDB[sqlite3.Connection])
    assert_type(persist.threadlocal, ThreadLocality)


# `replay`


class ReplayOfReads:
    """It imports nothing but what it is asked about."""

    def replay(self, loss: Loss) -> bool:
        """Look at the loss."""
        return loss.verdict is Verdict.LOST_UNSENT and loss.driver_known


class Replay(ReplayPolicy):
    """Derived from the Protocol."""

    def replay(self, loss: Loss, /) -> bool:
        """Look at the error."""
        return isinstance(loss.error, OSError)


def right_replays() -> None:
    """X8, X1: one of the three of the house, or a strategy, or None."""
    PersistentDB(sqlite3, replay=None)
    PersistentDB(sqlite3, replay=ProvenReplay())
    PersistentDB(sqlite3, replay=InheritedReplay())
    PersistentDB(sqlite3, replay=NoReplay())
    PersistentDB(sqlite3, replay=ReplayOfReads())
    persist = PersistentDB(sqlite3, replay=Replay())
    assert_type(persist, PersistentDB[sqlite3.Connection])
    assert_type(persist.replay, ReplayPolicy)


# `outage`


def wait(condition: threading.Condition, seconds: float) -> bool:
    """Wait, as a plain function."""
    return condition.wait(seconds)


def right_outages() -> None:
    """X8, X6: rules, or None; clock, wait and randomness are arguments."""
    PersistentDB(sqlite3, outage=None)
    PersistentDB(sqlite3, outage=Outage())
    PersistentDB(sqlite3, outage=Outage(Backoff(first=1, limit=60, factor=3, jitter=0), give_up_after=600))
    PersistentDB(sqlite3, outage=Outage(simultaneous=1, turn_timeout=0.5, clock=time.perf_counter, wait=wait))
    PersistentDB(sqlite3, outage=Outage(Backoff(random=lambda: 0.5)))
    PersistentDB(sqlite3, ping=MaskPing(1, window=0.5, timeout=None))
    persist = PersistentDB(sqlite3, outage=Outage(), ping=MaskPing(1, timeout=2))
    assert_type(persist, PersistentDB[sqlite3.Connection])
    assert_type(persist.outage, Outage)
    assert_type(persist.outage.backoff.pause(3), float)


# All at once


def the_strict_door_takes_the_same() -> None:
    """X8: all of them by name, nothing passed through."""
    persist = PersistentDB.from_creator(
        lambda: sqlite3.connect("my.db"),
        maxusage=1000,
        setsession=with_names,
        failures=is_fatal,
        ping=PingOfSqlite(),
        closeable=True,
        threadlocal=LocalityWithoutBase(),
        replay=NoReplay(),
        outage=Outage(),
    )
    assert_type(persist, PersistentDB[sqlite3.Connection])


def by_place_as_ever() -> None:
    """X8, C1: the inherited order of the parameters, then what is passed to the creator."""
    persist = PersistentDB(
        sqlite3, 1000, ["pragma foreign_keys = on"], OSError, PingOfAny(), True, threading.local, "my.db", timeout=5
    )
    assert_type(persist, PersistentDB[sqlite3.Connection])
