"""Outages of real servers: stopped and started under many threads, silent, refusing; what each driver says of them."""

from __future__ import annotations

import contextlib
import gc
import itertools
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from attrs import define, field
from servers import LiveDriver, PostgresServer, TcpProxy, driver_params, wait_until

from persistentdb import (
    Backoff,
    CommitOutcomeUnknown,
    MaskPing,
    Outage,
    PersistentDB,
    ServerUnavailable,
    TransactionLost,
)

from .deeds import Rows, insert, numbers, run

pytestmark = pytest.mark.server

SECONDS = pytest.mark.parametrize("seconds", [2, pytest.param(10, marks=pytest.mark.slow)])
CROWDS = pytest.mark.parametrize(
    ("driver", "crowd"),
    [
        pytest.param(*param.values, crowd, id=param.id, marks=[*param.marks, *marks])
        for crowd, name, marks in ((64, "psycopg", []), (16, "pymysql", [pytest.mark.slow]))
        for param in driver_params(name)
    ],
    indirect=["driver"],
)
PACE = 0.02
"""Seconds between two pieces of a thread's work: that of a program that has something else to do, too."""

MARGIN = 1.5
"""Seconds for opening as many connections as there are threads, on a machine that does other things, too."""

ProxyFor = Callable[[Any], TcpProxy]


@define
class Creator:
    """Connects, and remembers when it was tried, what went wrong, and how many tried at once."""

    way: Callable[[], Any]
    began: list[float] = field(factory=list)
    errors: list[BaseException] = field(factory=list)
    most: int = 0
    _running: int = 0
    _lock: threading.Lock = field(factory=threading.Lock)

    def __call__(self) -> Any:
        """Make an attempt."""
        with self._lock:
            self.began.append(time.monotonic())
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            return self.way()
        except BaseException as error:
            self.errors.append(error)
            raise
        finally:
            with self._lock:
                self._running -= 1


@define
class Worker:
    """A thread's log.

    Attributes:
        done: The numbers of the rows that were committed, and when.
        unknown: The numbers of those whose commit had an unknown outcome.
        lost: What was raised by a transaction that was lost under way.
        refused: What was raised for want of a connection, when, and how many seconds it took to be.
    """

    done: dict[int, float] = field(factory=dict)
    unknown: list[int] = field(factory=list)
    lost: list[BaseException] = field(factory=list)
    refused: list[tuple[BaseException, float, float]] = field(factory=list)


def work(
    persist: PersistentDB[Any], creator: Creator, table: str, keys: Iterator[int], stop: threading.Event
) -> Worker:
    """Write a row at a time, in transactions, until it is told to stop; any other error than those expected ends it."""
    log = Worker()
    number = next(keys)
    while not stop.wait(PACE):
        began = time.monotonic()
        try:
            with persist.connection().transaction() as db:
                run(db, insert(table, number))
        except CommitOutcomeUnknown:
            log.unknown.append(number)
        except (ServerUnavailable, TransactionLost, *creator_errors(persist)) as error:
            if isinstance(error, ServerUnavailable) or error in creator.errors:
                log.refused.append((error, time.monotonic(), time.monotonic() - began))
            else:
                log.lost.append(error)
            continue  # certainly not committed: the same row once more
        else:
            log.done[number] = time.monotonic()
        number = next(keys)
    return log


def creator_errors(persist: PersistentDB[Any]) -> tuple[type[Exception], ...]:
    """Return the classes of a driver's errors, found as its users find them."""
    return (persist._terms.gate._stands_for or Exception,)


def most_attempts(outage: Outage, seconds: float) -> int:
    """Return how many attempts can begin in an outage of so many seconds, by the back-off's arithmetic."""
    shortest = Backoff(
        outage.backoff.first, outage.backoff.limit, outage.backoff.factor, outage.backoff.jitter, lambda: 1
    )
    begins = itertools.accumulate(shortest.pause(failures) for failures in itertools.count(1))
    return outage.simultaneous + sum(1 for _ in itertools.takewhile(lambda begin: begin <= seconds, begins))


def most_refusals(outage: Outage, seconds: float) -> float:
    """Return how often a thread can be refused: once a round, until the longest pause after the server's return ends.

    Args:
        outage: The rules.
        seconds: How long the server was away.
    """
    return (seconds + outage.backoff.limit + MARGIN) / PACE + 1


