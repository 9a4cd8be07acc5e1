"""The list of hand-made faults is in step with the code; that they are caught, `python -m tests.mutations` tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutations.faults import FAULTS, Fault

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_has_its_place(fault: Fault) -> None:
    """X1: the code that a fault is made in is there, once, and the fault changes it; its tests exist."""
    assert fault.count(ROOT) == 1, f"{fault.file} has changed: adapt this fault"
    assert fault.old != fault.new
    assert all((ROOT / "tests" / name).is_file() for name in fault.tests)


def test_there_are_enough_of_them() -> None:
    """X1: twenty or more, in each of the files that decide."""
    assert len(FAULTS) >= 20
    assert {fault.file for fault in FAULTS} >= {
        "_recovery.py",
        "steady.py",
        "cursor.py",
        "_link.py",
        "_losses.py",
        "failures.py",
        "_fitness.py",
    }
