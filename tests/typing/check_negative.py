"""Wrong uses: every marked line is an error in mypy and in pyright. Read by checkers, never executed.

mypy holds each mark to its error code, and both complain of a mark that nothing needs: a mistake that passes is an
error here. What one of the checkers lets through stands at the end, under its name. Right uses stand in
``check_api.py`` and ``check_strategies.py``.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pymysql
import pymysql.cursors

from persistentdb import MaskPing, NoReplay, PersistentDB, Ping, SteadyConnection, SteadyCursor, Verdict

if TYPE_CHECKING:
    from persistentdb import Connection, Loss


def connect() -> sqlite3.Connection:
    """Return a connection, as a user's own function does."""
    return sqlite3.connect("my.db")


# `ping`


class NoAlive:
    """It lacks `alive`."""

    def due(self, event: Ping) -> bool:
        """Right."""
        return event is Ping.REQUEST


class NoDue:
    """It lacks `due`."""

    def alive(self, connection: Connection) -> bool:
        """Right."""
        return bool(connection)


class TextualDue:
    """Its `due` returns text."""

    def due(self, event: Ping) -> str:
        """Wrong."""
        return str(event)

    def alive(self, connection: Connection) -> bool:
        """Right."""
        return bool(connection)


class DueWithoutEvent:
    """Its `due` takes no event."""

    def due(self) -> bool:
        """Wrong."""
        return True

    def alive(self, connection: Connection) -> bool:
        """Right."""
        return bool(connection)


class AliveByKeyword:
    """Its `alive` wants a keyword that nobody gives it."""

    def due(self, event: Ping) -> bool:
        """Right."""
        return bool(event)

    def alive(self, connection: Connection, *, seconds: float) -> bool:
        """Wrong."""
        return bool(connection) and seconds > 0


class AsyncAlive:
    """Its `alive` returns a coroutine, which is always true."""

    def due(self, event: Ping) -> bool:
        """Right."""
        return bool(event)

    async def alive(self, connection: Connection) -> bool:
        """Wrong."""
        return bool(connection)


class PingOfPsycopg:
    """It is right, for psycopg."""

    def due(self, event: Ping) -> bool:
        """Right."""
        return bool(event)

    def alive(self, connection: psycopg.Connection[Any]) -> bool:
        """Use what only psycopg has."""
        return not connection.broken


def is_whole(connection: psycopg.Connection[Any]) -> bool:
    """Use what only psycopg has."""
    return not connection.broken


def wrong_pings() -> None:
    """X8, C9: what is no ping strategy, and no plain form of one, is refused."""
    PersistentDB(sqlite3, ping=NoAlive())  # type: ignore[arg-type]
    PersistentDB(sqlite3, ping=NoDue())  # type: ignore[arg-type]
    PersistentDB(sqlite3, ping=TextualDue())  # type: ignore[arg-type]
    PersistentDB(sqlite3, ping=DueWithoutEvent())  # type: ignore[arg-type]
    PersistentDB(sqlite3, ping=AliveByKeyword())  # type: ignore[arg-type]
    PersistentDB(sqlite3, ping=AsyncAlive())  # type: ignore[arg-type]
    PersistentDB(sqlite3, ping=MaskPing)  # type: ignore[misc]
    PersistentDB(sqlite3, ping=PingOfPsycopg)  # type: ignore[arg-type]
    PersistentDB(sqlite3, ping=0.5)  # type: ignore[arg-type]
    PersistentDB(sqlite3, ping=b"select 1")  # type: ignore[arg-type]
    PersistentDB(sqlite3, ping=("select 1", 7))  # type: ignore[arg-type]
    PersistentDB(sqlite3, ping=(7,))  # type: ignore[arg-type]
    PersistentDB(sqlite3, ping=lambda: True)  # type: ignore[arg-type,misc]
    PersistentDB(sqlite3, ping=lambda con: con.total_change < 9)  # type: ignore[attr-defined]
    PersistentDB(sqlite3, ping=(4, lambda con: con.total_change < 9))  # type: ignore[attr-defined]
    PersistentDB(sqlite3, ping=PingOfPsycopg())  # type: ignore[misc]
    PersistentDB(sqlite3, ping=is_whole)  # type: ignore[misc]
    PersistentDB.from_creator(connect, ping=NoAlive())  # type: ignore[arg-type]
    PersistentDB.from_creator(connect, ping=PingOfPsycopg())  # type: ignore[misc]
    PersistentDB.from_creator(connect, ping=lambda con: con.total_change < 9)  # type: ignore[attr-defined]


# `failures`


