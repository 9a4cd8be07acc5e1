"""The demo: what it prints is true, and it can fail."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from persistentdb import CommitOutcomeUnknown, PersistentDB, TransactionLost, __version__, demo
from persistentdb.__main__ import main
from persistentdb._demo_bank import CannotFinishError, Transfer, audit, bank_at, tables, written_for
from persistentdb._demo_saboteur import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from servers import LiveDriver, MariaDBServer

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("acknowledged", "broken", "unnoticed", "run_again", "unknown", "found", "missing")
TABLES = ("persistentdb_demo_account", "persistentdb_demo_ledger")

Run = subprocess.CompletedProcess[str]


def command(*arguments: object, cwd: Path, **more: str) -> dict[str, Any]:
    """Return how to run the command in a directory, also for its temporary files; warnings are errors."""
    return {
        "args": [sys.executable, "-W", "error", "-m", "persistentdb", *map(str, arguments)],
        "cwd": cwd,
        "env": os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "TMPDIR": str(cwd)} | more,
        "stdout": subprocess.PIPE,
        "text": True,
    }


def run(*arguments: object, cwd: Path, **more: str) -> Run:
    """Run the command to its end."""
    return subprocess.run(**command(*arguments, cwd=cwd, **more), stderr=subprocess.PIPE, timeout=60, check=False)


def table_of(report: str) -> dict[str, dict[str, int]]:
    """Read the table of what each thread saw; the line of sums goes by the name `all`."""
    lines = re.findall(r"^ *(\d+|all)((?: +\d+){7})$", report, re.MULTILINE)
    return {name: dict(zip(COLUMNS, map(int, cells.split()), strict=True)) for name, cells in lines}


def fact(report: str, name: str) -> list[int]:
    """Read the whole numbers in the line of the proof that begins with a name."""
    (line,) = re.findall(rf"^{name} +(.*)$", report, re.MULTILINE)
    return [int(number) for number in re.findall(r"\b\d+\b(?!\.)(?<!\.\d)", line)]


def check_figures(report: str, threads: int, transfers: int) -> dict[str, int]:
    """Hold the figures of a report against each other and against what was asked for; return the line of sums."""
    table = table_of(report)
    total = table.pop("all")
    assert list(table) == [str(number) for number in range(1, threads + 1)]
    for column in COLUMNS:
        assert total[column] == sum(row[column] for row in table.values())
    assert {row["acknowledged"] for row in table.values()} == {transfers}
    for row in (*table.values(), total):
        assert row["unknown"] == row["found"] + row["missing"]
    everything = threads * transfers
    assert fact(report, "transfers acknowledged")[0] == everything
    assert fact(report, "rows in the ledger") == fact(report, "different ids among them") == [everything]
    before, after = fact(report, "all balances together")
    assert before == after > 0
    assert everything <= fact(report, "money moved, by the ledger")[0] <= everything * demo.LARGEST_AMOUNT
    assert "Proven: nothing lost, nothing doubled." in report
    return total


@pytest.fixture
def creators(tmp_path: Path) -> Path:
    """Write a module of creators over one SQLite file into the directory in which the command runs."""
    module = f"""
        import sqlite3

        def connect(**options):
            con = sqlite3.connect("bank.db", timeout=60)
            con.execute("pragma synchronous = off")
            return con

        def tamper(statement):
            con = connect()
            if con.execute("select 1 from sqlite_master where name = '{TABLES[1]}'").fetchone():
                con.execute("create temp trigger evil after insert on main.{TABLES[1]} when new.id = 4 begin "
                            + statement + "; end")
            return con

        def refuse(**options):
            raise sqlite3.OperationalError(f"no entry\\n  with {{options}}")

        def nothing():
            return None
    """
    (tmp_path / "creators.py").write_text(textwrap.dedent(module), "utf-8")
    return tmp_path


def tables_in(directory: Path) -> set[str]:
    """Return the names of the tables in the creators' database."""
    with contextlib.closing(sqlite3.connect(directory / "bank.db")) as con:
        return {name for (name,) in con.execute("select name from sqlite_master")}


@pytest.fixture
def called(
    creators: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Run]]:
    """Lend a function that runs the command like `run`, in the creators' directory but in this very process."""
    monkeypatch.chdir(creators)
    monkeypatch.syspath_prepend(creators)

    def call(*arguments: object) -> Run:
        words = [str(argument) for argument in arguments]
        try:
            code: Any = main(words)
        except SystemExit as the_end:
            code = the_end.code
        return Run(words, code, *capsys.readouterr())

    yield call
    sys.modules.pop("creators", None)


