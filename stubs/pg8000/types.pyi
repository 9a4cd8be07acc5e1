from datetime import timedelta
from typing import Any

from typing_extensions import Self

class PGInterval:
    UNIT_MAP: dict[str, str]
    ISO_LOOKUP: dict[bool, dict[str, str]]
    millennia: float | None
    centuries: float | None
    decades: float | None
    years: float | None
    months: float | None
    weeks: float | None
    days: float | None
    hours: float | None
    minutes: float | None
    seconds: float | None
    microseconds: float | None
    def __init__(
        self,
        millennia: float | None = None,
        centuries: float | None = None,
        decades: float | None = None,
        years: float | None = None,
        months: float | None = None,
        weeks: float | None = None,
        days: float | None = None,
        hours: float | None = None,
        minutes: float | None = None,
        seconds: float | None = None,
        microseconds: float | None = None,
    ) -> None: ...
    @classmethod
    def from_str_iso_8601(cls, interval_str: str) -> Self: ...
    @classmethod
    def from_str_postgres(cls, interval_str: str) -> Self: ...
    @classmethod
    def from_str_sql_standard(cls, interval_str: str) -> Self: ...
    @classmethod
    def from_str(cls, interval_str: str) -> Self: ...
    def normalize(self) -> PGInterval: ...
    def to_timedelta(self) -> timedelta: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__ = None  # type: ignore[assignment]  # as in typeshed: __eq__ without __hash__

class Range:
    lower: Any
    upper: Any
    bounds: str
    is_empty: bool
    def __init__(self, lower: Any = None, upper: Any = None, bounds: str = "[)", is_empty: bool = False) -> None: ...
    def __eq__(self, other: object) -> bool: ...
    __hash__ = None  # type: ignore[assignment]  # as in typeshed: __eq__ without __hash__
