"""What errors mean, told from rows of data, and why: `failures.py` and the rows of the drivers (X2, C8)."""

from __future__ import annotations

import importlib
import itertools
import os
import sqlite3
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve

from persistentdb import WRONG_NODE, Explanation, FailureClasses, PersistentDB, Rule, Verdict, drivers, explain
from persistentdb.drivers import BUILT_IN, UNKNOWN, DriverProfile, profile_of
from persistentdb.failures import ESCAPED, FailureTest, as_failures

NOT_LOST, UNSENT, MAYBE = Verdict.NOT_LOST, Verdict.LOST_UNSENT, Verdict.LOST_MAYBE_SENT


# One row


class Error(Exception):
    """A driver's error with all that one can carry."""

    errno: object = None
    sqlstate: object = None
    dead = False


class OperationalError(Error):
    """As in PEP 249."""


def error(text: str = "it failed", cause: BaseException | None = None, **attributes: Any) -> Error:
    """Return an error."""
    made = OperationalError(text)
    made.__cause__ = cause
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


CONDITIONS = [
    ({"codes": {7, 8}}, error(errno=7), error(errno=9)),
    ({"codes": {7}}, error(errno=7), error()),
    ({"text": "went away"}, error("it went away"), error("it came back")),
    ({"sqlstates": {"57014"}}, error(sqlstate="57014"), error(sqlstate="57015")),
    ({"sqlstates": {"53"}}, error(sqlstate="53100"), error(sqlstate="54100")),
    ({"sqlstates": {"53"}}, error(sqlstate="53300"), error(sqlstate=53)),
    ({"classes": {"OperationalError"}}, error(), Error("it failed")),
    ({"classes": {"Error"}}, error(), ValueError("it failed")),
    ({"attribute": "dead"}, error(dead=True), error(dead=False)),
    ({"attribute": "is_dead"}, Error(SimpleNamespace(is_dead=True)), Error(SimpleNamespace(is_dead=False))),
    ({"cause": "OSError"}, error(cause=BrokenPipeError()), error(cause=ValueError())),
    ({"cause": "OSError"}, error(cause=OSError()), error()),
]


@pytest.mark.parametrize(("condition", "spoken_of", "other"), CONDITIONS)
def test_a_row_speaks_of_what_meets_its_condition(condition: Any, spoken_of: Error, other: Error) -> None:
    """X2: each kind of condition is met by some errors, and keeps the row from speaking of others."""
    rule = Rule(UNSENT, **condition)
    assert speaks_of(rule, spoken_of)
    assert not speaks_of(rule, other)


def speaks_of(rule: Rule, found: BaseException) -> bool:
    """Whether a row speaks of an error of a driver that gives its code as `errno`."""
    return rule.matches(found, getattr(found, "errno", None), getattr(found, "sqlstate", None))


def test_a_row_wants_all_its_conditions() -> None:
    """X2: a row of several conditions (1290 with "read-only") speaks of errors that meet all of them."""
    rule = Rule(UNSENT, codes={1290}, text="read-only")
    assert speaks_of(rule, error("the --read-only option", errno=1290))
    assert not speaks_of(rule, error("the --secure option", errno=1290))
    assert not speaks_of(rule, error("the --read-only option", errno=1291))
    assert speaks_of(Rule(UNSENT), error())


def test_a_row_says_what_it_speaks_of() -> None:
    """X2: a row reads as a sentence of its conditions, in an order that does not change."""
    rule = Rule(UNSENT, codes={8, 7}, text="gone", sqlstates={"08"}, classes={"E"}, attribute="dead", cause="OSError")
    expected = "code 7, 8, SQLSTATE 08, class E, message with 'gone', true attribute 'dead', cause 'OSError'"
    assert str(rule) == expected
    assert str(Rule(UNSENT)) == "any error"


def test_a_wrong_row_is_refused() -> None:
    """X2: a bare string would be taken apart into letters, a boolean is no verdict: both are named and refused."""
    wrong: Any = "57014"
    with pytest.raises(TypeError, match="'57014'"):
        Rule(UNSENT, codes=wrong)
    with pytest.raises(TypeError, match="'57014'"):
        Rule(UNSENT, sqlstates=wrong)
    not_a_verdict: Any = True
    with pytest.raises(TypeError, match="Verdict"):
        Rule(not_a_verdict)
    row: Any = Rule(UNSENT)
    with pytest.raises(TypeError, match="tuple"):
        FailureClasses(rules=row)


