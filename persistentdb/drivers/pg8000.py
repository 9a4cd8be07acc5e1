"""pg8000: pure Python, so its socket lies open; it knows of no loss, and lets raw errors of its socket escape."""

from __future__ import annotations

from types import MappingProxyType, TracebackType
from typing import Any, cast

from persistentdb._recovery import Verdict
from persistentdb.drivers.postgresql import POSTGRESQL_REFUSALS
from persistentdb.drivers.profile import DriverProfile
from persistentdb.drivers.rules import Rule

__all__ = ["PG8000"]

_IDLE, _IN_ERROR = b"I", b"E"
_READS_THE_REPLY = "handle_messages"


def _is_closed(connection: Any) -> bool:
    """Only the client's own close: after a loss the socket object stays."""
    return connection._usock is None


def _code(error: BaseException) -> object:
    """The server's errors have one argument, a dictionary of its fields by their letters in the protocol."""
    fields: object = error.args[0] if error.args else None
    return cast("dict[str, object]", fields).get("C") if isinstance(fields, dict) else None


def _in_transaction(connection: Any) -> bool | None:
    """None until the first answer, as told by the server with each one; stale after a loss."""
    if _is_closed(connection):
        return None
    return connection._transaction_status not in (None, _IDLE)


def _is_aborted(connection: Any) -> bool:
    return bool(connection._transaction_status == _IN_ERROR)


def _autocommit(connection: Any) -> bool | None:
    return bool(connection.autocommit)


def _fileno(connection: Any) -> int:
    return int(connection._usock.fileno())


def _ping(connection: Any) -> None:
    """Send an empty query below the driver's own transaction handling: none is opened, an aborted one allows it."""
    connection.execute_simple("")


def _out_of_step(error: BaseException) -> bool:
    """Whether the reply was not read to its end: something that its reading called raised, a converter or a COPY.

    An error of the server's is raised by that reading itself, after the end.
    """
    names = _functions(error.__traceback__)
    return _READS_THE_REPLY in names and names[-1] != _READS_THE_REPLY


def _functions(traceback: TracebackType | None) -> list[str]:
    names: list[str] = []
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    return names


PG8000 = DriverProfile(
    name="pg8000",
    is_closed=_is_closed,
    rules=(
        Rule(
            Verdict.LOST_UNSENT,
            classes={"InterfaceError"},
            text="connection is closed",
            why="closed by the client before the request",
        ),
        Rule(
            Verdict.LOST_UNSENT,
            classes={"InterfaceError"},
            text="network error",
            cause="BrokenPipeError",
            why="the link was broken before, so the request could not be written",
        ),
        Rule(
            Verdict.LOST_MAYBE_SENT,
            classes={"InterfaceError"},
            text="network error",
            why="the link broke while a reply was due",
        ),
        *POSTGRESQL_REFUSALS,
    ),
    code=_code,
    sqlstate=_code,
    code_is_truth=True,
    out_of_step=_out_of_step,
    in_transaction=_in_transaction,
    is_aborted=_is_aborted,
    autocommit=_autocommit,
    fileno=_fileno,
    drain=_ping,
    ping=_ping,
    session_methods=MappingProxyType({"register_in_adapter": 1, "register_out_adapter": 1}),
)