class NoVerdict:
    """It has the method under another name."""

    def is_lost(self, error: BaseException) -> bool:
        """Wrong."""
        return bool(error)


class BoolVerdict:
    """Its verdict is a bool."""

    def verdict(self, error: BaseException, connection: object) -> bool:
        """Wrong."""
        return bool(error) and bool(connection)


class VerdictOfError:
    """Its verdict is not told the connection."""

    def verdict(self, error: BaseException) -> Verdict:
        """Wrong."""
        return Verdict.LOST_MAYBE_SENT if error.args else Verdict.NOT_LOST


class AsyncVerdict:
    """Its verdict is a coroutine."""

    async def verdict(self, error: BaseException, connection: object) -> Verdict:
        """Wrong."""
        return Verdict.LOST_MAYBE_SENT if error.args and connection else Verdict.NOT_LOST


def of_no_error(error: str) -> bool:
    """Take text."""
    return "gone" in error


async def is_fatal(error: BaseException) -> bool:
    """Return a coroutine, which is always true."""
    return bool(error)


def wrong_failures() -> None:
    """X8, C8: what is no exception class, tuple of them, function of an error or classifier is refused."""
    PersistentDB(sqlite3, failures=[sqlite3.OperationalError])  # type: ignore[arg-type]
    PersistentDB(sqlite3, failures=sqlite3.OperationalError("gone"))  # type: ignore[arg-type]
    PersistentDB(sqlite3, failures=(sqlite3.OperationalError, "gone"))  # type: ignore[arg-type]
    PersistentDB(sqlite3, failures=int)  # type: ignore[arg-type]
    PersistentDB(sqlite3, failures="OperationalError")  # type: ignore[arg-type]
    PersistentDB(sqlite3, failures=NoVerdict())  # type: ignore[arg-type]
    PersistentDB(sqlite3, failures=BoolVerdict())  # type: ignore[arg-type]
    PersistentDB(sqlite3, failures=VerdictOfError())  # type: ignore[arg-type]
    PersistentDB(sqlite3, failures=AsyncVerdict())  # type: ignore[arg-type]
    PersistentDB(sqlite3, failures=BoolVerdict)  # type: ignore[arg-type]
    PersistentDB(sqlite3, failures=of_no_error)  # type: ignore[arg-type]
    PersistentDB(sqlite3, failures=is_fatal)  # type: ignore[arg-type]
    PersistentDB(sqlite3, failures=lambda error: error.sqlstate == "57P01")  # type: ignore[attr-defined]
    PersistentDB.from_creator(connect, failures=NoVerdict())  # type: ignore[arg-type]


# `setsession`


class NoPrepare:
    """It has the method under another name."""

    def prepares(self, connection: Connection) -> None:
        """Wrong."""


class PrepareWithoutConnection:
    """Its method takes nothing."""

    def prepare(self) -> None:
        """Wrong."""


class Setup:
    """It is right."""

    def prepare(self, connection: Connection) -> None:
        """Right."""


class SetupOfPsycopg:
    """It is right, for psycopg."""

    def prepare(self, connection: psycopg.Connection[Any]) -> None:
        """Use what only psycopg has."""
        connection.autocommit = True


def wrong_setups() -> None:
    """X8, C7: what is no list or tuple of SQL, no function and no setup is refused, a bare string above all."""
    PersistentDB(sqlite3, setsession="pragma foreign_keys = on")  # type: ignore[arg-type]
    PersistentDB(sqlite3, setsession=[b"pragma foreign_keys = on"])  # type: ignore[list-item]
    PersistentDB(sqlite3, setsession={"pragma foreign_keys = on"})  # type: ignore[arg-type]
    PersistentDB(sqlite3, setsession=NoPrepare())  # type: ignore[arg-type]
    PersistentDB(sqlite3, setsession=PrepareWithoutConnection())  # type: ignore[arg-type]
    PersistentDB(sqlite3, setsession=Setup)  # type: ignore[arg-type]
    PersistentDB(sqlite3, setsession=lambda: None)  # type: ignore[arg-type,misc]
    PersistentDB(sqlite3, setsession=lambda con: con.create_funktion("one", 0, int))  # type: ignore[attr-defined]
    PersistentDB(sqlite3, setsession=SetupOfPsycopg())  # type: ignore[misc]
    PersistentDB.from_creator(connect, setsession="pragma foreign_keys = on")  # type: ignore[arg-type]
    PersistentDB.from_creator(connect, setsession=SetupOfPsycopg())  # type: ignore[misc]


# `threadlocal`


class NoDiscard:
    """It lacks `discard`."""

    def get(self) -> object | None:
        """Right."""

    def set(self, value: object) -> None:
        """Right."""


