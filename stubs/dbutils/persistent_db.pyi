from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Protocol, TypeAlias

from dbutils.steady_db import SteadyDBConnection

__all__ = ["NotSupportedError", "PersistentDB", "PersistentDBError"]

class _Provider(Protocol):
    @property
    def connect(self) -> Callable[..., Any] | ModuleType: ...

_Check: TypeAlias = str | Callable[[Any], object]

class PersistentDBError(Exception): ...
class NotSupportedError(PersistentDBError): ...

class PersistentDB:
    version: str
    thread: Any  # what threadlocal made
    def __init__(
        self,
        creator: _Provider | Callable[..., Any],
        maxusage: int | None = None,
        setsession: Sequence[str] | None = None,
        failures: type[Exception] | tuple[type[Exception], ...] | None = None,
        ping: int | _Check | tuple[int, _Check | None] | None = 1,
        closeable: bool = False,
        threadlocal: Callable[[], Any] | None = None,
        isfatal: Callable[[Exception], object] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None: ...
    def steady_connection(self) -> SteadyDBConnection: ...
    def connection(self, shareable: bool = False) -> SteadyDBConnection: ...
    def dedicated_connection(self) -> SteadyDBConnection: ...