# --- On SQLite --------------------------------------------------------------------------------------------------------


def test_the_figures_agree(tmp_path: Path) -> None:
    """X1, C5: on SQLite each broken connection is either reopened unnoticed or has its transaction run again."""
    shown = run("demo", "--seed", 7, "--threads", 4, "--transfers", 60, cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    total = check_figures(shown.stdout, 4, 60)
    assert total["unnoticed"] > 0
    assert total["run_again"] > 0
    for row in table_of(shown.stdout).values():
        assert row["broken"] == row["unnoticed"] + row["run_again"]
        assert row["unknown"] == 0
    assert list(tmp_path.iterdir()) == []


def test_a_seed_draws_the_same_again(called: Callable[..., Run]) -> None:
    """The printed seed replays a run: the same money, and on SQLite the same breaks under each thread."""
    first = called("demo", "--threads", 2, "--transfers", 40)
    (seed,) = re.findall(r"--seed (\d+)", first.stdout)
    again = called("demo", "--threads", 2, "--transfers", 40, "--seed", seed)
    other = called("demo", "--threads", 2, "--transfers", 40, "--seed", int(seed) + 1)
    moved = "money moved, by the ledger"
    assert table_of(again.stdout) == table_of(first.stdout)
    assert fact(again.stdout, moved) == fact(first.stdout, moved) != fact(other.stdout, moved)


@pytest.mark.parametrize(("breaks", "share"), [(0, 0), (1, 1)])
def test_the_share_of_breaks(called: Callable[..., Run], breaks: int, share: int) -> None:
    """--breaks 0 breaks nothing; --breaks 1 breaks at every step, and comes to an end nevertheless."""
    shown = called("demo", "--seed", 1, "--threads", 2, "--transfers", 5, "--breaks", breaks)
    total = check_figures(shown.stdout, 2, 5)
    # Each attempt has two breaks: one before begin() that is not noticed, one after the first statement that is.
    expected = share * 10 * demo.SPARED_AFTER
    assert (total["broken"], total["unnoticed"], total["run_again"]) == (2 * expected, expected, expected)


def test_the_smallest_figures(called: Callable[..., Run]) -> None:
    """One thread, one transfer, two accounts; and more threads than can begin before the first has ended."""
    for threads in (1, 12):
        shown = called("demo", "--seed", 1, "--threads", threads, "--transfers", 1, "--accounts", 2)
        check_figures(shown.stdout, threads, 1)


# --- The proof can fail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("delete from LEDGER where id = new.id", r"lost: Transfer\(id=4, .* acknowledged"),
        ("insert into LEDGER select * from LEDGER where id = new.id", r"doubled: the ledger has id 4 2 times"),
        ("insert into LEDGER values (999, 1, 2, 5)", r"too much: Transfer\(id=999, .* without .* acknowledged"),
        ("update LEDGER set amount = 0 where id = new.id", r"lost: Transfer\(id=4, (.|\n)*too much: Transfer\(id=4, "),
        ("update ACCOUNT set balance = balance - 1 where id = 3", r"account 3 has (.|\n)*were 20000, and are 19999"),
        ("update ACCOUNT set balance = balance + 2 * id - 5 where id in (2, 3)", r"account 2 has .*\n *account 3 has "),
    ],
)
def test_tampering_is_found_out(called: Callable[..., Run], creators: Path, statement: str, says: str) -> None:
    """The proof is one: what a database loses, doubles or alters, with transfer 4, is named; the exit code is 1."""
    statement = statement.replace("ACCOUNT", TABLES[0]).replace("LEDGER", TABLES[1])
    arguments = ("--seed", 3, "--threads", 2, "--transfers", 5, "--breaks", 0)
    shown = called("demo", *arguments, "--creator", "creators:tamper", f"statement={statement}")
    assert (shown.returncode, shown.stderr) == (1, "")
    assert "NOT PROVEN" in shown.stdout
    assert "Proven: nothing lost" not in shown.stdout
    assert re.search(says, shown.stdout), shown.stdout
    assert tables_in(creators) == set()


@pytest.mark.parametrize(
    ("closing", "says"),
    [
        ({1: 5, 2: 15}, []),
        ({1: 5, 2: 16}, ["account 2 has 16, by the ledger 15", "all balances together were 20, and are 21"]),
        ({1: 6, 2: 14}, ["account 1 has 6, by the ledger 5", "account 2 has 14, by the ledger 15"]),
        ({1: 5}, ["account 2 has None, by the ledger 15", "all balances together were 20, and are 5"]),
    ],
)
def test_the_audit_of_each_account(closing: dict[int, int], says: list[str]) -> None:
    """Each single account is compared, not only their sum; the order of rows means nothing."""
    transfers = [Transfer(1, 1, 2, 7), Transfer(2, 2, 1, 2)]
    differences = list(audit(transfers, transfers[::-1], {1: 10, 2: 10}, closing))
    assert [difference.replace("it should have ", "") for difference in differences] == says


