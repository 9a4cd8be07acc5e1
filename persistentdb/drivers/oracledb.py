"""oracledb: its errors say whether the session is dead, its connections whether they are healthy.

Verified against the driver's own error objects and attributes, not against a server.
"""

from __future__ import annotations

from typing import Any

from persistentdb._recovery import Verdict
from persistentdb.drivers.profile import DriverProfile
from persistentdb.drivers.rules import Rule

__all__ = ["ORACLEDB"]


def _is_closed(connection: Any) -> bool:
    """Told without a round trip, also of a socket that the server has closed."""
    return not connection.is_healthy()


def _code(error: BaseException) -> object:
    """ORA-00060 and the like; the driver translates what ends a session to codes of its own, DPY-4011 and DPY-1001."""
    return getattr(error.args[0], "full_code", None) or None if error.args else None


def _in_transaction(connection: Any) -> bool | None:
    return None if _is_closed(connection) else bool(connection.transaction_in_progress)


def _autocommit(connection: Any) -> bool | None:
    return None if _is_closed(connection) else bool(connection.autocommit)


def _refuses_begin(connection: Any) -> str | None:
    """Oracle has no BEGIN, and in autocommit the driver commits with each statement."""
    if not _autocommit(connection):
        return None
    return "in autocommit the driver commits each statement; set autocommit to False, then each opens a transaction"


def _ping(connection: Any) -> None:
    connection.ping()


def _streams(_: Any) -> bool:
    """Every cursor fetches its rows in batches."""
    return True


ORACLEDB = DriverProfile(
    name="oracledb",
    is_closed=_is_closed,
    rules=(
        Rule(Verdict.LOST_UNSENT, codes={"DPY-1001"}, why="closed before the request"),
        Rule(
            Verdict.LOST_MAYBE_SENT,
            attribute="is_session_dead",
            why="the database or the network ended the session (DPY-4011: ORA-03113, ORA-00028, ORA-02396, ...)",
        ),
        Rule(Verdict.NOT_LOST, codes={"DPY-4024"}, why="the call took longer than call_timeout"),
        Rule(Verdict.NOT_LOST, codes={"ORA-01013"}, why="the statement was cancelled"),
        Rule(Verdict.NOT_LOST, codes={"ORA-00054", "ORA-30006"}, why="a lock was not to be had in time"),
        Rule(Verdict.NOT_LOST, codes={"ORA-00060"}, why="the statement was the victim of a deadlock"),
        Rule(Verdict.NOT_LOST, codes={"ORA-08177"}, why="the transaction could not be serialized: run it again"),
        Rule(
            Verdict.NOT_LOST,
            codes={"ORA-16000"},
            why="the database is read-only; give WRONG_NODE where that means a failover",
        ),
    ),
    code=_code,
    in_transaction=_in_transaction,
    autocommit=_autocommit,
    refuses_begin=_refuses_begin,
    ping=_ping,
    cursor_is_streaming=_streams,
)
