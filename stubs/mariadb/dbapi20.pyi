import datetime
from typing import Literal, SupportsBytes

from typing_extensions import Buffer

apilevel: Literal["2.0"]
paramstyle: Literal["qmark"]
threadsafety: Literal[True]

class DbApiType(frozenset[int]):
    def __eq__(self, field_type: object) -> bool: ...

BINARY: DbApiType
DATE: DbApiType
DATETIME: DbApiType
NUMBER: DbApiType
ROWID: DbApiType
STRING: DbApiType
TIME: DbApiType
TIMESTAMP: DbApiType

def Binary(object: Buffer | SupportsBytes) -> bytes: ...
def Date(year: int, month: int, day: int) -> datetime.date: ...
def Time(hour: int, minute: int, second: int) -> datetime.time: ...
def Timestamp(year: int, month: int, day: int, hour: int, minute: int, second: int) -> datetime.datetime: ...
def DateFromTicks(ticks: float) -> datetime.date: ...
def TimeFromTicks(ticks: float) -> datetime.time: ...
def TimestampFromTicks(ticks: float) -> datetime.datetime: ...