# --- What a teller does -----------------------------------------------------------------------------------------------


@pytest.fixture
def persist(tmp_path: Path) -> Iterator[PersistentDB[sqlite3.Connection]]:
    """Lend a database in a file."""
    with PersistentDB(sqlite3, database=tmp_path / "bank.db") as persist:
        yield persist


class DoubtfulTeller(demo.Teller):
    """A teller whose first transactions are lost, or break in the commit, which had happened or had not."""

    outcomes: Sequence[str] = ()

    def move(self, transfer: Transfer, *, in_peace: bool) -> None:
        """Move the money, unless that is to fail."""
        outcome, *self.outcomes = self.outcomes or ["acknowledged"]
        if outcome == "lost":
            raise TransactionLost
        if outcome != "never arrived":
            super().move(transfer, in_peace=in_peace)
        if outcome != "acknowledged":
            raise CommitOutcomeUnknown


@pytest.mark.parametrize(
    ("outcomes", "found", "missing"),
    [
        ((), 0, 0),
        (("arrived",), 1, 0),
        (("never arrived",), 0, 1),
        (("never arrived", "arrived"), 1, 1),
        (("never arrived", "never arrived"), 0, 2),
        (("lost", "never arrived", "lost", "lost", "arrived"), 1, 1),
    ],
)
def test_an_unknown_outcome_is_settled(
    persist: PersistentDB[Any], outcomes: Sequence[str], found: int, missing: int
) -> None:
    """X1: after `CommitOutcomeUnknown` the ledger is asked; what is there is not done again, what is not there is."""
    bank = bank_at(persist)
    transfer = Transfer(1, 1, 2, 5)
    with tables(bank, {1: 10, 2: 10}):
        teller = DoubtfulTeller(bank, [transfer], Line(), random.Random(0), 0)
        teller.outcomes = outcomes
        teller.run()
        assert teller.failure is None
        assert dict(bank.read("select id, balance from persistentdb_demo_account")) == {1: 5, 2: 15}
        assert bank.read("select * from persistentdb_demo_ledger") == [transfer]
    assert teller.acknowledged == [transfer]
    assert (teller.unknown, teller.found, teller.missing) == (found + missing, found, missing)


