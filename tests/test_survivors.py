"""Short stories over the model's drivers: what the property test found, and what hand-made faults had survived.

Each is a few calls of `model/player.py`, which checks after every one of them what the contract promises; the asserts
here say what the story is about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from model.driver import PROFILES, Connection, Fault, Kind, Mysqlesque, Outspoken, Postgresque
from model.player import FETCHES, Player

from persistentdb import InheritedReplay, ProvenReplay, drivers

LOSS, CLOSED, REFUSAL, INTERRUPT = (Fault(kind) for kind in (Kind.LOSS, Kind.CLOSED, Kind.REFUSAL, Kind.INTERRUPT))
TO_THE_END_OF_OPENING = 4
"""Requests until a new connection is prepared: connecting, a cursor, the setup's statement, its commit."""


@pytest.fixture(autouse=True)
def _known_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the model's drivers known ones."""
    for name, profile in PROFILES.items():
        monkeypatch.setitem(drivers._PROFILES, name, profile)


@pytest.fixture
def play(request: pytest.FixtureRequest) -> Callable[..., Player]:
    """Make players, under plain terms where no others are given; each is held to account after the test."""

    def make(kind: type[Connection], **terms: Any) -> Player:
        plain = {"autocommit": False, "maxusage": 0, "mask": 0, "window": 0.0, "closeable": False}
        player = Player(kind, **{**plain, "replay": ProvenReplay(), **terms})
        request.addfinalizer(player.finish)
        request.addfinalizer(player.check)
        return player

    return make


# A call that is made again on a new connection, and fails there


@pytest.mark.parametrize("call", ["begin", "cursor"])
def test_an_interrupt_of_the_second_attempt(play: Callable[..., Player], call: str) -> None:
    """Design 4: an interrupt leaves a suspect, also out of what is done again on the new connection."""
    player = play(Mysqlesque)
    faults = (LOSS, Fault(Kind.INTERRUPT, skip=TO_THE_END_OF_OPENING))
    if call == "cursor":
        player.cursor(faults, streaming=False)
    else:
        player.begin(faults)
    player.execute("insert", 0, ())
    assert len(player.server.connections) == 3


def test_an_old_cursor_is_interrupted_while_it_is_made_anew(play: Callable[..., Player]) -> None:
    """Design 4: an interrupt leaves a suspect, also out of the cursor that follows to the new connection."""
    player = play(Connection)
    player.end_session(seen=False)
    player.execute("insert", 1, ())
    player.execute("insert", 0, (INTERRUPT,))
    player.execute("insert", 0, ())
    assert player.ledger.lost


def test_an_old_cursor_finds_its_new_connection_closed(play: Callable[..., Player]) -> None:
    """C12, X1: the loss of a transaction is poison, also if a cursor that follows to its connection finds it."""
    player = play(Postgresque)
    player.close_beneath()
    player.begin(())
    player.close_beneath()
    player.execute("insert", 0, ())
    player.execute("insert", 0, ())
    assert player.ledger.lost


def test_what_breaks_twice_is_not_used_again(play: Callable[..., Player]) -> None:
    """X1: a statement that was sent again and broke again reaches the caller, and the next use opens a connection."""
    player = play(Connection, replay=InheritedReplay())
    player.execute("insert", 0, (LOSS, Fault(Kind.LOSS, skip=TO_THE_END_OF_OPENING + 1)))
    executed = sum(player.server.executed.values())
    player.commit(())
    player.execute("insert", 0, ())
    assert sum(player.server.executed.values()) == executed + 1


# Settings, and the driver's own cancelling


def test_an_interrupted_setting(play: Callable[..., Player]) -> None:
    """Design 4: an interrupt leaves a suspect, also out of a setting that makes a round trip."""
    player = play(Mysqlesque)
    player.set((INTERRUPT,), autocommit=True)
    player.execute("insert", 0, ())
    assert len(player.server.connections) == 2


def test_a_setting_that_commits_and_breaks(play: Callable[..., Player]) -> None:
    """X1: switching to autocommit commits in MySQL; when it breaks nobody may call the work certainly lost."""
    player = play(Mysqlesque)
    player.execute("insert", 0, ())
    player.set((Fault(Kind.LOSS, after=True),), autocommit=True)
    assert player.ledger.together


def test_a_setting_on_a_dead_connection(play: Callable[..., Player]) -> None:
    """C5: a setting after an idle loss that nobody could see is made on a new connection."""
    player = play(Mysqlesque)
    player.end_session(seen=False)
    player.set((), autocommit=True)
    assert player.ledger.autocommit


def test_an_interrupted_cancel(play: Callable[..., Player]) -> None:
    """Design 4: an interrupt leaves a suspect, also out of the driver's own `cancel`."""
    player = play(Postgresque)
    player.begin(())
    player.cancel((INTERRUPT,))
    player.execute("insert", 0, ())
    assert len(player.server.connections) == 2


