"""The declarations in ``stubs/`` say what the installed packages do: mypy's stubtest compares the two."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STUBS = ROOT / "stubs"
STUBBED = sorted(directory.name for directory in STUBS.iterdir() if directory.is_dir())


def stubtest(module: str) -> subprocess.CompletedProcess[str]:
    """Compare the declarations of *module* with the module itself; return the finished process."""
    # What the stubs leave out is left out on purpose; what they say has to be true.
    options = ["--ignore-missing-stub", "--concise", "--mypy-config-file", "mypy.ini"]
    # A line of the allowlist is unused whenever another module, or another Python, is looked at.
    options += ["--allowlist", "stubs/allowlist.txt", "--ignore-unused-allowlist"]
    return subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", module, *options],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": "stubs"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("module", STUBBED)
def test_stub_says_what_the_package_does(module: str) -> None:
    """X8: our stubs tell the truth of names, parameters and defaults, so the types built on them do too."""
    for needed in ("mypy", module):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed, and stubtest imports it")
    process = stubtest(module)
    assert process.returncode == 0, (
        f"stubs/{module} and the installed {module} differ:\n{process.stdout}{process.stderr}"
    )


def test_every_stub_is_looked_at() -> None:
    """X8: no declaration in ``stubs/`` goes unchecked because the list of them was read wrongly."""
    assert {"dbutils", "mariadb", "pg8000"} <= set(STUBBED)
