"""The drivers that we know, and the rules for all others."""

from __future__ import annotations

from functools import cache
from typing import Any

from persistentdb.drivers.duckdb import DUCKDB
from persistentdb.drivers.mariadb import MARIADB
from persistentdb.drivers.mysqlclient import MYSQLCLIENT
from persistentdb.drivers.oracledb import ORACLEDB
from persistentdb.drivers.pg8000 import PG8000
from persistentdb.drivers.pgdb import PGDB
from persistentdb.drivers.profile import DriverProfile
from persistentdb.drivers.psycopg import PSYCOPG
from persistentdb.drivers.psycopg2 import PSYCOPG2
from persistentdb.drivers.pymysql import PYMYSQL
from persistentdb.drivers.rules import Explanation, Rule
from persistentdb.drivers.sqlite3 import SQLITE3
from persistentdb.drivers.unknown import UNKNOWN
from persistentdb.drivers.wrong_node import WRONG_NODE

__all__ = ["BUILT_IN", "UNKNOWN", "WRONG_NODE", "DriverProfile", "Explanation", "Rule", "profile_of", "register"]

BUILT_IN = (SQLITE3, DUCKDB, PSYCOPG, PSYCOPG2, PG8000, PGDB, PYMYSQL, MYSQLCLIENT, MARIADB, ORACLEDB)
"""The profiles that come with the package."""

_PROFILES = {profile.name: profile for profile in BUILT_IN}


def register(profile: DriverProfile) -> None:
    """Make a driver known, or better known than before.

    Args:
        profile: What is known of it. Its `name` is the driver's package or module; of several that hold a connection's
            class the innermost counts.
    """
    _PROFILES[profile.name] = profile
    _profile_of_class.cache_clear()


def profile_of(connection: object) -> DriverProfile:
    """Return the profile for a driver's connection, also for one of a class that a user derived from the driver's.

    Returns:
        The profile of the first known driver among the bases of its class, else `UNKNOWN`.
    """
    connection_type: Any = type(connection)
    return _profile_of_class(connection_type)


@cache
def _profile_of_class(connection_type: Any) -> DriverProfile:
    for base in connection_type.__mro__:
        name = base.__module__.lstrip("_")  # duckdb's classes say that they are of _duckdb
        while name:
            profile = _PROFILES.get(name)
            if profile is not None:
                return profile
            name = name.rpartition(".")[0]
    return UNKNOWN
