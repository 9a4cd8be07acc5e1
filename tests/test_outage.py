"""Outages over a fake clock: pauses, failing fast, going on trying, what is an outage. Nothing in here sleeps."""

from __future__ import annotations

import configparser
import itertools
import socket
import sqlite3
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from attrs import field, frozen
from gates import KINDS, REFUSED, away_until, cannot_connect, fails, made, threads

from persistentdb import Backoff, MaskPing, Outage, PersistentDB, PostgresOutcome, Rerun, ServerUnavailable
from persistentdb.exceptions import in_drivers_stead
from persistentdb.outage import means_away
from persistentdb.testing import FakeClock, FakeServer, fake

# Pauses


def test_pauses_grow_to_their_limit() -> None:
    """X6: truncated exponential back-off; the number of failures may be as large as it likes."""
    backoff = Backoff(first=0.25, limit=3, factor=2, jitter=0)
    assert [backoff.pause(failures) for failures in (1, 2, 3, 4, 5, 6, 10**6)] == [0.25, 0.5, 1, 2, 3, 3, 3]
    assert Backoff(first=0.1, limit=7, factor=1e300, jitter=0).pause(5) == 7
    assert Backoff(first=0.5, factor=1, jitter=0).pause(10**6) == 0.5


@pytest.mark.parametrize("jitter", [0, 0.25, 0.5, 1])
def test_jitter_takes_away_its_part_at_most(jitter: float) -> None:
    """X6: a pause lies between what the jitter leaves of it and the whole; the randomness is an argument."""
    drawn = [Backoff(first=2, jitter=jitter, random=lambda part=part: part).pause(1) for part in (0, 0.5, 1)]
    assert drawn == [2, 2 * (1 - jitter / 2), 2 * (1 - jitter)]
    by_default = [Backoff(first=2, jitter=jitter).pause(1) for _ in range(100)]
    assert all(2 * (1 - jitter) <= pause <= 2 for pause in by_default)
    assert len(set(by_default)) == (1 if jitter == 0 else 100)


