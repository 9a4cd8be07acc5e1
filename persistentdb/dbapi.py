"""PEP 249 as Protocols: what eleven real drivers' types satisfy, and no more.

Every relaxation names the driver that forces it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing_extensions import TypeVar
else:  # at run time a default changes nothing, and typing_extensions would double the cost of the import
    from typing import TypeVar as _TypeVar

    def TypeVar(name, *, default=None, **kwargs):  # noqa: ANN001, ANN003, ANN202, ARG001, N802
        return _TypeVar(name, **kwargs)


__all__ = ["Connection", "ConnectionProvider", "Cursor", "Module"]


class Cursor(Protocol):
    """A DB-API 2 cursor. Parameters are positional-only: no two drivers name them alike."""

    # Read-only properties: a settable attribute in the Protocol would refuse every driver that has a property.

    @property
    def description(self) -> Any:
        """The columns of the result; psycopg2's and oracledb's are no sequences, PyMySQL's no 7-tuples."""

    @property
    def rowcount(self) -> int | None:
        """How many rows the last statement gave or changed (pgdb: None where unknown, others: -1)."""

    def close(self) -> object:
        """Close the cursor."""

    def execute(self, operation: Any, parameters: Any = ..., /) -> object:
        """Run a statement (psycopg takes LiteralString, bytes and SQL objects)."""

    def executemany(self, operation: Any, seq_of_parameters: Any, /) -> object:
        """Run a statement once per set of parameters."""

    def fetchone(self) -> Any:
        """Return the next row or None (pyodbc's Row is no sequence)."""

    def fetchmany(self, size: int, /) -> Sequence[Any]:
        """Return the next rows (pyodbc: the size has no default)."""
        ...

    def fetchall(self) -> Sequence[Any]:
        """Return the rest of the rows."""
        ...

    # Not here: arraysize, setinputsizes, setoutputsize, __iter__ (duckdb), callproc, nextset (sqlite3, duckdb).


CursorT_co = TypeVar("CursorT_co", covariant=True, default=Cursor)


class Connection(Protocol[CursorT_co]):
    """A DB-API 2 connection."""

    def close(self) -> object:
        """Close the connection."""

    def commit(self) -> object:
        """Commit the transaction (duckdb returns the connection)."""

    def rollback(self) -> object:
        """Roll the transaction back."""

    def cursor(self) -> CursorT_co:
        """Return a new cursor."""
        ...


ConnT_co = TypeVar("ConnT_co", bound=Connection[Any], covariant=True, default=Connection)


class ConnectionProvider(Protocol[ConnT_co]):
    """Anything with a ``connect``: a DB-API 2 module, or an object of your own."""

    @property
    def connect(self) -> Callable[..., ConnT_co] | ModuleType:
        """The function that opens a connection (to pyright ``pgdb.connect`` is the submodule of that name)."""
        ...


class Module(ConnectionProvider[ConnT_co], Protocol[ConnT_co]):
    """A DB-API 2 module: its constants and its exceptions (duckdb has no ``InterfaceError``)."""

    @property
    def apilevel(self) -> str: ...  # noqa: D102
    @property
    def threadsafety(self) -> int: ...  # noqa: D102
    @property
    def paramstyle(self) -> str: ...  # noqa: D102
    @property
    def Warning(self) -> type[Exception]: ...  # noqa: D102, N802
    @property
    def Error(self) -> type[Exception]: ...  # noqa: D102, N802
    @property
    def DatabaseError(self) -> type[Exception]: ...  # noqa: D102, N802
    @property
    def DataError(self) -> type[Exception]: ...  # noqa: D102, N802
    @property
    def OperationalError(self) -> type[Exception]: ...  # noqa: D102, N802
    @property
    def IntegrityError(self) -> type[Exception]: ...  # noqa: D102, N802
    @property
    def InternalError(self) -> type[Exception]: ...  # noqa: D102, N802
    @property
    def ProgrammingError(self) -> type[Exception]: ...  # noqa: D102, N802
    @property
    def NotSupportedError(self) -> type[Exception]: ...  # noqa: D102, N802
