"""The comparison: it sees the faults that it is made to see, none of them is ours, and its page is of the same mind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from comparison.page import BEGIN, END, put_into_page
from comparison.verdicts import Verdict, judged
from servers import DRIVERS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "comparison.md"
OVER = ("psycopg", "pymysql")  # one of each server; the page has all drivers
OURS, DBUTILS, RAW = "persistentdb", "DBUtils", "raw driver"
GUILTY = {Verdict.LOST.name, Verdict.DOUBLED.name, Verdict.HALF.name, Verdict.HANGS.name}
FAULTS_AT_STATEMENTS = (
    "idle-insert",
    "idle-begin",
    "implicit-transaction",
    "begin-and-on",
    "generator",
    "autocommit-request",
    "autocommit-reply",
    "procedure",
    "select-reply",
    "commit-request",
    "commit-reply",
    "statement-timeout",
    "lock-timeout",
    "half-a-result",
    "autocommit-set",
    "sql-set",
)

Outcomes = dict[tuple[str, str, str], dict[str, str]]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script with arguments, to its end."""
    words = [sys.executable, "-m", "tests.comparison", *arguments]
    return subprocess.run(words, check=False, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def drivers() -> list[str]:
    """Lend the names of the drivers that the comparison is made over."""
    pytest.importorskip("dbutils", reason="DBUtils is not installed: pip install DBUtils==3.2.0")
    missing = {driver.name: driver.missing() for driver in DRIVERS if driver.name in OVER}
    here = [name for name, reason in missing.items() if reason is None]
    if not here:
        pytest.skip("; ".join(filter(None, missing.values())))
    return here


@pytest.fixture(scope="module")
def outcomes(drivers: list[str]) -> Outcomes:
    """Lend the outcomes of all faults, by fault, contender and driver."""
    done = command("--json", "--drivers", *drivers)
    assert done.returncode == 0, done.stderr
    records: list[dict[str, str]] = json.loads(done.stdout)
    return {(one["fault"], one["contender"], one["driver"]): one for one in records}


@pytest.fixture(scope="module")
def listed() -> dict[str, Any]:
    """Lend the faults, drivers and contenders of the script, as it lists them."""
    done = command("--list")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.server
def test_all_is_played(outcomes: Outcomes, listed: dict[str, Any], drivers: list[str]) -> None:
    """Issue 3: the same faults for all contenders over all drivers: no cell is left out."""
    expected = {
        (fault["key"], contender, driver)
        for fault in listed["faults"]
        for contender in listed["contenders"]
        for driver in drivers
    }
    assert outcomes.keys() == expected


@pytest.mark.slow
@pytest.mark.server
def test_nothing_is_lost_or_doubled_by_us(outcomes: Outcomes) -> None:
    """X1: whatever the fault, persistentdb loses nothing in silence, does nothing twice, and comes back."""
    guilty = {cell: one for cell, one in outcomes.items() if cell[1] == OURS and one["verdict"] in GUILTY}
    assert not guilty


@pytest.mark.slow
@pytest.mark.server
def test_what_is_wrong_with_us_is_known(outcomes: Outcomes) -> None:
    """C9, X2, X3, X5: nothing else is wrong over persistentdb, but that what SQL has set is gone, as the page says."""
    wrong = {cell[0] for cell, one in outcomes.items() if cell[1] == OURS and one["verdict"] == Verdict.WRONG.name}
    assert wrong == {"sql-set"}


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("fault", ["idle-insert", "idle-begin", "autocommit-set"])
def test_reopening_is_unnoticed_over_us(outcomes: Outcomes, drivers: list[str], fault: str) -> None:
    """C5, X3: between two units of work a lost connection does not show, so that raising always is no way out."""
    assert {outcomes[fault, OURS, driver]["verdict"] for driver in drivers} == {Verdict.OK.name}


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        pytest.param("implicit-transaction", Verdict.LOST, id="F1"),
        pytest.param("procedure", Verdict.DOUBLED, id="F2"),
        pytest.param("begin-and-on", Verdict.HALF, id="F6"),
    ],
)
def test_the_script_sees_a_fault(outcomes: Outcomes, drivers: list[str], fault: str, verdict: Verdict) -> None:
    """Issue 3: what is known of DBUtils shows, so the script is able to see a loss, a doubling and a half."""
    assert {outcomes[fault, DBUTILS, driver]["verdict"] for driver in drivers} == {verdict.name}


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("fault", FAULTS_AT_STATEMENTS)
def test_the_fault_happens(outcomes: Outcomes, drivers: list[str], fault: str) -> None:
    """Issue 3: each of these faults shows with the raw driver as an error, so it is a fault and not a pretence."""
    found = [outcomes[fault, RAW, driver] for driver in drivers]
    assert all(one["verdict"] == Verdict.ERROR.name and one["error"] for one in found), found


