"""The real drivers that tests are run over: what each is called, how it connects, what its SQL looks like."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any, Literal

import pytest

from .mariadb import MariaDBServer
from .postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from .process import PrivateServer

__all__ = ["DRIVERS", "Driver", "LiveDriver", "Via", "driver_params", "left_out"]

Via = Literal["tcp", "socket"]


@dataclasses.dataclass(frozen=True)
class Driver:
    """A driver as tests see it; *server* is the fixture that its server comes from."""

    name: str
    module_name: str
    install: str
    server: Literal["postgres", "mariadb"]
    session_id_sql: str
    slow_sql: str
    keywords: dict[str, str]
    """What this driver calls the plain values of a server."""
    extra: dict[str, Any]
    placeholder: str = "%s"
    autocommit_keyword: bool = True
    """Whether `connect` knows `autocommit`; it is an attribute of the connection otherwise."""
    socket_file: str = ""
    """The file in the server's socket directory, for a driver that wants the socket itself."""

    @property
    def server_class(self) -> type[PrivateServer]:
        """The class of its server."""
        return PostgresServer if self.server == "postgres" else MariaDBServer

    def missing(self) -> str | None:
        """Return why this driver or its server is not here and how to get it, or None; import nothing."""
        # Of a submodule `find_spec` would import the package, and raise where there is none.
        if importlib.util.find_spec(self.module_name.partition(".")[0]) is None:
            return f"{self.name} is not installed: {self.install}"
        return self.server_class.missing()

    def module(self) -> ModuleType:
        """Return the driver's module; the test is skipped where it cannot be imported."""
        try:
            return importlib.import_module(self.module_name)
        except ImportError as error:
            pytest.skip(f"{self.name} cannot be imported ({error}): {self.install}")

    def slow(self, seconds: float) -> str:
        """Return the SQL that keeps the server busy for that many *seconds*."""
        return self.slow_sql.format(seconds)

    def connect_kwargs(self, server: PrivateServer, port: int | None = None, via: Via = "tcp") -> dict[str, Any]:
        """Return what `connect` wants for *server*; *port* may be that of a proxy in front of it."""
        plain = server.connect_kwargs
        if port is not None:
            plain["port"] = port
        if self.socket_file:
            plain["socket"] += "/" + self.socket_file.format(port=plain["port"])
        unwanted = "socket" if via == "tcp" else "host"
        return {word: plain[name] for name, word in self.keywords.items() if name != unwanted} | self.extra


_LIBPQ: dict[str, Any] = {
    "install": "pip install 'psycopg[binary]' psycopg2-binary",
    "server": "postgres",
    "session_id_sql": "select pg_backend_pid()",
    "slow_sql": "select pg_sleep({})",
    "keywords": {"host": "host", "socket": "host", "port": "port", "user": "user", "database": "dbname"},
    "extra": {"gssencmode": "disable", "sslmode": "disable", "connect_timeout": 10},
}
_MYSQL: dict[str, Any] = {
    "server": "mariadb",
    "session_id_sql": "select connection_id()",
    "slow_sql": "select sleep({})",
    "keywords": {
        "host": "host",
        "socket": "unix_socket",
        "port": "port",
        "user": "user",
        "password": "password",
        "database": "database",
    },
}
_BUILD_TOOLS = "apt-get install gcc pkg-config python3-dev"