def test_giving_up_is_no_proof(persist: PersistentDB[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A teller that cannot do its work is named, and there is no proof then."""
    monkeypatch.setattr(demo, "MOST_ATTEMPTS", demo.SPARED_AFTER - 1)
    outcome = demo.run(persist, demo.Settings(2, 1, seed=1, breaks=1), lambda _done, _all: None)
    reasons = [difference.partition(": ")[0] for difference in outcome.differences]
    assert reasons == ["thread 1 gave up", "thread 2 gave up"]
    assert [tally.acknowledged for tally in outcome.tallies] == [0, 0]


def test_books_that_cannot_be_read(persist: PersistentDB[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that goes away while the demo runs is told in one error, not proven and not passed over."""

    def somebody_drops_the_ledger(*_: object) -> list[demo.Teller]:
        with persist.connection() as db:
            db.execute("drop table persistentdb_demo_ledger")
        return []

    monkeypatch.setattr(demo, "_work", somebody_drops_the_ledger)
    with pytest.raises(CannotFinishError, match=r"no such table: .*persistentdb_demo_ledger"):
        demo.run(persist, demo.Settings(), lambda _done, _all: None)


@pytest.mark.parametrize(
    ("paramstyle", "text", "values"),
    [
        ("qmark", "a = ? and b = ?", (1, "x")),
        ("format", "a = %s and b = %s", (1, "x")),
        ("pyformat", "a = %(v1)s and b = %(v2)s", {"v1": 1, "v2": "x"}),
        ("numeric", "a = :1 and b = :2", (1, "x")),
        ("named", "a = :v1 and b = :v2", {"v1": 1, "v2": "x"}),
    ],
)
def test_statements_in_each_paramstyle(paramstyle: str, text: str, values: object) -> None:
    """X4: the demo speaks to any driver of PEP 249, in all of its five paramstyles."""
    assert written_for(paramstyle, "a = ? and b = ?", (1, "x")) == (text, values)


# --- The command ------------------------------------------------------------------------------------------------------


def test_usage_and_version(called: Callable[..., Run]) -> None:
    """`python -m persistentdb` alone says how it is used, and `--version` which it is."""
    alone, version = called(), called("--version")
    assert (alone.returncode, alone.stderr) == (0, "")
    assert alone.stdout.startswith("usage: python -m persistentdb")
    assert (version.returncode, version.stdout) == (0, f"persistentdb {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["dance"], "invalid choice: 'dance'"),
        (["demo", "--threads", "0"], "argument --threads: 0 is too small, it must be at least 1"),
        (["demo", "--threads", "many"], "argument --threads: invalid number value: 'many'"),
        (["demo", "--accounts", "1"], "argument --accounts: 1 is too small, it must be at least 2"),
        (["demo", "--breaks", "1.5"], "argument --breaks: 1.5 is no share, it must be from 0 to 1"),
        (["demo", "--breaks", "nan"], "argument --breaks: nan is no share"),
        (["demo", "--breaks", "often"], "argument --breaks: invalid share value: 'often'"),
        (["demo", "--creator"], "argument --creator: expected at least one argument"),
        (["demo", "host=there"], "unrecognized arguments: host=there"),
    ],
)
def test_wrong_arguments(called: Callable[..., Run], arguments: list[str], says: str) -> None:
    """Wrong usage: exit code 2, the usage and one line that names the culprit, no traceback."""
    shown = called(*arguments)
    last = shown.stderr.splitlines()[-1]
    assert (shown.returncode, shown.stdout) == (2, "")
    assert re.search(says, last), shown.stderr


@pytest.mark.parametrize(
    ("creator", "says"),
    [
        (["creators"], "--creator creators: expected MODULE:FUNCTION, such as psycopg:connect"),
        (["no_such_driver:connect"], "No module named 'no_such_driver'; is it installed?"),
        (["creators:conect"], "AttributeError: module 'creators' has no attribute 'conect'"),
        (["creators:nothing"], "TypeError: .* returned NoneType, which is no DB-API 2 connection"),
        (["creators:nothing", "answer=42"], r"TypeError: nothing\(\) got an unexpected keyword argument 'answer'"),
        (["creators:connect", "bank.db"], "expected KEY=VALUE, such as port=5432; word 1 after it is not"),
        (["creators:connect", "pin=env:NO_SUCH"], "pin=env:NO_SUCH: there is no environment variable NO_SUCH"),
        (["creators:refuse", "ping=7"], "OperationalError: no entry with {'ping': 7}"),
        (["creators:refuse", "port=env:PORT"], r"no entry with {'port': '\*\*\*'}"),
        (["creators:refuse", "host=h", "passwd=SeSaMe"], r"no entry with {'host': 'h', 'passwd': '\*\*\*'}"),
        (["creators:refuse", "host=h", "passwd=4711"], r"no entry with {'host': 'h', 'passwd': '\*\*\*'}"),
        (["creators:refuse", "pin=env:PIN"], r"no entry with {'pin': '\*\*\*'}"),
    ],
)
def test_wrong_creators(
    called: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, creator: list[str], says: str
) -> None:
    """A wrong creator, driver, option or password: exit code 2, one line, no traceback, no password in it (X9)."""
    monkeypatch.setenv("PIN", "SeSaMe")
    monkeypatch.setenv("PORT", "5432")
    shown = called("demo", "--creator", *creator)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert len(shown.stderr.splitlines()) == 1
    assert re.search(says, shown.stderr), shown.stderr
    assert not re.search("SeSaMe|4711", shown.stderr)


def test_a_creator_of_the_users_own(called: Callable[..., Run], creators: Path) -> None:
    """C1: any function is a creator; its options may be called like those of PersistentDB, and the tables go again."""
    arguments = ("--creator", "creators:connect", "ping=7", "--threads", 3, "--transfers", 20)
    shown = called("demo", "--seed", 5, *arguments)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert check_figures(shown.stdout, 3, 20)["broken"] > 0
    assert tables_in(creators) == set()


@pytest.mark.parametrize("there", TABLES)
def test_tables_that_are_there_are_left_alone(called: Callable[..., Run], creators: Path, there: str) -> None:
    """The demo refuses to run where one of its tables exists, names the way out, and touches nothing."""
    with contextlib.closing(sqlite3.connect(creators / "bank.db")) as con:
        con.execute(f"create table {there} (precious)")
    shown = called("demo", "--creator", "creators:connect")
    assert shown.returncode == 2
    assert f"the table {there} exists already" in shown.stderr
    assert f"drop the tables {' and '.join(TABLES)} by hand" in shown.stderr
    assert len(shown.stderr.splitlines()) == 1
    assert tables_in(creators) == {there}


@contextlib.contextmanager
def started(*arguments: object, cwd: Path, stderr: int) -> Iterator[subprocess.Popen[str]]:
    """Start the command and wait until it is at work; it does not outlive the block."""
    with subprocess.Popen(**command("demo", *arguments, cwd=cwd), stderr=stderr) as process:
        try:
            assert process.stdout is not None
            assert "threads make" in process.stdout.readline()
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("creator", [(), ("--creator", "creators:connect")])
def test_ctrl_c(creators: Path, creator: tuple[str, ...]) -> None:
    """Ctrl-C ends it cleanly: exit code 130, one line, no table and no temporary directory left."""
    with started("--transfers", 1_000_000, *creator, cwd=creators, stderr=subprocess.PIPE) as process:
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "python -m persistentdb: interrupted\n")
    assert "Proven" not in out
    assert {path.name for path in creators.iterdir()} <= {"creators.py", "__pycache__", "bank.db"}
    assert not creator or tables_in(creators) == set()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