def rows_of(page: str) -> list[list[str]]:
    """Return the cells of the page's first generated table, its head included."""
    generated = page.partition(BEGIN)[2].partition(END)[0]
    table = generated.strip().partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_page_is_of_today(listed: dict[str, Any]) -> None:
    """Issue 3: the page's table has the faults and contenders of the script, and words that it explains."""
    page = PAGE.read_text(encoding="utf-8")
    head, _, *rows = rows_of(page)
    assert head == ["fault", *listed["contenders"]]
    assert [row[0] for row in rows] == [fault["title"] for fault in listed["faults"]]
    words = {verdict.word for verdict in Verdict}
    cells = [cell for row in rows for cell in row[1:]]
    assert cells
    parts = [part for cell in cells for part in re.sub(r" \([^)]*\)", "", cell).split("; ")]
    assert {part.partition(":")[0] for part in parts} <= words
    for verdict in Verdict:
        assert f"| {verdict.word} | {verdict.meaning}" in page


def test_nothing_is_lost_or_doubled_by_us_on_the_page() -> None:
    """X1: over no driver of the page does persistentdb lose or double anything; after a cure, write the page anew."""
    head, _, *rows = rows_of(PAGE.read_text(encoding="utf-8"))
    ours = {row[0]: row[head.index(OURS)] for row in rows}
    words = [verdict.word for verdict in Verdict if verdict.name in GUILTY]
    assert not {title: cell for title, cell in ours.items() if any(word in cell for word in words)}


@pytest.mark.parametrize(
    ("found", "noticed", "verdict"),
    [
        ([1, 2], False, Verdict.OK),
        ([1, 2], True, Verdict.ERROR),
        ([], True, Verdict.ERROR),
        ([], False, Verdict.LOST),
        ([2], False, Verdict.LOST),
        ([2], True, Verdict.HALF),
        ([1, 1, 2], False, Verdict.DOUBLED),
        ([1, 1, 2], True, Verdict.DOUBLED),
        ([1, 1], True, Verdict.DOUBLED),
    ],
)
def test_judged(found: list[int], noticed: bool, verdict: Verdict) -> None:
    """Issue 3: the verdict follows from what is in the database, and from whether the program was told."""
    assert judged(found, [1, 2], noticed=noticed) is verdict


def test_only_the_block_is_replaced(tmp_path: Path) -> None:
    """Issue 3: what people have written around the block stays as it is, and writing twice changes nothing."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n", encoding="utf-8")
    for _ in range(2):
        put_into_page(r"| new \1 |", page)
        assert page.read_text(encoding="utf-8") == f"before\n\n{BEGIN}\n\n| new \\1 |\n\n{END}\n\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{BEGIN}\n{END}\n{BEGIN}\n{END}"])
def test_a_page_without_markers_is_refused(tmp_path: Path, text: str) -> None:
    """Issue 3: without its two markers a page is left alone, and the error names it."""
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(str(page))):
        put_into_page("new", page)
    assert page.read_text(encoding="utf-8") == text


def test_a_part_is_not_written() -> None:
    """Issue 3: the page shows all drivers and faults, or is not written."""
    before = PAGE.read_text(encoding="utf-8")
    done = command("--write", "--drivers", "psycopg")
    assert done.returncode == 2
    assert "--write is for all drivers and all faults" in done.stderr
    assert PAGE.read_text(encoding="utf-8") == before
