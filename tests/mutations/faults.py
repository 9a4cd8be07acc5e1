"""The list of faults."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

__all__ = ["FAULTS", "Fault"]

STEADY, SQLITE, PERSISTENT = "test_steady.py", "test_sqlite.py", "test_persistent.py"
RECOVERY, SURVIVORS, MODEL = "test_recovery.py", "test_survivors.py", "test_model.py"
OUTCOME, RUN, OUTAGE, ERRORS = "test_outcome.py", "test_run.py", "test_outage.py", "test_errors.py"


@frozen
class Fault:
    """One fault.

    Attributes:
        file: The file of `persistentdb/` that it is in.
        old: A piece of its text, which is there once.
        new: What stands there instead.
        why: What it would do to a user.
        tests: The test files that must catch it.
    """

    file: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...] = (STEADY,)

    def count(self, root: Path) -> int:
        """Return how often the old text is in the file, below the folder that holds `persistentdb`; it should be 1."""
        return (root / "persistentdb" / self.file).read_text(encoding="utf-8").count(self.old)

    def make(self, root: Path) -> None:
        """Make the fault in a copy of the project.

        Raises:
            ValueError: The text is not there, or not once.
        """
        count = self.count(root)
        if count != 1:
            raise ValueError(f"{self.file} has this {count} times, not once: {self.old!r}")
        path = root / "persistentdb" / self.file
        path.write_text(path.read_text(encoding="utf-8").replace(self.old, self.new), encoding="utf-8")

    def __str__(self) -> str:
        return f"{self.file}: {self.why}"


FAULTS = (
    # The decisions
    Fault(
        "_recovery.py",
        "    return Recovery.RESEND if again and not must_show else Recovery.RAISE_AND_REOPEN\n",
        "    return Recovery.RESEND if not must_show else Recovery.RAISE_AND_REOPEN\n",
        "what may have been executed is sent again, although the policy said no",
        (RECOVERY,),
    ),
    Fault(
        "_recovery.py",
        "    return Recovery.RESEND if again and not must_show else Recovery.RAISE_AND_REOPEN\n",
        "    return Recovery.RESEND if again else Recovery.RAISE_AND_REOPEN\n",
        "an interrupt is swallowed, and what it stopped is done after all",
        (STEADY,),
    ),
    Fault(
        "_recovery.py",
        "    at_stake = pending >= Pending.WORK\n",
        "    at_stake = pending > Pending.WORK\n",
        "a lost implicit transaction is not poisoned: its second half is committed alone",
        (RECOVERY,),
    ),
    Fault(
        "_recovery.py",
        "    if operation is Operation.ROLLBACK or (operation is Operation.COMMIT and not at_stake):\n",
        "    if operation in (Operation.ROLLBACK, Operation.COMMIT):\n",
        "a commit whose connection broke is called a success",
        (RECOVERY,),
    ),
    Fault(
        "_recovery.py",
        "Recovery.TRANSACTION_LOST if verdict is Verdict.LOST_UNSENT else Recovery.OUTCOME_UNKNOWN",
        "Recovery.TRANSACTION_LOST",
        "what was committed is called certainly not committed, and done twice",
        (STEADY,),
    ),
    # The connection
    Fault(
        "steady.py",
        "        if verdict is Verdict.LOST_UNSENT and several_sends:\n            verdict = Verdict.LOST_MAYBE_SENT\n",
        "",
        "an executemany that broke in the middle is sent again from its beginning",
        (SURVIVORS,),
    ),
    Fault(
        "steady.py",
        "        if pending < WORK and not is_calm(link, event) and spent(link, event, raw_cursor):\n",
        "        if not is_calm(link, event) and spent(link, event, raw_cursor):\n",
        "a connection is replaced in the middle of a transaction: its first half is dropped",
        (SURVIVORS,),
    ),
    Fault(
        "steady.py",
        "        refuse_poisoned(link)\n        if pending < WORK and not is_calm",
        "        if pending < WORK and not is_calm",
        "a lost transaction goes on as if nothing had happened",
    ),
    Fault(
        "steady.py",
        "        if not isinstance(error, Exception):\n            return Verdict.LOST_MAYBE_SENT\n",
        "        if not isinstance(error, Exception):\n            return Verdict.NOT_LOST\n",
        "a connection out of which an interrupt came is used again: answers are mixed up",
    ),
    Fault(
        "steady.py",
        "            for apply in self._settings.values():\n                apply(link.connection)\n",
        "            pass\n",
        "what the caller set on the connection is forgotten after a reopening",
    ),
    Fault(
        "steady.py",
        "        self._link.close()\n        if self._given_up is not None:\n",
        "        if self._given_up is not None:\n",
        "each reopening leaves a session behind on the server",
    ),
    Fault(
        "steady.py",
        "        if link.poison is not None or link.hanging() is not NOTHING:\n            self.abandon()\n",
        "",
        "close() leaves a transaction open: the next unit of work commits it",
    ),
    Fault(
        "steady.py",
        "            if link.pending is EXPLICIT:\n                raise PersistentDBError(\n",
        "            if False:\n                raise PersistentDBError(\n",
        "begin() inside begin() is taken for a new transaction",
    ),
    Fault(
        "steady.py",
        "        if link.poison is None and link.hanging() < WORK and spent(link, Ping.REQUEST):\n",
        "        if link.poison is None and spent(link, Ping.REQUEST):\n",
        "asking for the connection again in the middle of a transaction replaces it",
        (STEADY, PERSISTENT),
    ),
    Fault(
        "steady.py",
        "        if may_commit and pending >= WORK:\n            operation = Operation.COMMIT\n",
        "",
        "a COMMIT sent by execute() that broke is called lost, though it may have happened",
    ),
    # The cursor
    Fault(
        "cursor.py",
        "                repeatable=repeatable and not once_only,\n",
        "                repeatable=repeatable,\n",
        "a generator is sent again half consumed: rows are missing",
    ),
    Fault(
        "cursor.py",
        "            self._resends(error, None, (), repeatable=False)\n",
        "",
        "what broke twice is not noted: the next statement goes to a dead connection",
        (SURVIVORS,),
    ),
    Fault(
        "cursor.py",
        "        link.running += 1\n",
        "        link.running += 0\n",
        "a connection is replaced while executemany() reads the generator that uses it",
    ),
    Fault(
        "cursor.py",
        "        link.track(operation)\n        return link\n",
        "        return link\n",
        "a lost implicit transaction is not noticed at all",
    ),
    Fault(
        "cursor.py",
        "            rows: T = self._raw.fetchall()\n        except BaseException as error:\n",
        "            rows: T = self._raw.fetchall()\n        except GeneratorExit as error:\n",
        "a loss while rows are fetched is not noted",
        (SURVIVORS,),
    ),
    Fault(
        "cursor.py",
        '        for name, value in getattr(self, "_settings", {}).items():\n',
        "        for name, value in {}.items():\n",
        "a cursor that is opened anew has forgotten its arraysize",
    ),
    # What hangs on the connection
    Fault(
        "_link.py",
        "        self._recycles = terms.maxusage > 0 and not self.mortal\n",
        "        self._recycles = terms.maxusage > 0\n",
        "a database in memory is replaced by an empty one after so many uses",
        (SQLITE,),
    ),
    Fault(
        "_link.py",
        "self.pending = max(self.pending, WORK if self.profile.reads_are_work(self.connection) else READS)\n",
        "self.pending = READS\n",
        "a read after a write makes the write forgotten: losing it is not told",
    ),
    Fault(
        "steady.py",
        "            link.forget_effect()\n",
        "            pass\n",
        "a COMMIT that the server refused counts as one: the work is dropped in silence",
        (SURVIVORS,),
    ),
    Fault(
        "_link.py",
        "        self.gone = True\n        self.poison = poison\n",
        "        self.gone = True\n        self.poison = None\n",
        "a lost transaction is not poisoned at all",
    ),
    Fault(
        "_link.py",
        "        self._effect = self.poison = self.mark = None\n",
        "        self._effect = self.mark = None\n",
        "a lost transaction cannot be ended",
    ),
    Fault(
        "_link.py",
        "        if self.pending is NOTHING and self.profile.autocommit(self.connection) is True:\n",
        "        if False:\n",
        "in autocommit every loss is taken for that of a transaction",
        (SURVIVORS,),
    ),
    # Whether it is fit for use
    Fault(
        "_fitness.py",
        "    if _is_busy(link, cursor):\n        return False\n",
        "",
        "a ping or a replacement cuts short the rows that somebody is still reading",
    ),
    Fault(
        "_fitness.py",
        "    if link.running:\n        return False  #",
        "    if False:\n        return False  #",
        "a connection is replaced in the middle of the executemany() that uses it",
        (SURVIVORS,),
    ),
    Fault(
        "_fitness.py",
        "    if not due or link.pending is not NOTHING:\n",
        "    if not due:\n",
        "a ping inside a transaction rolls it back",
    ),
    Fault(
        "_fitness.py",
        "    if link.gone or link.ordered or link.profile.is_closed(link.connection):\n        return True\n",
        "    if link.gone or link.profile.is_closed(link.connection):\n        return True\n",
        "what another thread, or a newer loss, ordered to be given up is used on",
        (SURVIVORS,),
    ),
    Fault(
        "_fitness.py",
        "    return link.readable is not None and not _looks_alive(link)\n",
        "    return link.readable is not None and _looks_alive(link)\n",
        "every commit on a living connection is refused",
        (MODEL,),
    ),
    # Losses, and what an error means
    Fault(
        "failures.py",
        "    if not suspected:\n        return Explanation(Verdict.NOT_LOST, None, not_suspected)\n",
        "",
        "a syntax error is taken for a loss, and the statement is sent again elsewhere",
    ),
    Fault(
        "failures.py",
        "    if told is not None:\n        return told\n    if not suspected",
        "    if not suspected",
        "what the driver knows of the error is ignored: a deadlock is taken for a loss",
        (SURVIVORS,),
    ),
    Fault(
        "_losses.py",
        "    if link.poison is not None:\n        kind, cause = link.poison\n",
        "    if link.poison is not None:\n        kind, cause = link.poison\n        link.poison = None\n",
        "a statement clears the poison: the next ones are committed without what was lost",
    ),
    Fault(
        "_losses.py",
        "    if looks_dead(link):\n",
        "    if False:\n",
        "a commit on a connection known to be dead is called unknown",
        (SURVIVORS,),
    ),
    Fault(
        "_losses.py",
        "    close_quietly(link.connection)\n",
        "",
        "a session that is given up lives on, and holds its locks",
    ),
    # What became of a commit
    Fault(
        "_commits.py",
        "        link.mark = resolver.mark(link.connection)\n",
        "        with __import__('contextlib').suppress(Exception):\n"
        "            link.mark = resolver.mark(link.connection)\n",
        "a refused mark ends the transaction on the server, and its commit is called a success",
        (OUTCOME,),
    ),
    Fault(
        "_commits.py",
        "    answers = {True: Recovery.SUCCEED, False: Recovery.TRANSACTION_LOST, None: recovery}\n",
        "    answers = {True: Recovery.SUCCEED, False: Recovery.TRANSACTION_LOST, None: Recovery.TRANSACTION_LOST}\n",
        "what nobody knows is called lost, and done again",
        (OUTCOME,),
    ),
    Fault(
        "outcome.py",
        '        return True if status == "committed" and now_started == started else None\n',
        '        return True if status == "committed" else None\n',
        "after a crash the number of another transaction is taken for that of the lost one",
        (OUTCOME,),
    ),
    # Running it again
    Fault(
        "_running.py",
        "    if not link.whole:\n        return False\n",
        "",
        "what a function has committed on the way is done again",
        (RUN,),
    ),
    Fault(
        "_running.py",
        "            result = _done(work(db))\n",
        "            result = work(db)\n",
        "a generator's work is done after the commit, and never committed",
        (RUN,),
    ),
    Fault(
        "_settings.py",
        "        link.whole = False  # some databases commit by that\n",
        "        pass\n",
        "what a change of the isolation level has committed is done again",
        (RUN,),
    ),
    Fault(
        "_transactions.py",
        "    if link.hanging() is Pending.WORK:\n",
        "    if link.hanging() is Pending.EXPLICIT:\n",
        "run() takes earlier work with it, and loses it when it fails",
        (RUN,),
    ),
    Fault(
        "_statements.py",
        'any(_part_may_commit(part, committing) for part in text.split(";"))\n',
        "_part_may_commit(text, committing)\n",
        "a COMMIT behind a semicolon is not seen, and what it committed is done again",
        (RECOVERY,),
    ),
    Fault(
        "_statements.py",
        "analy[sz]e",
        "analyze",
        "a DELETE behind EXPLAIN ANALYSE counts as a read: losing it is not told",
        (RECOVERY,),
    ),
    # Errors, and outages
    Fault(
        "exceptions.py",
        ', "__reduce__": reduce}\n',
        "}\n",
        "an unknown outcome does not get out of a worker process as what it is",
        (ERRORS,),
    ),
    Fault(
        "_gate.py",
        "        limit = 1 if self._failures else self._outage.simultaneous\n",
        "        limit = self._outage.simultaneous\n",
        "many threads at once try to connect to a server that is down",
        (OUTAGE,),
    ),
)
