"""The fixtures that lend a test a running server, a proxy in front of it, a driver, a table."""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest

from .drivers import LiveDriver, driver_params, left_out
from .mariadb import MariaDBServer
from .postgres import PostgresServer
from .process import PrivateServer, known
from .proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "driver",
    "maria_proxy",
    "mariadb",
    "mariadb_tls",
    "nothing_left",
    "pg_proxy",
    "postgres",
    "postgres_tls",
    "proxy_for",
    "pytest_collection_modifyitems",
    "pytest_report_header",
    "pytest_terminal_summary",
    "rows",
    "servers_run_again",
    "table",
]

IN_THE_DEFAULT_RUN = frozenset({"psycopg", "pymysql"})
"""The drivers of the live tests in a run without `-m`."""

_numbers = itertools.count(1)
_lent: list[PrivateServer] = []


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """Check at the end of the run that no server of ours is left, neither its processes nor its directory."""
    yield
    left = [f"{server!r} in {server.home}" for server in known]
    left += [str(server.home) for server in _lent if server.home.exists()]
    left += [process for server in _lent for process in _processes_in(str(server.home))]
    assert not left, f"left over by the servers of this run: {left}"


def _processes_in(home: str) -> list[str]:
    import psutil

    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        if home in command and process.pid != os.getpid():
            found.append(f"{process.pid}: {command}")
    return found


def _lend(server_class: Callable[[], PrivateServer]) -> Iterator[Any]:
    server = server_class()  # skips the test where it is not installed
    _lent.append(server)
    try:
        server.start()
        yield server
    finally:
        server.destroy()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Lend a running PostgreSQL; it starts when the first test asks for it."""
    yield from _lend(PostgresServer)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDBServer]:
    """Lend a running MariaDB; it starts when the first test asks for it."""
    yield from _lend(MariaDBServer)


@pytest.fixture(scope="session")
def postgres_tls() -> Iterator[PostgresServer]:
    """Lend a running PostgreSQL that takes encrypted connections."""
    yield from _lend(lambda: PostgresServer(tls=True))


@pytest.fixture(scope="session")
def mariadb_tls() -> Iterator[MariaDBServer]:
    """Lend a running MariaDB that takes encrypted connections."""
    yield from _lend(lambda: MariaDBServer(tls=True))


@pytest.fixture(autouse=True)
def servers_run_again() -> Iterator[None]:
    """After each test, start again what it stopped, killed or froze."""
    yield
    for server in _lent:
        if server in known:  # not one that failed to start
            server.ensure_running()


@pytest.fixture
def proxy_for() -> Iterator[Callable[[PrivateServer], TcpProxy]]:
    """Lend a function that puts a new, running proxy in front of a server."""
    with contextlib.ExitStack() as proxies:
        yield lambda server: proxies.enter_context(TcpProxy(server.port, server.reply_complete))


@pytest.fixture
def pg_proxy(postgres: PostgresServer, proxy_for: Callable[[PrivateServer], TcpProxy]) -> TcpProxy:
    """Lend a running proxy in front of PostgreSQL."""
    return proxy_for(postgres)


@pytest.fixture
def maria_proxy(mariadb: MariaDBServer, proxy_for: Callable[[PrivateServer], TcpProxy]) -> TcpProxy:
    """Lend a running proxy in front of MariaDB."""
    return proxy_for(mariadb)


@pytest.fixture(params=driver_params())
def driver(request: pytest.FixtureRequest) -> LiveDriver:
    """Lend each real driver in turn, with its server running."""
    module = request.param.module()
    return LiveDriver(request.param, module, request.getfixturevalue(request.param.server))


@pytest.fixture
def table(driver: LiveDriver) -> Iterator[str]:
    """Lend the name of a new table `(id integer primary key, note varchar(100))` on the driver's server."""
    name = f"t_{next(_numbers)}"
    driver.server.create_table(name)
    yield name
    driver.server.ensure_running()
    driver.server.drop_table(name)


@pytest.fixture
def rows(driver: LiveDriver) -> Callable[[str], list[tuple[Any, ...]]]:
    """Lend a function that reads the committed rows of a table through an independent connection."""
    return driver.server.rows


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for a server, and leave all but one driver of each server to CI.

    `-m "not server"` leaves out the first, the default run the second: it is one that a person waits for.
    """
    for item in items:
        if {"postgres", "mariadb"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.server)
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "driver" in params and getattr(params["driver"], "name", "") not in IN_THE_DEFAULT_RUN:
            item.add_marker(pytest.mark.slow)


def pytest_report_header() -> list[str]:
    """Name the drivers and servers that this run goes without."""
    return [f"left out: {reason}" for reason in left_out()] or ["servers and drivers: all here"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it again where it is seen: at the end, and with -q too."""
    for reason in left_out():
        terminalreporter.write_line(f"left out of this run: {reason}", yellow=True)