class SetOfConnections(NoDiscard):
    """It takes sqlite3's connections only."""

    def set(self, value: sqlite3.Connection) -> None:  # type: ignore[override]
        """Wrong."""

    def discard(self) -> None:
        """Right."""


class Locality(NoDiscard):
    """It is right."""

    def discard(self) -> None:
        """Right."""


def wrong_localities() -> None:
    """X8, C11: what is no class for thread-local data and no locality is refused."""
    PersistentDB(sqlite3, threadlocal=NoDiscard())  # type: ignore[arg-type]
    PersistentDB(sqlite3, threadlocal=SetOfConnections())  # type: ignore[arg-type]
    PersistentDB(sqlite3, threadlocal=Locality)  # type: ignore[arg-type]
    PersistentDB(sqlite3, threadlocal=dict)  # type: ignore[arg-type]
    PersistentDB(sqlite3, threadlocal=threading.get_ident)  # type: ignore[arg-type]
    PersistentDB.from_creator(connect, threadlocal=NoDiscard())  # type: ignore[arg-type]


# `replay`


class TextualReplay:
    """It answers with text."""

    def replay(self, loss: Loss) -> str:
        """Wrong."""
        return str(loss)


class ReplayOfError:
    """It wants the error alone."""

    def replay(self, error: BaseException) -> bool:
        """Wrong."""
        return bool(error)


def wrong_replays() -> None:
    """X8, X1: what is no replay policy is refused; there are no plain forms."""
    PersistentDB(sqlite3, replay=True)  # type: ignore[arg-type]
    PersistentDB(sqlite3, replay=NoReplay)  # type: ignore[arg-type]
    PersistentDB(sqlite3, replay=lambda loss: loss.driver_known)  # type: ignore[arg-type]
    PersistentDB(sqlite3, replay=TextualReplay())  # type: ignore[arg-type]
    PersistentDB(sqlite3, replay=ReplayOfError())  # type: ignore[arg-type]
    PersistentDB.from_creator(connect, replay=NoReplay)  # type: ignore[arg-type]


# The constructor


def wrong_options() -> None:
    """X8, C1: options of other types are refused, misspelt ones at the strict door only."""
    PersistentDB(sqlite3, "1000")  # type: ignore[arg-type]
    PersistentDB(sqlite3, maxusage=0.5)  # type: ignore[arg-type]
    PersistentDB(sqlite3, closeable="no")  # type: ignore[arg-type]
    PersistentDB(42)  # type: ignore[arg-type]
    PersistentDB("my.db")  # type: ignore[arg-type]
    PersistentDB(threading)  # type: ignore[arg-type]
    PersistentDB(sqlite3.connect("my.db"))  # type: ignore[type-var]
    PersistentDB(lambda: 42)  # type: ignore[type-var]
    PersistentDB()  # type: ignore[call-arg]
    PersistentDB.from_creator(connect, pnig=7)  # type: ignore[call-arg]
    PersistentDB.from_creator(connect, maxusages=7)  # type: ignore[call-arg]
    PersistentDB.from_creator(connect, 1000)  # type: ignore[call-arg]
    PersistentDB.from_creator(connect, database="my.db")  # type: ignore[call-arg]
    PersistentDB.from_creator(sqlite3)  # type: ignore[arg-type]
    PersistentDB.from_creator(sqlite3.Cursor)  # type: ignore[arg-type,type-var]
    PersistentDB(lambda: sqlite3.connect("my.db", timout=5))  # type: ignore[call-overload]
    PersistentDB(lambda: pymysql.connect(hots="my"))  # type: ignore[call-overload]


# The steady objects


def wrong_uses_of_a_connection(persist: PersistentDB[sqlite3.Connection]) -> None:
    """X8: a typo is an error, not an Any."""
    persist.conection()  # type: ignore[attr-defined]
    persist.connection("my.db")  # type: ignore[arg-type]
    db = persist.connection()
    db.comit()  # type: ignore[attr-defined]
    db.rolback()  # type: ignore[attr-defined]
    db.cursr()  # type: ignore[attr-defined]
    db.commit(True)  # type: ignore[call-arg]
    db.driver_connection.comit()  # type: ignore[attr-defined]
    db.as_driver.comit()  # type: ignore[attr-defined]
    db.driver_connection = connect()  # type: ignore[misc]
    db.execute(42)  # type: ignore[arg-type]
    db.open_cursor(lambda raw: raw.cursr())  # type: ignore[attr-defined]
    db.open_cursor(lambda raw: raw.total_changes)  # type: ignore[type-var]
    db.open_cursor(sqlite3.Cursor, 1)  # type: ignore[call-arg]
    with db.transaction() as same:
        same.comit()  # type: ignore[attr-defined]
    with db.transaction:  # type: ignore[attr-defined]
        pass


