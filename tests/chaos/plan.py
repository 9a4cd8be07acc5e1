"""What is drawn from the seed: the transfers of each teller, how each is made, and the faults. Nothing here acts."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import chain, count
from typing import Literal

from attrs import evolve, frozen

from persistentdb._demo_bank import Transfer

__all__ = [
    "ACCOUNTS",
    "OPENING_BALANCE",
    "Exit",
    "Fault",
    "Fork",
    "Kind",
    "Settings",
    "Style",
    "Task",
    "faults",
    "kinds_on",
    "lots",
    "tasks",
]

ACCOUNTS = range(1, 25)
OPENING_BALANCE = 1_000_000
LARGEST_AMOUNT = 100_000  # so many that the difference in an account names the transfer that made it
IDS_OF_ONE = 1_000_000

ServerName = Literal["postgres", "mariadb"]


@frozen
class Settings:
    """What is asked for on the command line.

    Attributes:
        server: "postgres" or "mariadb".
        seed: What everything is drawn from.
        seconds: For how long the tellers work, at least; they go on until each kind of fault has happened.
        tellers: How many of them there are.
        drivers: The names of those that take part; empty: all that are installed.
    """

    server: ServerName
    seed: int
    seconds: float
    tellers: int = 8
    drivers: tuple[str, ...] = ()


class Style(Enum):
    """How a transfer is made."""

    BEGIN = "begin() ... commit()"
    BLOCK = "with transaction()"
    RUN = "run()"
    IMPLICIT = "implicit, commit()"
    WITH = "implicit, with"
    STATEMENT = "one statement"
    CALL = "one procedure"
    LOOK = "a look at all balances"


IN_AUTOCOMMIT = {Style.STATEMENT, Style.CALL}
WITHOUT_AUTOCOMMIT = {Style.IMPLICIT, Style.WITH}


class Exit(Enum):
    """How a forked child ends."""

    RETURN = "the end of a multiprocessing.Process"
    LEAVE = "os._exit"
    KILL = "SIGKILL"
    TERM = "SIGTERM"
    KILL_IN_TRANSACTION = "SIGKILL in a transaction"
    FINISH = "the end of the interpreter"
    """Only of a child that the main thread has forked: elsewhere there is no such end."""


@frozen
class Fork:
    """A child that a teller forks.

    Attributes:
        way: How it ends.
        inside: Whether the teller forks in the middle of its own transaction; else before it.
        tasks: What the child does.
    """

    way: Exit
    inside: bool
    tasks: tuple[Task, ...]


@frozen
class Task:
    """One transfer, and how it is made.

    Attributes:
        transfer: What is to be moved; nothing for a mere look.
        style: How.
        autocommit: Whether on a connection in autocommit.
        order: In which order the three statements come.
        many: Whether both balances are changed by one `executemany`.
        echo: Whether something is read in the middle, and must be the answer to this question.
        keeps_cursor: Whether the teller's old cursor is used again.
        closes: Whether a failure is acknowledged by `close()`; else by `rollback()`.
        again: How often it is tried again after it certainly was not made.
        fork: The child to fork on the way, if any.
    """

    transfer: Transfer
    style: Style
    autocommit: bool
    order: tuple[int, int, int]
    many: bool
    echo: bool
    keeps_cursor: bool
    closes: bool
    again: int
    fork: Fork | None = None


class Kind(Enum):
    """What the saboteur can do."""

    KILL_SESSION = "a session killed"
    KILL_ALL = "all sessions killed"
    CUT_BEFORE = "a line cut before the request arrived"
    CUT_AFTER = "a line cut after the request was done"
    CUT_IN_REPLY = "a line cut in the reply"
    CUT_ALL = "all lines cut"
    FREEZE_LINES = "all lines frozen for a moment"
    FREEZE_SERVER = "the server frozen for a moment"
    REFUSE = "connections refused for a while"
    RESTART = "the server restarted in order"
    RESTART_AT_ONCE = "the server restarted without a farewell"
    CRASH = "the server killed"
    CRASH_SESSION = "a session's process killed, so that the server starts anew"


@frozen
class Fault:
    """Something that the saboteur is going to do.

    Attributes:
        kind: What.
        share: Which of the sessions there are, from 0 to 1.
        match: At which request a line is cut.
        rst: Whether by RST; else by FIN.
        seconds: How long it lasts, where it lasts.
        pause: Seconds until the next one.
    """

    kind: Kind
    share: float
    match: bytes
    rst: bool
    seconds: float
    pause: float


WEIGHTS = {
    Kind.KILL_SESSION: 8,
    Kind.KILL_ALL: 1,
    Kind.CUT_BEFORE: 10,
    Kind.CUT_AFTER: 12,
    Kind.CUT_IN_REPLY: 6,
    Kind.CUT_ALL: 2,
    Kind.FREEZE_LINES: 1,
    Kind.FREEZE_SERVER: 1,
    Kind.REFUSE: 1,
    Kind.RESTART: 1,
    Kind.RESTART_AT_ONCE: 1,
    Kind.CRASH: 1,
    Kind.CRASH_SESSION: 1,
}
POSTGRES_ONLY = {Kind.RESTART_AT_ONCE, Kind.CRASH_SESSION}
MATCHES = (
    b"commit",
    b"commit",
    b"commit",
    b"rollback",
    b"begin",
    b"update persistentdb_demo_account",
    b"insert into",
    b"chaos_",  # what makes a whole transfer at once
    b"chaos_",
    b"select",
)


def lots(settings: Settings, purpose: str) -> random.Random:
    """Return what is drawn from for one purpose: the same for the same seed, whatever happens meanwhile."""
    return random.Random(f"{settings.seed}: {purpose}")


def tasks(settings: Settings, who: int, exits: Sequence[Exit], chance: float) -> Iterator[Task]:
    """Draw what a teller has to do, without an end.

    Args:
        settings: They have the seed.
        who: The teller's number; the ids of its transfers begin with it.
        exits: How the children end that it forks.
        chance: Which share of its tasks forks a child, from 0 to 1.
    """
    draw = lots(settings, f"tasks of teller {who}")
    ids = count(who * IDS_OF_ONE + 1)
    ways = chain.from_iterable(draw.sample(exits, len(exits)) for _ in count())
    while True:
        task = _task(draw, next(ids))
        if draw.random() < chance and task.style is not Style.LOOK:
            inside = draw.random() < 0.5 and task.style not in IN_AUTOCOMMIT
            work = tuple(_task(draw, next(ids)) for _ in range(draw.randint(1, 3)))
            task = evolve(task, fork=Fork(next(ways), inside, work))
        yield task


def _task(draw: random.Random, identifier: int) -> Task:
    source, target = draw.sample(ACCOUNTS, 2)
    style = draw.choice(list(Style))
    either = draw.random() < 0.5
    order = draw.choice([(0, 1, 2), (2, 0, 1), (0, 2, 1)])
    if draw.random() < 0.05:
        order = (1, 0, 2)  # against the order of the accounts: some deadlocks
    return Task(
        transfer=Transfer(identifier, source, target, draw.randint(1, LARGEST_AMOUNT)),
        style=style,
        autocommit=style in IN_AUTOCOMMIT or (either and style not in WITHOUT_AUTOCOMMIT),
        order=order,
        many=draw.random() < 0.2,
        echo=draw.random() < 0.3,
        keeps_cursor=draw.random() < 0.4,
        closes=draw.random() < 0.3,
        again=draw.choice([0, 0, 1, 3]),
    )


def kinds_on(server: str) -> list[Kind]:
    """Return what can be done to that server."""
    return [kind for kind in Kind if server == "postgres" or kind not in POSTGRES_ONLY]


def faults(settings: Settings) -> Iterator[list[Fault]]:
    """Draw what the saboteur does, in rounds without an end; each kind comes in each round.

    Args:
        settings: They have the seed and the server.
    """
    draw = lots(settings, "the saboteur")
    deck = [kind for kind in kinds_on(settings.server) for _ in range(WEIGHTS[kind])]
    for hand in iter(lambda: draw.sample(deck, len(deck)), None):
        yield [
            Fault(
                kind=kind,
                share=draw.random(),
                match=draw.choice(MATCHES),
                rst=draw.random() < 0.5,
                seconds=draw.uniform(0.5, 2) if kind is Kind.REFUSE else draw.uniform(0.05, 0.5),
                pause=draw.expovariate(20),
            )
            for kind in hand
        ]
