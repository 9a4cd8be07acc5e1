"""One-member Protocols by which a checker solves for the driver's own types; used in self annotations only.

`def fetchone(self: SteadyCursor[One[T]]) -> T` reads: the T for which this driver's cursor has `fetchone() -> T`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ParamSpec, Protocol, TypeVar

from persistentdb.dbapi import Connection, Cursor

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)


# Of the cursor


class Executes(Cursor, Protocol[P, T_co]):
    def execute(self, *args: P.args, **kwargs: P.kwargs) -> T_co: ...  # of an overloaded execute, the first overload


class ExecutesMany(Cursor, Protocol[P, T_co]):
    def executemany(self, *args: P.args, **kwargs: P.kwargs) -> T_co: ...


class UntypedCursor(Cursor, Protocol):
    """Satisfied by Any alone: without it mypy solves P for an untyped cursor as Never, and refuses every call."""

    def no_driver_has_this(self) -> None: ...


class One(Cursor, Protocol[T_co]):
    def fetchone(self) -> T_co: ...


class Many(Cursor, Protocol[T_co]):
    def fetchmany(self, size: int, /) -> T_co: ...  # type: ignore[override]


class All(Cursor, Protocol[T_co]):
    def fetchall(self) -> T_co: ...  # type: ignore[override]


class Iterates(Cursor, Protocol[T_co]):
    def __iter__(self) -> Iterator[T_co]: ...


# What PEP 249 calls optional, or some drivers add: there for the drivers that have it, an error for the others.
class LastRowId(Cursor, Protocol[T_co]):
    @property
    def lastrowid(self) -> T_co: ...


class NextSet(Cursor, Protocol[T_co]):
    def nextset(self) -> T_co: ...


class CallProc(Cursor, Protocol[P, T_co]):
    def callproc(self, *args: P.args, **kwargs: P.kwargs) -> T_co: ...


# Of the connection


class Cursors(Connection[T_co], Protocol[T_co]): ...


class UntypedConnection(Connection[Any], Protocol):
    """Satisfied by Any alone: without it mypy solves P for an untyped connection as Never, and refuses every call."""

    def no_driver_has_this(self) -> None: ...


class ConnectionExecutes(Connection[Any], Protocol[P, T_co]):
    def execute(self, *args: P.args, **kwargs: P.kwargs) -> T_co: ...
