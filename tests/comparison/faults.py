"""The faults: each a small program over `connection()`, broken at a chosen point and judged by the database."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from attrs import evolve, frozen

from persistentdb.ping import WINDOW, MaskPing, as_ping
from persistentdb.testing import FakeClock

from .stage import NotPlayableError, Stage, run
from .verdicts import Outcome, Verdict

__all__ = ["FAULTS", "Fault"]

Play = Callable[[Stage], Outcome]


@frozen
class Fault:
    """Something that happens to a program.

    Attributes:
        key: The name that `--faults` takes.
        title: What happens, for the table.
        play: Makes it happen, and judges.
    """

    key: str
    title: str
    play: Play


FAULTS: list[Fault] = []
"""In the order of the table."""


def fault(title: str) -> Callable[[Play], Play]:
    """Put a function into the list of faults."""

    def listed(play: Play) -> Play:
        FAULTS.append(Fault(getattr(play, "__name__", title).replace("_", "-"), title, play))
        return play

    return listed


# Between two units of work


@fault("killed while idle; then an insert, `commit()`")
def idle_insert(stage: Stage) -> Outcome:
    """C5: the next unit of work goes on as if nothing had happened."""
    con = stage.open()
    stage.kill(stage.session_at_rest(con))
    with stage.program():
        stage.insert(con, 1)
        con.commit()
    return stage.judge(1)


@fault("killed while idle; then `begin()`, an insert, `commit()`")
def idle_begin(stage: Stage) -> Outcome:
    """C5: `begin()` is no exception."""
    con = stage.open()
    stage.kill(stage.session_at_rest(con))
    with stage.program():
        stage.begin(con)
        stage.insert(con, 1)
        con.commit()
    return stage.judge(1)


# Inside a transaction


@fault("killed between two inserts of an implicit transaction; then `commit()`")
def implicit_transaction(stage: Stage) -> Outcome:
    """F1: what was executed before the loss is not dropped in silence."""
    con = stage.open()
    stage.insert(con, 1)
    stage.kill(stage.session(con))
    with stage.program():
        stage.insert(con, 2)
        con.commit()
    return stage.judge(1, 2)


@fault("killed after `begin()` and an insert; the program goes on after the error, to `commit()`")
def begin_and_on(stage: Stage) -> Outcome:
    """F6: a transaction that was lost stays lost until it is ended."""
    con = stage.open()
    stage.begin(con)
    stage.insert(con, 1)
    stage.kill(stage.session(con))
    for number in (2, 3):
        with stage.program():
            stage.insert(con, number)
    with stage.program():
        con.commit()
    return stage.judge(1, 2, 3)


@fault("the third use with `maxusage=2`, in an implicit transaction of three inserts")
def maxusage(stage: Stage) -> Outcome:
    """C6: a connection is not replaced in the middle of a transaction."""
    con = stage.open(maxusage=2)
    with stage.program():
        for number in (1, 2, 3):
            stage.insert(con, number)
        con.commit()
    return stage.judge(1, 2, 3)


@fault("killed while `executemany` reads its generator, which is half consumed")
def generator(stage: Stage) -> Outcome:
    """X1: what can be consumed only once is not sent a second time half consumed."""
    if stage.driver.name == "mariadb":  # takes what has a length only
        raise NotPlayableError
    con = stage.open()
    session = stage.session_at_rest(con)

    def numbers() -> Iterator[tuple[int]]:
        for number in range(1, 7):
            if number == 4:
                stage.kill(session)
            yield (number,)

    mark = stage.driver.placeholder
    with stage.program():
        con.cursor().executemany(f"insert into {stage.table} (id) values ({mark})", numbers())
        con.commit()
    return stage.judge(*range(1, 7))


# Under way


@fault("autocommit: an insert that the server never gets")
def autocommit_request(stage: Stage) -> Outcome:
    """Cut before the server has read it."""
    return _autocommit(stage, "before_request")


@fault("autocommit: an insert that is done, its reply lost")
def autocommit_reply(stage: Stage) -> Outcome:
    """X1: what may have been executed is not sent again."""
    return _autocommit(stage, "after_request")


def _autocommit(stage: Stage, moment: str) -> Outcome:
    con, cut = stage.open_behind_cutter(moment, f"insert into {stage.table}", autocommit=True)
    with stage.program():
        stage.insert(con, 1)
    _assert_fired(cut)
    return stage.judge(1)


@fault("autocommit: a procedure that commits, its reply lost")
def procedure(stage: Stage) -> Outcome:
    """F2: one call, one execution."""
    con, cut = stage.open_behind_cutter("after_request", f"call p_{stage.table}", autocommit=True)
    body = f"insert into {stage.table} values (1, 'x'); commit;"
    stage.query(
        stage.by_server(
            f"create procedure p_{stage.table}() language plpgsql as $$ begin {body} end $$",
            f"create procedure p_{stage.table}() begin {body} end",
        )
    )
    with stage.program():
        con.cursor().execute(f"call p_{stage.table}()")
    _assert_fired(cut)
    return stage.judge(1)


@fault("a select, its reply lost")
def select_reply(stage: Stage) -> Outcome:
    """A plain read could be repeated without harm."""
    con, cut = stage.open_behind_cutter("after_request", f"select count(*) from {stage.table}")
    rows: list[tuple[Any, ...]] = []
    with stage.program():
        rows = run(con, f"select count(*) from {stage.table}")
    _assert_fired(cut)
    return stage.right(holds=rows == [(0,)] or bool(stage.errors), else_wrong="another result")


@fault("`begin()`, an insert, a `commit()` that the server never gets")
def commit_request(stage: Stage) -> Outcome:
    """X1: it is certainly not committed, and the program is told so."""
    return _commit(stage, "before_request")


@fault("`begin()`, an insert, a `commit()` that is done, its reply lost")
def commit_reply(stage: Stage) -> Outcome:
    """X1: a commit that may or may not have happened raises, and is not repeated."""
    return _commit(stage, "after_request")


def _commit(stage: Stage, moment: str) -> Outcome:
    con, cut = stage.open_behind_cutter(moment, "commit")
    with stage.program():
        stage.begin(con)
        stage.insert(con, 1)
        con.commit()
    _assert_fired(cut)
    return stage.judge(1)


def _assert_fired(cut: Any) -> None:
    if not cut.fired.is_set():
        raise AssertionError(f"{cut!r}: the fault did not happen, so nothing can be said of it")


# Time-outs


@fault("a statement runs into the server's time-out")
def statement_timeout(stage: Stage) -> Outcome:
    """F3: a time-out is no loss; a sequence counts the executions, for it is not rolled back."""
    con = stage.open(after=stage.by_server("set statement_timeout = '300ms'", "set max_statement_time = 0.3"))
    counted, sleep = _counter(stage), stage.by_server("pg_sleep(2)", "sleep(2)")
    with stage.program():
        run(con, f"select {counted}, {sleep}")
    return _sent(stage, _count(stage))


@fault("an insert runs into the lock time-out")
def lock_timeout(stage: Stage) -> Outcome:
    """F3: waiting for a lock in vain is no loss."""
    con = stage.open(after=stage.by_server("set lock_timeout = '300ms'", "set innodb_lock_wait_timeout = 1"))
    stage.query(f"create unique index u_{stage.table} on {stage.table} (id)")
    counted = _counter(stage)
    stage.insert(stage.independent(), 1)  # not committed: who inserts the same has to wait
    with stage.program():
        stage.insert(con, 1, counted)
    return _sent(stage, _count(stage))


def _counter(stage: Stage) -> str:
    """Return an expression of SQL that counts its own evaluations in a sequence, which no rollback takes back."""
    stage.query(f"create sequence s_{stage.table}{stage.by_server('', ' nocache')}")
    return stage.by_server(f"nextval('s_{stage.table}')", f"nextval(s_{stage.table})")


def _count(stage: Stage) -> int:
    sequence = f"s_{stage.table}"  # from 1 on
    following = stage.by_server("last_value + is_called::int", "next_not_cached_value")
    [(value,)] = stage.query(f"select {following} from {sequence}")
    return int(value) - 1


def _sent(stage: Stage, times: int) -> Outcome:
    return stage.right(holds=times == 1, else_wrong=f"sent {times} times")


# Results that are read bit by bit

ROWS = 3000
WIDTH = 10_000  # together more than sockets hold: the end is still at the server when the beginning is read


@fault("killed while a result is read from the server, half of it fetched")
def half_a_result(stage: Stage) -> Outcome:
    """X1: rows are never cut short in silence."""
    con = stage.open()
    session = stage.session_at_rest(con)
    return _read(stage, con, lambda: stage.kill(session))


@fault("`connection()` is asked for again while a result is read from the server")
def half_a_result_and_request(stage: Stage) -> Outcome:
    """C9: a ping never happens while rows are still to be read."""
    return _read(stage, stage.open(), stage.connection)


def _read(stage: Stage, con: Any, meanwhile: Callable[[], object]) -> Outcome:
    got = 0
    with stage.program():
        cursor = _unbuffered(stage, con)
        cursor.execute(
            stage.by_server(
                f"select n, repeat('x', {WIDTH}) from generate_series(1, {ROWS}) n",
                f"select seq, repeat('x', {WIDTH}) from seq_1_to_{ROWS}",
            )
        )
        got += len(cursor.fetchmany(10))
        meanwhile()
        while rows := cursor.fetchmany(500):
            got += len(rows)
    if got < ROWS and not stage.errors:
        return stage.outcome(Verdict.LOST)
    return stage.outcome(Verdict.ERROR if stage.errors else Verdict.OK)


def _unbuffered(stage: Stage, con: Any) -> Any:
    """Return a cursor that leaves the rows at the server until they are fetched."""
    name = stage.driver.name
    if name in ("psycopg", "psycopg2"):
        return con.cursor("half")
    if name in ("pymysql", "mysqlclient"):
        return con.cursor(importlib.import_module(f"{stage.driver.module.__name__}.cursors").SSCursor)
    if name == "mariadb":
        return con.cursor(buffered=False)
    raise NotPlayableError


# What is set


@fault("autocommit set at run time, killed while idle; then an insert")
def autocommit_set(stage: Stage) -> Outcome:
    """X3: what was set through the connection is set on the new one, too."""
    con = stage.open()
    stage.session_at_rest(con)
    _set_autocommit(stage, con)
    stage.kill(stage.session(con))
    with stage.program():
        stage.insert(con, 1)
    return stage.judge(1)


def _set_autocommit(stage: Stage, con: Any) -> None:
    """Set it as the driver has it; on the driver's own connection where the contender does not pass it on."""
    name, arguments, keywords = _AUTOCOMMIT.get(stage.driver.name, ("__setattr__", ("autocommit", True), {}))
    passes_it_on = hasattr(con, "autocommit")
    getattr(con if passes_it_on else con.dbapi_connection, name)(*arguments, **keywords)