def told(outage: Outage, attempts: int, away: float, recovered: float, logs: list[Worker]) -> str:
    """Return the figures of an outage; `pytest -rP` shows them.

    Args:
        outage: The rules.
        attempts: How many attempts to connect were made while the server was down.
        away: For how many seconds it was down.
        recovered: How many seconds after its return all threads had a connection.
        logs: What happened to each thread.
    """
    refusals = sorted(len(log.refused) for log in logs)
    losses = [len(log.lost) + len(log.unknown) for log in logs]
    slowest = max(took for log in logs for *_, took in log.refused)
    return (
        f"{len(logs)} threads, the server down for {away:.1f} s:\n"
        f"attempts to connect: {attempts}, {attempts / away:.1f} a second (at most {most_attempts(outage, away)})\n"
        f"errors of a thread: {max(losses)} at most for work that was under way, "
        f"{refusals[0]} to {refusals[-1]} refusals, each within {1000 * slowest:.0f} ms\n"
        f"all threads connected again: {recovered:.2f} s after its return (at most {outage.backoff.limit + MARGIN} s)"
    )


@CROWDS
@SECONDS
def test_many_threads_through_an_outage(driver: LiveDriver, table: str, rows: Rows, seconds: float, crowd: int) -> None:
    """X6, X1: few attempts, quick errors, all back soon, nothing lost or doubled, a session a thread."""
    creator = Creator(driver.creator())
    outage = Outage()
    keys, stop = itertools.count(), threading.Event()
    with PersistentDB(creator, outage=outage) as persist, ThreadPoolExecutor(crowd) as pool:
        everybody = [pool.submit(work, persist, creator, table, keys, stop) for _ in range(crowd)]
        try:
            driver.server.await_sessions(crowd, 20)
            down = time.monotonic()
            driver.server.stop()
            stopped = time.monotonic()
            stop.wait(seconds)
            up_soon = time.monotonic()
            driver.server.start()
            back = time.monotonic()
            wait_until(lambda: driver.server.sessions() == crowd, "all threads to have a session again", 20)
            recovered = time.monotonic() - back
            stop.wait(0.2)
        finally:
            stop.set()
        logs = [one.result(20) for one in everybody]
        driver.server.await_sessions(crowd)
    attempts = sum(down <= when <= up_soon for when in creator.began)
    print(told(outage, attempts, up_soon - down, recovered, logs))  # noqa: T201  for -rP
    assert outage.simultaneous <= attempts <= most_attempts(outage, up_soon - down)
    assert creator.most <= outage.simultaneous
    assert recovered <= outage.backoff.limit + MARGIN
    assert all(max(log.done.values()) > back for log in logs)
    assert all(len(log.lost) + len(log.unknown) <= 1 for log in logs), "once each when the server went, none thereafter"
    refused = [one for log in logs for one in log.refused]
    assert all(0 < len(log.refused) <= most_refusals(outage, back - down) for log in logs)
    assert max(when for _, when, _ in refused) <= back + outage.backoff.limit + MARGIN
    assert max(took for *_, took in refused) < 2
    assert all(isinstance(error, driver.module.OperationalError) for error, *_ in refused)
    assert len([error for error, *_ in refused if not isinstance(error, ServerUnavailable)]) == len(creator.errors)
    written = numbers(rows, table)
    acknowledged = {number for log in logs for number in log.done}
    assert len(written) == len(set(written))
    assert acknowledged <= set(written) <= acknowledged | {number for log in logs for number in log.unknown}
    assert stopped - down < seconds + 20


@CROWDS
@SECONDS
def test_many_threads_wait_an_outage_out(
    driver: LiveDriver, table: str, rows: Rows, seconds: float, crowd: int
) -> None:
    """X6, X1: with a give-up time that is longer than the outage no thread sees an error at all."""
    creator = Creator(driver.creator())
    outage = Outage(give_up_after=30)
    between = threading.Barrier(crowd + 1)

    def twice(number: int) -> float:
        with persist.connection().transaction() as db:
            run(db, insert(table, number))
        between.wait(20)  # all have a connection, and no transaction
        between.wait(20)  # the server is down
        with persist.connection().transaction() as db:
            run(db, insert(table, number + crowd))
        return time.monotonic()

    with PersistentDB(creator, outage=outage) as persist, ThreadPoolExecutor(crowd) as pool:
        everybody = [pool.submit(twice, number) for number in range(crowd)]
        between.wait(20)
        driver.server.stop()
        down = time.monotonic()
        between.wait(20)
        threading.Event().wait(seconds)
        up_soon = time.monotonic()
        driver.server.start()
        back = time.monotonic()
        finished = [one.result(40) for one in everybody]
        driver.server.await_sessions(crowd)
    assert numbers(rows, table) == list(range(2 * crowd))
    assert max(finished) - back <= outage.backoff.limit + MARGIN
    attempts = sum(down <= when <= up_soon for when in creator.began)
    assert 1 < attempts <= most_attempts(outage, up_soon - down)
    assert creator.most <= outage.simultaneous


