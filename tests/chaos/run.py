"""The run as a whole: the ground is laid, tellers and saboteur work, the books are audited."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil

from tests.servers import PrivateServer

from . import audit
from .audit import Report
from .children import BOUND, Children
from .ground import SERVERS, create, desks, read
from .journal import Journal, Word
from .line import Line
from .plan import Exit, Settings, Task, faults, kinds_on, tasks
from .saboteur import Saboteur
from .teller import Clerk, Teller

__all__ = ["hanging", "run"]

OF_TELLERS = [way for way in Exit if way is not Exit.FINISH]
SETTLING = 3.0
"""Seconds after the last fault in which what it broke may still be noticed; longer than the longest back-off."""
CALM = 6.0
"""Seconds without faults in the end: nothing may fail in them."""
LONGEST = 3.0
"""How many times the wanted seconds a run may last until everything has happened that has to happen."""


def run(settings: Settings, path: Path | None = None) -> Report:
    """Let them all work, and audit the books.

    Args:
        settings: What is asked for.
        path: Where the journal is written and kept; None: it is dropped in the end.
    """
    with ExitStack() as stack:
        server = stack.enter_context(SERVERS[settings.server]())
        line = stack.enter_context(Line(server.host, server.port, server.reply_complete))
        opening = create(server, settings.server)
        journal = Journal(path or server.home / "journal")
        stack.enter_context(_strict(journal))
        files = _open_files()
        crew = Crew(settings, server, line, journal)
        began = time.monotonic()
        crew.work()
        seconds = time.monotonic() - began
        wrongs = [f"gave up: {one.name}: {one.failure!r}" for one in crew.threads if one.failure]
        crew.saboteur.end()
        wrongs += crew.left_over(files)
        books = read(server, settings.server)
        entries, done = journal.read(), crew.saboteur.done
    wrongs += audit.wrongs(entries, opening, books)
    histories = list(audit.told(entries, opening, books))
    drivers = [desk.driver for desk in crew.desks]
    return Report(settings, entries, done, crew.exits, drivers, seconds, wrongs, histories)


@contextmanager
def _strict(journal: Journal) -> Iterator[None]:
    """Take each warning for an error, and write down errors that nobody could be told of."""

    def note(unraisable: Any) -> None:
        stack = "".join(traceback.format_exception(unraisable.exc_value))
        journal.write(f"process {os.getpid()}", None, Word.WRONG, f"ignored in {unraisable.object!r}\n{stack}")

    usual, sys.unraisablehook = sys.unraisablehook, note
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # That is what this is about; the children are careful.
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            # PyMySQL and pg8000 leave the socket of an attempt to connect that failed to the garbage collector.
            end = r"(, laddr=\('[\d.]+', \d+\)|, raddr=/\S+)?"
            unconnected = rf"unclosed <socket\.socket fd=\d+, family=\d+, type=1, proto=\d+{end}>"
            warnings.filterwarnings("ignore", unconnected, ResourceWarning)
            yield
    finally:
        sys.unraisablehook = usual


def hanging(busy: Mapping[str, float | None]) -> list[str]:
    """Return who has been at one thing for longer than `BOUND`: nothing may take so long.

    Args:
        busy: Since when each is at it, on the monotonic clock; None: at nothing.
    """
    return [name for name, since in busy.items() if since is not None and time.monotonic() - since > BOUND]


class Crew:
    """The tellers and the saboteur; the main thread is a teller, too, for a child of its own has another end.

    Args:
        settings: What is asked for.
        server: Where the money is.
        line: The line to it.
        journal: Where all write down what happens.
    """

    def __init__(self, settings: Settings, server: PrivateServer, line: Line, journal: Journal) -> None:
        self.settings, self.server, self.line = settings, server, line
        self.storm_is_over = threading.Event()
        self.may_stop = threading.Event()
        self.all_done = threading.Event()
        self.watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self.saboteur = Saboteur(server, line, faults(settings), journal, self.storm_is_over)
        self.desks = desks(settings, server, line, "the tellers")
        self.tellers = [
            Teller(
                Clerk(f"teller {who}", desk, journal, Children()),
                tasks(settings, who, OF_TELLERS, 0.01),
                self.may_stop,
            )
            for who, desk in zip(range(1, settings.tellers + 1), cycle(self.desks), strict=False)
        ]
        self.chief = Clerk("main", desks(settings, server, line, "main")[0], journal, Children())

    @property
    def threads(self) -> Sequence[Teller | Saboteur]:
        """All threads but the main one."""
        return (*self.tellers, self.saboteur)

    @property
    def exits(self) -> Counter[Exit]:
        """How often a child ended in each way."""
        clerks = (self.chief, *(teller.clerk for teller in self.tellers))
        return sum((clerk.children.ended for clerk in clerks), Counter())

    def work(self) -> None:
        """Let all work until the time is over and everything has happened; a watchdog sees to it that nobody hangs."""
        # Not dump_traceback_later(): it waits in a child for the thread that it had in the parent.
        faulthandler.register(signal.SIGALRM, chain=True)
        faulthandler.enable()  # drivers are in C
        own = tasks(self.settings, self.settings.tellers + 1, [Exit.FINISH], 0.1)
        for thread in (self.watchdog, *self.threads):
            thread.start()
        began = time.monotonic()
        self._work_until(own, lambda: self._is_enough(time.monotonic() - began))
        self.storm_is_over.set()
        self._work_until(own, lambda: not self.saboteur.is_alive())
        self.saboteur.end()
        over = time.monotonic()
        self._work_until(own, lambda: time.monotonic() - over > SETTLING)
        self.chief.journal.write("main", None, Word.CALM)
        self._work_until(own, lambda: time.monotonic() - over > SETTLING + CALM)
        self.may_stop.set()
        while any(thread.is_alive() for thread in self.threads):
            time.sleep(0.05)
        self.chief.children.reap(self.chief, to_the_end=True)
        self.all_done.set()
        self.watchdog.join()

    def _work_until(self, own: Iterator[Task], over: Callable[[], bool]) -> None:
        """Do the main thread's own tasks, unless a thread has failed."""
        while not (over() or any(thread.failure for thread in self.threads)):
            self.chief.carry_out(next(own), time.sleep)
            self.chief.children.reap(self.chief)
            time.sleep(0.1)

    def _is_enough(self, seconds: float) -> bool:
        complete = seconds > self.settings.seconds and not self._missing()
        return complete or seconds > self.settings.seconds * LONGEST + BOUND

    def _missing(self) -> bool:
        done, exits = self.saboteur.done, self.exits
        return any(not done[kind] for kind in kinds_on(self.settings.server)) or any(not exits[way] for way in Exit)

    def _watch(self) -> None:
        """In a thread of its own: end the process with all that can be known if anybody hangs."""
        clerks = [self.chief, *(teller.clerk for teller in self.tellers)]
        while not self.all_done.wait(0.5):
            signal.alarm(int(BOUND))  # for a driver that blocks all threads, this one included
            busy = {clerk.name: clerk.busy_since for clerk in clerks} | {"saboteur": self.saboteur.busy_since}
            if names := hanging(busy):
                told = [f"hang: {', '.join(names)} for more than {BOUND} s; {self.server!r}, {self.line!r}"]
                told += ["the end of the journal:", *map(str, self.chief.journal.read()[-100:])]
                told += [
                    "the end of the server's log:",
                    *self.server.log.read_text(errors="replace").splitlines()[-20:],
                ]
                print(*told, sep="\n", file=sys.stderr, flush=True)
                faulthandler.dump_traceback(sys.stderr, all_threads=True)
                os._exit(3)  # the server's guard puts an end to it, too
        signal.alarm(0)

    def left_over(self, files: Mapping[int, str]) -> Iterator[str]:
        """Yield what was left behind by threads that have ended and by children: sessions, links, open files.

        Args:
            files: The file descriptors that were open before.
        """
        self.chief.desk.close()
        try:
            self.server.await_sessions(0, 10)
        except TimeoutError as error:
            yield f"leaked: {error}, and there are {self.server.sessions()}"
        for desk in self.desks:
            desk.close()
        if self.line.links:
            yield f"leaked: {self.line.links} links of the line"
        gc.collect()
        left = _open_files()
        ports = {one.fd: (one.laddr, one.raddr, one.status) for one in psutil.Process().net_connections("all")}
        if len(left) > len(files):
            new = sorted(left.keys() - files.keys())
            which = ", ".join(f"{number}: {left[number]} {ports.get(number, '')}" for number in new)
            yield f"leaked: {len(left) - len(files)} file descriptors out of {which}"


def _open_files() -> dict[int, str]:
    """Return what each of our file descriptors stands for."""
    found = {}
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one by which we ask
            found[int(path.name)] = str(path.readlink())
    return found
