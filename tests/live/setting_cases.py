"""What methods of the drivers' connections set on a session, and how that shows: a table, for `test_settings.py`."""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen

from .deeds import run

__all__ = ["CASES", "OTHER_USER", "Case", "backwards", "may_load", "value"]

OTHER_USER, OTHER_DATABASE = "somebody_else", "information_schema"
SQLITE_FUNCTION = 31
PSYCOPG2_SERIALIZABLE = 3

heard: list[object] = []
"""What the handlers below were told since the last look."""


@frozen
class Case:
    """A call that sets something, and how its effect shows.

    Attributes:
        call: Makes the call on a connection.
        seen: Looks at a connection's session, and leaves no transaction open.
        expected: What it sees after the call, and not before.
        first: Prepares the connection, before the first look.
        absent: In which versions the driver has no such method; empty: it always has it.
    """

    call: Callable[[Any], object]
    seen: Callable[[Any], object]
    expected: object
    first: Callable[[Any], object] = lambda _: None
    absent: str = ""


def hear(*told: object) -> int:
    """Take notice; 0 lets sqlite3 go on."""
    heard.append(told)
    return 0


def hears(*statements: str) -> Callable[[Any], object]:
    """Return a look that runs the statements one by one and tells whether the handler was called meanwhile."""

    def seen(db: Any) -> bool:
        heard.clear()
        for statement in statements:
            run(db, statement)
        db.commit()
        return bool(heard)

    return seen


def value(sql: str) -> Callable[[Any], object]:
    """Return a look at the first value that a statement gives, or at the refusal."""

    def seen(db: Any) -> object:
        try:
            found = run(db, sql)
        except Exception as error:
            return str(error)
        finally:
            db.rollback()
        return found[0][0]

    return seen


def column(sql: str) -> Callable[[Any], object]:
    """Return a look at all values of a statement's one column, or at the refusal."""

    def seen(db: Any) -> object:
        try:
            return [x for (x,) in run(db, sql)]
        except Exception as error:
            return str(error)

    return seen


def each_statement_commits(db: Any) -> bool:
    """Tell whether two statements are in transactions of their own."""
    first, second = (run(db, "select txid_current()") for _ in range(2))
    db.rollback()
    return first != second


def takes_two_statements(db: Any) -> bool:
    """Tell whether MariaDB takes two statements in one string."""
    try:
        run(db, "select 1; select 2")
    except db.ProgrammingError:
        return False
    finally:
        db.rollback()
    return True


def may_load(db: Any) -> bool:
    """Tell whether extensions of SQLite may be loaded."""
    with pytest.raises(sqlite3.OperationalError) as refused:
        run(db, "select load_extension('absent')")
    return "not authorized" not in str(refused.value)


