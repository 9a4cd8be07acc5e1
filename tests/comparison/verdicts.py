"""What can come of a fault, and how that is told from what is in the database."""

from __future__ import annotations

from collections import Counter
from enum import Enum

from attrs import frozen

__all__ = ["LIMIT", "Outcome", "Verdict", "judged"]

LIMIT = 20
"""Seconds after which a play is taken to hang."""


class Verdict(Enum):
    """What came of a fault: the word for the table, and its meaning.

    Attributes:
        word: What stands in the table.
        meaning: A sentence for the reader.
    """

    OK = (
        "ok",
        "No error reached the program, and everything is in the database exactly once, as if nothing had happened.",
    )
    ERROR = "error", "An error reached the program in time: nothing was lost, doubled or committed behind its back."
    LOST = "**LOST**", "No error, not even at the commit, and yet something that the program did is gone."
    DOUBLED = "**DOUBLED**", "The program did something once, and the database has it more than once."
    HALF = "**HALF**", "A transaction was broken by an error, and yet a part of it is committed without the rest."
    WRONG = (
        "**WRONG**",
        "Nothing is missing in the tables, but something else is not as the program left it; it is named.",
    )
    HANGS = "**HANGS**", f"It did not come back within {LIMIT} seconds."
    NONE = "n/a", "Cannot be played: the contender or the driver does not have what it takes."

    def __init__(self, word: str, meaning: str) -> None:
        self.word = word
        self.meaning = meaning


@frozen
class Outcome:
    """The verdict on one fault for one contender over one driver.

    Attributes:
        verdict: What came of it.
        detail: What is wrong, in a few words; the same for the same trouble.
        error: The last error that reached the program, "" for none.
    """

    verdict: Verdict
    detail: str = ""
    error: str = ""

    @property
    def text(self) -> str:
        """What stands in the table."""
        return f"{self.verdict.word}: {self.detail}" if self.detail else self.verdict.word


def judged(found: list[int], expected: list[int], *, noticed: bool) -> Verdict:
    """Return the verdict on a piece of work that is to be done as a whole or not at all.

    Args:
        found: The numbers of the rows that are committed.
        expected: Those of a world without faults.
        noticed: Whether an error reached the program.
    """
    if Counter(found) - Counter(expected):
        return Verdict.DOUBLED
    if found == expected:
        return Verdict.ERROR if noticed else Verdict.OK
    if not noticed:
        return Verdict.LOST
    return Verdict.HALF if found else Verdict.ERROR
