"""Sessions under TLS, with a certificate of our own making: they are lost otherwise than plain ones (C5, X1, X2)."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from servers import LiveDriver, TcpProxy, driver_params, wait_until

from persistentdb import CommitOutcomeUnknown, MaskPing, PersistentDB, TransactionLost, Verdict
from persistentdb.drivers import profile_of

from .deeds import Persist, Rows, insert, kill, losses, meanwhile, notes, numbers, run, session_of, write
from .test_losses import Counter
from .test_profiles import busy, profile_and_look
from .test_proxy import MANY, NOT_RESENT, SERIES

pytestmark = pytest.mark.server

APPLICATION_DATA = b"\x17\x03\x03"
"""How each record begins that is neither handshake nor alert: all that a proxy can tell of a request."""


def libpq(authority: str) -> dict[str, Any]:
    """Return the keywords of the drivers over libpq."""
    return {"sslmode": "verify-full", "sslrootcert": authority}


SECURED: dict[str, Callable[[str], dict[str, Any]]] = {
    "psycopg": libpq,
    "psycopg2": libpq,
    "pgdb": libpq,
    "pg8000": lambda authority: {"ssl_context": ssl.create_default_context(cafile=authority)},
    "pymysql": lambda authority: {"ssl_disabled": False, "ssl_ca": authority, "ssl_verify_cert": True},
    "mysqlclient": lambda authority: {"ssl_mode": "VERIFY_IDENTITY", "ssl": {"ca": authority}},
    "mariadb": lambda authority: {"ssl": True, "ssl_ca": authority, "ssl_verify_cert": True},
}
"""What each driver's `connect` is told, so that it takes no session but an encrypted one of our server."""


@pytest.fixture(params=driver_params())
def driver(request: pytest.FixtureRequest) -> LiveDriver:
    """Lend each real driver in turn, with a running server that takes encrypted connections."""
    module = request.param.module()
    return LiveDriver(request.param, module, request.getfixturevalue(f"{request.param.server}_tls"))


@pytest.fixture
def secured(driver: LiveDriver) -> dict[str, Any]:
    """Lend the keywords by which the driver connects under TLS."""
    return SECURED[driver.name](str(driver.server.authority))


@pytest.fixture
def proxy(driver: LiveDriver, secured: dict[str, Any]) -> Iterator[TcpProxy]:
    """Lend a proxy in front of the driver's server, which can read nothing: any reply counts as a whole one."""
    with TcpProxy(driver.server.port) as running:
        yield running


@pytest.fixture
def near(persist: Persist, secured: dict[str, Any]) -> Any:
    """Lend a function that gives a PersistentDB of encrypted connections."""
    return lambda autocommit=False, **kwargs: persist({"autocommit": autocommit, **secured}, **kwargs)


@pytest.fixture
def far(persist: Persist, secured: dict[str, Any], proxy: TcpProxy) -> Any:
    """Lend a function that gives one through the proxy."""
    return lambda autocommit=False: persist({"autocommit": autocommit, "port": proxy.port, **secured})


@pytest.fixture
def counter(driver: LiveDriver, table: str) -> Iterator[Counter]:
    """Lend a counter of what the server began to execute."""
    counter = Counter(driver, f"{table}_counter")
    yield counter
    counter.drop()


def protocol(driver: LiveDriver, con: Any) -> str:
    """Return the version of TLS that a connection's session speaks; asking opens no transaction that stays."""
    if driver.server.title == "PostgreSQL":
        [(version,)] = driver.server.query(f"select version from pg_stat_ssl where pid = {session_of(con)}")
    else:
        [(_, version)] = run(con, "show session status like 'Ssl_version'")
    return str(version)


RST = pytest.mark.parametrize("rst", [False, True], ids=["fin", "rst"])
AUTOCOMMIT = pytest.mark.parametrize("autocommit", [False, True], ids=["manual", "autocommit"])


# Idle


def test_idle_session_is_quiet(driver: LiveDriver, near: Any, table: str, rows: Rows) -> None:
    """C9: nothing can be read from an idle session, tickets of TLS 1.3 included: it is never replaced needlessly."""
    persistent = near(ping=MaskPing(7, window=0))
    db = persistent.connection()
    session = session_of(db)
    assert protocol(driver, db) == "TLSv1.3"
    db.rollback()
    _, readable = profile_and_look(db.driver_connection)
    for number in range(5):
        assert not readable()
        assert persistent.connection() is db
        with db.transaction():
            write(db, table, number)
        assert len(run(db, SERIES[driver.server.title])) == MANY
        assert not readable()
        db.commit()
        assert session_of(db) == session
    assert numbers(rows, table) == list(range(5))