# All rows of all drivers


class Stub:
    """A connection that knows of itself what its maker says."""

    Error = Error
    OperationalError = OperationalError

    def __init__(self, *, closed: bool) -> None:
        self.closed = closed


@pytest.fixture
def stub() -> Iterator[Callable[..., Any]]:
    """Lend a function that makes a connection of a driver, as far as its rows are concerned."""
    made: list[str] = []

    def make(profile: DriverProfile, *, closed: bool) -> Any:
        name = f"stub_{len(made)}"
        if profile is UNKNOWN:
            return type(name, (Stub,), {"__module__": "known_to_nobody"})(closed=closed)
        made.append(name)
        drivers.register(evolve(profile, name=name, is_closed=lambda connection: connection.closed, fileno=None))
        return type(name, (Stub,), {"__module__": name})(closed=closed)

    yield make
    for name in made:
        del drivers._PROFILES[name]
    drivers._profile_of_class.cache_clear()


def forms(rule: Rule, code: object) -> Iterator[BaseException]:
    """Yield errors that a row may speak of, in the forms in which drivers make them."""
    base: Any = type(next(iter(sorted(rule.classes)), "OperationalError"), (Error,), {})
    fields = SimpleNamespace(full_code=code, **({rule.attribute: True} if rule.attribute else {}))
    attributes = {"errno": code, "sqlstate": code, "pgcode": code, "sqlite_errorcode": code}
    for args in ((rule.text,), (code, rule.text), ({"C": code, "M": rule.text},), (fields, rule.text)):
        made = base(*args)
        for name, value in attributes.items():
            setattr(made, name, value)
        made.__cause__ = type(rule.cause, (Exception,), {})() if rule.cause else None
        yield made


def met_by(profile: DriverProfile, rule: Rule) -> list[BaseException]:
    """Return an error for each code and SQLSTATE of a row, as that driver would make it."""
    found = []
    for code in [*rule.codes, *(state.ljust(5, "0") for state in rule.sqlstates)] or [None]:
        of_this_code = [
            made for made in forms(rule, code) if rule.matches(made, profile.code(made), profile.sqlstate(made))
        ]
        assert of_this_code, f"{profile.name}: no error can meet {rule}"
        found.append(of_this_code[0])
    return found


ROWS = [pytest.param(profile, rule, id=f"{profile.name}-{rule}") for profile in BUILT_IN for rule in profile.rules]


@pytest.mark.parametrize(("profile", "rule"), ROWS)
def test_each_row_decides(profile: DriverProfile, rule: Rule, stub: Any) -> None:
    """X2: each row of each driver can be met, and decides as it says where the connection does not contradict it."""
    con = stub(profile, closed=profile.closed_is_truth and rule.verdict is not NOT_LOST)
    for made in met_by(profile, rule):
        told = explain(made, con)
        assert told.verdict is rule.verdict
        assert told.rule == rule, f"an earlier row hides it: {told.because}"
        assert rule.why in told.because
        assert str(rule) in told.because


FORMS = [
    None,
    Exception,
    (OperationalError, OSError),
    lambda _: True,
    lambda _: False,
    FailureClasses(rules=WRONG_NODE),
    FailureClasses((ValueError,), rules=(Rule(MAYBE, codes={1205}), Rule(NOT_LOST, text="gone"))),
]


@pytest.mark.parametrize("profile", [*BUILT_IN, UNKNOWN], ids=lambda profile: profile.name or "unknown")
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_the_verdict_is_the_explained_one(profile: DriverProfile, closed: bool, stub: Any) -> None:
    """X2: over all rows and forms `explain` and the classifier that decides never disagree, and there is a reason."""
    con = stub(profile, closed=closed)
    rows = {rule: made for one in BUILT_IN for rule in one.rules for made in met_by(one, rule)}
    errors = [*rows.values(), ValueError("mine"), TimeoutError("timed out"), struct.error("short"), Error(), error()]
    for made, failures in itertools.product(errors, FORMS):
        told = explain(made, con, failures)
        assert as_failures(failures).verdict(made, con) is told.verdict
        assert told.because.strip()
        assert "\n" not in told.because
        if told.rule is not None:
            assert told.rule.verdict is told.verdict
        if closed and profile is not UNKNOWN and not isinstance(failures, FailureClasses):
            assert told.verdict is not NOT_LOST, "a connection that knows itself closed is gone, whatever the error"


