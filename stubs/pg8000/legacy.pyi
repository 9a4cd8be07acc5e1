import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from ssl import SSLContext
from types import TracebackType
from typing import IO, Any, Literal, TypeAlias

from typing_extensions import Self

# No __all__, for the reason in dbapi.pyi.
from pg8000.core import CoreConnection
from pg8000.dbapi import BINARY as BINARY
from pg8000.dbapi import Binary as Binary
from pg8000.dbapi import DataError as DataError
from pg8000.dbapi import DateFromTicks as DateFromTicks
from pg8000.dbapi import IntegrityError as IntegrityError
from pg8000.dbapi import InternalError as InternalError
from pg8000.dbapi import NotSupportedError as NotSupportedError
from pg8000.dbapi import OperationalError as OperationalError
from pg8000.dbapi import ProgrammingError as ProgrammingError
from pg8000.dbapi import TimeFromTicks as TimeFromTicks
from pg8000.dbapi import Timestamp as Timestamp
from pg8000.dbapi import TimestampFromTicks as TimestampFromTicks
from pg8000.dbapi import Warning as Warning
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
paramstyle: str

BIGINT: int
BIGINTEGER: int
BOOLEAN: int
BOOLEAN_ARRAY: int
BYTES: int
CHAR: int
CHAR_ARRAY: int
DATE: int
DATETIME: int
DECIMAL: int
DECIMAL_ARRAY: int
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
NUMBER: int
NUMERIC: int
NUMERIC_ARRAY: int
OID: int
ROWID: int
STRING: int
TEXT: int
TEXT_ARRAY: int
TIME: int
TIMEDELTA: int
TIMESTAMP: int
TIMESTAMPTZ: int
UNKNOWN: int
UUID_TYPE: int
VARCHAR: int
VARCHAR_ARRAY: int
XID: int

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

def timedelta_in(data: str) -> datetime.timedelta | PGInterval: ...
def pginterval_in(data: str) -> PGInterval: ...
def pginterval_out(v: PGInterval) -> str: ...
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
) -> Connection: ...
def to_statement(query: str) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]: ...

class Cursor:
    arraysize: int
    input_types: list[Any]  # there after the first execute only
    paramstyle: str
    def __init__(self, connection: Connection, paramstyle: str | None = None) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    @property
    def connection(self) -> Connection: ...  # with a warning
    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> list[tuple[str, int, None, None, None, None, None]] | None: ...
    def execute(
        self, operation: str, args: Sequence[Any] | Mapping[str, Any] = (), stream: _Stream | None = None
    ) -> Self: ...
    def executemany(self, operation: str, param_sets: Iterable[Sequence[Any] | Mapping[str, Any]]) -> Self: ...
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
    @property
    def description(self) -> list[tuple[str, int, None, None, None, None, None]] | None: ...
    def run(self, sql: str, stream: _Stream | None = None, **params: Any) -> tuple[list[Any], ...]: ...
    def prepare(self, operation: str) -> PreparedStatement: ...
    def xid(self, format_id: int, global_transaction_id: str, branch_qualifier: str) -> _Xid: ...
    def tpc_begin(self, xid: _Xid) -> None: ...
    def tpc_prepare(self) -> None: ...
    def tpc_commit(self, xid: _Xid | None = None) -> None: ...
    def tpc_rollback(self, xid: _Xid | None = None) -> None: ...
    def tpc_recover(self) -> list[_Xid]: ...

class PreparedStatement:
    con: Connection | None
    operation: str
    make_args: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    name_bin: bytes
    row_desc: list[dict[str, Any]] | None
    input_funcs: Sequence[Callable[[str], Any]]
    def __init__(self, con: Connection, operation: str) -> None: ...
    def run(self, **vals: Any) -> tuple[list[Any], ...]: ...
    def close(self) -> None: ...