_AUTOCOMMIT: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "psycopg": ("set_autocommit", (True,), {}),
    "psycopg2": ("set_session", (), {"autocommit": True}),
    "pymysql": ("autocommit", (True,), {}),
    "mysqlclient": ("autocommit", (True,), {}),
}


@fault("the time zone set by SQL, killed while idle; then an insert of the time zone")
def sql_set(stage: Stage) -> Outcome:
    """F7: what SQL has set in the session."""
    con = stage.open()
    run(con, stage.by_server("set timezone to 'Asia/Tokyo'", "set time_zone = '+09:00'"))
    con.commit()
    stage.kill(stage.session_at_rest(con))
    with stage.program():
        stage.insert(con, 1, stage.by_server("current_setting('TimeZone')", "@@session.time_zone"))
        con.commit()
    if stage.errors:
        return stage.judge(1)
    [(_, zone)] = stage.rows()
    return stage.right(holds=zone in ("Asia/Tokyo", "+09:00"), else_wrong="the setting is gone")


@fault('`ping="select 1"`, not in autocommit: what the ping leaves behind')
def ping_by_sql(stage: Stage) -> Outcome:
    """F10: a ping leaves no transaction open."""
    clock = FakeClock()
    con = stage.open(ping=_ping_on(clock) if stage.contender.name == "persistentdb" else "select 1")
    session = stage.session_at_rest(con)
    clock.advance(WINDOW)  # we do not ping what was alive just now
    stage.connection()
    states = stage.query(
        stage.by_server(
            f"select state from pg_stat_activity where pid = {session} and state <> 'idle'",
            f"select trx_state from information_schema.innodb_trx where trx_mysql_thread_id = {session}",
        )
    )
    return stage.right(holds=not states, else_wrong="a transaction is left open")


