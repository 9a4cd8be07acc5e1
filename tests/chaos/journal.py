"""The journal: what each teller was told of each transfer, children's too, in the order in which it happened."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from attrs import field, frozen

from persistentdb._demo_bank import Transfer

__all__ = ["Entry", "Journal", "Word", "story"]

NEARBY = 0.5  # seconds around a transfer in which faults are told along with it


class Word(Enum):
    """What an entry says."""

    TRYING = "trying"
    """The transfer is about to be made."""

    MADE = "made"
    """Acknowledged: certainly in the database."""

    REFUSED = "refused"
    """Certainly not in the database."""

    UNKNOWN = "unknown"
    """In the database as a whole, or not at all."""

    LOOKED = "looked"
    """All balances were read, and were right."""

    FORKED = "forked"
    ENDED = "ended"
    FAULT = "fault"
    CALM = "calm"
    """From now on nothing is broken any more."""

    WRONG = "wrong"
    """Something that must not happen at all."""


@frozen
class Entry:
    """One line.

    Attributes:
        seconds: When, on the monotonic clock that all processes share.
        who: Who wrote it.
        transfer: What it speaks of, if of a transfer.
        word: What happened.
        text: The rest, for people.
    """

    seconds: float
    who: str
    transfer: Transfer | None
    word: Word
    text: str = ""

    def __str__(self) -> str:
        identifier = self.transfer.id if self.transfer else ""
        return f"{self.seconds:12.4f}  {self.who:<12} {identifier:<9} {self.word.value:<8} {self.text}"


@frozen
class Journal:
    """A file to which every process appends whole lines: what was written outlives the one who wrote it.

    Attributes:
        path: The file.
    """

    path: Path
    _descriptor: int = field(init=False, repr=False)

    @_descriptor.default
    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, who: str, transfer: Transfer | None, word: Word, text: str = "") -> None:
        """Append an entry."""
        line = json.dumps([time.monotonic(), who, transfer, word.value, text[:2000]])
        os.write(self._descriptor, line.encode() + b"\n")

    def read(self) -> list[Entry]:
        """Return all entries."""
        lines = map(json.loads, self.path.read_text().splitlines())
        return [
            Entry(seconds, who, Transfer(*transfer) if transfer else None, Word(word), text)
            for seconds, who, transfer, word, text in lines
        ]


def story(entries: Iterable[Entry], identifier: int) -> list[Entry]:
    """Return what was written of a transfer, and the faults meanwhile."""
    entries = list(entries)
    own = [entry.seconds for entry in entries if entry.transfer and entry.transfer.id == identifier]
    return [
        entry
        for entry in entries
        if (entry.transfer and entry.transfer.id == identifier)
        or (own and entry.word in _MEANWHILE and min(own) - NEARBY <= entry.seconds <= max(own) + NEARBY)
    ]


_MEANWHILE = (Word.FAULT, Word.CALM, Word.FORKED, Word.ENDED)
