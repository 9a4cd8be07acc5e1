from collections.abc import Callable, Mapping
from socket import socket
from types import TracebackType
from typing import Any, TypeVar, overload

from typing_extensions import Self

from mariadb._mariadb import connection
from mariadb.cursors import Cursor

_CursorT = TypeVar("_CursorT", bound=Cursor)

class Connection(connection):
    tpc_state: int
    # The positional form is left out: of its first argument, the dsn, only None is taken at run time.
    def __init__(
        self,
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
    ) -> None: ...
    @overload
    def cursor(
        self,
        *,
        buffered: bool = True,
        dictionary: bool = False,
        named_tuple: bool = False,
        cursor_type: int = 0,
        prepared: bool = False,
        binary: bool = False,
    ) -> Cursor: ...
    @overload
    def cursor(self, cursorclass: type[_CursorT], **kwargs: Any) -> _CursorT: ...
    def begin(self) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...
    def kill(self, id: int) -> None: ...
    def select_db(self, new_db: str) -> None: ...
    def get_server_version(self) -> tuple[int, int, int]: ...
    def show_warnings(self) -> list[tuple[str, int, str]] | None: ...

    class xid(tuple[int, str, str]):
        def __new__(  # pyright: ignore[reportSelfClsParameterName]  # so named at run time
            self, format_id: int, transaction_id: str, branch_qualifier: str
        ) -> Self: ...

    def tpc_begin(self, xid: _Xid) -> None: ...
    def tpc_prepare(self) -> None: ...
    def tpc_commit(self, xid: _Xid | None = None) -> None: ...
    def tpc_rollback(self, xid: _Xid | None = None) -> None: ...
    def tpc_recover(self) -> list[tuple[int, int, int, str]]: ...  # as XA RECOVER shows them, not as xid objects
    autocommit: bool
    @property
    def database(self) -> str | None: ...
    @database.setter
    def database(self, schema: str) -> None: ...
    @property
    def open(self) -> bool: ...  # a round trip: it pings
    @property
    def socket(self) -> socket: ...  # owns the connection's descriptor
    @property
    def thread_id(self) -> int: ...
    @property
    def user(self) -> str: ...
    @property
    def character_set(self) -> str: ...
    @property
    def character_set_name(self) -> str: ...
    @property
    def collation(self) -> str: ...
    @property
    def client_capabilities(self) -> int: ...
    @property
    def server_capabilities(self) -> int: ...
    @property
    def extended_server_capabilities(self) -> int: ...
    @property
    def server_info(self) -> str: ...
    @property
    def server_name(self) -> str: ...
    @property
    def server_port(self) -> int: ...
    @property
    def server_status(self) -> int: ...
    @property
    def server_version(self) -> int: ...
    @property
    def server_version_info(self) -> tuple[int, int, int]: ...
    @property
    def unix_socket(self) -> str | None: ...
    @property
    def tls_cipher(self) -> str | None: ...
    @property
    def tls_peer_cert_info(self) -> dict[str, Any] | None: ...
    @property
    def tls_version(self) -> str | None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None: ...

_Xid = Connection.xid
