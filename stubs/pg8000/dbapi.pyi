# No __all__: at run time it leaves out apilevel, threadsafety and paramstyle, and mypy, where a module is taken for
# a Protocol, looks at the names in its __all__ only.
import datetime
from collections.abc import Iterable, Mapping, Sequence
from socket import socket
from ssl import SSLContext
from typing import IO, Any, Literal, TypeAlias, TypeVar

from typing_extensions import Self

from pg8000.core import CoreConnection
from pg8000.exceptions import DatabaseError as DatabaseError
from pg8000.exceptions import Error as Error
from pg8000.exceptions import InterfaceError as InterfaceError
from pg8000.types import PGInterval as PGInterval
from pg8000.types import Range as Range

Date = datetime.date
Time = datetime.time

__version__: str
__author__: str
apilevel: Literal["2.0"]
threadsafety: Literal[1]
paramstyle: str  # a setting: whoever sets it changes how every cursor reads its statements

BIGINT: int
BOOLEAN: int
BOOLEAN_ARRAY: int
BYTES: int
CHAR: int
CHAR_ARRAY: int
DATE: int
FLOAT: int
FLOAT_ARRAY: int
INET: int
INT2VECTOR: int
INTEGER: int
INTEGER_ARRAY: int
INTERVAL: int
JSON: int
JSONB: int
MACADDR: int
NAME: int
NAME_ARRAY: int
NULLTYPE: int
NUMERIC: int
NUMERIC_ARRAY: int
OID: int
ROWID: int
STRING: int
TEXT: int
TEXT_ARRAY: int
TIME: int
TIMESTAMP: int
TIMESTAMPTZ: int
UNKNOWN: int
UUID_TYPE: int
VARCHAR: int
VARCHAR_ARRAY: int
XID: int
BINARY = bytes

class Warning(Exception): ...
class DataError(DatabaseError): ...
class OperationalError(DatabaseError): ...
class IntegrityError(DatabaseError): ...
class InternalError(DatabaseError): ...
class ProgrammingError(DatabaseError): ...
class NotSupportedError(DatabaseError): ...
class ArrayContentNotSupportedError(NotSupportedError): ...

_Xid: TypeAlias = tuple[int, str, str]
_Stream: TypeAlias = IO[Any] | Iterable[str | bytes]
# inside Connection the names of the errors are its properties
_Warning: TypeAlias = Warning
_Error: TypeAlias = Error
_InterfaceError: TypeAlias = InterfaceError
_DatabaseError: TypeAlias = DatabaseError
_OperationalError: TypeAlias = OperationalError
_IntegrityError: TypeAlias = IntegrityError
_InternalError: TypeAlias = InternalError
_ProgrammingError: TypeAlias = ProgrammingError
_NotSupportedError: TypeAlias = NotSupportedError
_T = TypeVar("_T")

def PgDate(year: int, month: int, day: int) -> Date: ...
def PgTime(hour: int, minute: int, second: int) -> Time: ...
def Timestamp(year: int, month: int, day: int, hour: int, minute: int, second: int) -> datetime.datetime: ...
def DateFromTicks(ticks: float) -> Date: ...
def TimeFromTicks(ticks: float) -> Time: ...
def TimestampFromTicks(ticks: float) -> datetime.datetime: ...
def Binary(value: _T) -> _T: ...
def connect(
    user: str | bytes,
    host: str | None = "localhost",
    database: str | bytes | None = None,
    port: int | str | None = 5432,
    password: str | bytes | None = None,
    source_address: tuple[str, int] | None = None,
    unix_sock: str | None = None,
    ssl_context: SSLContext | bool | None = None,
    timeout: float | None = None,
    tcp_keepalive: bool = True,
    application_name: str | bytes | None = None,
    replication: str | bytes | None = None,
    startup_params: Mapping[str, str | bytes | None] | None = None,
    sock: socket | None = None,
) -> Connection: ...
def convert_paramstyle(
    style: str, query: str, args: Sequence[Any] | Mapping[str, Any]
) -> tuple[str, Sequence[Any]]: ...

class Cursor:
    arraysize: int
    input_types: list[Any]  # there after the first execute only
    def __init__(self, connection: Connection) -> None: ...
    @property
    def connection(self) -> Connection: ...  # with a warning
    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> list[tuple[str, int, None, None, None, None, None]] | None: ...
    def execute(
        self, operation: str, args: Sequence[Any] | Mapping[str, Any] = (), stream: _Stream | None = None
    ) -> None: ...
    def executemany(self, operation: str, param_sets: Iterable[Sequence[Any] | Mapping[str, Any]]) -> None: ...
    def callproc(self, procname: str, parameters: Sequence[Any] | None = None) -> None: ...
    def fetchone(self) -> list[Any] | None: ...
    def fetchmany(self, num: int | None = None) -> tuple[list[Any], ...]: ...
    def fetchall(self) -> tuple[list[Any], ...]: ...
    def close(self) -> None: ...
    def setinputsizes(self, *sizes: int | type[Any]) -> None: ...
    def setoutputsize(self, size: int, column: int | None = None) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> list[Any]: ...

class Connection(CoreConnection):
    autocommit: bool
    # PEP 249's errors as attributes, each with a warning; DataError is not among them
    @property
    def Warning(self) -> type[_Warning]: ...
    @property
    def Error(self) -> type[_Error]: ...
    @property
    def InterfaceError(self) -> type[_InterfaceError]: ...
    @property
    def DatabaseError(self) -> type[_DatabaseError]: ...
    @property
    def OperationalError(self) -> type[_OperationalError]: ...
    @property
    def IntegrityError(self) -> type[_IntegrityError]: ...
    @property
    def InternalError(self) -> type[_InternalError]: ...
    @property
    def ProgrammingError(self) -> type[_ProgrammingError]: ...
    @property
    def NotSupportedError(self) -> type[_NotSupportedError]: ...
    @property
    def _in_transaction(self) -> bool: ...  # as the last answer of the server said
    def cursor(self) -> Cursor: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def xid(self, format_id: int, global_transaction_id: str, branch_qualifier: str) -> _Xid: ...
    def tpc_begin(self, xid: _Xid) -> None: ...
    def tpc_prepare(self) -> None: ...
    def tpc_commit(self, xid: _Xid | None = None) -> None: ...
    def tpc_rollback(self, xid: _Xid | None = None) -> None: ...
    def tpc_recover(self) -> list[_Xid]: ...
