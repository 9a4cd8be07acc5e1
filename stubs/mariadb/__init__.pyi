# No __all__: at run time it leaves out connect and PEP 249's constants, and mypy, where a module is taken for
# a Protocol, looks at the names in its __all__ only.
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from mariadb._mariadb import DatabaseError as DatabaseError
from mariadb._mariadb import DataError as DataError
from mariadb._mariadb import Error as Error
from mariadb._mariadb import IntegrityError as IntegrityError
from mariadb._mariadb import InterfaceError as InterfaceError
from mariadb._mariadb import InternalError as InternalError
from mariadb._mariadb import NotSupportedError as NotSupportedError
from mariadb._mariadb import OperationalError as OperationalError
from mariadb._mariadb import PoolError as PoolError
from mariadb._mariadb import ProgrammingError as ProgrammingError
from mariadb._mariadb import Warning as Warning
from mariadb._mariadb import mariadbapi_version as mariadbapi_version
from mariadb.connectionpool import MAX_POOL_SIZE as MAX_POOL_SIZE
from mariadb.connectionpool import ConnectionPool as ConnectionPool
from mariadb.connections import Connection as Connection
from mariadb.cursors import Cursor as Cursor
from mariadb.dbapi20 import BINARY as BINARY
from mariadb.dbapi20 import DATE as DATE
from mariadb.dbapi20 import DATETIME as DATETIME
from mariadb.dbapi20 import NUMBER as NUMBER
from mariadb.dbapi20 import ROWID as ROWID
from mariadb.dbapi20 import STRING as STRING
from mariadb.dbapi20 import TIME as TIME
from mariadb.dbapi20 import TIMESTAMP as TIMESTAMP
from mariadb.dbapi20 import Binary as Binary
from mariadb.dbapi20 import Date as Date
from mariadb.dbapi20 import DateFromTicks as DateFromTicks
from mariadb.dbapi20 import DbApiType as DbApiType
from mariadb.dbapi20 import Time as Time
from mariadb.dbapi20 import TimeFromTicks as TimeFromTicks
from mariadb.dbapi20 import Timestamp as Timestamp
from mariadb.dbapi20 import TimestampFromTicks as TimestampFromTicks
from mariadb.dbapi20 import apilevel as apilevel
from mariadb.dbapi20 import paramstyle as paramstyle
from mariadb.dbapi20 import threadsafety as threadsafety
from mariadb.field import fieldinfo as fieldinfo

__author__: str
__version__: str
__version_info__: tuple[int, int, int]
_have_asan: bool
client_version: int
client_version_info: tuple[int, ...]

_ConnectionT = TypeVar("_ConnectionT", bound=Connection)

# The plain form first: a checker that asks for "a callable that returns C" takes the first overload.
@overload
def connect(
    *,
    host: str | None = ...,
    user: str | None = ...,
    username: str | None = ...,
    password: str | None = ...,
    passwd: str | None = ...,
    database: str | None = ...,
    db: str | None = ...,
    port: int = ...,
    unix_socket: str | None = ...,
    connect_timeout: int = ...,
    read_timeout: int = ...,
    write_timeout: int = ...,
    local_infile: bool = ...,
    compress: bool = ...,
    init_command: str | None = ...,
    default_file: str | None = ...,
    default_group: str | None = ...,
    plugin_dir: str | None = ...,
    client_flag: int = ...,
    reconnect: bool = False,
    autocommit: bool = False,
    converter: Mapping[int, Callable[[Any], Any]] | None = None,
    status_callback: Callable[[Connection, dict[str, Any]], object] = ...,
    ssl: bool | Mapping[str, str] = ...,
    ssl_key: str | None = ...,
    ssl_cert: str | None = ...,
    ssl_ca: str | None = ...,
    ssl_capath: str | None = ...,
    ssl_cipher: str | None = ...,
    ssl_crl: str | None = ...,
    ssl_crlpath: str | None = ...,
    ssl_verify_cert: bool = ...,
    tls_version: str | None = ...,
    tls_fp: str | None = ...,
    tls_fp_list: str | None = ...,
    pool_name: str = ...,
    pool_size: int = ...,
    pool_reset_connection: bool = ...,
    pool_validation_interval: int = ...,
) -> Connection: ...
@overload
def connect(*, connectionclass: type[_ConnectionT], **kwargs: Any) -> _ConnectionT: ...
