"""The command `python -m persistentdb`: it runs the demo, and tells how it ended by its exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import secrets
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

from attrs import astuple

from persistentdb import PersistentDB, __version__
from persistentdb._demo_bank import CannotFinishError, CannotStartError
from persistentdb.demo import Outcome, Settings, run

__all__ = ["main"]

PROVEN, DISPROVEN, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

EPILOG = """\
on a server of yours:
  python -m persistentdb demo --creator psycopg:connect host=localhost dbname=test user=me password=env:PGPASSWORD
  It makes two tables, persistentdb_demo_account and persistentdb_demo_ledger, and drops them at the end.

exit codes:
  0  proven: nothing lost, nothing doubled        2  wrong usage, or the database cannot be used
  1  not proven: what differs is printed        130  ended by Ctrl-C
"""

# --- The arguments ----------------------------------------------------------------------------------------------------


def _number_from(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small, it must be at least {least}")
        return value

    return number


def share(text: str) -> float:
    """Return a number from 0 to 1; argparse names this function when it complains."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share, it must be from 0 to 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m persistentdb",
        description="Thread-affine, hardened, persistent DB-API 2 connections.",
    )
    parser.add_argument("--version", action="version", version=f"persistentdb {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="move money while connections break, and prove that none of it is lost or doubled",
        description="Threads move money between accounts while their connections are broken at random; "
        "in the end the books must balance. Without --creator this runs on SQLite in a temporary directory.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = Settings()
    demo.add_argument(
        "--threads", type=_number_from(1), default=default.threads, metavar="N", help="default: %(default)s"
    )
    demo.add_argument(
        "--transfers",
        type=_number_from(1),
        default=default.transfers,
        metavar="N",
        help="per thread; default: %(default)s",
    )
    demo.add_argument(
        "--accounts", type=_number_from(2), default=default.accounts, metavar="N", help="default: %(default)s"
    )
    demo.add_argument(
        "--seed", type=int, metavar="N", help="draws the same transfers and breaks again; default: a new one"
    )
    demo.add_argument(
        "--breaks",
        type=share,
        default=default.breaks,
        metavar="SHARE",
        help="the share of the steps at which a connection is broken, from 0 to 1; default: %(default)s",
    )
    demo.add_argument(
        "--creator",
        nargs="+",
        metavar=("MODULE:FUNCTION", "KEY=VALUE"),
        help="opens connections to a database of yours, called with these keywords; "
        "whole numbers are passed as such, env:NAME stands for the text of an environment variable",
    )
    demo.set_defaults(command=_demo)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Those of the command line; None: of this process.

    Returns:
        The exit code; see `--help`.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    if not hasattr(given, "command"):
        parser.print_help()
        return PROVEN
    try:
        code: int = given.command(given)
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    return code


# --- The database -----------------------------------------------------------------------------------------------------


@contextmanager
def _sqlite() -> Generator[PersistentDB[sqlite3.Connection]]:
    """Give an empty SQLite file in a temporary directory, which is removed at the end."""
    directory = tempfile.mkdtemp(prefix="persistentdb-demo-")
    try:
        # The demo breaks connections, not the power supply: no need to wait for the disk.
        with PersistentDB(
            sqlite3, setsession=["pragma synchronous = off"], database=Path(directory, "bank.db"), timeout=60
        ) as persist:
            yield persist
    finally:
        shutil.rmtree(directory)


@contextmanager
def _users_own(creator: str, options: dict[str, str | int]) -> Generator[PersistentDB[Any]]:
    """Give the user's own database; nothing but `CannotStartError` tells of a wrong one."""
    module_name, colon, function_name = creator.partition(":")
    if not (module_name and colon and function_name):
        raise CannotStartError(f"--creator {creator}: expected MODULE:FUNCTION, such as psycopg:connect")
    try:
        function = attrgetter(function_name)(importlib.import_module(module_name))
        # Not PersistentDB(function, **options): the driver may have options of the same names as PersistentDB.
        persist = PersistentDB[Any](lambda: function(**options))
        persist.connection()
    except ModuleNotFoundError as error:
        raise CannotStartError(f"--creator {creator}: {error}; is it installed?") from error
    # A wrong name, address or password: each driver has its own errors for that, and not all of them are DB-API's.
    except Exception as error:
        raise CannotStartError(f"--creator {creator}: {type(error).__name__}: {error}") from error
    with persist:
        yield persist


def _options(words: Sequence[str]) -> dict[str, str | int]:
    """Return keyword arguments out of words like `port=5432`."""
    options: dict[str, str | int] = {}
    for position, word in enumerate(words, 1):
        key, equals, value = word.partition("=")
        if not (equals and key.isidentifier()):
            # Not shown: it may be a password that was torn off by a space.
            raise CannotStartError(f"--creator: expected KEY=VALUE, such as port=5432; word {position} after it is not")
        options[key] = _value(key, value)
    return options


def _value(key: str, text: str) -> str | int:
    if text.startswith("env:"):
        name = text.removeprefix("env:")
        if name not in os.environ:
            raise CannotStartError(f"--creator: {key}={text}: there is no environment variable {name}")
        return os.environ[name]
    return int(text) if text.isascii() and text.isdigit() and not _is_secret(key) else text


def _is_secret(key: str) -> bool:
    """Whether an option is not to be shown; a connection string may hold a password, too."""
    return any(part in key.lower() for part in ("pass", "pwd", "secret", "token", "dsn", "conninfo", "uri", "url"))


def _without_secrets(text: str, words: Sequence[str], options: dict[str, str | int]) -> str:
    """Make a driver's message one line, and take out of it what nobody is to see."""
    from_environment = {word.partition("=")[0] for word in words if "=env:" in word}
    for key, value in options.items():
        if value and (key in from_environment or _is_secret(key)):
            text = text.replace(str(value), "***")
    return " ".join(text.split())


# --- The demo ---------------------------------------------------------------------------------------------------------


def _demo(given: argparse.Namespace) -> int:
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    settings = Settings(given.threads, given.transfers, given.accounts, seed, given.breaks)
    creator, *words = given.creator or [""]
    options: dict[str, str | int] = {}
    try:
        options.update(_options(words))
        with _users_own(creator, options) if creator else _sqlite() as persist, _bar() as draw:
            _say(
                f"{settings.threads} threads make {settings.transfers} transfers each between {settings.accounts} "
                f"accounts on {creator or 'SQLite'}\n(to draw the same lots again: --seed {seed})"
            )
            outcome = run(persist, settings, draw)
    except (CannotStartError, CannotFinishError) as error:
        _complain(_without_secrets(str(error), words, options))
        return WRONG_USAGE if isinstance(error, CannotStartError) else DISPROVEN
    _say(_report(outcome))
    for difference in outcome.differences:
        _say("  " + _without_secrets(difference, words, options))
    return DISPROVEN if outcome.differences else PROVEN


@contextmanager
def _bar() -> Generator[Callable[[int, int], None]]:
    """Give what draws the progress bar, and wipe it out at the end; nothing is drawn where nobody watches."""
    width, wipe = 40, "\r\x1b[K"

    def draw(done: int, of: int) -> None:
        filled = width * done // of
        sys.stderr.write(f"{wipe}[{'#' * filled}{'.' * (width - filled)}] {done} of {of} transfers")
        sys.stderr.flush()

    if not sys.stderr.isatty():
        yield lambda _done, _of: None
        return
    try:
        yield draw
    finally:
        sys.stderr.write(wipe)
        sys.stderr.flush()


HEADS = (
    ("", "thread"),
    ("transfers", "acknowledged"),
    ("connection", "broken"),
    ("reopened", "unnoticed"),
    ("run", "again"),
    ("outcome", "unknown"),
    ("was in", "ledger"),
    ("was not", "there"),
)


def _report(outcome: Outcome) -> str:
    """Return the table of what each thread saw, and the proof."""
    rows = [astuple(tally) for tally in outcome.tallies]
    total = [*map(sum, zip(*rows, strict=True))]
    table = [*zip(*HEADS, strict=True), *((number, *row) for number, row in enumerate(rows, 1)), ("all", *total)]
    widths = [max(map(len, head)) for head in HEADS]
    lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in table]
    lines.insert(-1, "-" * len(lines[0]))
    return "\n".join(["", *lines, "", *_proof(outcome, total[0])])


def _proof(outcome: Outcome, acknowledged: int) -> list[str]:
    moved = sum(transfer.amount for transfer in outcome.ledger)
    facts = [
        ("transfers acknowledged", f"{acknowledged} in {outcome.seconds:.1f} s"),
        ("rows in the ledger", f"{len(outcome.ledger)}"),
        ("different ids among them", f"{len({transfer.id for transfer in outcome.ledger})}"),
        ("money moved, by the ledger", f"{moved}"),
        ("all balances together", f"{sum(outcome.opening.values())} before, {sum(outcome.closing.values())} after"),
    ]
    lines = [f"{name:<28}{value}" for name, value in facts]
    if outcome.differences:
        return [*lines, "", "NOT PROVEN. What differs:"]
    return [
        *lines,
        "",
        "Proven: nothing lost, nothing doubled. The ledger has exactly the acknowledged",
        "transfers, each once; replayed over the opening balances it gives every closing one.",
    ]


def _say(text: str) -> None:
    print(text, flush=True)


def _complain(text: str) -> None:
    print(f"python -m persistentdb: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
