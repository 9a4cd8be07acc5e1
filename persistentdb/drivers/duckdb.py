"""duckdb: a database in this very process, whose cursors are connections with transactions of their own."""

from __future__ import annotations

from typing import Any

from persistentdb._recovery import Verdict
from persistentdb.drivers.profile import DriverProfile
from persistentdb.drivers.rules import Rule

__all__ = ["DUCKDB"]

_THIS_DATABASE = "select path from duckdb_databases() where database_name = current_database()"


def _is_closed(connection: Any) -> bool:
    """Lost only when somebody closes it; asking for the progress of no query costs no statement."""
    try:
        connection.query_progress()
    except Exception as error:  # noqa: BLE001  a class of the driver, which may not be imported here
        return "already closed" in str(error)
    return False


def _autocommit(_: Any) -> bool | None:
    """There is nothing to set: each statement outside BEGIN and COMMIT commits by itself."""
    return True


def _lives_in_memory(connection: Any) -> bool:
    rows = connection.execute(
        _THIS_DATABASE
    ).fetchall()  # to the end: an open result would block the caller's next call
    return bool(rows) and rows[0][0] is None


def _refuses_begin(_: Any) -> str | None:
    return "the driver's cursors do not share their connection's transaction; send BEGIN and COMMIT through one cursor"


def _streams(_: Any) -> bool:
    """A cursor is a connection, closed together with the one that it came from."""
    return True


DUCKDB = DriverProfile(
    name="duckdb",
    is_closed=_is_closed,
    closed_is_truth=True,
    rules=(Rule(Verdict.LOST_UNSENT, text="Connection already closed", why="closed by the client"),),
    autocommit=_autocommit,
    refuses_begin=_refuses_begin,
    in_process=True,
    one_process=True,
    dies_with_connection=_lives_in_memory,
    cursor_is_streaming=_streams,
)