def _ping_on(clock: FakeClock) -> MaskPing[Any]:
    """Return what we make of `ping="select 1"`, on a clock that can be put forward."""
    ping = as_ping("select 1")
    assert isinstance(ping, MaskPing)
    return evolve(ping, clock=clock)


# Processes and threads


@fault("a forked child inserts, then the parent")
def fork_and_use(stage: Stage) -> Outcome:
    """F8: a child does not use what its parent opened."""
    con = stage.open()
    stage.session_at_rest(con)
    child = stage.in_fork()
    if not child:
        _insert_session(stage, stage.connection(), 1)
        os._exit(len(stage.errors))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return stage.outcome(Verdict.HANGS)
    expected = [2] if status else [1, 2]  # what failed in the child was noticed there
    _insert_session(stage, con, 2)
    sessions = [session for _, session in stage.rows()]
    if len(sessions) > len(set(sessions)):
        return stage.outcome(Verdict.WRONG, "one session for two processes")
    return stage.judge(*expected)


def _insert_session(stage: Stage, con: Any, number: int) -> None:
    with stage.program():
        stage.insert(con, number, stage.by_server("pg_backend_pid()", "connection_id()"))
        con.commit()


@fault("fork in an implicit transaction; the child does nothing and ends; the parent goes on")
def fork_and_end(stage: Stage) -> Outcome:
    """X5: a child does not say goodbye to the server for its parent."""
    con = stage.open()
    stage.insert(con, 1)
    child = stage.in_fork()
    if not child:
        raise SystemExit  # all the way, as the end of a program does: destructors and all
    os.waitpid(child, 0)
    with stage.program():
        stage.insert(con, 2)
        con.commit()
    return stage.judge(1, 2)


@fault("a thread ends, and nobody asks for a connection afterwards")
def thread_ends(stage: Stage) -> Outcome:
    """F9: its session is closed at once."""
    sessions: list[int] = []

    def work() -> None:
        sessions.append(stage.session_at_rest(stage.open()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    [session] = sessions
    left = stage.by_server(
        f"select 1 from pg_stat_activity where pid = {session}",
        f"select 1 from information_schema.processlist where id = {session}",
    )
    closed = stage.comes_true(lambda: not stage.query(left), f"session {session} to be gone")
    return stage.right(holds=closed, else_wrong="the session is left open")
