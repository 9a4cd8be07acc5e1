"""The rest of the fault kit that ships (X10): the clock, the cutter, the plugin for pytest, and the page about all."""

from __future__ import annotations

import concurrent.futures
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from persistentdb import PersistentDB
from persistentdb.backoff import Backoff
from persistentdb.drivers import UNKNOWN, profile_of
from persistentdb.outage import Outage
from persistentdb.testing import FakeClock, FakeServer, TcpCutter, fake
from persistentdb.testing._known import PROFILE

ROOT = Path(__file__).resolve().parents[1]


# The clock


def test_a_sleep_takes_no_time() -> None:
    """X10: who sleeps puts the clock forward, and goes on at once; what each thread slept is on record."""
    clock, began = FakeClock(100.0), time.monotonic()
    clock.sleep(3600)
    clock.advance(60)
    thread = threading.Thread(target=clock.sleep, args=(1.5,))
    thread.start()
    thread.join()
    assert clock() == 100 + 3600 + 60 + 1.5
    assert clock.sleeps == [3600, 1.5]
    assert (clock.sleeps_of(), clock.sleeps_of(thread)) == ([3600], [1.5])
    assert time.monotonic() - began < 60
    assert repr(clock) == "<FakeClock 3761.5 s>"


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_time_only_goes_forward(seconds: float) -> None:
    """X10: the clock is monotonic; a negative sleep is refused, as by time.sleep."""
    clock = FakeClock()
    for call in (clock.sleep, clock.advance):
        with pytest.raises(ValueError, match="from 0 on"):
            call(seconds)
    condition = threading.Condition()
    with condition, pytest.raises(ValueError, match="from 0 on"):
        clock.wait(condition, seconds)
    assert (clock(), clock.sleeps) == (0, [])


def test_threads_lose_no_time() -> None:
    """X10: sleeps of several threads add up."""
    clock = FakeClock()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: [clock.sleep(1) for _ in range(500)], range(8)))
    assert clock() == len(clock.sleeps) == 4000


def test_a_manual_clock_is_put_forward_by_the_test() -> None:
    """X10: sleepers wait for advance(), each until its time has come."""
    clock = FakeClock(manual=True)
    woken: list[int] = []

    def sleeps(seconds: int) -> None:
        clock.sleep(seconds)
        woken.append(seconds)

    with ThreadPoolExecutor(2) as threads:
        short, long = threads.submit(sleeps, 1), threads.submit(sleeps, 5)
        clock.await_sleepers(2)
        clock.advance(4)
        short.result(5)
        with pytest.raises(concurrent.futures.TimeoutError):
            long.result(0.1)  # it was woken, and went on sleeping
        assert woken == [1]
        assert clock.sleepers == 1
        clock.advance(1)
        long.result(5)
    assert (woken, clock.sleepers, clock()) == ([1, 5], 0, 5)


def test_a_manual_wait_ends_by_notification_or_by_time() -> None:
    """X10: wait() stands in for Condition.wait, and tells whether there is time left."""
    clock, condition = FakeClock(manual=True), threading.Condition()

    def waits() -> bool:
        with condition:
            return clock.wait(condition, 10)

    with ThreadPoolExecutor(1) as threads:
        notified = threads.submit(waits)
        clock.await_sleepers(1)
        with condition:
            condition.notify_all()
        assert notified.result(5) is True
        timed_out = threads.submit(waits)
        clock.await_sleepers(1)
        clock.advance(10)
        assert timed_out.result(5) is False
    assert clock.sleepers == 0


def test_a_test_with_a_clock_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """X10: a sleeper whom nobody wakes, and a test that awaits a sleeper who never comes, get a TimeoutError."""
    monkeypatch.setattr("persistentdb.testing.clock._PATIENCE", 0.01)
    clock = FakeClock(manual=True)
    with pytest.raises(TimeoutError, match="nobody called advance"):
        clock.sleep(1)
    condition = threading.Condition()
    with condition, pytest.raises(TimeoutError, match="nobody called advance"):
        clock.wait(condition, 1)
    with pytest.raises(TimeoutError, match=r"0 threads sleep .* 1 are awaited"):
        clock.await_sleepers(1)


