"""The plain model: what the caller was told, and what must therefore be on the server."""

from __future__ import annotations

from enum import Enum, auto

from attrs import define, field

from model.driver import Server

__all__ = ["Ledger", "Told"]


class Told(Enum):
    """What the caller learns from a call."""

    DONE = auto()
    """It returned."""
    REFUSED = auto()
    """The server's own error, on a session that lives on."""
    BROKEN = auto()
    """The driver's error for a lost connection."""
    INTERRUPTED = auto()
    """KeyboardInterrupt."""
    AWAY = auto()
    """The error of a connection that could not be opened."""
    LOST = auto()
    """TransactionLost: certainly not committed."""
    UNKNOWN = auto()
    """CommitOutcomeUnknown: whole or not at all."""
    MISUSED = auto()
    """PersistentDBError: begin() inside begin(), a closed cursor."""


ENDED_BY_LOSS = (Told.BROKEN, Told.INTERRUPTED, Told.AWAY)
POISONED = (Told.LOST, Told.UNKNOWN)


@define
class Ledger:
    """What the caller was told; tokens stand for statements that leave something behind.

    Attributes:
        by_the_way: Whether CREATE, CALL and BEGIN commit what was done before.
        in_process: Whether the driver alone tracks what is pending, and cannot be asked once it is closed.
        autocommit: What the caller set.
        unit: Executed, not committed yet.
        explicit: `begin()` returned, and was not ended.
        begun: A transaction was opened by a statement.
        open: On a connection in autocommit: statements do not stand alone.
        aborted: The server has said that it will roll back.
        touched: Something other than plain reads was tried since the last end: more caution is allowed, not required.
        lost: The transaction is lost, and not ended.
        perhaps: The same, where the library may be more cautious than the ledger.
        durable: Acknowledged: must be on the server.
        maybe: Failed so that nobody knows: may be on the server.
        together: Units whose commit is in doubt: whole or not at all.
        twice: What a policy allows to be executed twice.
    """

    by_the_way: bool
    in_process: bool
    autocommit: bool = False
    unit: list[int] = field(factory=list[int])
    explicit: bool = False
    begun: bool = False
    open: bool = False
    aborted: bool = False
    touched: bool = False
    lost: bool = False
    perhaps: bool = False
    durable: set[int] = field(factory=set[int])
    maybe: set[int] = field(factory=set[int])
    together: list[frozenset[int]] = field(factory=list[frozenset[int]])
    twice: set[int] = field(factory=set[int])

    def at_stake(self) -> bool:
        """Whether the caller has something to lose with the connection."""
        return not self.lost and bool(self.explicit or self.begun or self.unit)

    def stands_alone(self) -> bool:
        """Whether a statement commits by itself."""
        return self.autocommit and not self.open

    def end(self) -> None:
        """The transaction is over."""
        self.unit = []
        self.explicit = self.begun = self.open = self.aborted = self.touched = self.lost = self.perhaps = False

    def committed(self) -> None:
        """What was done is acknowledged, unless the server had said that it would roll back."""
        if not self.aborted:
            self.durable.update(self.unit)
        self.unit = []
        self.begun = self.open = self.aborted = False

    def in_doubt(self) -> None:
        """Nobody knows whether the commit was made."""
        if self.unit:
            self.together.append(frozenset(self.unit))
        self.unit = []
        self.lost = True

    def lose(self) -> None:
        """What hung on the connection is gone, and the caller was told so."""
        self.perhaps = not self.at_stake() and (self.touched or self.in_process)
        self.lost = self.at_stake() or self.lost
        self.unit = []

    # What each call leaves behind

    def poisoned(self, told: Told) -> None:
        """A call was answered by the error of a lost transaction: rightly so?"""
        reason = self.lost or self.perhaps or self.touched or self.at_stake() or self.in_process
        assert reason, f"{told} with nothing to lose"
        if told is Told.UNKNOWN and not self.lost:
            self.in_doubt()
        self.lost, self.unit = True, []

    def alive(self, what: str) -> None:
        """A call was done, which in a lost transaction must not be."""
        assert not self.lost, f"{what} was done in a lost transaction"
        self.perhaps = False

    def statement(self, kind: str, tokens: list[int], told: Told) -> None:
        """Note what became of a statement of that first word, or of one a token."""
        commits = kind == "commit" or (self.by_the_way and kind in ("create", "call", "begin"))
        if told in POISONED:
            self.maybe.update(tokens if commits and not self.lost else ())
            self.poisoned(told)
        elif told is Told.DONE:
            self.alive(kind)
            self._done(kind, tokens, commits=commits)
        elif told in ENDED_BY_LOSS:
            self.maybe.update(tokens if commits or self.stands_alone() else ())
            if commits and self.at_stake() and told is Told.INTERRUPTED:
                self.in_doubt()
            self.lose()
        elif len(tokens) > 1 or commits or self.stands_alone():
            self.maybe.update(tokens)  # rows before the one that was refused are there; so may be what was sent again
        if kind not in ("select", "commit", "rollback"):
            self.touched = self.touched or not self.stands_alone()

    def _done(self, kind: str, tokens: list[int], *, commits: bool) -> None:
        alone = self.stands_alone() or (commits and kind != "begin")
        if commits:
            self.committed()
        if kind in ("commit", "rollback"):
            self.unit = []
            self.begun = self.open = self.aborted = False
            self.touched = self.explicit
        elif kind == "begin":
            self.begun = self.open = True
        elif alone:
            self.durable.update(tokens)
        else:
            self.unit += tokens

    def refused(self, *, aborts: bool, rolled_back: bool) -> None:
        """The server refused something in the middle of a transaction."""
        if rolled_back:
            self.unit = []
            self.begun = self.open = False
        elif aborts and not self.stands_alone():
            self.aborted = True

    def commit(self, told: Told) -> None:
        """Note what became of `commit()`."""
        if told in POISONED:
            self.poisoned(told)
        elif told is Told.DONE:
            self.alive("commit()")
            self.committed()
            self.end()
        elif told is Told.INTERRUPTED:
            self.perhaps = self.touched
            if self.at_stake():
                self.in_doubt()
        else:
            assert told is Told.REFUSED, f"commit() of {self.unit} said {told}"

    def rollback(self, told: Told) -> None:
        """Note what became of `rollback()`: only the server's own error can keep it from being done."""
        assert told in (Told.DONE, Told.REFUSED, Told.INTERRUPTED), f"rollback() said {told}"
        if told is not Told.REFUSED:
            self.end()

    def begin(self, told: Told) -> None:
        """Note what became of `begin()`."""
        if told in POISONED:
            self.poisoned(told)
        elif told is Told.DONE:
            self.alive("begin()")
            assert not self.explicit
            if self.by_the_way:
                self.committed()
            self.explicit = self.open = True
        elif told in ENDED_BY_LOSS:
            if self.by_the_way and self.at_stake() and told is Told.INTERRUPTED:
                self.in_doubt()
            self.lose()
        elif told is Told.MISUSED:
            assert self.explicit

    def other(self, told: Told) -> None:
        """Note what became of a call that executes nothing: a cursor, a fetch, a setting."""
        if told in POISONED:
            self.poisoned(told)
        elif told is Told.DONE:
            self.alive("a call")
        elif told in ENDED_BY_LOSS:
            self.lose()

    def setting(self, told: Told, *, commits: bool) -> None:
        """Note what became of a setting, which in some databases commits by the way."""
        if told is Told.INTERRUPTED and commits and self.at_stake():
            self.in_doubt()
        self.other(told)
        if told is Told.DONE and commits:
            self.committed()
            self.end()

    # What must be true at any time

    def check(self, server: Server) -> None:
        """Hold the ledger against the server."""
        there = server.committed
        assert not server.wrong, server.wrong
        missing = [token for token in self.durable if not there[token]]
        assert not missing, f"acknowledged, and not there: {missing}"
        doubtful = self.maybe.union(*self.together)
        stray = [token for token in there if token not in self.durable and token not in doubtful]
        assert not stray, f"there, though never acknowledged: {stray}"
        doubled = [token for token, count in server.executed.items() if count > 1 + (token in self.twice)]
        assert not doubled, f"executed more often than allowed: {doubled}"
        for unit in self.together:
            assert len({bool(there[token]) for token in unit}) == 1, f"neither whole nor nothing: {sorted(unit)}"