@pytest.mark.parametrize(
    ("wrong", "kind", "culprit"),
    [
        (lambda: Backoff(first=-1), ValueError, "'first' must be >= 0: -1"),
        (lambda: Backoff(limit=float("nan")), ValueError, "'limit' must be >= 0: nan"),
        (lambda: Backoff(factor=0.5), ValueError, "'factor' must be >= 1: 0.5"),
        (lambda: Backoff(jitter=1.5), ValueError, "'jitter' must be <= 1: 1.5"),
        (lambda: Backoff(first="1"), TypeError, "'first' must be"),  # type: ignore[arg-type]
        (lambda: Backoff(random=4), TypeError, "'random' must be callable"),  # type: ignore[arg-type]
        (lambda: Outage(give_up_after=-1), ValueError, "'give_up_after' must be >= 0: -1"),
        (lambda: Outage(turn_timeout=-1), ValueError, "'turn_timeout' must be >= 0: -1"),
        (lambda: Outage(simultaneous=0), ValueError, "'simultaneous' must be >= 1: 0"),
        (lambda: Outage(simultaneous=1.5), TypeError, "'simultaneous' must be <class 'int'>"),  # type: ignore[arg-type]
        (lambda: Outage(backoff=2), TypeError, "'backoff' must be <class 'persistentdb.backoff.Backoff'>"),  # type: ignore[arg-type]
        (lambda: Outage(clock=0), TypeError, "'clock' must be callable"),  # type: ignore[arg-type]
        (lambda: Outage(wait=0), TypeError, "'wait' must be callable"),  # type: ignore[arg-type]
        (lambda: MaskPing(1, timeout=0), ValueError, "'timeout' must be > 0: 0"),
        (lambda: MaskPing(1, window=-1), ValueError, "'window' must be >= 0: -1"),
        (lambda: Rerun(attempts=0), ValueError, "'attempts' must be >= 1: 0"),
        (lambda: Rerun(sleep=5), TypeError, "'sleep' must be callable"),  # type: ignore[arg-type]
        (lambda: PostgresOutcome(patience="5"), TypeError, "'patience' must be"),  # type: ignore[arg-type]
        (lambda: PersistentDB(sqlite3, outage=Outage), TypeError, "outage=type Outage: expected an Outage()"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_rule_is_named(wrong: Callable[[], object], kind: type[Exception], culprit: str) -> None:
    """X6: an error names the parameter, the value and what was expected, when the rules are made, not in an outage."""
    with pytest.raises(kind) as caught:
        wrong()
    assert culprit in str(caught.value)
    assert MaskPing(1, timeout=None).timeout is None


# Failing fast


def test_within_the_pause_nobody_tries() -> None:
    """X6: after a failure whoever comes fails at once, without an attempt or a wait, until the pause is over."""
    clock = FakeClock()
    gate, creator = made(clock)
    creator.outcomes = away_until(clock, 100)
    for pause in (1, 2, 4, 8, 8, 8):
        with pytest.raises(fake.OperationalError) as first:
            gate.open()
        assert first.value is REFUSED
        for _ in range(5):
            with pytest.raises(ServerUnavailable):
                gate.open()
        clock.advance(pause - 0.25)
        with pytest.raises(ServerUnavailable, match=r"in 0\.25 s"):
            gate.open()
        clock.advance(0.25)
    assert creator.began == [0, 1, 3, 7, 15, 23]
    assert clock.sleeps == []


def test_the_pause_is_jittered() -> None:
    """X6: the gate pauses as long as the back-off says, its randomness included."""
    clock = FakeClock()
    gate, creator = made(clock, backoff=Backoff(first=4, jitter=0.5, limit=4, random=lambda: 0.5))
    creator.outcomes = away_until(clock, 100)
    with pytest.raises(fake.OperationalError):
        gate.open()
    clock.advance(2.99)
    with pytest.raises(ServerUnavailable):
        gate.open()
    clock.advance(0.01)
    with pytest.raises(fake.OperationalError) as tried:
        gate.open()
    assert tried.value is REFUSED


@pytest.mark.parametrize("creator", [cannot_connect, FakeServer().connect], ids=["a function", "a driver's function"])
def test_what_is_raised_stands_in_for_the_drivers_error(creator: Callable[[], Any]) -> None:
    """X6: it is an OperationalError of the driver's, has the driver's error as its cause, and tells no secret."""
    clock = FakeClock()
    server = getattr(creator, "__self__", None)
    if server is not None:
        server.fail("connect", REFUSED)
    persist = PersistentDB(creator, outage=Outage(clock=clock, wait=clock.wait))
    with pytest.raises(fake.OperationalError):
        persist.connection()
    with pytest.raises(ServerUnavailable) as refusal:
        persist.connection()
    assert refusal.value.__cause__ is REFUSED
    assert isinstance(refusal.value, fake.OperationalError)
    for told in (str(refusal.value), repr(refusal.value), repr(persist), repr(persist.outage)):
        assert "tiger" not in told


def test_a_function_of_ours_stands_for_its_driver_once_it_has_connected() -> None:
    """X6: behind a plain function the driver is known by the first connection."""
    clock = FakeClock()
    server = FakeServer()
    persist = PersistentDB(lambda: server.connect(tag=1), outage=Outage(clock=clock, wait=clock.wait))
    persist.connection()
    server.stop()
    for _ in range(2):
        with pytest.raises(fake.OperationalError) as caught:
            persist.connection()
    assert type(caught.value).__name__ == "ServerUnavailable"


def test_the_first_success_is_the_end_of_the_outage() -> None:
    """X6: then all are let in, and the next outage begins with the first pause."""
    clock = FakeClock()
    gate, creator = made(clock)
    creator.outcomes = iter([cannot_connect, cannot_connect, dict, dict, cannot_connect, dict])
    for pause in (1, 2):
        with pytest.raises(fake.OperationalError):
            gate.open()
        clock.advance(pause)
    gate.open()
    gate.open()
    with pytest.raises(fake.OperationalError):
        gate.open()
    clock.advance(1)
    gate.open()
    assert creator.began == [0, 1, 3, 3, 3, 4]


# Going on trying


def test_give_up_after_rides_an_outage_out() -> None:
    """X6: with a give-up time a caller sees nothing of an outage that is shorter; it tries as the back-off says."""
    clock = FakeClock()
    gate, creator = made(clock, give_up_after=30)
    creator.outcomes = away_until(clock, 10)
    assert gate.open() is creator.server.connections[0]
    assert creator.began == [0, 1, 3, 7, 15]


@pytest.mark.parametrize("give_up_after", [0, 0.5, 1, 9, 15, 30])
def test_giving_up_is_bounded(give_up_after: float) -> None:
    """X6: after the give-up time no attempt is begun; the caller has the driver's error, at first hand or as cause."""
    clock = FakeClock()
    gate, creator = made(clock, give_up_after=give_up_after)
    creator.outcomes = itertools.repeat(cannot_connect)
    with pytest.raises(fake.OperationalError if give_up_after in (0, 1, 15) else ServerUnavailable) as caught:
        gate.open()
    assert caught.value is REFUSED or caught.value.__cause__ is REFUSED
    assert clock() == give_up_after
    assert creator.began == [when for when in (0, 1, 3, 7, 15, 23) if when <= give_up_after]


def test_whoever_waits_is_let_in_with_the_first_success() -> None:
    """X6: while the server is away one thread tries at a time; its success lets in all, so many at a time, no herd."""
    clock = FakeClock(manual=True)
    gate, creator = made(clock, give_up_after=60, simultaneous=3)
    creator.outcomes = iter([cannot_connect] * 2 + [dict] * 20)
    creator.held = True
    with threads(creator) as start:
        opened = [start(gate.open)]
        creator.await_attempts(1)
        creator.let_go()
        clock.await_sleepers(1)
        opened += [start(gate.open) for _ in range(9)]
        clock.await_sleepers(10)
        clock.advance(1)
        creator.await_attempts(2)
        clock.await_sleepers(9)
        assert len(creator.began) == 2
        creator.let_go()  # the second failure
        clock.await_sleepers(10)
        clock.advance(2)
        creator.await_attempts(3)
        clock.await_sleepers(9)
        assert (len(creator.began), creator.most) == (3, 1)
        creator.let_go()  # the success
        for count in range(3, 11):
            creator.await_attempts(min(count + 3, 12))
            creator.let_go()
        creator.let_go()
        assert len({id(one.result(10)) for one in opened}) == 10
    assert creator.most == 3
    assert creator.began == [0, 1, *[3] * 10]


# What is an outage


@frozen
class Unhashable:
    """A code that cannot be looked up."""

    parts: list[int] = field(factory=list)
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (socket.gaierror(-2, "Name or service not known"), True),
        (FileNotFoundError("the server's socket"), True),
        (PermissionError("the file with the password"), False),
        (ssl.SSLCertVerificationError("self-signed"), False),
        (fake.OperationalError("connection refused"), True),
        (fake.InterfaceError("connection refused"), True),
        (fake.OperationalError("no", code=Unhashable()), True),  # type: ignore[arg-type]
        (fake.OperationalError("no", code="53300"), True),
        (fake.OperationalError("no", code="28P01"), False),
        (fake.OperationalError('FATAL:  password authentication failed for user "x"'), False),
        (fake.ProgrammingError("no such table"), False),
        (fake.DataError("too long"), False),
        (sqlite3.OperationalError("unable to open database file"), False),
        (configparser.NoSectionError("database"), False),
        (KeyboardInterrupt(), False),
        (in_drivers_stead(ServerUnavailable, fake.OperationalError)("another PersistentDB's"), False),
    ],
    ids=repr,
)
def test_what_means_that_the_server_is_away(error: BaseException, away: bool) -> None:
    """X6: whatever says that there is no server to talk to; what is wrong with the request itself is no outage."""
    assert means_away(error) is away


@pytest.mark.parametrize(
    "wrong", [error for error in KINDS if not means_away(error)], ids=lambda one: type(one).__name__
)
def test_what_is_no_outage_is_raised_at_once(wrong: BaseException) -> None:
    """X6: a mistake is not tried again, however long one would wait for a server, and closes the gate to nobody."""
    clock = FakeClock()
    gate, creator = made(clock, give_up_after=60)
    creator.outcomes = iter([fails(wrong), fails(wrong), dict])
    for _ in range(2):
        with pytest.raises(type(wrong)):
            gate.open()
    gate.open()
    assert (len(creator.began), clock.sleeps) == (3, [])