@AUTOCOMMIT
def test_kill_while_idle_is_not_noticed(
    driver: LiveDriver, near: Any, table: str, rows: Rows, autocommit: bool
) -> None:
    """C5: an encrypted session that ended between two uses is replaced in silence, by an encrypted one."""
    db = near(autocommit, ping=0).connection()
    cursor = db.cursor()
    ways: list[Callable[[int], object]] = [
        lambda number: write(db, table, number),
        lambda number: cursor.execute(insert(table, number)),
        lambda number: (db.begin(), write(db, table, number)),
    ]
    for number, way in enumerate(ways):
        killed = kill(driver, db)
        way(number)
        db.commit()
        assert session_of(db) != killed
        assert protocol(driver, db).startswith("TLS")
        db.rollback()
        assert numbers(rows, table) == list(range(number + 1))


@pytest.mark.parametrize("how", ["kill", "cut", "reset"])
def test_look_finds_the_dead_link(driver: LiveDriver, secured: dict[str, Any], proxy: TcpProxy, how: str) -> None:
    """C5: one look at the socket, without a round trip, finds the end of an encrypted session."""
    con = driver.connect(port=proxy.port, **secured)
    profile, readable = profile_and_look(con)
    assert not readable()
    if how == "kill":
        kill(driver, con)
        wait_until(lambda: bool(readable()), "the proxy to pass the end on")
    else:
        getattr(proxy, how)()
    assert readable()
    assert not profile.survives(con)
    with suppress(driver.module.Error):
        con.close()


# In the middle


LIBPQ_SEES = {
    "killed": "terminating connection|SSL connection has been closed|server closed the connection",
    "fin": "SSL SYSCALL error: EOF detected|SSL error: unexpected eof while reading",
    "rst": "server closed the connection|Connection reset by peer",
}
CONNECTOR_C_SEES = {"killed": "TLS/SSL error", "fin": "TLS/SSL error", "rst": "TLS/SSL error"}
SEES = {
    "psycopg": LIBPQ_SEES,
    "psycopg2": LIBPQ_SEES,
    "pgdb": LIBPQ_SEES,
    "pg8000": {"killed": "57P01|network error", "fin": "network error", "rst": "network error"},
    "pymysql": {"killed": "2013", "fin": "2013", "rst": "2013"},
    "mysqlclient": CONNECTOR_C_SEES,
    "mariadb": CONNECTOR_C_SEES,
}
"""What a lost encrypted session looks like to each driver, by what happened to it."""


@pytest.mark.parametrize("how", ["killed", "fin", "rst"])
def test_error_of_a_lost_session(driver: LiveDriver, secured: dict[str, Any], proxy: TcpProxy, how: str) -> None:
    """X2: each driver's own errors for it are losses (2026 of MariaDB's client library is seen under TLS only)."""
    con = driver.connect(port=proxy.port, **secured)
    failures = PersistentDB(driver.creator(**secured)).failures
    session = session_of(con)

    def lose() -> None:
        if how == "killed":
            wait_until(lambda: busy(driver, session), "the statement to run")
            driver.kill(session)

    if how != "killed":
        proxy.cut_after_request(APPLICATION_DATA, rst=how == "rst")
    with meanwhile(lose), pytest.raises(driver.module.Error, match=SEES[driver.name][how]) as caught:
        run(con, driver.slow(20 if how == "killed" else 0))
    if SEES[driver.name] is CONNECTOR_C_SEES:
        assert profile_of(con).code(caught.value) == 2026
    assert failures.verdict(caught.value, con) is Verdict.LOST_MAYBE_SENT
    with pytest.raises(driver.module.Error) as again:
        run(con, "select 1")
    # pg8000 under TLS meets no broken pipe, by which it tells a request that was not sent.
    assert failures.verdict(again.value, con) is not Verdict.NOT_LOST
    assert driver.name == "pg8000" or failures.verdict(again.value, con) is Verdict.LOST_UNSENT
    with suppress(driver.module.Error):
        con.close()