# The order of decision


def test_the_connection_outranks_the_code(stub: Any) -> None:
    """X2: a driver that knows its session alive is believed, whatever code a function raises on it, and why is said."""
    psycopg = next(profile for profile in BUILT_IN if profile.name == "psycopg")
    shutdown = error(sqlstate="57P01")
    alive = explain(shutdown, stub(psycopg, closed=False))
    assert (alive.verdict, alive.rule) == (NOT_LOST, None)
    assert "this one is not" in alive.because
    gone = explain(shutdown, stub(psycopg, closed=True))
    assert gone.verdict is MAYBE
    assert gone.rule is not None
    unlisted = explain(error(), stub(psycopg, closed=True))
    assert (unlisted.verdict, unlisted.rule) == (MAYBE, None)
    assert "closed or broken" in unlisted.because


def test_the_users_rows_come_first(stub: Any) -> None:
    """X2: a user's row overrides what the driver's rows, its connection and the classes say, in both directions."""
    psycopg = next(profile for profile in BUILT_IN if profile.name == "psycopg")
    read_only, lost = error(sqlstate="25006"), error(sqlstate="57P01")
    mine = FailureClasses(rules=(Rule(NOT_LOST, sqlstates={"57P01"}, why="mine"), *WRONG_NODE))
    assert explain(read_only, stub(psycopg, closed=False)).verdict is NOT_LOST
    told = explain(read_only, stub(psycopg, closed=False), mine)
    assert (told.verdict, told.rule) == (MAYBE, WRONG_NODE[0])
    assert "your own row" in told.because
    assert explain(lost, stub(psycopg, closed=True), mine).rule == Rule(NOT_LOST, sqlstates={"57P01"}, why="mine")
    odd = FailureClasses((), rules=(Rule(UNSENT, classes={"ValueError"}),))
    assert explain(ValueError(), stub(psycopg, closed=False), odd).verdict is UNSENT


def test_classes_narrow_the_drivers_rows(stub: Any) -> None:
    """C8: who gives classes has failover for these alone; a connection known to be closed is gone all the same."""
    mysql = next(profile for profile in BUILT_IN if profile.name == "pymysql")
    lost = next(made for made in met_by(mysql, mysql.rules[1]) if mysql.code(made) == 2013)
    assert explain(lost, stub(mysql, closed=False)).verdict is MAYBE
    narrowed = explain(lost, stub(mysql, closed=False), ValueError)
    assert narrowed.verdict is NOT_LOST
    assert "ValueError" in narrowed.because
    assert explain(lost, stub(mysql, closed=True), ValueError).verdict is MAYBE


def test_a_foreign_error_is_not_the_drivers(stub: Any) -> None:
    """X2: an exception of the caller's own that happens to carry 2013 is no loss: the driver did not raise it."""
    mysql = next(profile for profile in BUILT_IN if profile.name == "pymysql")
    assert explain(ValueError(2013, "mine"), stub(mysql, closed=False)).verdict is NOT_LOST


def test_nothing_known(stub: Any) -> None:
    """X1: of a driver without a profile the inherited classes decide, and the explanation says so."""
    told = explain(error(), stub(UNKNOWN, closed=False))
    assert (told.verdict, told.rule) == (MAYBE, None)
    assert "nothing is known" in told.because
    own = FailureClasses(rules=(Rule(NOT_LOST, codes={7}),))
    for made in (error(errno=7), error(sqlstate=7), OperationalError(7, "text"), error(code=7)):
        assert explain(made, stub(UNKNOWN, closed=False), own).verdict is NOT_LOST, "wherever its code is kept"
    unhashable = OperationalError(["not", "a", "code"])
    assert explain(unhashable, stub(UNKNOWN, closed=False), own).verdict is MAYBE


