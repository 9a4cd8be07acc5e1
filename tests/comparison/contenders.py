"""Who is compared: the raw driver, DBUtils and persistentdb, each as a function that lends a thread its connection."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import threading
from collections.abc import Callable
from typing import Any

from attrs import frozen

from persistentdb import PersistentDB

__all__ = ["CONTENDERS", "Connect", "Contender", "without_dbutils"]

Connect = Callable[[], Any]
"""Gets the calling thread's connection."""


@frozen
class Contender:
    """Somebody who hands out connections.

    Attributes:
        name: What it is called in the table.
        open: Returns how connections are got, given how the driver's are opened and further arguments.
        takes: Whether it knows the arguments `ping` and `maxusage`.
    """

    name: str
    open: Callable[..., Connect]
    takes: bool = True


def _raw(creator: Connect) -> Connect:
    """What one writes without a library: a connection a thread, opened once."""
    local = threading.local()

    def connection() -> Any:
        if not hasattr(local, "connection"):
            local.connection = creator()
        return local.connection

    return connection


def _dbutils(creator: Connect, **options: Any) -> Connect:
    from dbutils.persistent_db import PersistentDB as DBUtilsPersistentDB

    connection: Connect = DBUtilsPersistentDB(creator, **options).connection
    return connection


def _ours(creator: Connect, **options: Any) -> Connect:
    return PersistentDB(creator, **options).connection


CONTENDERS = (
    Contender("raw driver", _raw, takes=False),
    Contender("DBUtils", _dbutils),
    Contender("persistentdb", _ours),
)
"""In the order of the table."""


def without_dbutils() -> str | None:
    """Return why the comparison cannot be made and the way out, or None if it can."""
    if importlib.util.find_spec("dbutils") is None:
        return "DBUtils is not installed: pip install DBUtils==3.2.0"
    found = importlib.metadata.version("DBUtils")
    return None if found == "3.2.0" else f"DBUtils is {found}, compared is 3.2.0: pip install DBUtils==3.2.0"
