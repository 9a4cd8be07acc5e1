"""The errors that are raised in a driver's stead: they travel between processes, and tell no secrets."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import pytest

from persistentdb import CommitOutcomeUnknown, PersistentDB, ServerUnavailable, TransactionLost
from persistentdb._recovery import Verdict
from persistentdb.exceptions import PersistentDBError, add_note, in_drivers_stead
from persistentdb.failures import FailureTest
from persistentdb.session import FunctionSetup
from persistentdb.testing import fake

MODULES = ("sqlite3", "psycopg", "psycopg2", "pymysql", "MySQLdb", "pg8000", "pgdb", "mariadb", "oracledb", "duckdb")


def operational_error(module: str) -> Any:
    """Return a driver's class; skip where it is not installed."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    return importlib.import_module(module).OperationalError


@pytest.mark.parametrize("kind", [TransactionLost, CommitOutcomeUnknown, ServerUnavailable])
@pytest.mark.parametrize("module", MODULES)
def test_an_error_is_pickled(module: str, kind: type[PersistentDBError]) -> None:
    """X1: a worker's error reaches its parent process as what it is, with its text and its notes."""
    error = in_drivers_stead(kind, operational_error(module))("what happened")
    add_note(error, "what was done")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  of our own
    assert type(again) is type(error)
    assert isinstance(again, operational_error(module))
    assert again.args == ("what happened",)
    assert again.__notes__ == ["what was done"]


def commit_in_doubt() -> None:
    """Lose the answer of a commit."""
    server = fake.FakeServer(known=True)
    with PersistentDB(server.connect) as persist:
        db = persist.connection()
        db.cursor().execute("insert a")
        server.lose_after("commit")
        db.commit()


def test_an_error_out_of_a_pool_of_processes() -> None:
    """X1: "unknown" stays "unknown" on its way out of a worker process: nobody takes it for an error to repeat."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, pytest.raises(CommitOutcomeUnknown) as caught:
        pool.submit(commit_in_doubt).result(60)
    assert isinstance(caught.value, fake.OperationalError)


def use(_: Any, *, password: str) -> bool:
    """Stand for a user's own function."""
    return bool(password)


def test_no_bound_argument_is_shown() -> None:
    """X9: what a user has bound to a function, a password say, is in no repr."""
    bound = partial(use, password="SeSaMe")
    with PersistentDB(fake.FakeServer().connect, setsession=bound, failures=bound) as persist:
        for shown in (persist, persist.setsession, persist.failures, FunctionSetup(bound), FailureTest(bound)):
            assert "SeSaMe" not in repr(shown)
        assert persist.failures.verdict(ValueError(), object()) in Verdict
