"""The parent of the fork tests, run as a program of its own: its children end in every way, also through the
interpreter's.

`python -m tests.live.fork_parent PLAN` prints what became of the parent's session and of its children, as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import ssl
import sys
import threading
import time
import warnings
from typing import Any

from persistentdb import PersistentDB, TransactionLost

PATIENCE = 30
"""Seconds after which whoever hangs is ended by a signal, which shows."""


class Quiet(Exception):
    """Ends a child, with nothing to be seen of it."""


class Parent:
    """Opens a session, and forks with it in some situation.

    Args:
        plan: `module` and `connect` (its arguments), `session_sql`, `slow_sql`, `table`, `situation`, `endings`.
    """

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        module = importlib.import_module(plan["module"])
        if plan["connect"].get("ssl_context"):
            plan["connect"]["ssl_context"] = ssl.create_default_context(**plan["connect"]["ssl_context"])
        self.persist: PersistentDB[Any] = PersistentDB(lambda: module.connect(**plan["connect"]))
        self.db = self.persist.connection()
        self.cursor: Any = None
        self.said: dict[str, Any] = {"children": {}, "answers": []}
        self.threads: list[threading.Thread] = []

    def ask(self, sql: str) -> Any:
        """Return the first value of a statement's first row, asked on this thread's own connection."""
        cursor = self.persist.connection().cursor()
        cursor.execute(sql)
        [row] = cursor.fetchall()
        cursor.close()
        return row[0]

    # Situations

    def idle(self) -> None:
        """Nothing hangs on the session."""
        self.db.commit()

    def implicit(self) -> None:
        """A row is written and not committed."""
        self.write(0)

    def explicit(self) -> None:
        """The same after `begin()`."""
        self.db.begin()
        self.write(0)

    def buffered(self) -> None:
        """A result was read to its half."""
        self.read(self.db.cursor())

    def unbuffered(self) -> None:
        """The same, with the rest still at the server."""
        cursors = {
            "psycopg": lambda: self.db.cursor("half_read"),
            "psycopg2": lambda: self.db.cursor("half_read"),
            "pymysql": lambda: self.db.cursor(importlib.import_module("pymysql.cursors").SSCursor),
            "MySQLdb": lambda: self.db.cursor(importlib.import_module("MySQLdb.cursors").SSCursor),
            "mariadb": lambda: self.db.cursor(buffered=False),
        }
        self.read(cursors[self.plan["module"]]())

    def busy(self) -> None:
        """Other threads are in the middle of a query, and in a transaction."""
        self.idle()
        started = threading.Barrier(3)

        def work(*, write: bool) -> None:
            db = self.persist.connection()
            if write:
                db.begin()
                db.cursor().execute(f"insert into {self.plan['table']} values (100, 'thread')")
            session = self.ask(self.plan["session_sql"])
            started.wait()
            cursor = db.cursor()
            cursor.execute(self.plan["slow_sql"])
            cursor.fetchall()
            self.said["answers"].append(self.ask(self.plan["session_sql"]) == session)
            if write:
                db.commit()

        self.threads = [threading.Thread(target=work, kwargs={"write": write}) for write in (False, True)]
        for thread in self.threads:
            thread.start()
        started.wait()

    def write(self, number: int) -> None:
        """Write a row."""
        self.db.cursor().execute(f"insert into {self.plan['table']} values ({number}, 'parent')")

    def read(self, cursor: Any) -> None:
        """Read a result of 2000 rows to its half."""
        self.cursor = cursor
        cursor.execute(self.plan["rows_sql"])
        self.said["rows"] = len(cursor.fetchmany(1000))

    # What the child does

    def child(self, *, close: bool) -> dict[str, Any]:
        """Use everything that the parent had, in the child; return what came of it."""
        said: dict[str, Any] = {}
        if self.cursor is not None:
            said["fetch"] = self.outcome(self.cursor.fetchall)
            if close:
                said["close"] = self.outcome(self.cursor.close)
            else:
                self.cursor = None  # for its destructor
        if self.plan["situation"] in ("implicit", "explicit"):
            said["statement"] = self.outcome(lambda: self.ask("select 1"))
            said["commit"] = self.outcome(self.db.commit)
            self.db.rollback()
        said["session"] = self.ask(self.plan["session_sql"])
        said["answers"] = [self.ask(f"select {number}") == number for number in range(20)]
        self.persist.connection().commit()
        if self.plan["situation"] == "idle":
            self.persist.close()
        return said

    @staticmethod
    def outcome(deed: Any) -> list[Any]:
        """Return a deed's result, by its length, or its error."""
        try:
            result = deed()
        except TransactionLost as error:
            return ["TransactionLost", str(error)]
        except Exception as error:
            return ["error", f"{type(error).__name__}: {error}"]
        return ["result", len(result) if isinstance(result, (list, tuple)) else result]

    # Life

    def fork(self, ending: str) -> None:
        """Have a child that ends in that way, and ask the parent's own questions while it does and afterwards."""
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # since 3.12: a thread runs, which is the point
            pid = os.fork()
        if pid == 0:
            signal.alarm(PATIENCE)
            os.write(writer, json.dumps(self.child(close=ending == "os._exit")).encode())
            os.close(writer)
            end(ending)
            return  # normally: up to the end of the program
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(pid, 0)
        self.said["children"][ending] = {**json.loads(said or "{}"), "status": os.waitstatus_to_exitcode(status)}

    def live(self) -> bool:
        """Do all; return whether this is the parent still."""
        session = self.ask(self.plan["session_sql"])
        getattr(self, self.plan["situation"])()
        own = os.getpid()
        for number, ending in enumerate(self.plan["endings"], 1):
            self.fork(ending)
            if os.getpid() != own:
                return False
            if self.cursor is None:
                self.said["answers"] += [self.ask(self.plan["session_sql"]) == session, self.ask("select 7") == 7]
            if self.plan["situation"] in ("implicit", "explicit"):
                self.write(number)
        for thread in self.threads:
            thread.join()
        if self.cursor is not None:
            self.said["rows"] += len(self.cursor.fetchall())
            self.cursor.close()
        self.db.commit()
        self.said["session"] = [session, self.ask(self.plan["session_sql"])]
        self.db.commit()
        return True


def end(ending: str) -> None:
    """End the process; return for its normal end."""
    if ending == "sys.exit":
        sys.exit(3)
    if ending == "os._exit":
        os._exit(4)
    if ending == "exception":
        sys.excepthook = lambda *_: None
        raise Quiet
    if ending in ("SIGTERM", "SIGKILL"):
        os.kill(os.getpid(), getattr(signal, ending))
        time.sleep(PATIENCE)


if __name__ == "__main__":
    signal.alarm(2 * PATIENCE)
    parent = Parent(json.loads(sys.argv[1]))
    if parent.live():
        print(json.dumps(parent.said), flush=True)  # noqa: T201  the answer
        sys.stdin.read()  # with the session open, until whoever started this has counted them
        parent.persist.close()
