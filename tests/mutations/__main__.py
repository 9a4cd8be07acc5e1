"""The runner: one fault at a time, in a copy of the project, against the tests that must catch it."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.mutations.faults import FAULTS, Fault

ROOT = Path(__file__).parents[2]
COPIED = ("persistentdb", "tests", "conftest.py", "pyproject.toml")
LIMIT = 120.0
"""Seconds for one fault's tests."""
AT_ONCE = 2

PASSED, FAILED, INTERRUPTED = 0, 1, 2
"""pytest's exit codes; a KeyboardInterrupt that escapes a test counts as a failure."""


def copy_project(folder: Path) -> None:
    """Copy what the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy2(source, folder / name)


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a copy of the project.

    Raises:
        subprocess.TimeoutExpired: It took longer than `LIMIT`.
    """
    surroundings = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PERSISTENTDB_MODEL_ANY_EXAMPLE": "1",  # one that fails will do: the shortest takes minutes to find
    }
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, check=False, cwd=folder, env=surroundings, timeout=LIMIT, capture_output=True, text=True
    )


def run_tests(folder: Path, tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Run test files, up to the first failure, without servers."""
    files = [f"tests/{name}" for name in tests]
    return python(folder, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not server and not slow", *files)


def try_fault(fault: Fault) -> str | None:
    """Make a fault, and return what is wrong with the tests, or with the fault itself; None if it was caught."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_project(folder)
        try:
            fault.make(folder)
        except ValueError as error:
            return str(error)
        if python(folder, "-W", "error", "-c", "import persistentdb").returncode:
            return "is no fault but nonsense: the package cannot be imported any more"
        try:
            outcome = run_tests(folder, fault.tests)
        except subprocess.TimeoutExpired:
            return f"did not end within {LIMIT:g} s"
    if outcome.returncode == PASSED:
        return f"survived {', '.join(fault.tests)}"
    if outcome.returncode not in (FAILED, INTERRUPTED):
        return f"could not be tried (pytest's exit code {outcome.returncode}):\n{outcome.stdout}{outcome.stderr}"
    return None


def check_innocent(faults: Iterable[Fault]) -> str | None:
    """Run the tests of all these faults without any; return their output if they fail even so."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_project(folder)
        outcome = run_tests(folder, sorted({test for fault in faults for test in fault.tests}))
    return None if outcome.returncode == PASSED else outcome.stdout + outcome.stderr


def report(total: int, numbered: tuple[int, Fault]) -> bool:
    """Try one fault, and print what came of it; return whether it was caught."""
    number, fault = numbered
    began = time.monotonic()
    wrong = try_fault(fault)
    seconds = time.monotonic() - began
    print(f"{number:3} of {total}  {'caught' if wrong is None else 'FAILED'}  {seconds:4.1f} s  {fault}", flush=True)
    if wrong is not None:
        print(f"    {wrong}", flush=True)
    return wrong is None


def main() -> int:
    """Try the faults; return 1 if one survives, or cannot be tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORD", help="those whose name, file or reason has this word")
    word = parser.parse_args().only.lower()
    faults = [fault for fault in FAULTS if word in f"{fault} {fault.why}".lower()]
    guilty = check_innocent(faults)
    if guilty is not None:
        print(f"without any fault the tests fail, too:\n{guilty}")
        return 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        caught = list(pool.map(partial(report, len(faults)), enumerate(faults, 1)))
    print(f"{sum(caught)} of {len(caught)} faults were caught")
    return 0 if all(caught) and caught else 1


if __name__ == "__main__":
    raise SystemExit(main())