class Longest:
    """An aggregate, and a window function, of sqlite3."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def step(self, text: str) -> None:
        """Take a row in."""
        self.texts.append(text)

    def inverse(self, text: str) -> None:
        """Take it out."""
        self.texts.remove(text)

    def value(self) -> str:
        """Give what is the longest now."""
        return max(self.texts, key=len)

    finalize = value


class Colour(str):
    """A type that pg8000 knows no adapter of."""

    __slots__ = ()


def sent(db: Any, parameter: object) -> object:
    """Return what a server got as a parameter."""
    cursor = db.cursor()
    cursor.execute("select %s::text", (parameter,))
    [[found]] = cursor.fetchall()
    db.rollback()
    return found


TWO_ROWS = "from (select 'bb' as x union all select 'a')"
TOLD = hears("do $$ begin raise notice 'here'; end $$")
NOTIFIED = hears("listen here", "notify here")
ADD_NOTICE = Case(lambda db: db.add_notice_handler(hear), TOLD, expected=True)
ADD_NOTIFY = Case(lambda db: db.add_notify_handler(hear), NOTIFIED, expected=True)
SELECT_DB = Case(lambda db: db.select_db(OTHER_DATABASE), value("select database()"), OTHER_DATABASE)
LATIN1 = Case(lambda db: db.set_character_set("latin1"), value("select @@character_set_client"), "latin1")
AUTOCOMMIT = Case(lambda db: db.autocommit(True), value("select @@autocommit"), 1)
ANOTHER_USER = Case(
    lambda db: db.change_user(OTHER_USER, "secret", OTHER_DATABASE),
    value("select substring_index(current_user(), '@', 1)"),
    OTHER_USER,
)

ON_SERVERS: dict[str, dict[str, Case]] = {
    "psycopg": {
        "add_notice_handler": ADD_NOTICE,
        "add_notify_handler": ADD_NOTIFY,
        "remove_notice_handler": Case(
            lambda db: db.remove_notice_handler(hear), TOLD, expected=False, first=ADD_NOTICE.call
        ),
        "remove_notify_handler": Case(
            lambda db: db.remove_notify_handler(hear), NOTIFIED, expected=False, first=ADD_NOTIFY.call
        ),
        "set_autocommit": Case(lambda db: db.set_autocommit(True), each_statement_commits, expected=True),
        "set_deferrable": Case(lambda db: db.set_deferrable(True), value("show transaction_deferrable"), "on"),
        "set_isolation_level": Case(
            lambda db: db.set_isolation_level(importlib.import_module("psycopg").IsolationLevel.SERIALIZABLE),
            value("show transaction_isolation"),
            "serializable",
        ),
        "set_read_only": Case(lambda db: db.set_read_only(True), value("show transaction_read_only"), "on"),
    },
    "psycopg2": {
        "set_client_encoding": Case(
            lambda db: db.set_client_encoding("LATIN1"), value("show client_encoding"), "LATIN1"
        ),
        "set_isolation_level": Case(
            lambda db: db.set_isolation_level(PSYCOPG2_SERIALIZABLE),
            value("show transaction_isolation"),
            "serializable",
        ),
        "set_session": Case(
            lambda db: db.set_session(readonly=True, deferrable=True), value("show transaction_read_only"), "on"
        ),
    },
    "pg8000": {
        "register_in_adapter": Case(
            lambda db: db.register_in_adapter(23, lambda text: f"in {text}"), value("select 7::int"), "in 7"
        ),
        "register_out_adapter": Case(
            lambda db: db.register_out_adapter(Colour, lambda colour: f"out {colour}"),
            lambda db: sent(db, Colour("red")),
            "out red",
        ),
    },
    "pymysql": {
        "autocommit": AUTOCOMMIT,
        "select_db": SELECT_DB,
        "set_character_set": LATIN1,
        "set_charset": Case(lambda db: db.set_charset("latin1"), LATIN1.seen, LATIN1.expected),
    },
    "MySQLdb": {
        "autocommit": AUTOCOMMIT,
        "change_user": ANOTHER_USER,
        "select_db": SELECT_DB,
        "set_character_set": LATIN1,
        "set_server_option": Case(lambda db: db.set_server_option(1), takes_two_statements, expected=False),
        "set_sql_mode": Case(lambda db: db.set_sql_mode("ANSI_QUOTES"), value("select @@sql_mode"), "ANSI_QUOTES"),
    },
    "mariadb": {"change_user": ANOTHER_USER, "select_db": SELECT_DB},
}
"""By the names of profile and method."""


def deny_abs(action: int, *names: object) -> int:
    """Let sqlite3 use every function but `abs`."""
    return sqlite3.SQLITE_DENY if action == SQLITE_FUNCTION and "abs" in names else sqlite3.SQLITE_OK


def backwards(one: str, two: str) -> int:
    """Compare for sqlite3, the greater one first."""
    return (two > one) - (two < one)


SQLITE: dict[str, Case] = {
    "create_aggregate": Case(
        lambda db: db.create_aggregate("longest", 1, Longest), value(f"select longest(x) {TWO_ROWS}"), "bb"
    ),
    "create_collation": Case(
        lambda db: db.create_collation("backwards", backwards),
        column(f"select x {TWO_ROWS} order by x collate backwards"),
        ["bb", "a"],
    ),
    "create_function": Case(lambda db: db.create_function("answer", 0, lambda: 42), value("select answer()"), 42),
    "create_window_function": Case(
        lambda db: db.create_window_function("longest", 1, Longest),
        column(f"select longest(x) over (rows between current row and current row) {TWO_ROWS}"),
        ["bb", "a"],
        absent="before Python 3.11",
    ),
    "enable_load_extension": Case(
        lambda db: db.enable_load_extension(True), may_load, expected=True, absent="where Python was built without it"
    ),
    "set_authorizer": Case(
        lambda db: db.set_authorizer(deny_abs), value("select abs(1)"), "not authorized to use function: abs"
    ),
    "set_progress_handler": Case(lambda db: db.set_progress_handler(hear, 1), hears("select 1"), expected=True),
    "set_trace_callback": Case(lambda db: db.set_trace_callback(hear), hears("select 1"), expected=True),
    "setconfig": Case(
        lambda db: db.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_FKEY, True),
        value("pragma foreign_keys"),
        1,
        absent="before Python 3.12",
    ),
    "setlimit": Case(
        lambda db: db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1000),
        value("select length(zeroblob(2000))"),
        "string or blob too big",
        absent="before Python 3.11",
    ),
}


CASES: dict[str, dict[str, Case]] = {**ON_SERVERS, "sqlite3": SQLITE}
