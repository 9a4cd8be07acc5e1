"""The table, and its place in `docs/comparison.md`."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from persistentdb import __version__

from .contenders import CONTENDERS, Contender
from .verdicts import Verdict

if TYPE_CHECKING:
    from tests.servers import LiveDriver

    from .faults import Fault
    from .playing import Played

__all__ = ["BEGIN", "END", "PAGE", "block", "put_into_page"]

PAGE = Path(__file__).parents[2] / "docs" / "comparison.md"
BEGIN = "<!-- begin: written by `python -m tests.comparison --write`; nothing in here is typed by hand -->"
END = "<!-- end -->"


def block(played: list[Played]) -> str:
    """Return the table, the meaning of its words and the versions, as Markdown."""
    drivers = list({one.driver.name: one.driver for one in played}.values())
    lines = [*_table(played), "", *_meanings(played), "", *_versions(drivers)]
    return "\n".join(lines)


def put_into_page(text: str, page: Path = PAGE) -> None:
    """Replace what stands between the two markers of a page.

    Raises:
        ValueError: The page does not have both markers, once each.
    """
    before = page.read_text(encoding="utf-8")
    if [before.count(marker) for marker in (BEGIN, END)] != [1, 1]:
        raise ValueError(f"{page} must have these two lines, once each: {BEGIN} and {END}")
    pattern = f"({re.escape(BEGIN)}\n).*({re.escape(END)})"
    after = re.sub(pattern, lambda found: f"{found[1]}\n{text}\n\n{found[2]}", before, flags=re.DOTALL)
    page.write_text(after, encoding="utf-8")


def _table(played: list[Played]) -> Iterator[str]:
    yield f"| fault | {' | '.join(contender.name for contender in CONTENDERS)} |"
    yield "|---" * (1 + len(CONTENDERS)) + "|"
    for fault in dict.fromkeys(one.fault for one in played):
        cells = [_cell(played, fault, contender) for contender in CONTENDERS]
        yield f"| {fault.title} | {' | '.join(cells)} |"


def _cell(played: list[Played], fault: Fault, contender: Contender) -> str:
    """Return what most drivers have in common, then what others have, with their names."""
    by_text: dict[str, list[str]] = {}
    for one in played:
        if (one.fault, one.contender) == (fault, contender):
            by_text.setdefault(one.outcome.text, []).append(one.driver.name)
    most, *others = sorted(by_text.items(), key=lambda item: -len(item[1]))
    return "; ".join([most[0], *(f"{text} ({', '.join(names)})" for text, names in others)])


def _meanings(played: list[Played]) -> Iterator[str]:
    seen = {one.outcome.verdict for one in played}
    yield "| word | meaning |"
    yield "|---|---|"
    for verdict in Verdict:
        absent = "" if verdict in seen else " (Not met in this run.)"
        yield f"| {verdict.word} | {verdict.meaning}{absent} |"


def _versions(drivers: Iterable[LiveDriver]) -> Iterator[str]:
    """Say what it was played with, as the servers and the packages themselves say it."""
    dbutils = importlib.metadata.version("DBUtils")
    yield f"Played with Python {platform.python_version()}, persistentdb {__version__}, DBUtils {dbutils};"
    packages = importlib.metadata.packages_distributions()
    found: dict[str, str] = {}
    for driver in drivers:
        distribution = packages[driver.module.__name__.partition(".")[0]][0]
        found[driver.name] = importlib.metadata.version(distribution)
    for driver in drivers:
        question = "show server_version" if driver.server.title == "PostgreSQL" else "select version()"
        if driver.server.title not in found:
            [(found[driver.server.title],)] = driver.server.query(question)
    yield ", ".join(f"{name} {version}" for name, version in found.items()) + "."
