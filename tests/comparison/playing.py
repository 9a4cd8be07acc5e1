"""Playing the faults, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import product

from attrs import frozen

from persistentdb.drivers import UNKNOWN, profile_of
from tests.servers import DRIVERS, LiveDriver, PrivateServer

from .contenders import CONTENDERS, Contender
from .faults import Fault
from .stage import NotPlayableError, Stage
from .verdicts import LIMIT, Outcome, Verdict

__all__ = ["PlayFailedError", "Played", "play_all", "started"]


class PlayFailedError(Exception):
    """Raised when the script itself fails at a fault: nothing can be said then."""


@frozen
class Played:
    """An outcome, with what was played."""

    fault: Fault
    contender: Contender
    driver: LiveDriver
    outcome: Outcome


def started(names: Iterable[str], stack: ExitStack) -> tuple[list[LiveDriver], list[str]]:
    """Start the servers of drivers; the stack ends them.

    Args:
        names: Those of the drivers.
        stack: Ends the servers.

    Returns:
        The drivers that are here and that persistentdb knows, and a sentence for each that is left out.
    """
    servers: dict[type[PrivateServer], PrivateServer] = {}
    drivers, left_out = [], []
    for driver in (driver for driver in DRIVERS if driver.name in names):
        if reason := driver.missing():
            left_out.append(reason)
            continue
        if driver.server_class not in servers:
            servers[driver.server_class] = stack.enter_context(driver.server_class())
        live = LiveDriver(driver, driver.module(), servers[driver.server_class])
        if _is_known(live):
            drivers.append(live)
        else:
            left_out.append(f"persistentdb has no profile of {driver.name}: there it goes by the rules of DBUtils")
    return drivers, left_out


def _is_known(driver: LiveDriver) -> bool:
    with closing(driver.connect()) as raw:
        return profile_of(raw) is not UNKNOWN


def play_all(faults: Iterable[Fault], drivers: list[LiveDriver]) -> Iterator[Played]:
    """Play faults for all contenders over these drivers; the drivers side by side, for much of it is waiting."""
    for fault, contender in product(faults, CONTENDERS):
        # A list: all are begun before the first is waited for.
        players = [(driver, _Player(fault, Stage(driver, contender))) for driver in drivers]
        for driver, player in players:
            yield Played(fault, contender, driver, player.outcome())


class _Player:
    """A forked process that plays, so that a hanging driver can be ended and nothing of it is left."""

    def __init__(self, fault: Fault, stage: Stage) -> None:
        self._title = f"{fault.key}, {stage.contender.name}, {stage.driver.name}"
        sys.stdout.flush()
        self._reader, writer = os.pipe()
        self._process = os.fork()
        if not self._process:
            os.close(self._reader)
            _play(fault, stage, writer)
        os.close(writer)

    def outcome(self) -> Outcome:
        """Wait for the outcome.

        Raises:
            PlayFailedError: The script failed; the process has printed why.
        """
        with os.fdopen(self._reader, encoding="utf-8") as pipe:
            report = pipe.read()
        _, status = os.waitpid(self._process, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
            return Outcome(Verdict.HANGS)
        if not report:
            raise PlayFailedError(f"{self._title}: see above")
        name, detail, error = json.loads(report)
        return Outcome(Verdict[name], detail, error)


def _play(fault: Fault, stage: Stage, writer: int) -> None:
    """Play, write the outcome and end this process; only what is forked in here leaves by SystemExit."""
    signal.alarm(LIMIT)
    warnings.simplefilter("ignore")
    try:
        outcome = fault.play(stage)
        stage.close()
    except NotPlayableError:
        outcome = Outcome(Verdict.NONE)
    except Exception:  # all that is not the program's: a fault of this script
        traceback.print_exc()
        os._exit(1)
    with os.fdopen(writer, "w", encoding="utf-8") as pipe:
        json.dump([outcome.verdict.name, outcome.detail, outcome.error], pipe)
    os._exit(0)
