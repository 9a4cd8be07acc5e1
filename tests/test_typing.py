"""The types hold in mypy and in pyright, the page about them tells the truth, and the checks can fail."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "typing.md"
MISTAKES = ROOT / "tests" / "errors_documented.py"

NEEDED = ["duckdb", "oracledb", "psycopg", "types-mysqlclient", "types-psycopg2", "types-PyMySQL"]
"""Distributions whose types `tests/typing` reads; pg8000 and mariadb are declared in `stubs/`."""


def is_installed(distribution: str) -> bool:
    """Whether a distribution is there, by its name on the index."""
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


# The page


def documented_messages() -> list[tuple[int, str, str]]:
    """Return line of code, kind (error or note) and text of every message that `errors_documented.py` announces."""
    found: list[tuple[int, str, str]] = []
    waiting: list[tuple[str, str]] = []
    for number, line in enumerate(MISTAKES.read_text().splitlines(), 1):
        comment = re.fullmatch(r" *# ([EN]): (.*)", line)
        if comment:
            waiting.append(({"E": "error", "N": "note"}[comment[1]], comment[2]))
        else:
            found += [(number, kind, text) for kind, text in waiting]
            waiting = []
    return found


def mypy_here(*arguments: str) -> tuple[str, str, int]:
    """Run mypy in this process, strict, as configured; return its output, its errors and its status."""
    if not is_installed("mypy"):
        pytest.skip("mypy is not installed: it comes with the extra `typing`")
    from mypy import api

    return api.run(["--strict", "--config-file", "mypy.ini", "--hide-error-codes", *arguments])


def test_messages_are_those_of_mypy(monkeypatch: pytest.MonkeyPatch) -> None:
    """X8: what `errors_documented.py` announces is what mypy says, line by line, and it says nothing else."""
    monkeypatch.chdir(ROOT)
    output, trouble, _ = mypy_here(str(MISTAKES.relative_to(ROOT)))
    assert not trouble
    found = re.findall(r"^tests.errors_documented\.py:(\d+): (error|note): (.*)$", output, re.MULTILINE)
    said = [(int(number), kind, text) for number, kind, text in found]
    announced = documented_messages()
    for number, kind, text in announced:
        there = [words for line, sort, words in said if (line, sort) == (number, kind)]
        assert any(words.startswith(text) for words in there), f"line {number}: expected {text!r}, mypy says {there}"
    expected = {number for number, kind, _ in announced if kind == "error"}
    assert {number for number, kind, _ in said if kind == "error"} == expected, output


def test_page_quotes_these_messages() -> None:
    """X8: every message on the page is checked against mypy, and every one that is checked stands on the page."""
    blocks = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    on_page = [line for block in blocks for line in block.splitlines()]
    assert on_page
    assert sorted(on_page) == sorted(text for _, _, text in documented_messages())


def test_examples_of_the_page_are_well_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """X8: the page's own examples pass the strict checks it tells of."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 1
    examples = tmp_path / "examples.py"
    examples.write_text("\n".join(blocks))
    monkeypatch.chdir(ROOT)
    output, _, status = mypy_here(str(examples))
    assert status == 0, output


# The whole: package and typing tests


def mypy_command(version: str) -> list[str]:
    """Return the command for mypy over everything, for a Python version."""
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version", version]
    return command if is_installed("PyGreSQL") else [*command, "--exclude", r"check_pgdb\.py$"]


def pyright_command(root: Path = ROOT) -> list[str]:
    """Return the command for pyright over everything that is there."""
    files = [path.relative_to(root).as_posix() for path in sorted((root / "tests" / "typing").glob("check_*.py"))]
    if not is_installed("PyGreSQL"):
        files.remove("tests/typing/check_pgdb.py")
    return [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "persistentdb", *files]


def run(command: list[str], root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a checker, or skip the test where it, or what it reads, is not installed."""
    checker = command[2]
    missing = [name for name in [checker, *NEEDED] if not is_installed(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; they come with the extras `typing` and `test`")
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.10", "3.14"])
def test_mypy_is_content(version: str) -> None:
    """X8: `mypy --strict` finds nothing in the package and in its typing tests, on the oldest and the newest Python."""
    process = run(mypy_command(version))
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.10", "3.14"])
def test_pyright_is_content(version: str) -> None:
    """X8: pyright in its strict mode finds nothing either."""
    process = run([*pyright_command(), "--pythonversion", version])
    assert process.returncode == 0, process.stdout + process.stderr


# The checks can fail

SABOTAGES = {
    "the connection's type is forgotten": (
        "persistentdb/persistent.py",
        "def steady_connection(self) -> SteadyConnection[ConnT_co]:",
        "def steady_connection(self) -> SteadyConnection[Any]:",
        "check_api.py",
    ),
    "rows are Any": (
        "persistentdb/cursor.py",
        "def fetchone(self: SteadyCursor[One[T]]) -> T:",
        "def fetchone(self) -> Any:",
        "check_api.py",
    ),
    "every name is there": (
        "persistentdb/cursor.py",
        "    def __repr__(self) -> str:",
        "    def __getattr__(self, name: str) -> Any: ...\n    def __repr__(self) -> str:",
        "check_negative.py",
    ),
    "one string for setsession": (
        "persistentdb/session.py",
        "Setups: TypeAlias = list[str]",
        "Setups: TypeAlias = str | list[str]",
        "check_negative.py",
    ),
    "a strategy must import ours": (
        "persistentdb/ping.py",
        '    def due(self, event: Ping, /) -> bool:\n        """Whether a check is due',
        '    def due(self, event: Ping, /, *, more: int) -> bool:\n        """Whether a check is due',
        "check_strategies.py",
    ),
    "a wrong assertion": (
        "tests/typing/check_api.py",
        "assert_type(db.as_driver, sqlite3.Connection)",
        "assert_type(db.as_driver, sqlite3.Cursor)",
        "check_api.py",
    ),
}

# pyright reads everything anew each time: some will do.
SLOWER = [("rows are Any", "pyright"), ("every name is there", "pyright"), ("a wrong assertion", "pyright")]


@pytest.fixture
def copy_of_the_house(tmp_path: Path) -> Path:
    """Return a copy of all that the checkers read."""
    for name in ("persistentdb", "stubs", "tests/typing"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mypy.ini", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("sabotage", "checker"), [*((name, "mypy") for name in SABOTAGES), *SLOWER])
def test_checkers_see_a_broken_declaration(
    sabotage: str, checker: str, copy_of_the_house: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """X8: a promise that is broken makes the typing test that stands for it fail, in both checkers."""
    name, right, wrong, complaining = SABOTAGES[sabotage]
    file = copy_of_the_house / name
    source = file.read_text()
    assert source.count(right) == 1, f"{name} has changed: it must have {right!r} once"
    file.write_text(source.replace(right, wrong))
    if checker == "mypy":
        command = [*mypy_command("3.10"), "--cache-dir", str(tmp_path_factory.getbasetemp() / "mypy-cache")]
    else:
        command = pyright_command(copy_of_the_house)
    process = run(command, copy_of_the_house)
    assert process.returncode == 1, process.stdout + process.stderr
    assert re.search(rf"{complaining}:\d+.* error:", process.stdout), process.stdout
