"""The end of the run: the journal is held against the books, and the figures against what a good run must have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from attrs import field, frozen

from persistentdb._demo_bank import Transfer
from persistentdb._demo_bank import audit as differences

from .ground import Books
from .journal import Entry, Word, story
from .plan import Exit, Kind, Settings, Style, kinds_on

__all__ = ["LEFT_OPEN", "MAY_HAVE_EXECUTED", "Report", "blind_spots", "made", "outcomes", "told", "wrongs"]

MOST_TOLD = 5
LEFT_OPEN = "left open"
"""What is written of a transfer by a child that is about to die in the middle of it."""
MAY_HAVE_EXECUTED = "may have executed"
"""What the note on a driver's error says when the statement that failed may have been executed."""


@frozen
class Report:
    """What came of it.

    Attributes:
        settings: What was asked for.
        entries: The journal.
        faults: How often each kind of fault has really happened.
        exits: How often a child ended in each way.
        drivers: The drivers that took part.
        seconds: How long the tellers worked.
        wrongs: What must not be, a sentence each; that there is none is the proof.
        histories: What the journal says of the transfers concerned.
    """

    settings: Settings
    entries: list[Entry]
    faults: Counter[Kind]
    exits: Counter[Exit]
    drivers: list[str]
    seconds: float
    wrongs: list[str]
    histories: list[str] = field(factory=list[str])


def outcomes(entries: Iterable[Entry]) -> dict[Transfer, Entry]:
    """Return the last thing that was told of each transfer; of one under which a child died that is TRYING."""
    words = (Word.TRYING, Word.MADE, Word.REFUSED, Word.UNKNOWN)
    return {entry.transfer: entry for entry in entries if entry.transfer and entry.word in words}


def wrongs(entries: Sequence[Entry], opening: Mapping[int, int], books: Books) -> Iterator[str]:
    """Yield a sentence for everything that must not be: none, if nothing is lost, doubled or half made.

    Args:
        entries: The whole journal.
        opening: The balance of each account before.
        books: What the database has in the end.
    """
    yield from (f"wrong: {entry}" for entry in entries if entry.word is Word.WRONG)
    yield from (f"not calm: {entry}" for entry in _uncalled_for(entries))
    known = _known(entries, books)
    yield from differences(known, books.ledger, opening, books.closing)
    for transfer, entry in outcomes(entries).items():
        if entry.word is Word.TRYING and "child" not in entry.who:
            yield f"untold: nothing was ever told of {transfer}"


def told(entries: Sequence[Entry], opening: Mapping[int, int], books: Books) -> Iterator[str]:
    """Yield the history of the transfers that do not agree, the first few of them."""
    suspects = dict.fromkeys(_suspects(entries, opening, books))
    for identifier in list(suspects)[:MOST_TOLD]:
        booked = [transfer for transfer in books.ledger if transfer.id == identifier]
        yield f"the history of {identifier}; in the ledger: {booked or 'nothing'}"
        yield from map(str, story(entries, identifier))


def _uncalled_for(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield what failed although nothing was broken: then a child has had its hand in its parent's connection."""
    calm, begun_in_calm = False, set[Transfer | None]()
    for entry in entries:
        if entry.word is Word.CALM:
            calm = True
        elif calm and entry.word is Word.TRYING:
            begun_in_calm.add(entry.transfer)
        elif entry.word in (Word.REFUSED, Word.UNKNOWN) and entry.transfer in begun_in_calm:
            expected = "deadlock" in entry.text.lower() or entry.text == LEFT_OPEN
            yield from [] if expected else [entry]


def _known(entries: Iterable[Entry], books: Books) -> list[Transfer]:
    """Return what has to be in the ledger: what was acknowledged, and what of the doubtful has been found there."""
    ledger = set(books.ledger)
    return [
        transfer
        for transfer, entry in outcomes(entries).items()
        if entry.word is Word.MADE or (entry.word in (Word.UNKNOWN, Word.TRYING) and transfer in ledger)
    ]


def _suspects(entries: Iterable[Entry], opening: Mapping[int, int], books: Books) -> Iterator[int]:
    known, booked = Counter(_known(entries, books)), Counter(books.ledger)
    yield from (transfer.id for transfer in chain(known - booked, booked - known))
    gaps = Counter(books.closing)
    gaps.subtract(opening)
    for transfer in books.ledger:
        gaps[transfer.source] += transfer.amount
        gaps[transfer.target] -= transfer.amount
    for transfer in outcomes(entries):
        if transfer.amount in (abs(gaps[transfer.source]), abs(gaps[transfer.target])):
            yield transfer.id


def made(entries: Iterable[Entry]) -> Counter[str]:
    """Return how often a transfer was made or a look taken, by style and driver."""
    return Counter(entry.text for entry in entries if entry.word in (Word.MADE, Word.LOOKED))


def blind_spots(report: Report) -> Iterator[str]:
    """Yield a sentence for everything of which there was too little for the run to prove anything."""
    done, seconds = made(report.entries), report.seconds
    for what in (f"{style.value} over {driver}" for driver in report.drivers for style in Style):
        if done[what] < seconds / 10:
            yield f"blind: {done[what]} x {what}"
    if done.total() < 10 * seconds:
        yield f"blind: {done.total()} transfers and looks in {seconds:.0f} s"
    if report.faults.total() < seconds:
        yield f"blind: {report.faults.total()} faults in {seconds:.0f} s"
    yield from (f"blind: never {kind.value}" for kind in kinds_on(report.settings.server) if not report.faults[kind])
    yield from (f"blind: no child ended by {way.value}" for way in Exit if not report.exits[way])
    words = [entry.word for entry in report.entries]
    calm = words[words.index(Word.CALM) :] if Word.CALM in words else []
    if not (Word.FORKED in calm and Word.MADE in calm):
        yield "blind: no fork and no transfer in calm weather"
    last = outcomes(report.entries).values()
    at_once = [entry for entry in last if entry.word is Word.UNKNOWN and MAY_HAVE_EXECUTED in entry.text]
    unknown = [entry for entry in last if entry.word is Word.UNKNOWN and entry not in at_once]
    refused = [entry for entry in last if entry.word is Word.REFUSED]
    for what, some in (("commits in doubt", unknown), ("statements in doubt", at_once), ("refusals", refused)):
        if len(some) < seconds / 20:
            yield f"blind: {len(some)} {what} in {seconds:.0f} s"
