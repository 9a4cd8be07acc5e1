"""What methods set on a session is set again on the next one (X3): each `session_methods` of each profile."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from servers import LiveDriver, driver_params

from persistentdb import PersistentDB
from persistentdb.drivers import BUILT_IN, DriverProfile

from .deeds import Persist, kill, run, session_of
from .setting_cases import CASES, OTHER_USER, Case, backwards, may_load, value


def named(cases: dict[str, Case], name: str = "", first: Any = None) -> list[Any]:
    """Return a parameter for each case, with the parameter of a driver before it if one is given."""
    before, marks = ([], ()) if first is None else (first.values, first.marks)
    return [pytest.param(*before, method, case, id=f"{name}{method}", marks=marks) for method, case in cases.items()]


def check(db: Any, method: str, case: Case, replace: Callable[[], object]) -> None:
    """Make the call, and look at the session that it was made on and at two that follow it."""
    if not hasattr(db, method):
        assert case.absent, f"the profile names a method that the driver has not: {method}"
        pytest.skip(f"{method} is missing {case.absent}")
    case.first(db)
    assert case.seen(db) != case.expected, "it shows only because of the call"
    case.call(db)
    assert case.seen(db) == case.expected
    for _ in range(2):
        replace()
        assert case.seen(db) == case.expected


def profile_name(driver: Any) -> str:
    """Return the name that a driver's profile has."""
    return str(driver.module_name.partition(".")[0])


# Servers


@pytest.fixture
def other_user(driver: LiveDriver) -> Iterator[None]:
    """Make a user for `change_user`, who may see what everybody sees."""
    if driver.server.title != "MariaDB":
        yield
        return
    account = f"'{OTHER_USER}'@'{driver.server.host}'"
    driver.server.query(f"create user {account} identified by 'secret'")
    yield
    driver.server.query(f"drop user {account}")


@pytest.mark.parametrize(
    ("driver", "method", "case"),
    [
        found
        for one in driver_params()
        for found in named(CASES.get(profile_name(one.values[0]), {}), f"{one.id}-", one)
    ],
    indirect=["driver"],
)
@pytest.mark.usefixtures("other_user")
@pytest.mark.filterwarnings("ignore:'set_charset' is deprecated")  # of PyMySQL
def test_what_a_method_set_is_set_on_the_next_session(
    driver: LiveDriver, persist: Persist, method: str, case: Case
) -> None:
    """X3: what a method has set is in force on the session after a kill, too, and on the one after that."""
    db = persist().connection()
    sessions = [session_of(db)]
    check(db, method, case, lambda: sessions.append(kill(driver, db)))
    assert len({*sessions[1:], session_of(db)}) == 3


# sqlite3, in this very process; what duckdb's methods set belongs to the database, or dies with its connection


@pytest.mark.parametrize(("method", "case"), named(CASES["sqlite3"]))
def test_what_a_method_set_is_set_on_the_next_connection(tmp_path: Path, method: str, case: Case) -> None:
    """X3: the same where the database is in this process, and somebody closed the connection to its file."""
    with PersistentDB(sqlite3, database=str(tmp_path / "db")) as persist:
        db: Any = persist.connection()
        closed = []

        def replace() -> None:
            closed.append(db.driver_connection)
            closed[-1].close()

        check(db, method, case, replace)
        assert len({*map(id, closed), id(db.driver_connection)}) == 3


EXTENSION = r"""
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT1

static void answer(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    sqlite3_result_int(context, 42);
}

int sqlite3_extension_init(sqlite3 *connection, char **message, const sqlite3_api_routines *api)
{
    SQLITE_EXTENSION_INIT2(api);
    return sqlite3_create_function(connection, "answer", 0, SQLITE_UTF8, 0, answer, 0, 0);
}
"""