def test_the_clock_serves_an_outage() -> None:
    """X6, X10: a caller's patience through an outage is tested without waiting for it."""
    clock = FakeClock()
    server = FakeServer(clock=clock)
    server.refuse = True
    backoff = Backoff(first=1, limit=4, jitter=0)
    outage = Outage(backoff, give_up_after=10, clock=clock, wait=clock.wait)
    with PersistentDB(server.connect, outage=outage) as persist, pytest.raises(fake.OperationalError):
        persist.connection()
    assert clock.sleeps == [1, 2, 4, 3]
    assert server.attempts == 4
    assert clock() == 10


# The cutter; what it does to real drivers is in test_servers.py and live/test_proxy.py


@pytest.fixture
def echo() -> Iterator[int]:
    """Lend the port of a server that echoes what each client sends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:  # closed: the test is over
                    return
                threading.Thread(target=echoes, args=(client,), daemon=True).start()

        def echoes(client: socket.socket) -> None:
            with client:
                while data := client.recv(1000):
                    client.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_the_cutter_needs_host_and_port_only(echo: int) -> None:
    """X10: it stands in front of any server, and tells where to connect to and what it still waits for."""
    with TcpCutter("localhost", echo) as cutter:
        assert cutter.target == ("localhost", echo)
        trigger = cutter.cut_in_reply(b"needle", size=3)
        assert cutter.waiting == [trigger]
        with socket.create_connection((cutter.host, cutter.port), 5) as client:
            client.sendall(b"hay")
            assert client.recv(10) == b"hay"
            client.sendall(b"NEEDLE")
            assert client.recv(10) == b"NEE"
            assert client.recv(10) == b""
        assert trigger.fired.is_set()
        assert cutter.waiting == []
    assert cutter.waiting == []


def test_the_cutter_needs_the_standard_library_only() -> None:
    """X10: importing it brings nothing but Python's own and this package."""
    code = (
        "import sys; before = set(sys.modules); import persistentdb.testing.cutter; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) - sys.stdlib_module_names == {"attr", "attrs", "persistentdb"}


# The page of the documentation

PAGE = ROOT / "docs" / "testing.md"
ACKNOWLEDGING = """        except CommitOutcomeUnknown:
            raise  # look for this number in the database before anybody tries again
"""


def examples(section: str) -> str:
    """Return the Python examples of a section of the page."""
    text = PAGE.read_text("utf-8").partition(f"## {section}\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def users_code(source: str) -> dict[str, Any]:
    """Return the names that a source defines."""
    names: dict[str, Any] = {}
    exec(compile(source, str(PAGE), "exec"), names)  # noqa: S102  our own page
    return names


MOMENTS = {"before": (FakeServer.lose_before, 0), "after": (FakeServer.lose_after, 1)}
MISTAKES: dict[str, tuple[str, str, str]] = {
    "an unknown outcome is tried again": (ACKNOWLEDGING, "", "test_a_commit_in_doubt_is_told"),
    "it is sold twice": (
        "                return db",
        "                db.cursor().execute('insert into sale values (2, 2)')\n                return db",
        "test_a_lost_statement_is_repeated",
    ),
    "nothing is tried again": ("            continue", "            raise", "test_a_lost_statement_is_repeated"),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_examples_find_mistakes(mistake: str, moment: str) -> None:
    """X10: the tests that the page shows pass for the code that it shows, and fail for three careless versions."""
    right, wrong, finder = MISTAKES[mistake]
    source, (lose, sold) = examples("In twenty lines"), MOMENTS[moment]
    assert source.count(right) == 1
    for text, found in ((source, False), (source.replace(right, wrong), True)):
        names = users_code(text)
        arguments = (lose, [names["INSERT"]] * sold) if finder.startswith("test_a_commit") else (lose,)
        if found:
            with pytest.raises((AssertionError, fake.OperationalError, pytest.fail.Exception)):
                names[finder](*arguments)
        else:
            names[finder](*arguments)


def test_the_example_for_a_real_driver(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """X10: what the page shows of the cutter works with psycopg and a real server."""
    psycopg = pytest.importorskip("psycopg", reason="pip install psycopg[binary]")
    for name in ("user", "password", "database"):
        monkeypatch.setenv(f"PG{name.upper()}", getattr(postgres, name))
    with psycopg.connect(host=postgres.host, port=postgres.port, autocommit=True) as admin:
        admin.execute("create table sale (number integer, item text)")
        try:
            names = users_code(examples("In twenty lines") + examples("A real driver and server"))
            with ExitStack() as cutters:
                names["test_a_real_commit_in_doubt"](
                    lambda host, port: cutters.enter_context(TcpCutter(postgres.host, postgres.port))
                )
        finally:
            admin.execute("drop table sale")


# The plugin


def test_the_fixtures_are_there(
    persistentdb_fake_server: FakeServer,
    persistentdb_known_server: FakeServer,
    persistentdb_fake_clock: FakeClock,
    persistentdb_tcp_cutter: Callable[[str, int], TcpCutter],
    echo: int,
) -> None:
    """X10: a new server of each kind, on the clock of the test, and a running cutter."""
    for server, profile in ((persistentdb_fake_server, UNKNOWN), (persistentdb_known_server, PROFILE)):
        server.silent = True
        with pytest.raises(fake.OperationalError):
            server.connect()
        server.start()
        connection = server.connect()
        assert profile_of(connection) is profile
        connection.close()
    assert persistentdb_fake_clock() == 10
    cutter = persistentdb_tcp_cutter("127.0.0.1", echo)
    with socket.create_connection((cutter.host, cutter.port), 5) as client:
        client.sendall(b"hay")
        assert client.recv(10) == b"hay"


USERS_TESTS = """
import pytest

def test_fires(persistentdb_fake_server):
    persistentdb_fake_server.lose_before("commit")
    with pytest.raises(Exception):
        persistentdb_fake_server.connect().commit()

def test_never_fires(persistentdb_fake_server):
    persistentdb_fake_server.lose_before("commit")

def test_never_cuts(persistentdb_tcp_cutter):
    persistentdb_tcp_cutter("127.0.0.1", 1).cut_before_request(b"commit")

def test_known(persistentdb_known_server):
    persistentdb_known_server.lose_after("x")
"""

# How the plugin gets to a user's pytest: whether it is installed, and the user's conftest.py.
WAYS = {
    "installed": (True, "", []),
    "installed, and asked for": (True, "pytest_plugins = ['persistentdb.testing.plugin']", []),
    "on the path": (False, "pytest_plugins = ['persistentdb.testing.plugin']", []),
    "on the path, by option": (False, "", ["-p", "persistentdb.testing.plugin"]),
    "installed, and by option": (True, "", ["-p", "persistentdb.testing.plugin"]),
}


IN_THE_DEFAULT_RUN = ("installed, and asked for",)  # the others are left to CI


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=() if way in IN_THE_DEFAULT_RUN else pytest.mark.slow) for way in WAYS]
)
def test_the_plugin_is_loaded_once(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """X10: by the entry point, by `pytest_plugins`, by both; a fault that never happened fails who armed it."""
    installed, conftest, options = WAYS[way]
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_users.py").write_text(USERS_TESTS)
    (tests / "conftest.py").write_text(conftest)
    path = [str(ROOT)]
    if installed:
        path.append(str(installation(tmp_path / "site")))
    monkeypatch.setenv("PYTHONPATH", ":".join(path))
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *options, "."]
    run = subprocess.run(command, cwd=tests, capture_output=True, text=True, check=False)
    assert "4 passed, 3 errors" in run.stdout, run.stdout + run.stderr
    assert run.stdout.count("armed, but it never happened: <Fault BEFORE 'commit' waiting>") >= 1
    assert run.stdout.count("armed, but it never happened: <Trigger BEFORE_REQUEST b'commit' waiting>") >= 1


def installation(site: Path) -> Path:
    """Make what an installation leaves behind for pytest to find: the entry point, as pyproject.toml declares it."""
    declared = (ROOT / "pyproject.toml").read_text("utf-8")
    table = declared.partition("[project.entry-points.pytest11]\n")[2].partition("\n\n")[0]
    assert table, "pyproject.toml declares no entry point for pytest"
    information = site / "persistentdb_of_the_test-0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: persistentdb-of-the-test\nVersion: 0\n")
    (information / "entry_points.txt").write_text("[pytest11]\n" + table.replace('"', "") + "\n")
    return site


def test_only_the_plugin_needs_pytest() -> None:
    """X10: the kit serves any test runner."""
    code = (
        "import sys, pkgutil, importlib, persistentdb.testing\n"
        "names = [module.name for module in pkgutil.iter_modules(persistentdb.testing.__path__)]\n"
        "assert 'plugin' in names\n"
        "for name in set(names) - {'plugin'}: importlib.import_module('persistentdb.testing.' + name)\n"
        "assert 'pytest' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
