"""What a statement does to the transaction, told from its text: the cautious answer where the text does not tell."""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache

__all__ = ["Effect", "changes_schema", "effect_of", "may_commit"]


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


_LEADING_NOISE = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*(?![!+M]).*?\*/|\()*", re.DOTALL)
_FIRST_WORD = re.compile(r"[a-z]+", re.IGNORECASE)
_READS = frozenset({"select", "show", "explain", "describe", "desc", "values"})
_OPENS = frozenset({"begin", "start"})
_ENDS = frozenset({"commit", "rollback", "end", "abort"})
# SELECT ... FOR UPDATE/SHARE, SELECT ... INTO, EXPLAIN ANALYZE (which executes), "rollback to savepoint", "commit
# prepared", "commit and chain", a second statement behind a semicolon: a word in a literal only makes for more caution.
_MORE_THAN_A_READ = re.compile(r"\b(?:for|into|analyze|lock)\b|;\s*\S", re.IGNORECASE)
_DDL = frozenset({"alter", "create", "drop", "rename", "truncate"})
_MORE_THAN_DDL = re.compile(r"\btemporary\b|;\s*\S", re.IGNORECASE)
_MORE_THAN_AN_END = re.compile(r"\b(?:to|prepared|chain)\b|;\s*\S", re.IGNORECASE)


def effect_of(operation: object) -> Effect:
    """Return what a statement does to the transaction.

    Args:
        operation: What was given to `execute`: text or bytes; anything else (a composed SQL object) counts as work.
    """
    if isinstance(operation, bytes):
        operation = operation.decode("latin-1")
    if not isinstance(operation, str):
        return Effect.WORK
    return _effect_of_text(operation) if len(operation) > _SHORT else _remembered_effect(operation)


def _effect_of_text(operation: str) -> Effect:
    start, keyword = _first_word(operation)
    if keyword in _READS:
        return Effect.WORK if _MORE_THAN_A_READ.search(operation, start) else Effect.READS
    if keyword in _OPENS:
        return Effect.OPENS
    if keyword in _ENDS and not _MORE_THAN_AN_END.search(operation, start):
        return Effect.ENDS
    return Effect.WORK


def _first_word(operation: str) -> tuple[int, str]:
    """Return where a statement's text begins, and its first word; empty if there is none."""
    noise = _LEADING_NOISE.match(operation)
    start = noise.end() if noise else 0
    word = _FIRST_WORD.match(operation, start)
    return start, word.group().lower() if word else ""


def may_commit(operation: object, committing: frozenset[str]) -> bool:
    """Return whether a statement commits what was done before it.

    Args:
        operation: What was given to `execute`.
        committing: The first words by which the database commits on the way, beside COMMIT itself.
    """
    if isinstance(operation, bytes):
        operation = operation.decode("latin-1")
    if not isinstance(operation, str):
        return False
    word = _first_word(operation)[1]
    return word in ("commit", "end") or word in committing


def changes_schema(operation: object) -> bool:
    """Return whether a statement is a single one that changes the schema, and so commits in some databases."""
    if not isinstance(operation, str):
        return False
    start, word = _first_word(operation)
    return word in _DDL and not _MORE_THAN_DDL.search(operation, start)


_SHORT = 1000
"""Characters up to which a statement's effect is remembered: long ones are made of data, and seldom come again."""

_remembered_effect = lru_cache(maxsize=256)(_effect_of_text)
