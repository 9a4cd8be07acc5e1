"""A private MariaDB out of the machine's own `mariadbd`."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .process import PrivateServer, wait_until

if TYPE_CHECKING:
    import pymysql

__all__ = ["MariaDBServer"]

_SETTINGS = (
    "--skip-name-resolve",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    # 2 writes at each commit and syncs once a second: a killed process loses nothing.
    # 0 would lose up to a second, for it leaves the log in the memory of the process.
    "--innodb-flush-log-at-trx-commit=2",
    "--performance-schema=OFF",
    "--skip-log-bin",
    "--max-connections=100",
)
_ADMIN = "test_admin"


class MariaDBServer(PrivateServer):
    """MariaDB with a user `test`, password `secret`, and a database `test`, on 127.0.0.1 and a unix socket.

    The user `test` may do everything in its database and nothing elsewhere; `admin()` is a superuser.
    """

    title = "MariaDB"
    users = ("mysql", "nobody")
    stop_signal = signal.SIGTERM
    last_signal = signal.SIGKILL
    user = "test"
    password = "secret"
    database = "test"

    def __init__(self, *, tls: bool = False) -> None:
        if reason := self.missing():
            pytest.skip(reason)
        super().__init__(tls=tls)

    @classmethod
    def missing(cls) -> str | None:
        """Return why this server cannot be run here and how to get it, or None if it can."""
        if _program("mariadbd") is None or _program("mariadb-install-db") is None:
            return "mariadbd is not installed: apt-get install mariadb-server"
        return None

    @property
    def socket(self) -> str:
        """The path of the unix socket."""
        return str(self.home / "socket")

    def admin(self) -> pymysql.Connection[Any]:
        """Return an independent superuser's connection in autocommit; the caller closes it."""
        module = pytest.importorskip("pymysql", reason="PyMySQL is not installed: pip install PyMySQL")
        con: pymysql.Connection[Any] = module.connect(
            unix_socket=self.socket,
            user=_ADMIN,
            password=self.password,
            database=self.database,
            autocommit=True,
            ssl_disabled=True,
        )
        return con

    def sessions(self) -> int:
        """Return the number of client sessions, those of `admin()` not counted: the last to ask may be closing yet."""
        return len(self._session_ids())

    def kill_backend(self, session_id: int) -> None:
        """End the session from the server's side; when this returns, its socket is closed."""
        if session_id not in self._session_ids():
            raise LookupError(f"there is no session {session_id} on {self!r}")
        self.query(f"kill connection {int(session_id)}")
        wait_until(lambda: session_id not in self._session_ids(), f"session {session_id} to be gone")

    def end_sessions(self, but: int = 0) -> None:
        """End every client session but the asking one and *but* from the server's side."""
        doomed = self._session_ids() - {but}
        with contextlib.closing(self.admin()) as con, con.cursor() as cursor:
            for session_id in doomed:
                with contextlib.suppress(con.OperationalError):  # gone by itself in the meantime
                    cursor.execute(f"kill connection {session_id}")
        wait_until(lambda: not doomed & self._session_ids(), f"the sessions {doomed} to be gone")

    def create_table(self, table: str) -> None:
        """Create *table* with the columns `id` and `note`."""
        self.query(f"create table {table} (id integer primary key, note varchar(100)) engine=InnoDB")

    def drop_table(self, table: str) -> None:
        """Drop *table* if it exists; whatever holds a lock on it for longer than a second is ended."""
        with contextlib.closing(self.admin()) as con, con.cursor() as cursor:
            cursor.execute("set lock_wait_timeout = 1, sql_notes = 0")
            try:
                cursor.execute(f"drop table if exists {table}")
            except con.OperationalError:
                cursor.execute("select connection_id()")
                self.end_sessions(but=cursor.fetchall()[0][0])
                cursor.execute("xa recover format='sql'")
                for *_, name in cursor.fetchall():
                    cursor.execute(f"xa rollback {name}")
                cursor.execute(f"drop table if exists {table}")

    @staticmethod
    def reply_complete(reply: bytes) -> bool:
        """Whether anything came: the answer to a change, a call or a commit is sent when it is done."""
        return bool(reply)

    @property
    def _data(self) -> Path:
        return self.home / "data"

    def _prepare(self) -> None:
        install = [_required("mariadb-install-db"), "--no-defaults", f"--datadir={self._data}"]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        self._run(*install, *_SETTINGS)
        # Run at each start, before the first connection is taken.
        (self.home / "init.sql").write_text("\n".join(_init_statements(self.user, self.password, self.database)))
        self.account.own(self.home)

    def _command(self) -> list[str]:
        options = {
            "datadir": self._data,
            "tmpdir": self.home,
            "socket": self.socket,
            "pid-file": self.home / "mariadbd.pid",
            "bind-address": self.host,
            "port": self.port,
            "init-file": self.home / "init.sql",
        }
        mine = [f"--{name}={value}" for name, value in options.items()]
        if self.tls:
            mine += [f"--ssl-cert={self._certificate}", f"--ssl-key={self._key}"]
        else:
            mine.append("--skip-ssl")  # from 11.4 on it makes itself a certificate; the proxy has to read along
        return [_required("mariadbd"), "--no-defaults", *mine, *_SETTINGS]

    def _ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self.socket)
            except OSError:  # not there yet, or left over from before
                return False
            probe.settimeout(5)
            return probe.recv(1) != b""  # the server speaks first

    def _sweep(self) -> None:
        for leftover in (Path(self.socket), self.home / "mariadbd.pid"):
            leftover.unlink(missing_ok=True)

    def _session_ids(self) -> set[int]:
        return {row[0] for row in self.query(_OTHERS)}


_OTHERS = f"""
    select id from information_schema.processlist
    where command <> 'Daemon' and user not in ('system user', 'event_scheduler', '{_ADMIN}')
"""


def _init_statements(user: str, password: str, database: str) -> list[str]:
    """Return the SQL, a statement a line, that makes the database and the accounts if need be."""
    statements = [f"create database if not exists {database};"]
    for host in ("localhost", PrivateServer.host):
        for name, scope in ((user, f"{database}.*"), (_ADMIN, "*.*")):
            account = f"'{name}'@'{host}'"
            statements += [
                f"create user if not exists {account} identified by '{password}';",
                f"grant all privileges on {scope} to {account};",
            ]
    return statements


def _program(name: str) -> str | None:
    """Return the path of a program; Debian keeps servers where an ordinary user's PATH does not lead."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(("/usr/sbin", "/usr/local/sbin")))


def _required(name: str) -> str:
    path = _program(name)
    assert path is not None, f"{name} was there when the server was made"
    return path
