"""The drivers that we know, and the rules for all others."""

from __future__ import annotations

from functools import cache
from typing import Any

from persistentdb.drivers.mysqlclient import MYSQLCLIENT
from persistentdb.drivers.profile import DriverProfile, Rule
from persistentdb.drivers.psycopg import PSYCOPG
from persistentdb.drivers.psycopg2 import PSYCOPG2
from persistentdb.drivers.pymysql import PYMYSQL
from persistentdb.drivers.sqlite3 import SQLITE3
from persistentdb.drivers.unknown import UNKNOWN

__all__ = ["UNKNOWN", "DriverProfile", "Rule", "profile_of"]

_PROFILES = {profile.name: profile for profile in (SQLITE3, PSYCOPG, PSYCOPG2, PYMYSQL, MYSQLCLIENT)}


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
        profile = _PROFILES.get(base.__module__.partition(".")[0])
        if profile is not None:
            return profile
    return UNKNOWN
