"""The chaos run on real servers, and the proof that its judge would see what it is there to see."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from attrs import evolve

from persistentdb._demo_bank import Transfer
from tests.chaos import audit
from tests.chaos.audit import Report
from tests.chaos.children import BOUND
from tests.chaos.ground import SERVERS, Books
from tests.chaos.journal import Entry, Journal, Word
from tests.chaos.plan import Exit, Settings, Task, faults, kinds_on, tasks
from tests.chaos.run import hanging

ROOT = Path(__file__).parent.parent
SECONDS = 75
SETTINGS = Settings("postgres", seed=1, seconds=SECONDS)
MADE, UNKNOWN, REFUSED = Transfer(1, 1, 2, 10), Transfer(2, 2, 3, 200), Transfer(3, 3, 1, 3000)
OPENING = {1: 10_000, 2: 10_000, 3: 10_000}


@pytest.mark.chaos
@pytest.mark.server
@pytest.mark.timeout(5 * SECONDS)
@pytest.mark.parametrize("server", SERVERS)
def test_nothing_is_lost_and_nothing_is_doubled(server: str) -> None:
    """X1, X5, X6: whatever breaks, what was told of each transfer is true, and no session or file is left behind.

    The seed is a new one each time, and stands in the first line: `--seed` draws the same plan again.
    """
    if missing := SERVERS[server].missing():
        pytest.skip(missing)
    command = [sys.executable, "-m", "tests.chaos", "--server", server, "--seconds", str(SECONDS)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout


# The plan


def drawn(settings: Settings) -> list[Task]:
    """Return the first tasks of a teller."""
    return list(islice(tasks(settings, 3, list(Exit), 0.05), 500))


def test_a_seed_draws_the_same_plan_again() -> None:
    """Chaos: `--seed` repeats what each teller and the saboteur do; another seed is another plan."""
    other = evolve(SETTINGS, seed=2)
    assert drawn(SETTINGS) == drawn(SETTINGS) != drawn(other)
    first, second = faults(SETTINGS), faults(SETTINGS)
    assert [next(first), next(first)] == [next(second), next(second)] != list(islice(faults(other), 2))


def test_no_two_transfers_have_the_same_id() -> None:
    """Chaos: an id that came twice by itself would pass for a doubled transfer; those of children count, too."""
    plans = [islice(tasks(SETTINGS, who, list(Exit), 0.05), 500) for who in range(1, 10)]
    found = [task for plan in plans for task in plan]
    found += [child for task in found if task.fork for child in task.fork.tasks]
    assert len({task.transfer.id for task in found}) == len(found)
    assert {task.fork.way for task in found if task.fork} == set(Exit)


@pytest.mark.parametrize("server", SERVERS)
def test_every_kind_of_fault_comes_in_every_round(server: str) -> None:
    """Chaos: no seed leaves a kind of fault out."""
    found = faults(Settings(server, seed=5, seconds=1))
    assert [{fault.kind for fault in hand} for hand in islice(found, 3)] == [set(kinds_on(server))] * 3


# The judge


def journal() -> list[Entry]:
    """Return what was told of three transfers, one of each kind."""
    words = {MADE: Word.MADE, UNKNOWN: Word.UNKNOWN, REFUSED: Word.REFUSED}
    tried = [Entry(1.0, "teller 1", transfer, Word.TRYING) for transfer in words]
    return tried + [Entry(2.0, "teller 1", transfer, word, "text") for transfer, word in words.items()]


def books(*ledger: Transfer, gap: int = 0) -> Books:
    """Return books with that ledger, in which some money of account 1 is missing."""
    closing = Counter(OPENING)
    for transfer in ledger:
        closing[transfer.source] -= transfer.amount
        closing[transfer.target] += transfer.amount
    closing[1] -= gap
    return Books(list(ledger), dict(closing))


@pytest.mark.parametrize("ledger", [(MADE,), (MADE, UNKNOWN)])
def test_true_books_are_passed(ledger: tuple[Transfer, ...]) -> None:
    """X1: what is acknowledged is there once; what is in doubt is there as a whole or not at all."""
    assert list(audit.wrongs(journal(), OPENING, books(*ledger))) == []
    assert list(audit.told(journal(), OPENING, books(*ledger))) == []


@pytest.mark.parametrize(
    ("found", "word", "suspect"),
    [
        (books(), "lost", MADE),
        (books(UNKNOWN), "lost", MADE),
        (books(MADE, MADE), "doubled", MADE),
        (books(MADE, UNKNOWN, UNKNOWN), "doubled", UNKNOWN),
        (books(MADE, REFUSED), "too much", REFUSED),
        (books(MADE, gap=REFUSED.amount), "account 1 has", REFUSED),
    ],
)
def test_false_books_are_seen(found: Books, word: str, suspect: Transfer) -> None:
    """X1: lost, doubled, there although refused, half made: each is seen, and the history of the transfer is told.

    Of a transfer that was half made its amount tells, which is missing in an account that it concerns.
    """
    assert any(sentence.startswith(word) for sentence in audit.wrongs(journal(), OPENING, found))
    assert f"the history of {suspect.id}" in "\n".join(audit.told(journal(), OPENING, found))


def test_what_was_never_told_is_seen() -> None:
    """X1: every call comes to an end, with a result or an error; only a child that was killed is told nothing."""
    tried = [Entry(1.0, "teller 1", MADE, Word.TRYING), Entry(1.0, "teller 1's child 77", UNKNOWN, Word.TRYING)]
    assert list(audit.wrongs(tried, OPENING, books())) == [f"untold: nothing was ever told of {MADE}"]


def test_the_faults_meanwhile_are_part_of_a_history() -> None:
    """Chaos: a failure tells what was done to the transfer, and what broke around it."""
    entries = [
        Entry(0.1, "saboteur", None, Word.FAULT, "long before"),
        *journal(),
        Entry(2.1, "saboteur", None, Word.FAULT, "meanwhile"),
    ]
    history = "\n".join(audit.told(entries, OPENING, books()))
    assert "meanwhile" in history
    assert "long before" not in history


def test_a_run_that_saw_nothing_is_no_proof() -> None:
    """Chaos: a run without faults, children, doubtful outcomes or transfers fails."""
    blind = Report(SETTINGS, [], Counter(), Counter(), ["psycopg"], float(SECONDS), [])
    spots = "\n".join(audit.blind_spots(blind))
    for missing in ("run() over psycopg", "the server killed", "0 faults", "0 transfers", "os._exit", "doubt"):
        assert missing in spots


def test_whoever_hangs_is_found() -> None:
    """Chaos: an operation without an end ends the run."""
    now = time.monotonic()
    assert hanging({"teller 1": None, "teller 2": now, "teller 3": now - BOUND - 1}) == ["teller 3"]


def test_a_journal_outlives_its_writer(tmp_path: Path) -> None:
    """Chaos: what a process wrote before it was killed is there, in the order of all processes."""
    ours = Journal(tmp_path / "journal")
    ours.write("teller 1", MADE, Word.TRYING)
    code = (
        "import os, pathlib, signal, sys\n"
        "from persistentdb._demo_bank import Transfer\n"
        "from tests.chaos.journal import Journal, Word\n"
        "Journal(pathlib.Path(sys.argv[1])).write('child', Transfer(2, 2, 3, 200), Word.MADE, 'text')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(ours.path)], cwd=ROOT, check=False)
    ours.write("teller 1", MADE, Word.MADE)
    found = [(entry.who, entry.transfer, entry.word) for entry in ours.read()]
    assert found == [("teller 1", MADE, Word.TRYING), ("child", UNKNOWN, Word.MADE), ("teller 1", MADE, Word.MADE)]
