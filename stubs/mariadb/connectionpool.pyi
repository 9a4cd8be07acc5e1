from typing import Any, Final

from mariadb.connections import Connection

MAX_POOL_SIZE: Final = 64

class ConnectionPool:
    # The keywords beyond the pool's own are those of mariadb.connect.
    def __init__(
        self,
        *args: Any,
        pool_name: str,
        pool_size: int = 5,
        pool_reset_connection: bool = True,
        pool_validation_interval: int = 500,
        **kwargs: Any,
    ) -> None: ...
    pool_reset_connection: bool
    @property
    def connection_count(self) -> int: ...
    @property
    def max_size(self) -> int: ...
    @property
    def pool_name(self) -> str: ...
    @property
    def pool_size(self) -> int: ...
    def add_connection(self, connection: Connection | None = None) -> Connection: ...
    def get_connection(self) -> Connection: ...
    def set_config(self, **kwargs: Any) -> None: ...
    def close(self) -> None: ...