DRIVERS = (
    Driver("psycopg", "psycopg", **_LIBPQ | {"install": "pip install 'psycopg[binary]'"}),
    Driver(
        "psycopg2",
        "psycopg2",
        **_LIBPQ | {"install": "pip install psycopg2-binary", "autocommit_keyword": False},
    ),
    # PyMySQL spends 20 to 40 ms on loading certificates otherwise.
    Driver("pymysql", "pymysql", "pip install PyMySQL", **_MYSQL, extra={"ssl_disabled": True}),
    Driver(
        "mysqlclient",
        "MySQLdb",
        f"{_BUILD_TOOLS} libmariadb-dev; pip install mysqlclient",
        **_MYSQL,
        extra={"ssl_mode": "DISABLED"},
    ),
    Driver(
        "pg8000",
        "pg8000.dbapi",
        **_LIBPQ
        | {
            "install": "pip install pg8000",
            "keywords": {"host": "host", "socket": "unix_sock", "port": "port", "user": "user", "database": "database"},
            "extra": {"ssl_context": False},
        },
        autocommit_keyword=False,
        socket_file=".s.PGSQL.{port}",
    ),
    Driver(
        "pgdb",
        "pgdb",
        **_LIBPQ
        | {
            "install": f"{_BUILD_TOOLS} libpq-dev; pip install PyGreSQL",
            "keywords": {"host": "host", "socket": "host", "port": "port", "user": "user", "database": "database"},
        },
        autocommit_keyword=False,
    ),
    Driver(
        "mariadb",
        "mariadb",
        f"{_BUILD_TOOLS} libmariadb-dev; pip install mariadb",
        **_MYSQL,
        extra={"read_timeout": 30},  # it waits in C with the lock of the interpreter, and would hang for ever
        placeholder="?",
    ),
)
"""All drivers of the fixture `driver`."""


@dataclasses.dataclass(frozen=True)
class LiveDriver:
    """A driver with its module and its running server."""

    driver: Driver
    module: ModuleType
    server: PrivateServer

    @property
    def name(self) -> str:
        """What the driver is called on the package index, in lower case."""
        return self.driver.name

    @property
    def placeholder(self) -> str:
        """What stands for a parameter in SQL."""
        return self.driver.placeholder

    @property
    def session_id_sql(self) -> str:
        """The SQL that asks for the number of the session."""
        return self.driver.session_id_sql

    def slow(self, seconds: float) -> str:
        """Return the SQL that keeps the server busy for that many *seconds*."""
        return self.driver.slow(seconds)

    def connect_kwargs(self, *, via: Via = "tcp", port: int | None = None, **more: Any) -> dict[str, Any]:
        """Return what `module.connect` wants; *more* comes on top, or instead."""
        return self.driver.connect_kwargs(self.server, port, via) | more

    def connect(self, *, via: Via = "tcp", port: int | None = None, **more: Any) -> Any:
        """Return a new raw connection, independent of all others; the caller closes it.

        *more* are keywords of the driver's; `autocommit` is understood for all drivers.
        """
        late = {} if self.driver.autocommit_keyword else {"autocommit": more.pop("autocommit", False)}
        con = self.module.connect(**self.connect_kwargs(via=via, port=port, **more))
        for name, value in late.items():
            setattr(con, name, value)
        return con

    def creator(self, *, via: Via = "tcp", port: int | None = None, **more: Any) -> Callable[[], Any]:
        """Return a function without parameters that opens a new raw connection at each call."""
        return lambda: self.connect(via=via, port=port, **more)

    def session_id(self, con: Any) -> int:
        """Ask the server for the number of *con*'s session.

        This is a use like any other: without autocommit it opens a transaction on PostgreSQL.
        """
        with contextlib.closing(con.cursor()) as cursor:
            cursor.execute(self.session_id_sql)
            return int(cursor.fetchone()[0])

    def kill(self, session_id: int) -> None:
        """End that session from the server's side; when this returns, its socket is closed."""
        self.server.kill_backend(session_id)


def driver_params(*names: str) -> list[Any]:
    """Return parameters for the fixture `driver`, of the drivers of these *names* or of all.

    To run a test over some of them only:
    `@pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2"), indirect=True)`.
    """
    table = {driver.name: driver for driver in DRIVERS}
    return [pytest.param(table[name], id=name, marks=pytest.mark.server) for name in names or table]


def left_out() -> list[str]:
    """Return a sentence for each driver and server that is not here, with the way to get it."""
    reasons = [server.missing() for server in (PostgresServer, MariaDBServer)]
    reasons += [driver.missing() for driver in DRIVERS]
    return list(dict.fromkeys(reason for reason in reasons if reason is not None))