@AUTOCOMMIT
def test_kill_in_the_middle_of_a_statement(
    driver: LiveDriver, near: Any, table: str, rows: Rows, counter: Counter, autocommit: bool
) -> None:
    """X1: a statement that was on its way when its session died raises, and is not sent again."""
    db = near(autocommit).connection()
    session = session_of(db)
    slow = driver.slow(20).replace("select ", f"select {counter.step}, ")

    def kill_when_begun() -> None:
        wait_until(lambda: counter.value == 1, "the statement to begin")
        driver.kill(session)

    with meanwhile(kill_when_begun), pytest.raises(driver.module.Error) as caught:
        run(db, slow)
    assert NOT_RESENT in notes(caught.value)
    write(db, table, 1)
    db.commit()
    assert (numbers(rows, table), counter.value) == ([1], 1)


@RST
@pytest.mark.parametrize("arrives", [False, True], ids=["request dropped", "reply dropped"])
def test_cut_in_the_middle_of_a_statement(
    driver: LiveDriver, proxy: TcpProxy, far: Any, counter: Counter, arrives: bool, rst: bool
) -> None:
    """X1: the same when the link was cut: executed or not, it is sent once."""
    db = far(autocommit=True).connection()
    trigger = (proxy.cut_after_request if arrives else proxy.cut_before_request)(APPLICATION_DATA, rst=rst)
    with pytest.raises(driver.module.Error) as caught:
        run(db, f"select {counter.step}")
    assert trigger.fired.is_set()
    assert NOT_RESENT in notes(caught.value)
    assert counter.value <= arrives
    before = counter.value
    run(db, f"select {counter.step}")
    assert counter.value == before + 1


@pytest.mark.parametrize("how", ["kill", "cut", "reset"])
@pytest.mark.parametrize("mode", ["implicit", "begin", "autocommit begin"])
def test_loss_inside_a_transaction(
    driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows, mode: str, how: str
) -> None:
    """X1: encrypted or not, uncommitted work is never dropped in silence."""
    db = far(autocommit=mode.startswith("autocommit")).connection()
    if mode != "implicit":
        db.begin()
    write(db, table, 1)
    if how == "kill":
        kill(driver, db)
    else:
        getattr(proxy, how)()
    with pytest.raises(driver.module.Error) as caught:
        write(db, table, 2)
    assert not isinstance(caught.value, TransactionLost)
    for use in (db.commit, lambda: write(db, table, 3)):
        with pytest.raises(TransactionLost):
            use()
    db.rollback()
    write(db, table, 4)
    db.commit()
    assert numbers(rows, table) == [4]


@RST
@pytest.mark.parametrize("arrives", [False, True], ids=["request dropped", "reply dropped"])
@pytest.mark.parametrize("begin", [False, True], ids=["implicit", "begin"])
def test_commit_in_doubt(
    driver: LiveDriver, proxy: TcpProxy, far: Any, table: str, rows: Rows, begin: bool, arrives: bool, rst: bool
) -> None:
    """X1: a commit whose encrypted reply was lost raises CommitOutcomeUnknown, until it is acknowledged."""
    db = far().connection()
    if begin:
        db.begin()
    write(db, table, 1)
    trigger = (proxy.cut_after_request if arrives else proxy.cut_before_request)(APPLICATION_DATA, rst=rst)
    with pytest.raises(CommitOutcomeUnknown) as caught:
        db.commit()
    assert trigger.fired.is_set()
    assert isinstance(caught.value, driver.module.OperationalError)
    with pytest.raises(CommitOutcomeUnknown):
        db.commit()
    db.rollback()
    # pg8000 asks twice for a commit: the first reply says no more than that it was understood.
    expected = ([], [1]) if driver.name == "pg8000" and arrives else ([1] * arrives,)
    assert numbers(rows, table) in expected
    write(db, table, 2)
    db.commit()
    assert numbers(rows, table)[-1] == 2


@pytest.mark.parametrize("fetch", ["fetchall", "iteration"])
def test_cut_in_the_reply(driver: LiveDriver, proxy: TcpProxy, far: Any, fetch: str) -> None:
    """X1: rows that were cut off in the middle of encrypted records are an error, never silently fewer."""
    if driver.name == "mariadb":
        pytest.skip("it reads without letting other threads run, the proxy's neither")
    db = far().connection()
    trigger = proxy.cut_in_reply(APPLICATION_DATA, size=100_000)
    with closing(db.cursor()) as cursor, pytest.raises(losses(driver)):
        cursor.execute(SERIES[driver.server.title])
        list(cursor.fetchall() if fetch == "fetchall" else cursor)
    assert trigger.fired.is_set()
    assert len(run(db, SERIES[driver.server.title])) == MANY
