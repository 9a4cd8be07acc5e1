"""What callers do while the server is away (X6)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from attrs import field, frozen
from attrs.validators import ge, instance_of, is_callable

from persistentdb.backoff import REAL, Backoff
from persistentdb.drivers import profile_of
from persistentdb.exceptions import PersistentDBError, described

__all__ = ["Outage", "as_outage", "means_away"]


@frozen
class Outage:
    """The rules for opening connections when the server does not let us; one state for all threads of a `PersistentDB`.

    After a failed attempt nobody tries again before the back-off's pause is over, and then one thread does. Whoever
    wants a connection meanwhile fails at once with `ServerUnavailable`, or waits as long as `give_up_after` allows. The
    first attempt that succeeds opens the way for all, `simultaneous` of them at a time.

    Attributes:
        backoff: The pauses between two attempts.
        give_up_after: Seconds after which a caller begins no further attempt while the server is away; 0: after one.
        simultaneous: How many connections are opened at the same time.
        turn_timeout: Seconds for which a caller waits for its turn while others are opening theirs, or
            `give_up_after` if that is longer.
        clock: Returns the time in seconds; it never goes back.
        wait: Waits on a condition (which is held) until it is notified, or for so many seconds.

    Raises:
        TypeError: Something is no number, no function, or no `Backoff`.
        ValueError: A number is out of range.
    """

    backoff: Backoff = field(factory=Backoff, validator=instance_of(Backoff))
    give_up_after: float = field(default=0.0, validator=[instance_of(REAL), ge(0)])
    simultaneous: int = field(default=4, validator=[instance_of(int), ge(1)])
    turn_timeout: float = field(default=5.0, validator=[instance_of(REAL), ge(0)])
    clock: Callable[[], float] = field(default=time.monotonic, repr=False, validator=is_callable())
    wait: Callable[[threading.Condition, float], object] = field(
        default=threading.Condition.wait, repr=False, validator=is_callable()
    )


def as_outage(value: Outage | None) -> Outage:
    """Check the parameter `outage`.

    Raises:
        TypeError: It is no `Outage`.
    """
    if value is None:
        return Outage()
    if not isinstance(value, Outage):
        raise TypeError(f"outage={described(value)}: expected an Outage(), or None for its defaults")
    return value


# What is wrong with the request: trying again changes nothing (MySQL's numbers, PostgreSQL's SQLSTATEs, Oracle's).
_REFUSALS: tuple[object, ...] = (
    *(1044, 1045, 1049, 1129, 1130, 1227, 1251, 1698, 1862, 2059, 3118, 4151),
    *("28000", "28P01", "3D000", "42501", "42704", "22023"),
    *("ORA-01005", "ORA-01017", "ORA-28000", "ORA-28001", "DPY-4001"),
)  # a tuple, for the code that a profile of a user's own gives may be unhashable
# A MySQL server that gives one of these numbers is there, and has refused something: a statement of the setup, say.
_MYSQLS_OWN = range(1000, 2000)
# Those by which it says that it cannot take us now: no room, going down, a connection broken in the handshake, killed.
_MYSQL_AWAY = frozenset(
    {
        *(1037, 1038, 1040, 1041, 1042, 1043, 1053, 1077, 1078, 1079, 1080, 1135, 1152, *range(1154, 1162), 1184),
        *(1203, 1205, 1213, 1226, 1317, 1927),
    }
)
# libpq's errors at connect carry no code: the server's own words, which are untranslated in the common installations.
_REFUSAL_TEXTS = ("authentication failed", "pg_hba.conf", "does not exist", "no password supplied")
# A file that may not be read, a certificate that is not trusted: no word of a server that would be away.
_OTHER_OS_ERRORS = frozenset(
    {"PermissionError", "IsADirectoryError", "NotADirectoryError", "FileExistsError", "SSLCertVerificationError"}
)
_MAY_BE_AWAY = frozenset({"OperationalError", "InterfaceError", "InternalError", "DatabaseError"})
# SQLSTATEs of a server that cannot take us now: connection exceptions, resources, shutdown; MySQL's unspecific one.
_AWAY_STATES = ("08", "53", "57P", "HY")
_NEVER_AWAY = frozenset({"ProgrammingError", "NotSupportedError", "DataError", "IntegrityError"})


def means_away(error: BaseException) -> bool:
    """Whether an error out of an attempt to connect means that the server is away, and later may be back.

    Args:
        error: What was raised; a database in this very process is never away, a wrong password is no outage.
    """
    names = {base.__name__ for base in type(error).__mro__}
    if isinstance(error, OSError):
        return not names & _OTHER_OS_ERRORS
    if isinstance(error, PersistentDBError) or not names & _MAY_BE_AWAY or names & _NEVER_AWAY:
        return False
    driver: Any = profile_of(error)  # the classes of a driver's errors lie beside that of its connections
    state = driver.sqlstate(error)
    code = driver.code(error)
    if driver.in_process or code in _REFUSALS or state in _REFUSALS:
        return False
    if isinstance(code, int) and code in _MYSQLS_OWN and code not in _MYSQL_AWAY:
        return False
    if isinstance(state, str) and not state.startswith(_AWAY_STATES):
        return False
    text = str(error)
    return not any(refusal in text for refusal in _REFUSAL_TEXTS)
