# The connection beneath pg8000.dbapi and pg8000.legacy. Left out: the message handlers and the senders, which are
# public by name only.
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from socket import socket
from ssl import SSLContext
from types import TracebackType
from typing import IO, Any, Final

from typing_extensions import Self

ver: str
IDLE: Final = b"I"
IN_TRANSACTION: Final = b"T"
IN_FAILED_TRANSACTION: Final = b"E"

class Context:
    statement: str | None
    rows: list[list[Any]] | None
    row_count: int
    columns: list[dict[str, Any]] | None
    stream: IO[Any] | Iterable[str | bytes] | None
    input_funcs: Sequence[Callable[[str], Any]]
    error: Exception | None
    def __init__(
        self,
        statement: str | None,
        stream: IO[Any] | Iterable[str | bytes] | None = None,
        columns: list[dict[str, Any]] | None = None,
        input_funcs: Sequence[Callable[[str], Any]] | None = None,
    ) -> None: ...

class CoreConnection:
    notifications: deque[tuple[int, str, str]]
    notices: deque[dict[bytes, bytes]]
    parameter_statuses: dict[str, str]
    user: bytes | bytearray
    password: bytes | None
    pg_types: dict[int, Callable[[str], Any]]
    py_types: dict[type[Any], Callable[[Any], str | None]]
    # private, and the only way to see the link and the transaction
    _usock: socket | None
    _sock: IO[bytes] | None
    _transaction_status: bytes | None
    def __init__(
        self,
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
    ) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def register_out_adapter(self, typ: type[Any], out_func: Callable[[Any], str | None]) -> None: ...
    def register_in_adapter(self, oid: int, in_func: Callable[[str], Any]) -> None: ...
    def close(self) -> None: ...
    def execute_simple(self, statement: str) -> Context: ...
    def execute_unnamed(
        self,
        statement: str,
        vals: Iterable[Any] = (),
        oids: Sequence[int] = (),
        stream: IO[Any] | Iterable[str | bytes] | None = None,
    ) -> Context: ...
    def prepare_statement(
        self, statement: str, oids: Sequence[int] | None = None
    ) -> tuple[bytes, list[dict[str, Any]] | None, Sequence[Callable[[str], Any]]]: ...
    def execute_named(
        self,
        statement_name_bin: bytes,
        params: Iterable[str | None],
        columns: list[dict[str, Any]] | None,
        input_funcs: Sequence[Callable[[str], Any]],
        statement: str,
    ) -> Context: ...
    def close_prepared_statement(self, statement_name_bin: bytes) -> None: ...
