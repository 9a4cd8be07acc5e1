"""Thread-affine, hardened, persistent DB-API 2 connections for threaded applications."""

from persistentdb._recovery import Operation, Pending, Verdict
from persistentdb.backoff import Backoff
from persistentdb.cursor import SteadyCursor
from persistentdb.dbapi import Connection, ConnectionProvider, Cursor, Module
from persistentdb.drivers.rules import Explanation, Rule
from persistentdb.drivers.wrong_node import WRONG_NODE
from persistentdb.exceptions import (
    CommitOutcomeUnknown,
    NotSupportedError,
    PersistentDBError,
    ServerUnavailable,
    TransactionLost,
)
from persistentdb.failures import FailureClasses, FailureClassifier, explain
from persistentdb.locality import ThreadLocality
from persistentdb.outage import Outage
from persistentdb.outcome import OutcomeResolver, PostgresOutcome
from persistentdb.persistent import PersistentDB
from persistentdb.ping import MaskPing, Ping, PingStrategy
from persistentdb.replay import InheritedReplay, Loss, NoReplay, ProvenReplay, ReplayPolicy
from persistentdb.rerun import Rerun
from persistentdb.session import SessionSetup
from persistentdb.steady import SteadyConnection

__all__ = [
    "WRONG_NODE",
    "Backoff",
    "CommitOutcomeUnknown",
    "Connection",
    "ConnectionProvider",
    "Cursor",
    "Explanation",
    "FailureClasses",
    "FailureClassifier",
    "InheritedReplay",
    "Loss",
    "MaskPing",
    "Module",
    "NoReplay",
    "NotSupportedError",
    "Operation",
    "Outage",
    "OutcomeResolver",
    "Pending",
    "PersistentDB",
    "PersistentDBError",
    "Ping",
    "PingStrategy",
    "PostgresOutcome",
    "ProvenReplay",
    "ReplayPolicy",
    "Rerun",
    "Rule",
    "ServerUnavailable",
    "SessionSetup",
    "SteadyConnection",
    "SteadyCursor",
    "ThreadLocality",
    "TransactionLost",
    "Verdict",
    "explain",
]

__version__ = "0.1.0"
