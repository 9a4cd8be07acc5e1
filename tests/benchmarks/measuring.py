"""How it is measured: paired blocks of time, exact counts, and the time of imports."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import repeat
from types import FrameType
from typing import Any

from .operations import Contestant, Operation

__all__ = ["count", "import_times", "paired_ratios"]

# A loop that sits on the edge of an arena of Python's allocator would pay for mapping it again and again.
_ballast = [bytearray(size) for size in range(1, 480) for _ in range(20)]
del _ballast[::2]


class _Block:
    """A loop long enough for the clock; the loop itself does not count."""

    def __init__(self, operation: Operation, contestant: Contestant, seconds: float) -> None:
        self._timer, self._empty = operation.timer(contestant), operation.timer(contestant, operation.empty)
        self._number = 1
        while (took := min(self._timer.repeat(2, self._number))) < seconds / 4:
            self._number *= 2
        self._number = max(1, round(self._number * seconds / took))

    def seconds(self) -> float:
        """Return the time of one operation."""
        return (self._timer.timeit(self._number) - self._empty.timeit(self._number)) / self._number


def paired_ratios(
    operation: Operation, contestants: list[Contestant], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Measure an operation on all contestants, in the order raw, x1, raw, x2, raw, ... shuffled at every round.

    Args:
        operation: What is measured.
        contestants: On whom; the first is the raw driver.
        rounds: How many ratios are taken of each.
        seconds: How long a block lasts, about; a few ms, before the machine changes its speed.

    Returns:
        By name the ratios to the two neighbouring blocks of the raw driver; of the raw driver itself the seconds.
    """
    raw, *others = [(contestant.name, _Block(operation, contestant, seconds)) for contestant in contestants]
    found: dict[str, list[float]] = {name: [] for name, _ in (raw, *others)}
    for _ in range(rounds):
        before = raw[1].seconds()
        for name, block in random.sample(others, len(others)):
            took, after = block.seconds(), raw[1].seconds()
            found[name].append(2 * took / max(before + after, 1e-12))
            found[raw[0]].append(after)
            before = after
    return found


def count(operation: Operation, contestant: Contestant) -> tuple[int, int]:
    """Return how many bytecodes and Python frames an operation takes.

    sqlite3 serves as well as a driver that does nothing: what it does in C is not counted.
    """
    counted = _by_monitoring if sys.version_info >= (3, 12) else _by_tracing
    found = []
    for statement in (operation.statement, f"{operation.statement}\n{operation.statement}"):
        timer: Any = operation.timer(contestant, statement)
        timer.timeit(3)  # what happens at the first time only
        found.append(counted(timer.inner, repeat(None, 1), operation.clock))
    return found[1][0] - found[0][0], found[1][1] - found[0][1]


def _by_monitoring(run: Callable[..., object], *arguments: object) -> tuple[int, int]:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]  # new in 3.12
    tool, events = monitoring.PROFILER_ID, monitoring.events
    seen: dict[int, list[object]] = {events.INSTRUCTION: [], events.PY_START: [], events.PY_RESUME: []}
    monitoring.use_tool_id(tool, "benchmark")
    for event, codes in seen.items():
        monitoring.register_callback(tool, event, lambda code, _, codes=codes: codes.append(code))
    monitoring.set_events(tool, sum(seen))
    run(*arguments)
    monitoring.set_events(tool, 0)
    monitoring.free_tool_id(tool)
    return len(seen[events.INSTRUCTION]), len(seen[events.PY_START]) + len(seen[events.PY_RESUME])


def _by_tracing(run: Callable[..., object], *arguments: object) -> tuple[int, int]:
    seen: list[str] = []

    def trace(frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        seen.append(event)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    run(*arguments)
    sys.settrace(before)
    return seen.count("opcode"), seen.count("call")


def import_times(module: str, times: int) -> tuple[float, set[str]]:
    """Return the ms that a package's own modules take to be imported, and the names of all modules that are.

    Args:
        module: What is imported, in a new interpreter; its own modules are those of the same package.
        times: How often; the least counts, for a busy machine only adds. One more fills the cache of compiled modules.
    """
    package, sums, found = module.partition(".")[0], [], []
    with tempfile.TemporaryDirectory() as cache:
        surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        surroundings["PYTHONPYCACHEPREFIX"] = cache
        for _ in range(times + 1):
            command = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
            report = subprocess.run(command, check=True, capture_output=True, text=True, env=surroundings).stderr
            found = re.findall(r"import time:\s*(\d+) \|\s*\d+ \|\s*(\S+)", report)
            sums.append(sum(int(took) for took, name in found if name.partition(".")[0] == package))
    return min(sums) / 1000, {name for _, name in found}