def test_a_cancel_on_a_dead_connection(play: Callable[..., Player]) -> None:
    """Design 4: as with rollback(), nothing is left that could be cancelled, which is what the caller wanted."""
    player = play(Postgresque)
    player.begin(())
    player.end_session(seen=True)
    player.cancel(())
    assert not player.ledger.explicit


def test_autocommit_is_switched_on_before_the_first_statement(play: Callable[..., Player]) -> None:
    """C12: begin() is never a mere flag over statements that commit one by one, whenever autocommit comes on."""
    player = play(Postgresque)
    player.begin(())
    player.set((), autocommit=True)
    player.execute("insert", 0, ())
    player.rollback(())
    assert not player.server.committed


# Rows


@pytest.mark.parametrize("how", FETCHES)
def test_a_loss_while_rows_are_read(play: Callable[..., Player], how: str) -> None:
    """Design 4: fetch, iteration, lost, with work at stake: raised, and poisoned."""
    player = play(Postgresque)
    player.execute("insert", 0, ())
    player.execute("select", 1, ())
    player.fetch(how, 0, (LOSS,))
    assert player.ledger.lost
    player.execute("insert", 0, ())


@pytest.mark.parametrize("how", FETCHES)
def test_an_interrupt_while_rows_are_read(play: Callable[..., Player], how: str) -> None:
    """Design 4: an interrupt in the middle of reading leaves a suspect, which is not used again."""
    player = play(Postgresque)
    player.execute("select", 1, ())
    player.fetch(how, 0, (INTERRUPT,))
    player.execute("insert", 0, ())
    assert len(player.server.connections) == 2


def test_nobody_reads_on_after_an_interrupt(play: Callable[..., Player]) -> None:
    """Design 4: other cursors' rows are not read from a suspect either: answers would be mixed up."""
    player = play(Postgresque)
    player.execute("select", 1, ())
    player.execute("insert", 0, (INTERRUPT,))
    player.fetch("fetchone", 0, ())


# What hangs on the connection


def test_a_transaction_that_was_never_opened(play: Callable[..., Player]) -> None:
    """X1: a BEGIN that the server refused opens nothing: what stood alone afterwards is never called lost."""
    player = play(Outspoken, autocommit=True)
    player.execute("begin", 0, (REFUSAL,))
    player.execute("insert", 0, ())
    player.execute("insert", 0, (INTERRUPT,))
    player.execute("insert", 0, ())
    assert len(player.ledger.durable) == 2


def test_a_commit_that_was_refused(play: Callable[..., Player]) -> None:
    """X1: after a COMMIT that the server refused the work is still at stake."""
    player = play(Connection)
    player.execute("insert", 0, ())
    player.execute("commit", 0, (REFUSAL,))
    player.end_session(seen=False)
    player.execute("insert", 0, ())
    assert player.ledger.lost


def test_a_loss_in_autocommit(play: Callable[..., Player]) -> None:
    """X1: what stands alone is nobody's transaction: its loss is no poison."""
    player = play(Outspoken, autocommit=True)
    player.execute("insert", 0, ())
    player.execute("insert", 0, (LOSS,))
    player.execute("insert", 0, ())
    assert len(player.ledger.durable) == 3


def test_an_executemany_that_is_closed_in_the_middle(play: Callable[..., Player]) -> None:
    """X1: rows that were sent before the driver found its connection closed are not sent again."""
    player = play(Postgresque, autocommit=True)
    player.executemany("list", 0, (Fault(Kind.CLOSED, skip=1),))
    assert sum(player.server.executed.values()) == 1


def test_a_commit_on_a_connection_known_to_be_dead(play: Callable[..., Player]) -> None:
    """X1: what is found dead before the commit is sent is certainly not committed, and not unknown."""
    player = play(Postgresque)
    player.execute("insert", 0, ())
    player.end_session(seen=True)
    player.commit(())
    assert player.ledger.lost
    assert not player.ledger.together


# Whether it is fit for use


def test_an_order_waits_for_the_end_of_the_transaction(play: Callable[..., Player]) -> None:
    """C6, C12: what another thread orders is done at the next safe moment: not in a transaction, but then."""
    player = play(Connection)
    player.execute("insert", 0, ())
    player.order()
    player.execute("insert", 0, ())
    player.commit(())
    assert len(player.server.connections) == 1
    player.execute("insert", 0, ())
    assert len(player.server.connections) == 2


def test_a_running_call_keeps_its_connection(play: Callable[..., Player]) -> None:
    """C6: the statements of a generator do not wear out the connection of the executemany() that reads it."""
    player = play(Outspoken, autocommit=True, maxusage=1)
    player.executemany("nested", 0, ())
    assert len(player.ledger.durable) == 4


def test_a_deadlock_keeps_its_session(play: Callable[..., Player]) -> None:
    """X2: a deadlock is no loss: it is raised as it is, and the session is kept."""
    player = play(Mysqlesque)
    player.execute("insert", 0, (Fault(Kind.ROLLBACK),))
    player.execute("insert", 0, ())
    player.commit(())
    assert len(player.server.connections) == 1