# A server that says nothing any more


def paths(driver: LiveDriver, *ports: int | None, **more: Any) -> Callable[[], Any]:
    """Return a creator that connects through each of the ports in turn, and through the last one from then on."""
    way = itertools.chain(ports, itertools.repeat(ports[-1]))
    return lambda: driver.connect(port=next(way), **more)


# What bounds an attempt to connect, and seconds: libpq takes 1 for 2. PyMySQL's connect_timeout ends with TCP's part.
CONNECT_TIMEOUTS: dict[str, dict[str, int]] = {
    "psycopg": {"connect_timeout": 2},
    "psycopg2": {"connect_timeout": 2},
    "pgdb": {"connect_timeout": 2},
    "pg8000": {"timeout": 1},
    "pymysql": {"connect_timeout": 1, "read_timeout": 1},
    "mysqlclient": {"connect_timeout": 1},
    "mariadb": {"connect_timeout": 1},
}


def test_a_ping_is_not_kept_waiting(driver: LiveDriver, proxy_for: ProxyFor) -> None:
    """X6, C9: no answer is waited for longer than `MaskPing.timeout`, then there is a new session."""
    proxy = proxy_for(driver.server)
    ping = MaskPing(1, window=0, timeout=0.3)
    with PersistentDB(paths(driver, proxy.port, None), ping=ping) as persist:
        db = persist.connection()
        before = driver.session_id(db)
        db.rollback()
        proxy.freeze()
        began = time.monotonic()
        assert persist.connection() is db
        took = time.monotonic() - began
        assert 0.3 <= took < 1.3
        assert driver.session_id(db) != before
        db.rollback()


def test_a_doubt_is_not_kept_waiting_either(driver: LiveDriver, proxy_for: ProxyFor) -> None:
    """X6: one connection that was lost makes the others look, however fresh they are, and that is bounded, too."""
    proxy = proxy_for(driver.server)
    ping = MaskPing(1, window=1e9, timeout=0.3)
    with PersistentDB(paths(driver, proxy.port, None), ping=ping) as persist:
        silent, killed = persist.steady_connection(), persist.steady_connection()
        before = driver.session_id(silent)
        session = driver.session_id(killed)
        silent.rollback()
        killed.rollback()
        proxy.freeze()
        driver.kill(session)
        killed.requested()
        began = time.monotonic()
        silent.requested()
        assert 0.3 <= time.monotonic() - began < 1.3
        assert driver.session_id(silent) != before
        silent.close()
        killed.close()


def test_a_reopening_is_bounded_and_others_are_not_kept_waiting(driver: LiveDriver, proxy_for: ProxyFor) -> None:
    """X6: an attempt lasts as long as the driver's own time-out; whoever waits for a turn gives up by its own bound."""
    bounds = CONNECT_TIMEOUTS[driver.name]
    longest = max(bounds.values())
    proxy = proxy_for(driver.server)
    creator = Creator(paths(driver, proxy.port, **bounds))
    outage = Outage(Backoff(first=60, limit=60, jitter=0), simultaneous=1, turn_timeout=0.3)
    with PersistentDB(creator, ping=MaskPing(1, window=0, timeout=0.3), outage=outage) as persist:
        stuck, other = persist.steady_connection(), persist.steady_connection()
        proxy.freeze()
        with ThreadPoolExecutor(1) as pool:
            began = time.monotonic()
            opening = pool.submit(stuck.requested)
            wait_until(lambda: len(creator.began) == 3, "the attempt to begin")
            asked = time.monotonic()
            with pytest.raises(ServerUnavailable) as early:
                other.requested()
            assert 0.3 <= time.monotonic() - asked < 1.5
            assert isinstance(early.value, driver.module.OperationalError)
            assert early.value.__cause__ is None
            error = opening.exception(20)
            assert time.monotonic() - began < 0.3 + longest + 1
        assert [error] == creator.errors
        asked = time.monotonic()
        with pytest.raises(ServerUnavailable) as late:
            other.requested()
        assert time.monotonic() - asked < 0.2
        assert late.value.__cause__ is error
        stuck.close()
        other.close()