def test_a_classifier_of_the_users(stub: Any) -> None:
    """X2: of a strategy that cannot explain itself its verdict is told, and whose it is."""

    class Mine:
        def verdict(self, _error: BaseException, _connection: object, /) -> Verdict:
            return UNSENT

    told = explain(error(), stub(UNKNOWN, closed=False), Mine())
    assert told == Explanation(UNSENT, None, told.because)
    assert "Mine says so" in told.because
    wrong: Any = 7
    with pytest.raises(TypeError, match="failures=7"):
        explain(error(), stub(UNKNOWN, closed=False), wrong)


def test_the_function_is_asked_once(stub: Any) -> None:
    """C8: the user's function is asked once an error."""
    asked: list[BaseException] = []
    made = error()
    FailureTest(lambda one: bool(asked.append(one))).verdict(made, stub(UNKNOWN, closed=False))
    assert asked == [made]


# Raw errors

DRIVER = """
import os, struct
class Error(Exception): pass
class OperationalError(Error): pass
class Connection:
    Error = Error
    OperationalError = OperationalError
    def read(self, sock):
        return sock.recv(1)
    def by_stdlib(self):
        os.makedirs("/dev/null/in")
    def parse(self):
        return struct.unpack("!i", b"")
    def insert(self, rows):
        return [row for row in rows]
"""


@pytest.fixture
def pure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lend a connection of a driver in pure Python."""
    (tmp_path / "pure_driver").mkdir()
    (tmp_path / "pure_driver" / "connections.py").write_text(DRIVER)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("pure_driver.connections")
    for name in ("pure_driver", module.__name__):
        monkeypatch.delitem(sys.modules, name)  # the next test writes its own
    known = evolve(BUILT_IN[0], name="pure_driver", rules=(), is_closed=lambda _: False, fileno=None)
    monkeypatch.setitem(drivers._PROFILES, "pure_driver", known)
    return module.Connection()


class TimesOut:
    """A socket out of the standard library would have frames of its own; this one has the caller's."""

    def recv(self, _: int) -> bytes:
        """Time out."""
        raise TimeoutError("timed out")


def raised(deed: Callable[[], object]) -> Exception:
    """Return what a deed raises."""
    try:
        deed()
    except Exception as error:
        return error
    pytest.fail("it raised nothing")


def test_raw_errors_of_the_driver_are_losses(pure: Any) -> None:
    """X2: an OSError or struct.error of the driver's own, directly or out of the standard library, ends the session."""
    for deed in (pure.by_stdlib, pure.parse):
        told = explain(raised(deed), pure)
        assert (told.verdict, told.rule) == (MAYBE, ESCAPED)
        assert explain(raised(deed), pure, ValueError).verdict is MAYBE, "whatever classes were given"
        assert explain(raised(deed), pure, lambda _: False).verdict is MAYBE


def test_raw_errors_of_the_callers_own_are_none(pure: Any) -> None:
    """X2: the same errors out of the caller's code that the driver calls say nothing of the connection."""

    def rows() -> Iterator[int]:
        yield 1
        os.stat("/dev/null/in")  # noqa: PTH116  C code: the innermost frame is this one

    def rows_by_stdlib() -> Iterator[int]:
        yield 1
        Path("/dev/null/in").mkdir()  # the innermost frame is pathlib's

    def rows_by_struct() -> Iterator[Any]:
        yield struct.unpack("!i", b"")

    for source in (rows, rows_by_stdlib, rows_by_struct):
        found = raised(lambda source=source: pure.insert(source()))
        assert explain(found, pure).verdict is NOT_LOST, found
    assert explain(raised(lambda: pure.read(TimesOut())), pure).verdict is NOT_LOST


def test_raw_errors_without_a_traceback(pure: Any) -> None:
    """X2: who raised an error that was never raised cannot be told; of an unknown driver it is taken for a loss."""
    assert explain(OSError("no traceback"), pure).verdict is NOT_LOST
    strange = type("Connection", (), {"__module__": "strange_driver"})()
    assert explain(OSError("no traceback"), strange).verdict is MAYBE


# A user's rows at work


