"""The machine: any interleaving of calls and faults that hypothesis can think of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from model.driver import CONNECTIONS, Connection, Fault, Kind
from model.player import FETCHES, TEXTS, Player
from persistentdb import InheritedReplay, NoReplay, ProvenReplay

__all__ = ["SteadyMachine"]


def _faults() -> list[tuple[Fault, ...]]:
    """Return what may go wrong within one call, the simplest first: half of all calls meet nothing."""
    kinds = [Fault(kind) for kind in Kind] + [Fault(kind, after=True) for kind in (Kind.LOSS, Kind.INTERRUPT)]
    later = [evolve(one, skip=skip) for one in kinds for skip in range(1, 6)]
    twice = [(one, two) for one in kinds if one.kind in (Kind.LOSS, Kind.CLOSED) for two in (*kinds, *later)]
    some = [*((one,) for one in kinds * 20), *((one,) for one in later), *twice]
    return [()] * len(some) + some


FAULTS = st.sampled_from(_faults())
"""One draw for all of it: hypothesis takes longer to draw than we to play."""

STATEMENTS = (*["insert", "select"] * 4, *TEXTS, "callproc", "list", "generator", "nested", *FETCHES, *FETCHES)

ENDS: dict[str, Callable[[Player, tuple[Fault, ...]], object]] = {
    "begin": Player.begin,
    "commit": Player.commit,
    "rollback": Player.rollback,
    "cancel": Player.cancel,
    "close": Player.close,
    "enter block": Player.enter,
    "leave block": lambda player, faults: player.leave(faults, raises=False),
    "raise in block": lambda player, faults: player.leave(faults, raises=True),
}

REST: dict[str, Callable[[Player, tuple[Fault, ...]], object]] = {
    "cursor": lambda player, faults: player.cursor(faults, streaming=False),
    "streaming cursor": lambda player, faults: player.cursor(faults, streaming=True),
    "connection": Player.request,
    "autocommit on": lambda player, faults: player.set(faults, autocommit=True),
    "autocommit off": lambda player, faults: player.set(faults, autocommit=False),
    "end of session": lambda player, _: player.end_session(seen=True),
    "silent end of session": lambda player, _: player.end_session(seen=False),
    "close beneath": lambda player, _: player.close_beneath(),
    "order": lambda player, _: player.order(),
    "outage": lambda player, _: player.turn_away(),
}


class SteadyMachine(RuleBasedStateMachine):
    """Few rules with many forms: hypothesis needs longer to choose a rule than we to play it."""

    player: Player | None = None

    @initialize(
        kind=st.sampled_from(CONNECTIONS),
        autocommit=st.booleans(),
        maxusage=st.sampled_from([0, 0, 1, 3]),
        mask=st.integers(0, 7),
        window=st.sampled_from([0.0, 1e9]),
        replay=st.sampled_from([ProvenReplay(), InheritedReplay(), NoReplay()]),
        closeable=st.booleans(),
    )
    def open(self, kind: type[Connection], **terms: Any) -> None:
        """Open the connection, under any terms."""
        self.player = Player(kind, **terms)

    @rule(what=st.sampled_from(STATEMENTS), index=st.integers(0, 2), faults=FAULTS)
    def statement(self, what: str, index: int, faults: tuple[Fault, ...]) -> None:
        """Send a statement, or fetch rows, by any cursor."""
        assert self.player is not None
        if what in FETCHES:
            self.player.fetch(what, index, faults)
        elif what in ("list", "generator", "nested"):
            self.player.executemany(what, index, faults)
        else:
            self.player.execute(what, index, faults)

    @rule(what=st.sampled_from([*ENDS, "commit", "commit", "rollback", "rollback"]), faults=FAULTS)
    def transaction(self, what: str, faults: tuple[Fault, ...]) -> None:
        """Begin or end a transaction, in any of the ways there are."""
        assert self.player is not None
        ENDS[what](self.player, faults)

    @rule(what=st.sampled_from([*REST, "cursor", "streaming cursor"]), faults=FAULTS)
    def anything(self, what: str, faults: tuple[Fault, ...]) -> None:
        """Let anything else happen."""
        assert self.player is not None
        REST[what](self.player, faults)

    @invariant()
    def holds(self) -> None:
        """Whatever was called durable is there, once, and nothing else."""
        if self.player is not None:
            self.player.check()

    def teardown(self) -> None:
        """Nothing is left behind."""
        if self.player is not None:
            self.player.finish()