# What is an outage, by each driver's own words


def twice(creator: Creator, driver: LiveDriver, **rules: Any) -> tuple[BaseException, BaseException]:
    """Return what two requests for a connection raise, one after the other."""
    errors = []
    with PersistentDB(creator, outage=Outage(Backoff(first=60, limit=60), **rules)) as persist:
        for _ in range(2):
            with pytest.raises((driver.module.Error, OSError, ServerUnavailable)) as caught:
                persist.connection()
            errors.append(caught.value)
    return errors[0], errors[1]


@pytest.mark.parametrize("via", ["tcp", "socket"])
def test_a_server_that_is_down_is_an_outage(driver: LiveDriver, proxy_for: ProxyFor, via: Any) -> None:
    """X6: the first caller has the driver's error, the next one fails fast, in the driver's stead."""
    proxy = proxy_for(driver.server)
    proxy.refuse()
    # The file of a unix socket has the port in its name, or the directory is another one.
    way: dict[str, Any] = {"via": via, "port": proxy.port}
    if via == "socket" and not isinstance(driver.server, PostgresServer):
        way["unix_socket"] = f"{driver.server.socket}-gone"
    creator = Creator(driver.creator(**way))
    first, second = twice(creator, driver)
    assert creator.errors == [first]
    assert isinstance(second, ServerUnavailable)
    assert second.__cause__ is first
    del creator, first, second
    with warnings.catch_warnings():  # pg8000 leaves the unix socket of an attempt that failed to the garbage collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def strangers(driver: LiveDriver) -> Iterator[dict[str, dict[str, Any]]]:
    """Lend arguments for `connect` that the server refuses: by their name, what is wrong with them."""
    database = next(word for word in ("database", "dbname") if word in driver.connect_kwargs())
    wrong: dict[str, dict[str, Any]] = {"user": {"user": "stranger"}, "database": {database: "nowhere"}}
    server = driver.server
    if not isinstance(server, PostgresServer):
        yield wrong | {"password": {"password": "wrong"}, "no password": {"password": ""}}
        return
    rules = server.home / "data" / "pg_hba.conf"
    before = rules.read_text()
    server.query("drop role if exists careful")
    server.query("create role careful login password 'right'")
    try:
        rules.write_text(f"host all careful 127.0.0.1/32 scram-sha-256\nhost all banned 127.0.0.1/32 reject\n{before}")
        server.query("select pg_reload_conf()")
        wait_until(lambda: _refused(server, user="banned"), "the new rules to hold")
        wrong |= {"password": {"user": "careful", "password": "wrong"}, "address": {"user": "banned"}}
        yield wrong
    finally:
        rules.write_text(before)
        server.query("select pg_reload_conf()")
        server.query("drop role careful")


def _refused(server: PostgresServer, **arguments: Any) -> bool:
    psycopg = pytest.importorskip("psycopg")
    try:
        psycopg.connect(server.dsn, **arguments).close()
    except psycopg.OperationalError as error:
        return "pg_hba.conf" in str(error)
    return False


def test_a_mistake_is_no_outage(driver: LiveDriver, strangers: dict[str, dict[str, Any]]) -> None:
    """X6: a wrong user, password, database or address is raised at once, each time, however long one would wait."""
    for what, arguments in strangers.items():
        creator = Creator(driver.creator(**arguments))
        began = time.monotonic()
        first, second = twice(creator, driver, give_up_after=60)
        assert creator.errors == [first, second], what
        assert time.monotonic() - began < 5, what


@pytest.mark.parametrize("driver", driver_params("psycopg", "psycopg2", "pg8000", "pgdb"), indirect=True)
def test_a_server_that_is_full_is_away(driver: LiveDriver) -> None:
    """X6: "too many connections" passes: it is waited for."""
    driver.server.query("drop role if exists lonely")
    driver.server.query("create role lonely login connection limit 1")
    try:
        with contextlib.closing(driver.connect(user="lonely")):
            creator = Creator(driver.creator(user="lonely"))
            first, second = twice(creator, driver)
            assert creator.errors == [first]
            assert isinstance(second, ServerUnavailable)
        wait_until(lambda: driver.server.sessions() == 0, "the only one to be gone")
        with PersistentDB(driver.creator(user="lonely")) as persist:
            run(persist.connection(), "select 1")
        driver.server.await_sessions(0)
    finally:
        driver.server.query("drop role lonely")