@pytest.fixture(scope="session")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile an extension of SQLite; where Python takes none, or no compiler is there, the tests are skipped."""
    with closing(sqlite3.connect(":memory:")) as con:
        if not hasattr(con, "load_extension"):
            pytest.skip("this Python was built without extensions of SQLite: --enable-loadable-sqlite-extensions")
    compiler = next(filter(None, map(shutil.which, ["cc", "gcc", "clang"])), None)
    if compiler is None:
        pytest.skip("no C compiler to make an extension of SQLite: apt-get install gcc libc6-dev")
    library = tmp_path_factory.mktemp("extension") / "answer.so"
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-x", "c", "-o", library, "-"],
        input=EXTENSION,
        capture_output=True,
        text=True,
        check=False,
    )
    if "sqlite3ext.h" in done.stderr:
        pytest.skip("the headers of SQLite are missing: apt-get install libsqlite3-dev")
    assert done.returncode == 0, done.stderr
    return library


class Careful(sqlite3.Connection):
    """A connection of a SQLite that was built to forbid extensions until they are allowed; Debian's is not."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.enable_load_extension(False)


def test_an_extension_is_loaded_again(tmp_path: Path, extension: Path) -> None:
    """X3: load_extension(), by the way that the documentation shows, with loading forbidden again at its end."""
    with PersistentDB(sqlite3, database=str(tmp_path / "db"), factory=Careful) as persist:
        db: Any = persist.connection()
        db.enable_load_extension(True)
        db.load_extension(str(extension))
        db.enable_load_extension(False)
        for _ in range(3):
            assert value("select answer()")(db) == 42
            assert not may_load(db)
            db.driver_connection.close()


# Which settings there are, and what counts when there are several


OF_THEIR_OWN = {"sqlite3": {"load_extension"}}
"""What has a test of its own above, because it needs more than a call."""


@pytest.mark.parametrize("profile", BUILT_IN, ids=lambda profile: profile.name)
def test_every_method_is_tested(profile: DriverProfile) -> None:
    """X3: each method that a profile names as one that sets, or takes back, something has a case above."""
    named = {*profile.session_methods, *profile.unsetting_methods}
    assert named == {*CASES.get(profile.name, {}), *OF_THEIR_OWN.get(profile.name, ())}


class Strict(sqlite3.Connection):
    """A connection whose extensions are names, for any Python; what is loaded has to be allowed."""

    loads = False
    loaded: tuple[str, ...] = ()

    def enable_load_extension(self, enable: bool, /) -> None:
        """Allow or forbid it."""
        self.loads = enable

    def load_extension(self, name: str, /) -> None:
        """Load one."""
        if not self.loads:
            raise sqlite3.OperationalError("not authorized")
        self.loaded += (name,)


@pytest.mark.parametrize("calls", ["+a-", "+a-+b-", "+a-+a-", "+a+b", "+-+", "-+a", "+a-+"])
def test_what_depends_on_another_setting(tmp_path: Path, calls: str) -> None:
    """X3: what a call allowed, and another took back, is made again while it is allowed; the last state counts."""
    with PersistentDB(sqlite3, database=str(tmp_path / "db"), factory=Strict) as persist:
        db: Any = persist.connection()
        for call in calls:
            if call in "+-":
                db.enable_load_extension(call == "+")
            else:
                db.load_extension(call)
        for _ in range(3):
            run(db, "select 1")
            assert set(db.loaded) == set(calls) - {*"+-"}
            assert db.loads is (calls.rstrip("ab")[-1] == "+")
            db.driver_connection.close()


def test_the_last_one_counts(tmp_path: Path) -> None:
    """X3: of several calls for one thing the last is made again, in the order of the last calls; others are kept."""
    with PersistentDB(sqlite3, database=str(tmp_path / "db")) as persist:
        db: Any = persist.connection()
        for name, result in (("one", 1), ("two", 2), ("one", 3)):
            db.create_function(name, 0, lambda result=result: result)
        db.create_function("one", 1, lambda x: x)
        db.create_collation("backwards", backwards)
        db.create_collation("backwards", None)
        for _ in range(2):
            assert value("select one()")(db) == 3
            assert value("select one(7)")(db) == 7
            assert value("select two()")(db) == 2
            assert value("select 1 order by 1 collate backwards")(db) == "no such collation sequence: backwards"
            db.driver_connection.close()