def test_the_progress_bar(tmp_path: Path) -> None:
    """On a terminal a bar shows on stderr how far it is, and is wiped out at the end."""
    terminal, other_end = os.openpty()
    with started("--threads", 2, "--transfers", 400, cwd=tmp_path, stderr=other_end) as process:
        os.close(other_end)
        shown = "".join(_everything_from(terminal))
        process.communicate(timeout=20)
    assert process.returncode == 0
    done = [int(number) for number in re.findall(r"\[#*\.*\] (\d+) of 800 transfers", shown)]
    assert len(done) > 1
    assert done == sorted(done)
    assert shown.endswith("\r\x1b[K")


def _everything_from(terminal: int) -> Iterator[str]:
    with contextlib.suppress(OSError), open(terminal, "rb", buffering=0) as screen:  # EIO is its end
        while chunk := screen.read(4096):
            yield chunk.decode()


# --- On real servers --------------------------------------------------------------------------------------------------


@pytest.fixture
def options(driver: LiveDriver) -> list[str]:
    """Lend what the command line has to say to reach the driver's server, the password by the environment."""
    creator = f"{driver.driver.module_name}:connect"
    words = driver.connect_kwargs() | ({"password": "env:PIN"} if driver.server.password else {})
    given = (f"{key}={value}" for key, value in words.items() if value is not False)  # words are no bools
    return ["--creator", creator, *given]


def count_tables(driver: LiveDriver) -> int:
    """Count the demo's tables on the server, through an independent connection."""
    with contextlib.closing(driver.connect()) as con, contextlib.closing(con.cursor()) as cursor:
        cursor.execute("select count(*) from information_schema.tables where table_name like 'persistentdb_demo%'")
        return int(cursor.fetchone()[0])


def test_on_a_server(driver: LiveDriver, options: list[str], tmp_path: Path) -> None:
    """X1: sockets cut at any moment, in the commit too; every outcome is settled and nothing is left behind."""
    arguments = ("--seed", 11, "--threads", 6, "--transfers", 40, "--breaks", 0.1)
    shown = run("demo", *arguments, *options, cwd=tmp_path, PIN=driver.server.password)
    assert (shown.returncode, shown.stderr) == (0, "")
    total = check_figures(shown.stdout, 6, 40)
    assert total["broken"] > 0
    # Each break is noticed once at most; the last one may come when there is nothing left to do.
    seen = total["unnoticed"] + total["run_again"] + total["unknown"]
    assert 0 < seen <= total["broken"] <= seen + 6
    assert count_tables(driver) == 0


@pytest.mark.server
def test_a_wrong_password(called: Callable[..., Run], mariadb: MariaDBServer) -> None:
    """X9: what the server says of a wrong password, without the password."""
    pytest.importorskip("pymysql", reason="PyMySQL is not installed: pip install PyMySQL")
    options = ["host=" + mariadb.host, f"port={mariadb.port}", "user=test", "password=SeSaMe", "ssl_disabled=1"]
    shown = called("demo", "--creator", "pymysql:connect", *options)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "Access denied for user 'test'" in shown.stderr
    assert "SeSaMe" not in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def test_an_absent_server(called: Callable[..., Run]) -> None:
    """A server that is not there: exit code 2 and one line, although the driver says it in several."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        options = ["host=127.0.0.1", f"port={nobody_listens.getsockname()[1]}", "connect_timeout=5"]
        shown = called("demo", "--creator", "psycopg:connect", *options)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "OperationalError" in shown.stderr
    assert len(shown.stderr.splitlines()) == 1
