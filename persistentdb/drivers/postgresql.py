"""What PostgreSQL's SQLSTATEs say of the session, whichever driver hands them out."""

from __future__ import annotations

from persistentdb._recovery import Verdict
from persistentdb.drivers.rules import Rule

__all__ = ["POSTGRESQL_ENDS", "POSTGRESQL_REFUSALS"]

POSTGRESQL_REFUSALS = (
    Rule(Verdict.NOT_LOST, sqlstates={"57014"}, why="the statement was cancelled, or took too long"),
    Rule(Verdict.NOT_LOST, sqlstates={"55P03"}, why="a lock was not to be had in time"),
    Rule(Verdict.NOT_LOST, sqlstates={"40001"}, why="the transaction could not be serialized: run it again"),
    Rule(Verdict.NOT_LOST, sqlstates={"40P01"}, why="the transaction was the victim of a deadlock: run it again"),
    Rule(Verdict.NOT_LOST, sqlstates={"53", "54", "58"}, why="the server lacks memory, disk or other resources"),
    Rule(
        Verdict.NOT_LOST,
        sqlstates={"25006"},
        why="the transaction or the server is read-only; give WRONG_NODE where that means a failover",
    ),
)
"""Refusals of a session that lives on, though their class (OperationalError) looks like a loss."""

POSTGRESQL_ENDS = (
    Rule(
        Verdict.LOST_UNSENT,
        sqlstates={"57P05", "25P03"},
        why="the server had ended the idle session before the request came",
    ),
    Rule(
        Verdict.LOST_MAYBE_SENT,
        sqlstates={"57P01", "57P02", "57P04", "25P04"},
        why="the server ended the session: by order, in a crash, with its database, or after too long a transaction",
    ),
)
"""Endings of a session; only for drivers that know by themselves when it is over, for a function can raise any code."""
