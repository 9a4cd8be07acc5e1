"""The saboteur: a thread that commits the faults which the plan names, and counts those that really happened."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from tests.servers import PrivateServer, wait_until

from .journal import Journal, Word
from .line import Line
from .plan import Fault, Kind

__all__ = ["Saboteur"]

MOST_WAITING = 6
_OUTCOMES: dict[object, str] = {True: "done", False: "not possible now"}
# How to learn of the sessions, and how to end one: the servers' own way waits until it is gone, which takes too long.
SESSIONS = {
    "PostgreSQL": (
        "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()",
        "select pg_terminate_backend({})",
    ),
    "MariaDB": (
        "select id from information_schema.processlist where command <> 'Daemon' and id <> connection_id()",
        "kill connection {}",
    ),
}


class Saboteur(threading.Thread):
    """Commits faults, one after the other, in rounds.

    Args:
        server: What it breaks.
        line: The line to it.
        rounds: What it does; it stops only between two faults.
        journal: Where it writes down what it did.
        may_stop: Set when the time is over.

    Attributes:
        done: How often each kind of fault has really happened.
        round: How many rounds are complete.
        failure: Why it could not go on.
    """

    def __init__(
        self,
        server: PrivateServer,
        line: Line,
        rounds: Iterator[list[Fault]],
        journal: Journal,
        may_stop: threading.Event,
    ) -> None:
        super().__init__(name="saboteur", daemon=True)
        self.failure: BaseException | None = None
        self.busy_since: float | None = None
        self._server, self._line, self._rounds, self._journal = server, line, rounds, journal
        self._may_stop = may_stop
        with closing(server.admin()) as con:
            self._away: type[Exception] = con.OperationalError
        self._done: Counter[Kind] = Counter()
        self._armed: list[Kind] = []  # by the number of its trigger

    @property
    def done(self) -> Counter[Kind]:
        """How often each kind of fault has really happened: a trigger only if it fired."""
        return self._done + Counter(kind for kind, fired in zip(self._armed, self._line.fired, strict=False) if fired)

    def run(self) -> None:
        """Work until it may stop."""
        try:
            for faults in self._rounds:
                for fault in faults:
                    if self._may_stop.wait(fault.pause):
                        return
                    self._commit(fault)
        except BaseException as error:
            self.failure = error

    def _commit(self, fault: Fault) -> None:
        self.busy_since = time.monotonic()
        self._journal.write("saboteur", None, Word.FAULT, f"{fault.kind.value} ...")
        try:
            result = getattr(self, f"_{fault.kind.name.lower()}")(fault)
        except self._away:  # it is still on its way up after the last fault, or down for it
            result = False
        if result is True:
            self._done[fault.kind] += 1
        self._journal.write("saboteur", None, Word.FAULT, f"{fault.kind.value}: {_OUTCOMES.get(result, result)}")
        self.busy_since = None

    # One method for each kind: it returns whether that has happened, or what is known yet.

    def _kill_session(self, fault: Fault) -> bool:
        with closing(self._server.admin()) as con, con.cursor() as cursor:
            victims = self._victims(cursor)
            return bool(victims) and self._ended(con, cursor, victims[int(fault.share * len(victims))])

    def _kill_all(self, fault: Fault) -> bool:
        with closing(self._server.admin()) as con, con.cursor() as cursor:
            return sum(self._ended(con, cursor, victim) for victim in self._victims(cursor)) > 0

    def _victims(self, cursor: Any) -> list[int]:
        cursor.execute(SESSIONS[self._server.title][0])
        return sorted(row[0] for row in cursor.fetchall())

    def _ended(self, con: Any, cursor: Any, session: int) -> bool:
        try:
            cursor.execute(SESSIONS[self._server.title][1].format(session))
        except con.OperationalError:  # it ended by itself in the meantime
            return False
        return True

    def _cut_before(self, fault: Fault) -> str:
        return self._arm(fault, "cut_before_request")

    def _cut_after(self, fault: Fault) -> str:
        return self._arm(fault, "cut_after_request")

    def _cut_in_reply(self, fault: Fault) -> str:
        return self._arm(fault, "cut_in_reply")

    def _arm(self, fault: Fault, method: str) -> str:
        if self._line.fired.count(False) >= MOST_WAITING:
            return "enough are waiting"
        number = self._line.arm(method, fault.match, rst=fault.rst)
        self._armed.append(fault.kind)
        with suppress(TimeoutError):  # it may still fire later
            wait_until(lambda: self._line.fired[number], "the trigger", 0.5)
        return f"{fault.match!r}: {'done' if self._line.fired[number] else 'waiting'}"

    def _cut_all(self, fault: Fault) -> bool:
        links = self._line.links
        self._line.order("reset" if fault.rst else "cut")
        return links > 0

    def _freeze_lines(self, fault: Fault) -> bool:
        self._line.order("freeze")
        self._may_stop.wait(fault.seconds)
        self._line.order("thaw")
        return True

    def _freeze_server(self, fault: Fault) -> bool:
        self._server.freeze()
        self._may_stop.wait(fault.seconds)
        self._server.thaw()
        return True

    def _refuse(self, fault: Fault) -> bool:
        self._line.order("refuse")
        self._line.order("cut")
        self._may_stop.wait(fault.seconds)
        self._line.order("accept")
        return True

    def _restart(self, fault: Fault) -> bool:
        self._server.restart()
        return True

    def _restart_at_once(self, fault: Fault) -> bool:
        with _stopped_by(self._server, signal.SIGQUIT):
            self._server.restart()
        return True

    def _crash(self, fault: Fault) -> bool:
        self._server.kill()
        self._may_stop.wait(fault.seconds)
        self._server.start()
        return True

    def _crash_session(self, fault: Fault) -> bool:
        with closing(self._server.admin()) as con, con.cursor() as cursor:
            victims = self._victims(cursor)
        try:
            os.kill(victims[int(fault.share * len(victims))], signal.SIGKILL)
        except (IndexError, ProcessLookupError):  # nobody was there, or is there any more
            return False
        # It takes all others along, recovers, and takes connections again.
        self.await_server()
        return True

    def await_server(self) -> None:
        """Return when the server answers."""
        wait_until(self._answers, "the server to take connections", 20)

    def _answers(self) -> bool:
        try:
            return self._server.query("select 1") == [(1,)]
        except self._away:
            return False

    def end(self) -> None:
        """Put everything right that is still broken, or would still be broken by an order that waits."""
        self._line.order("disarm")
        self._line.order("thaw")
        self._line.order("accept")
        self._server.ensure_running()
        self.await_server()


@contextmanager
def _stopped_by(server: PrivateServer, number: signal.Signals) -> Iterator[None]:
    """Have the server stopped by another signal in this block."""
    usual, server.stop_signal = server.stop_signal, number
    try:
        yield
    finally:
        server.stop_signal = usual
