# The legacy interface: connections and cursors of its own, not those of pg8000.dbapi.
# No __all__, for the reason in dbapi.pyi.
from collections.abc import Mapping
from ssl import SSLContext
from typing import Literal

from pg8000.legacy import BIGINTEGER as BIGINTEGER
from pg8000.legacy import BINARY as BINARY
from pg8000.legacy import BOOLEAN as BOOLEAN
from pg8000.legacy import BOOLEAN_ARRAY as BOOLEAN_ARRAY
from pg8000.legacy import BYTES as BYTES
from pg8000.legacy import Binary as Binary
from pg8000.legacy import CHAR as CHAR
from pg8000.legacy import CHAR_ARRAY as CHAR_ARRAY
from pg8000.legacy import Connection as Connection
from pg8000.legacy import Cursor as Cursor
from pg8000.legacy import DATE as DATE
from pg8000.legacy import DATETIME as DATETIME
from pg8000.legacy import DECIMAL as DECIMAL
from pg8000.legacy import DECIMAL_ARRAY as DECIMAL_ARRAY
from pg8000.legacy import DataError as DataError
from pg8000.legacy import DatabaseError as DatabaseError
from pg8000.legacy import Date as Date
from pg8000.legacy import DateFromTicks as DateFromTicks
from pg8000.legacy import Error as Error
from pg8000.legacy import FLOAT as FLOAT
from pg8000.legacy import FLOAT_ARRAY as FLOAT_ARRAY
from pg8000.legacy import INET as INET
from pg8000.legacy import INT2VECTOR as INT2VECTOR
from pg8000.legacy import INTEGER as INTEGER
from pg8000.legacy import INTEGER_ARRAY as INTEGER_ARRAY
from pg8000.legacy import INTERVAL as INTERVAL
from pg8000.legacy import IntegrityError as IntegrityError
from pg8000.legacy import InterfaceError as InterfaceError
from pg8000.legacy import InternalError as InternalError
from pg8000.legacy import JSON as JSON
from pg8000.legacy import JSONB as JSONB
from pg8000.legacy import MACADDR as MACADDR
from pg8000.legacy import NAME as NAME
from pg8000.legacy import NAME_ARRAY as NAME_ARRAY
from pg8000.legacy import NULLTYPE as NULLTYPE
from pg8000.legacy import NUMBER as NUMBER
from pg8000.legacy import NotSupportedError as NotSupportedError
from pg8000.legacy import OID as OID
from pg8000.legacy import OperationalError as OperationalError
from pg8000.legacy import PGInterval as PGInterval
from pg8000.legacy import ProgrammingError as ProgrammingError
from pg8000.legacy import ROWID as ROWID
from pg8000.legacy import Range as Range
from pg8000.legacy import STRING as STRING
from pg8000.legacy import TEXT as TEXT
from pg8000.legacy import TEXT_ARRAY as TEXT_ARRAY
from pg8000.legacy import TIME as TIME
from pg8000.legacy import TIMEDELTA as TIMEDELTA
from pg8000.legacy import TIMESTAMP as TIMESTAMP
from pg8000.legacy import TIMESTAMPTZ as TIMESTAMPTZ
from pg8000.legacy import Time as Time
from pg8000.legacy import TimeFromTicks as TimeFromTicks
from pg8000.legacy import Timestamp as Timestamp
from pg8000.legacy import TimestampFromTicks as TimestampFromTicks
from pg8000.legacy import UNKNOWN as UNKNOWN
from pg8000.legacy import UUID_TYPE as UUID_TYPE
from pg8000.legacy import VARCHAR as VARCHAR
from pg8000.legacy import VARCHAR_ARRAY as VARCHAR_ARRAY
from pg8000.legacy import Warning as Warning
from pg8000.legacy import XID as XID
from pg8000.legacy import pginterval_in as pginterval_in
from pg8000.legacy import pginterval_out as pginterval_out
from pg8000.legacy import timedelta_in as timedelta_in
from pg8000.legacy import __version__ as __version__

apilevel: Literal["2.0"]
threadsafety: Literal[1]
paramstyle: str  # a setting: the default of every new cursor

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
