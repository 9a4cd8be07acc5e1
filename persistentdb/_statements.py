"""What a statement does to the transaction, told from its text: the cautious answer where the text does not tell."""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache
from typing import Any, cast

__all__ = ["Effect", "changes_schema", "effect_of", "may_commit", "text_of"]


class Effect(Enum):
    """What a statement leaves behind in a transaction."""

    READS = auto()
    """A plain read: it opens an implicit transaction, but puts nothing at stake."""

    WORK = auto()
    """Anything else: losing it would lose something."""

    OPENS = auto()
    """It opens a transaction, also on a connection in autocommit."""

    ENDS = auto()
    """It commits or rolls back the whole transaction."""


# No comment is what MySQL executes of one (/*! */), nor what holds another one: PostgreSQL's comments nest, others' do
# not, so that the first word cannot be told.
_LEADING_NOISE = re.compile(r"(?:\s|(?:--|\#)[^\n]*(?:\n|$)|/\*(?![!+M])(?:(?!/\*).)*?\*/|\()*", re.DOTALL)
_FIRST_WORD = re.compile(r"[a-z]+", re.IGNORECASE)
_READS = frozenset({"select", "show", "explain", "describe", "desc", "values"})
_OPENS = frozenset({"begin", "start"})
_ENDS = frozenset({"commit", "rollback", "end", "abort"})
# SELECT ... FOR UPDATE/SHARE, SELECT ... INTO, EXPLAIN ANALYZE (or ANALYSE: it executes), "rollback to savepoint",
# "commit prepared", "commit and chain", a second statement behind a semicolon: a word in a literal only makes for more
# caution.
_MORE_THAN_A_READ = re.compile(r"\b(?:for|into|analy[sz]e|lock)\b|;\s*\S", re.IGNORECASE)
_DDL = frozenset({"alter", "create", "drop", "rename", "truncate"})
_MORE_THAN_DDL = re.compile(r"\btemporary\b|;\s*\S", re.IGNORECASE)
_XA = re.compile(r"xa\s+(?:(start|begin)|(commit|rollback))\b", re.IGNORECASE)
_PREPARES_TRANSACTION = re.compile(r"prepare\s+transaction\b", re.IGNORECASE)
_MORE_THAN_AN_END = re.compile(r"\b(?:to|prepared|chain)\b|;\s*\S", re.IGNORECASE)


def text_of(operation: object) -> str | None:
    """Return the text of what was given to `execute`; None where it cannot be told.

    Args:
        operation: Text, bytes, a composed SQL object of psycopg or psycopg2, a template string (Python 3.14).
    """
    if isinstance(operation, str):
        return operation
    if isinstance(operation, (bytes, bytearray)):
        return operation.decode("latin-1")
    if hasattr(operation, "as_string"):
        return _composed_text(operation)
    pieces = getattr(operation, "strings", None)
    return "?".join(cast("tuple[str, ...]", pieces)) if isinstance(pieces, tuple) else None


def _composed_text(operation: Any) -> str | None:
    try:
        return str(operation.as_string(None))
    except Exception:  # noqa: BLE001  psycopg2 wants a connection for names and values, which are no keywords
        parts = getattr(operation, "seq", ())
        return "".join(getattr(part, "string", "?") for part in parts) or None


def effect_of(text: str | None) -> Effect:
    """Return what a statement does to the transaction.

    Args:
        text: The statement, as `text_of` tells it; what is not known counts as work.
    """
    if text is None:
        return Effect.WORK
    return _effect_of_text(text) if len(text) > _SHORT else _remembered_effect(text)


def _effect_of_text(operation: str) -> Effect:
    start, keyword = _first_word(operation)
    if keyword in _READS:
        return Effect.WORK if _MORE_THAN_A_READ.search(operation, start) else Effect.READS
    if keyword in _OPENS:
        return Effect.OPENS
    if keyword in _ENDS and not _MORE_THAN_AN_END.search(operation, start):
        return Effect.ENDS
    if keyword == "xa" and (xa := _XA.match(operation, start)):
        return Effect.OPENS if xa.group(1) else Effect.ENDS
    return Effect.WORK


def _first_word(operation: str) -> tuple[int, str]:
    """Return where a statement's text begins, and its first word; empty if there is none."""
    noise = _LEADING_NOISE.match(operation)
    start = noise.end() if noise else 0
    word = _FIRST_WORD.match(operation, start)
    return start, word.group().lower() if word else ""


def may_commit(text: str | None, committing: frozenset[str]) -> bool:
    """Return whether a statement, or one of several in a text, may commit what was done before it.

    Args:
        text: The statement, as `text_of` tells it.
        committing: The first words by which the database commits on the way, beside COMMIT itself.
    """
    # A semicolon in a literal only makes for more caution.
    return text is not None and any(_part_may_commit(part, committing) for part in text.split(";"))


def _part_may_commit(part: str, committing: frozenset[str]) -> bool:
    start, word = _first_word(part)
    if not word:
        return start < len(part)  # there is something, but no word that we could judge by
    return word in ("commit", "end") or word in committing or _PREPARES_TRANSACTION.match(part, start) is not None


def changes_schema(text: str | None) -> bool:
    """Return whether a statement is a single one that changes the schema, and so commits in some databases."""
    if text is None:
        return False
    start, word = _first_word(text)
    return word in _DDL and not _MORE_THAN_DDL.search(text, start)


_SHORT = 1000
"""Characters up to which a statement's effect is remembered: long ones are made of data, and seldom come again."""

_remembered_effect = lru_cache(maxsize=256)(_effect_of_text)
