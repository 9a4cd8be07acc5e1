"""Thread-affine, hardened, persistent DB-API 2 connections for threaded applications."""

from persistentdb._recovery import Verdict
from persistentdb.backoff import Backoff
from persistentdb.cursor import SteadyCursor
from persistentdb.dbapi import Connection, ConnectionProvider, Cursor, Module
from persistentdb.exceptions import (
    CommitOutcomeUnknown,
    NotSupportedError,
    PersistentDBError,
    ServerUnavailable,
    TransactionLost,
)
from persistentdb.failures import FailureClassifier
from persistentdb.locality import ThreadLocality
from persistentdb.outage import Outage
from persistentdb.persistent import PersistentDB
from persistentdb.ping import MaskPing, Ping, PingStrategy
from persistentdb.replay import InheritedReplay, Loss, NoReplay, ProvenReplay, ReplayPolicy
from persistentdb.session import SessionSetup
from persistentdb.steady import SteadyConnection

__all__ = [
    "Backoff",
    "CommitOutcomeUnknown",
    "Connection",
    "ConnectionProvider",
    "Cursor",
    "FailureClassifier",
    "InheritedReplay",
    "Loss",
    "MaskPing",
    "Module",
    "NoReplay",
    "NotSupportedError",
    "Outage",
    "PersistentDB",
    "PersistentDBError",
    "Ping",
    "PingStrategy",
    "ProvenReplay",
    "ReplayPolicy",
    "ServerUnavailable",
    "SessionSetup",
    "SteadyConnection",
    "SteadyCursor",
    "ThreadLocality",
    "TransactionLost",
    "Verdict",
]

__version__ = "0.1.0"