def wrong_uses_of_a_cursor(cursor: SteadyCursor[sqlite3.Cursor]) -> None:
    """X8: a typo is an error; so is what this driver's cursor has not, or does not take."""
    cursor.exequte("select 1")  # type: ignore[attr-defined]
    cursor.execute(42)  # type: ignore[arg-type]
    cursor.execute()  # type: ignore[call-arg]
    cursor.execute("select ?", 1)  # type: ignore[arg-type]
    cursor.execute("select 1").fetchon()  # type: ignore[attr-defined]
    cursor.executemany("insert into t values (?)", 1)  # type: ignore[arg-type]
    cursor.fetchmany("2")  # type: ignore[arg-type]
    cursor.fetchone(1)  # type: ignore[call-arg]
    cursor.fetchal()  # type: ignore[attr-defined]
    cursor.nextset()  # type: ignore[misc]
    cursor.callproc("f")  # type: ignore[misc]
    cursor.driver_cursor.fetchal()  # type: ignore[attr-defined]
    cursor.as_driver.fetchal()  # type: ignore[attr-defined]


def what_other_drivers_lack(
    by_psycopg: SteadyConnection[psycopg.Connection[Any]],
    by_pymysql: SteadyConnection[pymysql.Connection[pymysql.cursors.Cursor]],
) -> None:
    """X8: what PEP 249 calls optional is there for the drivers that have it."""
    by_psycopg.cursor().callproc("f")  # type: ignore[misc]
    repr(by_psycopg.cursor().lastrowid)  # type: ignore[misc]
    by_psycopg.cursor().execute(42)  # type: ignore[arg-type]
    by_pymysql.execute("select 1")  # type: ignore[misc]
    by_pymysql.cursor().execute(42)  # type: ignore[arg-type]


def transfer(db: SteadyConnection[sqlite3.Connection], amount: int, *, to: str) -> None:
    """Work for run()."""


def wrong_runs(persist: PersistentDB[sqlite3.Connection], by_psycopg: PersistentDB[psycopg.Connection[Any]]) -> None:
    """X8: a function is run with the arguments and the connection that it wants."""
    persist.run(transfer)  # type: ignore[call-arg]
    persist.run(transfer, "5", to="b")  # type: ignore[arg-type]
    persist.run(transfer, 5, of="b")  # type: ignore[call-arg]
    by_psycopg.run(transfer, 5, to="b")  # type: ignore[arg-type]
    persist.run(lambda: None)  # type: ignore[arg-type,misc]


def wants_drivers_connection(connection: sqlite3.Connection) -> None:
    """Take what sqlite3 has made."""
    connection.commit()


def wants_drivers_cursor(cursor: sqlite3.Cursor) -> None:
    """Take what sqlite3 has made."""
    cursor.close()


def steady_objects_are_not_the_drivers(db: SteadyConnection[sqlite3.Connection]) -> None:
    """X8: where the driver's class is wanted, `.as_driver` is; in C `.driver_connection` and `.driver_cursor` are."""
    wants_drivers_connection(db)  # type: ignore[arg-type]
    wants_drivers_cursor(db.cursor())  # type: ignore[arg-type]
    db.driver_connection.backup(db)  # type: ignore[arg-type]
    sqlite3.Row(db.cursor(), (1,))  # type: ignore[arg-type]
    db.create_function("one", 0, lambda: 1)  # type: ignore[attr-defined]
    of_psycopg: SteadyConnection[psycopg.Connection[Any]] = db  # type: ignore[assignment]
    of_psycopg.commit()


def wrong_annotations(persist: PersistentDB[int]) -> None:  # type: ignore[type-var]
    """X8: the parameter is a connection."""
    persist.connection()


# What one checker lets through


def only_pyright_refuses(by_psycopg: SteadyConnection[psycopg.Connection[Any]], sql: str) -> None:
    """X8: to mypy an object with `__getattribute__` has everything, and a LiteralString is any text."""
    PersistentDB(sqlite3, threadlocal=threading.local())  # pyright: ignore[reportArgumentType]
    by_psycopg.cursor().execute(sql)  # pyright: ignore[reportArgumentType]


def nobody_refuses() -> None:
    """X8: a misspelt option goes to the creator, as any keyword does; so `from_creator` is the strict door."""
    PersistentDB(sqlite3, pnig=7)
    PersistentDB(sqlite3, database="my.db", timout=5)
