"""The decision logic under any interleaving of calls and faults, held against a plain model (hypothesis).

A failing run prints the calls that led to it, as short as they could be made: pasted behind one another they replay it.
`model/driver.py` has drivers with a server's truth, `model/ledger.py` the plain model, `model/player.py` what is
checked at each call, `model/machine.py` what may happen.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from model.driver import PROFILES
from model.machine import SteadyMachine

from persistentdb import _recovery, drivers
from persistentdb._recovery import Operation, Pending, Recovery, Verdict

SHRINKING = 400
"""Seconds: hypothesis takes up to 300 to find the shortest example."""

PHASES = [Phase.generate] if os.environ.get("PERSISTENTDB_MODEL_ANY_EXAMPLE") else [Phase.generate, Phase.shrink]
"""Whether the shortest example is wanted, or any will do."""

COMMON = settings(deadline=None, database=None, report_multiple_bugs=False, phases=PHASES)

Decision = tuple[Operation, Verdict, Pending, Recovery]


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[Decision]]:
    """Make the model's drivers known ones, and collect what is decided."""
    seen: set[Decision] = set()
    decide = _recovery.decide

    def noted(operation: Operation, verdict: Verdict, pending: Pending, **more: Any) -> Recovery:
        recovery = decide(operation, verdict, pending, **more)
        seen.add((operation, verdict, pending, recovery))
        return recovery

    for name, profile in PROFILES.items():
        monkeypatch.setitem(drivers._PROFILES, name, profile)
    for name, room in list(sys.modules.items()):
        if name.startswith("persistentdb.") and getattr(room, "decide", None) is decide:
            monkeypatch.setattr(room, "decide", noted)
    yield seen
    drivers._profile_of_class.cache_clear()


def is_not_blind(decisions: set[Decision]) -> None:
    """Check that a run has met every operation, every verdict, everything that can be pending, and every outcome."""
    met = {member for decision in decisions for member in decision}
    assert met == {*Operation, *Verdict, *Pending, *Recovery}


@pytest.mark.timeout(SHRINKING)
def test_any_interleaving(decisions: set[Decision]) -> None:
    """X1: nothing acknowledged is missing, nothing is there twice, no error is swallowed; each time the same."""
    few = settings(COMMON, max_examples=400, stateful_step_count=30, derandomize=True)
    run_state_machine_as_test(SteadyMachine, settings=few)
    is_not_blind(decisions)


@pytest.mark.slow
@pytest.mark.timeout(SHRINKING + 120)
def test_any_other_interleaving(decisions: set[Decision]) -> None:
    """X1: the same with other examples each time; PERSISTENTDB_MODEL_SEED replays those of a printed seed."""
    chosen = int(os.environ.get("PERSISTENTDB_MODEL_SEED") or random.randrange(2**32))
    print(f"PERSISTENTDB_MODEL_SEED={chosen}")
    many = settings(COMMON, max_examples=1000, stateful_step_count=40)
    run_state_machine_as_test(seed(chosen)(type("Seeded", (SteadyMachine,), {})), settings=many)
    is_not_blind(decisions)
