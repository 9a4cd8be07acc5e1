"""Rows for those whose writes belong to one node of a cluster: a read-only answer means that this is the wrong one."""

from __future__ import annotations

from persistentdb._recovery import Verdict
from persistentdb.drivers.rules import Rule

__all__ = ["WRONG_NODE"]

_WHY = "refused by a node that only reads; the next connection finds the one that writes"

WRONG_NODE = (
    Rule(Verdict.LOST_MAYBE_SENT, sqlstates={"25006"}, why=_WHY),
    Rule(Verdict.LOST_MAYBE_SENT, codes={1792, 1836}, why=_WHY),
    Rule(Verdict.LOST_MAYBE_SENT, codes={1290}, text="read-only", why=_WHY),
    Rule(Verdict.LOST_MAYBE_SENT, codes={"ORA-16000"}, why=_WHY),
)
"""Not in force by themselves: the same codes come from a transaction that was made read-only on purpose.

To be given as `failures=FailureClasses(rules=WRONG_NODE)` where the creator, or what it connects to, finds the node
that writes. The error is raised, for a procedure may have done something before it, and the next use opens a new
connection; inside a transaction its work is lost.
"""
