"""Who may open a connection while others do, over a fake clock: no turn is lost, whatever comes in between."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest
from gates import EVERY_KIND, PLAIN, REFUSED, Creator, cannot_connect, fails, made, threads

from persistentdb import Outage, ServerUnavailable
from persistentdb._gate import Gate
from persistentdb.outage import means_away
from persistentdb.testing import FakeClock, fake

# Turns


@pytest.mark.parametrize("simultaneous", [1, 2, 5])
def test_no_more_at_a_time_than_allowed(simultaneous: int) -> None:
    """X6: while the server is up, too, connections are opened so many at a time, and the others wait their turn."""
    clock = FakeClock(manual=True)
    gate, creator = made(clock, simultaneous=simultaneous)
    creator.held = True
    with threads(creator) as start:
        opened = [start(gate.open) for _ in range(20)]
        for count in range(simultaneous, 21):
            creator.await_attempts(count)
            clock.await_sleepers(20 - count)
            assert len(creator.began) == count
            creator.let_go()
        creator.let_go(simultaneous)
        assert len({id(one.result(10)) for one in opened}) == 20
    assert creator.most == simultaneous


def test_a_turn_that_does_not_come_is_given_up() -> None:
    """X6: whoever waits in vain for those who are still connecting is refused after `turn_timeout`."""
    clock = FakeClock()
    gate, creator = made(clock, simultaneous=2, turn_timeout=3)
    creator.held = True
    with threads(creator) as start:
        opening = [start(gate.open) for _ in range(2)]
        creator.await_attempts(2)
        with pytest.raises(ServerUnavailable, match="2 other threads are still waiting") as refusal:
            gate.open()
        assert refusal.value.__cause__ is None
        assert clock() == 3
        creator.let_go(2)
        assert [one.result(10) for one in opening]


def test_a_longer_give_up_time_is_a_longer_patience() -> None:
    """X6: the bound that the user sets for an outage holds for the turn, too, if it is the longer one."""
    clock = FakeClock()
    gate, creator = made(clock, simultaneous=1, turn_timeout=3, give_up_after=20)
    creator.held = True
    with threads(creator) as start:
        start(gate.open)
        creator.await_attempts(1)
        with pytest.raises(ServerUnavailable):
            gate.open()
        assert clock() == 20


@EVERY_KIND
def test_a_turn_is_given_back_whatever_happened(error: BaseException) -> None:
    """X6: an error of any kind, an interrupt included, ends the attempt: the next one is not waited for in vain."""
    clock = FakeClock()
    gate, creator = made(clock, simultaneous=1)
    creator.outcomes = iter([fails(error), fails(error), dict])
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            gate.open()
        assert caught.value is error
        clock.advance(8)
    assert gate.open() is creator.server.connections[0]
    assert clock.sleeps == []


@EVERY_KIND
def test_whoever_waits_for_a_turn_hears_of_its_end(error: BaseException) -> None:
    """X6: no wake-up is lost: whatever ends an attempt, the next in turn is let in, or refused, at that moment."""
    clock = FakeClock(manual=True)
    gate, creator = made(clock, simultaneous=1)
    creator.outcomes = iter([fails(error), dict])
    creator.held = True
    with threads(creator) as start:
        failing = start(gate.open)
        creator.await_attempts(1)
        waiting = start(gate.open)
        clock.await_sleepers(1)
        creator.let_go(2)
        assert failing.exception(10) is error
        if means_away(error):
            assert isinstance(waiting.exception(10), ServerUnavailable)
        else:
            assert waiting.result(10) is creator.server.connections[0]


def test_an_interrupt_while_waiting_leaves_nothing_behind() -> None:
    """X6: Ctrl-C in the wait for a turn, or for the server, reaches the caller and takes no turn along."""
    clock = FakeClock()

    def interrupted(condition: threading.Condition, seconds: float) -> bool:
        clock.wait(condition, seconds)
        raise KeyboardInterrupt

    creator = Creator(clock, outcomes=iter([cannot_connect, dict, dict]))
    gate = Gate(creator, Outage(PLAIN, give_up_after=60, simultaneous=1, clock=clock, wait=interrupted))
    with pytest.raises(KeyboardInterrupt):
        gate.open()
    assert gate.open() is creator.server.connections[0]
    with ThreadPoolExecutor(1) as pool:  # the lock is free for others, too
        assert pool.submit(gate.open).exception(10) is None


def test_an_interrupt_anywhere_costs_neither_turn_nor_connection() -> None:
    """X6: Ctrl-C before any line of the gate: the turn is given back, and what was opened is returned or closed."""
    clock = FakeClock()
    for line in itertools.count():
        gate, creator = made(clock, simultaneous=1)
        try:
            with interrupted_before(line, gate.open.__code__.co_filename):
                returned = [gate.open()]
        except KeyboardInterrupt:
            returned = []
        else:
            break
        assert [one for one in creator.server.connections if not one.closed] == returned, f"line {line}"
        gate.open()
        assert clock.sleeps == [], f"line {line}"
    assert line > len(inspect.getsourcelines(Gate.open)[0])


@contextlib.contextmanager
def interrupted_before(number: int, filename: str) -> Iterator[None]:
    """Raise KeyboardInterrupt before the line that is the so-manieth to be run of a file."""
    lines = itertools.count()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename == filename and event == "line" and next(lines) == number:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def test_failures_that_began_together_count_once() -> None:
    """X6: four attempts that meet the same outage make one failure, so the pause is the first, not the fourth."""
    clock = FakeClock()
    gate, creator = made(clock, simultaneous=4)
    creator.outcomes = iter([*[cannot_connect] * 4, dict])
    creator.held = True
    with threads(creator) as start:
        opening = [start(gate.open) for _ in range(4)]
        creator.await_attempts(4)
        creator.let_go(4)
        assert [one.exception(10) for one in opening] == [REFUSED] * 4
        clock.advance(1)
        creator.let_go()
        gate.open()


def test_old_news_does_not_close_the_gate() -> None:
    """X6: an attempt that began before the outage and fails after its end says nothing of the server as it is now."""
    clock = FakeClock()
    gate, creator = made(clock, simultaneous=2)
    creator.outcomes = iter([cannot_connect, dict, dict])
    creator.held = True
    with threads(creator) as start:
        late = start(gate.open)
        creator.await_attempts(1)
        creator.held = False
        creator.outcomes = iter([cannot_connect, dict, dict])
        with pytest.raises(fake.OperationalError):
            gate.open()
        clock.advance(1)
        with pytest.raises(ServerUnavailable):  # the late one is still under way
            gate.open()
        creator.let_go()
        assert late.exception(10) is REFUSED
        gate.open()
        gate.open()


def test_a_child_process_waits_for_no_thread_of_its_parent() -> None:
    """X6, X5: turns and locks that threads of the parent held at the fork are free in the child."""
    clock = FakeClock()
    gate, creator = made(clock, simultaneous=1)
    creator.held = True
    with threads(creator) as start:
        start(gate.open)
        creator.await_attempts(1)
        with gate._changed, ThreadPoolExecutor(1) as pool:
            assert gate.renewed_after_fork() is gate
            creator.held = False
            assert pool.submit(gate.open).result(10) is creator.server.connections[0]
