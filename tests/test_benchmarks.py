"""The benchmark itself: it runs, and prints every figure. What the figures are is no matter of a test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RATIO = r"-?\d+\.\d\d ±\d+\.\d\d"
MARK = r"(?:ok|MISSED)"
LABELS = (
    "acquire",
    "cursor + close",
    "execute + fetchone",
    "insert in begin/commit",
    "fetchone, 1000 rows",
    "iteration, 1000 rows",
    "fetchmany(100), 1000 rows",
    "fetchall, 1000 rows",
    "executemany, 1000 rows",
    "unit of work",
    "a thread's first connection",
)


@pytest.fixture(scope="module")
def report() -> str:
    """Lend what the shortest possible run prints."""
    pytest.importorskip("dbutils", reason="DBUtils is not installed: pip install DBUtils==3.2.0")
    command = [sys.executable, "-m", "tests.benchmarks", "--rounds", "2", "--processes", "1", "--block", "0.05"]
    return subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.parametrize("label", LABELS)
def test_ratios_are_printed(report: str, label: str) -> None:
    """Each operation has its row: the raw driver's time, three ratios to it, and at least one goal with its mark."""
    row = rf"^\w+ +{re.escape(label)} +-?\d+ +{RATIO} +{RATIO} +{RATIO} +<=[\d.]+ {MARK}"
    assert len(re.findall(row, report, re.MULTILINE)) == 1, report


def test_counts_are_printed(report: str) -> None:
    """A unit of work is counted on all four; the raw driver is in C and takes no frame, ours is the leanest else."""
    rows = re.findall(r"^ +(\S.*?) +(\d+) bytecodes +(\d+) frames", report, re.MULTILINE)
    bytecodes = {name: int(count) for name, count, _ in rows}
    frames = {name: int(count) for name, _, count in rows}
    assert frames.keys() == {"raw", "persistentdb", "DBUtils", "DBUtils tl"}, report
    assert frames["raw"] == 0 < frames["persistentdb"] < frames["DBUtils tl"] < frames["DBUtils"]
    assert 0 < bytecodes["raw"] < bytecodes["persistentdb"] < bytecodes["DBUtils tl"] < bytecodes["DBUtils"]


def test_imports_are_printed(report: str) -> None:
    """The time of both imports is there, and `typing_extensions` is no part of ours."""
    assert re.search(rf"^ +persistentdb +\d+\.\d ms +<=10 ms {MARK}$", report, re.MULTILINE), report
    assert re.search(r"^ +dbutils +\d+\.\d ms$", report, re.MULTILINE), report
    assert "no typing_extensions at run time ok" in report