def test_a_users_row_reopens(tmp_path: Path) -> None:
    """X2: a row given as `failures` has a statement sent again on a new connection, once; without it it is raised."""
    path = str(tmp_path / "database")
    with closing(sqlite3.connect(path)) as con:
        con.execute("create table t (id integer)")

    def connect() -> sqlite3.Connection:
        con = sqlite3.connect(path, isolation_level=None)
        opened.append(con)
        if len(opened) == 1:
            con.execute("pragma query_only = on")
        return con

    opened: list[sqlite3.Connection] = []
    mine = FailureClasses(rules=(Rule(UNSENT, text="readonly database", why="the wrong replica"),))
    with PersistentDB(connect, failures=mine) as persist:
        persist.connection().cursor().execute("insert into t values (1)")
        assert len(opened) == 2
    opened.clear()
    with PersistentDB(connect) as persist, pytest.raises(sqlite3.OperationalError, match="readonly"):
        persist.connection().cursor().execute("insert into t values (2)")
    assert len(opened) == 1
    with closing(sqlite3.connect(path)) as con:
        assert con.execute("select id from t").fetchall() == [(1,)]


# The page

DOCS = Path(__file__).resolve().parents[1] / "docs" / "drivers.md"
MEANING = {NOT_LOST: "not lost", UNSENT: "lost, not sent", MAYBE: "lost, maybe sent"}


def table_of_rows() -> str:
    """Return the table of the page, as the code has it."""
    lines = ["| driver | error | verdict | why |", "|---|---|---|---|"]
    owners: dict[Rule, list[str]] = {}
    for profile in BUILT_IN:
        for rule in profile.rules:
            owners.setdefault(rule, []).append(profile.name)
    owners |= {rule: ["`WRONG_NODE`, if given"] for rule in WRONG_NODE}
    for rule, names in owners.items():
        lines.append(f"| {', '.join(names)} | {rule} | {MEANING[rule.verdict]} | {rule.why} |")
    return "\n".join(lines)


def test_the_page_has_all_rows() -> None:
    """X2: the table of rows in the documentation is the code's; print `table_of_rows()` to renew it."""
    page = DOCS.read_text("utf-8")
    written = page.partition("<!-- rows -->\n")[2].partition("\n<!-- end of rows -->")[0]
    assert written == table_of_rows()


CALLED = {"MySQLdb": "mysqlclient", "pymysql": "PyMySQL"}
"""What a driver is called where that is not its module's name."""


def table_of_settings() -> str:
    """Return the table of the methods that are called again on a new connection, as the code has it."""
    head = ("driver", "the last call of", "the last call for each name, type or handler of", "until taken back by")
    lines: list[tuple[str, ...]] = [head, ("---",) * len(head)]
    for profile in BUILT_IN:
        methods = profile.session_methods
        if methods:
            once, each = ([name for name in methods if (methods[name] > 0) is apart] for apart in (False, True))
            cells = (
                ", ".join(f"`{name}`" for name in sorted(names)) or "none"
                for names in (once, each, profile.unsetting_methods)
            )
            lines.append((CALLED.get(profile.name, profile.name), *cells))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def test_the_page_has_all_settings() -> None:
    """X3: the table of what is set again is the code's; print `table_of_settings()` to renew it."""
    page = DOCS.read_text("utf-8")
    written = page.partition("<!-- settings -->\n")[2].partition("\n<!-- end of settings -->")[0]
    assert written == table_of_settings()


def test_the_page_names_all_drivers() -> None:
    """X2: each driver with a profile has its line in the table of facts."""
    page = DOCS.read_text("utf-8").lower()
    for profile in BUILT_IN:
        assert f"| {CALLED.get(profile.name, profile.name).lower()} |" in page


def test_profiles_are_found_by_the_modules_of_their_drivers() -> None:
    """X2: profile_of finds each driver by its connection's class, also of a user's subclass, and duckdb's `_duckdb`."""
    for profile in BUILT_IN:
        base = type("Connection", (), {"__module__": f"{profile.name}.connections"})
        assert profile_of(base()) is profile
        assert profile_of(type("Mine", (base,), {"__module__": "mine"})()) is profile
    assert profile_of(type("DuckDBPyConnection", (), {"__module__": "_duckdb"})()).name == "duckdb"
    assert profile_of(object()) is UNKNOWN
