"""The command: measure in several processes, print the table with the goals beside it."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain, repeat
from statistics import median, quantiles

from . import operations as of
from .measuring import count, import_times, paired_ratios

Figures = dict[str, list[float]]  # by contestant those of all rounds
OPERATIONS = {operation.key: operation for operation in (*of.ON_SQLITE, *of.ON_SERVERS.values())}


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="What persistentdb costs.")
    parser.add_argument("--rounds", type=int, default=31, help="at least 2, in each process (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=5, help="one after the other (default: %(default)s)")
    parser.add_argument("--block", type=float, default=3, help="ms that a block lasts (default: %(default)s)")
    parser.add_argument("--servers", action="store_true", help="PostgreSQL and MariaDB too, where installed")
    keys = [*OPERATIONS, "counts", "j"]
    parser.add_argument("--only", nargs="+", choices=keys, default=keys, metavar="KEY", help=", ".join(keys))
    parser.add_argument("--measure", action="store_true", help="measure in this process, print JSON")
    return parser.parse_args()


def measured(option: argparse.Namespace) -> dict[str, Figures]:
    """Measure in this process; return the figures by the operation's key."""
    benches = zip(of.ON_SQLITE, repeat(of.sqlite_contestants()), strict=False)
    return {
        operation.key: paired_ratios(operation, contestants, option.rounds, option.block / 1000)
        for operation, contestants in chain(benches, of.server_contestants() if option.servers else ())
        if operation.key in option.only
    }


def measured_in_processes(processes: int) -> dict[str, Figures]:
    """Measure in so many new processes, with this one's options, and put their figures together."""
    total: dict[str, Figures] = {}
    for _ in range(processes):
        command = [sys.executable, "-m", "tests.benchmarks", "--measure", *sys.argv[1:]]
        for key, figures in json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout).items():
            for name, values in figures.items():
                total.setdefault(key, {}).setdefault(name, []).extend(values)
    return total


def _spread(values: list[float]) -> str:
    lower, _, upper = quantiles(values, n=4)
    return f"{median(values):7.2f} ±{(upper - lower) / 2:.2f}"


def _mark(title: str, *, reached: bool) -> str:
    return f"{title} {'ok' if reached else 'MISSED'}"


def ratio_row(operation: of.Operation, figures: Figures) -> str:
    """Return a line of the table: medians, spreads, goals with their marks."""
    goal, *least = operation.old_goals if of.IS_OLD and operation.old_goals else operation.goals
    ours = median(figures[of.OURS])
    marks = [_mark(f"<={goal:g}", reached=ours <= goal)]
    for name, times in zip((of.DBUTILS, of.DBUTILS_TL), least, strict=False):
        faster = median(figures[name]) / ours
        marks.append(_mark(f"{name} {faster:.2f}>={times:g}", reached=faster >= times))
    ratios = "".join(f"{_spread(figures[name]):<15} " for name in (of.OURS, of.DBUTILS, of.DBUTILS_TL))
    return f"{operation.key:<8}{operation.label:<29}{median(figures[of.RAW]) * 1e9:>9.0f}  {ratios}{', '.join(marks)}"


def count_rows() -> Iterator[str]:
    """Count bytecodes and frames of the unit of work."""
    yield "counts  of a unit of work"
    for contestant in of.sqlite_contestants():
        counts = count(OPERATIONS["g"], contestant)
        reached = counts[0] <= of.UNIT_COUNTS[0] and counts[1] <= of.UNIT_COUNTS[1]
        mark = _mark("   <={}/{}".format(*of.UNIT_COUNTS), reached=reached) if contestant.name == of.OURS else ""
        yield f"        {contestant.name:<14}{counts[0]:>4} bytecodes {counts[1]:>3} frames{mark}"


def import_rows(times: int) -> Iterator[str]:
    """Time the imports."""
    ours, modules = import_times("persistentdb", times)
    yield "j       import, the package's own modules"
    yield f"        persistentdb {ours:5.1f} ms   {_mark('<=10 ms', reached=ours <= 10)}"
    yield f"        dbutils      {import_times('dbutils.persistent_db', times)[0]:5.1f} ms"
    yield "        " + _mark("no typing_extensions at run time", reached="typing_extensions" not in modules)


def show(option: argparse.Namespace) -> None:
    """Measure, and print the table."""
    print(f"Python {platform.python_version()}, {option.processes} processes of {option.rounds} rounds; ratios to raw")
    print(f"{'':<37}{'raw ns':>9}  {of.OURS:<16}{of.DBUTILS:<16}{of.DBUTILS_TL:<16}goals")
    for key, figures in measured_in_processes(option.processes).items():
        print(ratio_row(OPERATIONS[key], figures))
    if "counts" in option.only:
        print(*count_rows(), sep="\n")
    if "j" in option.only:
        print(*import_rows(3 * option.processes), sep="\n")


if __name__ == "__main__":
    given = options()
    if given.measure:
        print(json.dumps(measured(given)))
    else:
        show(given)
