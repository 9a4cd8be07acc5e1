"""What errors mean, as rows of data: each says of which errors it speaks, and what they say of the connection."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import instance_of

from persistentdb._recovery import Verdict

__all__ = ["Explanation", "Rule"]


def _as_set(values: Iterable[object]) -> frozenset[object]:
    if isinstance(values, (str, bytes)):
        raise TypeError(f"expected a set of codes or names, not the bare {values!r}: write {{{values!r}}}")
    return frozenset(values)


def _as_names(values: Iterable[str]) -> frozenset[str]:
    return frozenset(str(value) for value in _as_set(values))


@frozen
class Rule:
    """One row of what errors mean; every condition that is given must hold, the first row that matches counts.

    Attributes:
        verdict: What it means.
        codes: The driver's error codes (numbers, or SQLSTATEs where these are its codes) it speaks of; empty: any.
        text: A fragment of the message; empty: any.
        why: The reason in a few words, for people.
        sqlstates: SQLSTATEs, of five characters, or of two for a whole class; empty: any.
        classes: Names of error classes, one of which the error must belong to, by inheritance too; empty: any.
        attribute: An attribute, of the error or of its first argument, that must be true; empty: none.
        cause: The name of a class that the error's cause must belong to; empty: any or none.
    """

    verdict: Verdict = field(validator=instance_of(Verdict))
    codes: frozenset[object] = field(default=frozenset(), converter=_as_set)
    text: str = ""
    why: str = ""
    sqlstates: frozenset[str] = field(default=frozenset(), converter=_as_names, kw_only=True)
    classes: frozenset[str] = field(default=frozenset(), converter=_as_names, kw_only=True)
    attribute: str = field(default="", kw_only=True)
    cause: str = field(default="", kw_only=True)

    def matches(self, error: BaseException, code: object, sqlstate: object) -> bool:
        """Whether this row speaks of an error.

        Args:
            error: What was raised.
            code: The driver's code in it; None if it has none.
            sqlstate: The SQLSTATE in it; None if it has none.
        """
        return (
            (not self.codes or code in self.codes)
            and (not self.sqlstates or (isinstance(sqlstate, str) and not self.sqlstates.isdisjoint(_places(sqlstate))))
            and self.text in str(error)
            and (not self.classes or not self.classes.isdisjoint(_names(error)))
            and (not self.attribute or _has(error, self.attribute))
            and (not self.cause or self.cause in _names(error.__cause__))
        )

    def __str__(self) -> str:
        conditions = [
            *(f"{word} {_listed(values)}" for word, values in self._sets() if values),
            *(f"{word} {value!r}" for word, value in self._words() if value),
        ]
        return ", ".join(conditions) or "any error"

    def _sets(self) -> tuple[tuple[str, frozenset[object]], ...]:
        return ("code", self.codes), ("SQLSTATE", frozenset(self.sqlstates)), ("class", frozenset(self.classes))

    def _words(self) -> tuple[tuple[str, str], ...]:
        return ("message with", self.text), ("true attribute", self.attribute), ("cause", self.cause)


def _places(sqlstate: str) -> tuple[str, str]:
    """An SQLSTATE is named by itself, and by its class."""
    return sqlstate, sqlstate[:2]


def _names(error: BaseException | None) -> set[str]:
    return {base.__name__ for base in type(error).__mro__}


def _has(error: BaseException, attribute: str) -> bool:
    return any(bool(getattr(holder, attribute, False)) for holder in (error, *error.args[:1]))


def _listed(values: frozenset[object]) -> str:
    return ", ".join(sorted(map(str, values)))


@frozen
class Explanation:
    """What an error means, and what decided that.

    Attributes:
        verdict: What it means.
        rule: The row that decided; None where a fact about the driver or the connection did.
        because: One line for people.
    """

    verdict: Verdict
    rule: Rule | None
    because: str
