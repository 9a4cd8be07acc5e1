"""A TCP proxy in front of a real server that loses connections on command, at a chosen byte if need be."""

from __future__ import annotations

import collections
import contextlib
import enum
import random
import selectors
import socket
import struct
import threading
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

__all__ = ["Moment", "TcpCutter", "Trigger", "quiet_port"]

T = TypeVar("T")

_HOST = "127.0.0.1"
_CHUNK = 65_536
_FULL = 1_048_576  # bytes waiting for a slow reader, after which its peer is no longer read


def quiet_port() -> int:
    """Return a free TCP port of 127.0.0.1 below the range from which outgoing connections take theirs.

    While a server is down, a client could otherwise be given its port, or be connected to itself.

    Raises:
        OSError: There is none.
    """
    for port in random.SystemRandom().sample(range(15_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):  # in use: the next one
            probe.bind((_HOST, port))
            return port
    raise OSError(f"no free port between 15000 and 32000 on {_HOST} in 100 tries")


class Moment(enum.Enum):
    """Where in the exchange of a request and its reply a trigger cuts."""

    BEFORE_REQUEST = enum.auto()
    """The server never gets it."""

    AFTER_REQUEST = enum.auto()
    """The server has done it; nothing of its reply gets through."""

    IN_REPLY = enum.auto()
    """A part of the reply gets through."""


class Trigger:
    """One lost connection that waits for its moment.

    Args:
        moment: Where in the exchange it cuts.
        match: What is looked for in what clients send, in upper or lower case.
        size: How many bytes of the reply are let through.
        rst: Whether the one link on which it fires is closed with RST, else with FIN.

    Attributes:
        moment: As given.
        match: As given, in lower case.
        size: As given.
        rst: As given.
        fired: Set when it has happened.

    Raises:
        ValueError: There is nothing to look for.
    """

    def __init__(self, moment: Moment, match: bytes, size: int, rst: bool) -> None:
        if not match:
            raise ValueError("match is empty: it would be found in everything, the driver's handshake included")
        self.moment: Moment = moment
        self.match: bytes = match.lower()
        self.size: int = size
        self.rst: bool = rst
        self.fired: threading.Event = threading.Event()

    def __repr__(self) -> str:
        state = "fired" if self.fired.is_set() else "waiting"
        return f"<Trigger {self.moment.name} {self.match!r} {state}>"


class _End:
    """One side of a link: its socket, and what is still to be sent there."""

    def __init__(self, link: _Link, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.link = link
        self.sock = sock
        self.unsent = bytearray()

    @property
    def other(self) -> _End:
        return self.link.server if self is self.link.client else self.link.client

    def flush(self) -> None:
        """Send what the socket takes now."""
        with contextlib.suppress(BlockingIOError):  # the rest when it is writable again
            while self.unsent:
                del self.unsent[: self.sock.send(self.unsent)]

    def close(self) -> None:
        """Close with FIN."""
        with contextlib.suppress(OSError):  # the peer may be gone, or not take the last bytes
            self.flush()
        with contextlib.suppress(OSError):  # unread bytes would turn the FIN into an RST
            while self.sock.recv(_CHUNK):
                pass
        with contextlib.suppress(OSError):  # a forked child may hold the socket too: closing alone says nothing then
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class _Link:
    """A client's connection and the one to the server that goes with it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = _End(self, client)
        self.server = _End(self, server)
        self.open = True
        self.recent = b""  # the end of what the client sent: a match may be spread over two chunks
        self.trigger: Trigger | None = None
        self.reply = bytearray()


class TcpCutter:
    """A proxy on a `port` of its own in front of a server; use it in a `with` block, or call `start()` and `close()`.

    One thread does all the work; a command has taken effect when its method returns.

    What a driver encrypts cannot be matched: switch TLS off on the way here. A statement that the driver prepared on
    the server travels without its text (psycopg prepares at the sixth execution): match a parameter's value then.

    Args:
        host: The server's name or address.
        port: The server's port.
        reply_complete: Tells whether all that came since a request proves that the request is done; by default
            anything does. `cut_after_request` asks it.

    Attributes:
        target: Host and port of the server.
        host: Where to connect to: 127.0.0.1.
        port: Where to connect to.
    """

    def __init__(self, host: str, port: int, reply_complete: Callable[[bytes], bool] = bool) -> None:
        self.target: tuple[str, int] = (host, port)
        self.host: str = _HOST
        self.port: int = quiet_port()
        self._reply_complete = reply_complete
        self._selector = selectors.DefaultSelector()
        self._commands: collections.deque[Callable[[], None]] = collections.deque()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, self._obey)
        self._listener: socket.socket | None = None
        self._links: list[_Link] = []
        self._triggers: list[Trigger] = []
        self._armed: list[Trigger] = []
        self._frozen = False
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name=f"cutter-{self.port}", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<TcpCutter {self.port} -> {self.target[0]}:{self.target[1]}, {len(self._links)} links>"

    @property
    def links(self) -> int:
        """The number of live connections."""
        return self._command(lambda: len(self._links))

    @property
    def waiting(self) -> list[Trigger]:
        """The triggers that were armed and have not fired: after a test there should be none."""
        return [trigger for trigger in list(self._armed) if not trigger.fired.is_set()]

    # Commands

    def start(self) -> None:
        """Start the thread and listen."""
        self._thread.start()
        self.accept()

    def close(self) -> None:
        """Close everything and end the thread. May be called twice."""
        if self._thread.is_alive():
            self._command(self._shut)
            self._thread.join(5)
        for sock in (self._wake_in, self._wake_out):
            sock.close()
        self._selector.close()

    def accept(self) -> None:
        """Listen, again or for the first time."""
        self._command(self._listen)

    def refuse(self) -> None:
        """Refuse new connections as a port does on which nobody listens; live ones stay."""
        self._command(self._unlisten)

    def cut(self) -> None:
        """Close all live connections on both sides with FIN."""
        self._command(lambda: self._end_all(rst=False))

    def reset(self) -> None:
        """Close all live connections on both sides with RST."""
        self._command(lambda: self._end_all(rst=True))

    def freeze(self) -> None:
        """Fall silent: all connections stay open, nothing is forwarded, new connections get no answer."""
        self._command(lambda: self._set_frozen(True))

    def thaw(self) -> None:
        """Forward again, first of all what came meanwhile."""
        self._command(lambda: self._set_frozen(False))

    def cut_before_request(self, match: bytes, *, rst: bool = False) -> Trigger:
        """Once, when a client sends it: the server never gets it, the link is cut.

        Args:
            match: What to look for in what clients send, in upper or lower case.
            rst: Whether to cut with RST, else with FIN.
        """
        return self._arm(Trigger(Moment.BEFORE_REQUEST, match, 0, rst))

    def cut_after_request(self, match: bytes, *, rst: bool = False) -> Trigger:
        """Once, when a client sends it: the server does it, its reply is dropped, the link is cut.

        Args:
            match: What to look for in what clients send, in upper or lower case.
            rst: Whether to cut with RST, else with FIN.
        """
        return self._arm(Trigger(Moment.AFTER_REQUEST, match, 0, rst))

    def cut_in_reply(self, match: bytes, size: int = 3, *, rst: bool = False) -> Trigger:
        """Once, when a client sends it: a part of the reply gets through, then the link is cut.

        Args:
            match: What to look for in what clients send, in upper or lower case.
            size: How many bytes of the reply get through.
            rst: Whether to cut with RST, else with FIN.
        """
        return self._arm(Trigger(Moment.IN_REPLY, match, size, rst))

    # How a command gets into the thread

    def _arm(self, trigger: Trigger) -> Trigger:
        self._command(lambda: self._triggers.append(trigger))
        self._armed.append(trigger)
        return trigger

    def _command(self, function: Callable[[], T]) -> T:
        if not self._thread.is_alive():
            raise RuntimeError(f"{self!r} is not running: call start() first, and nothing after close()")
        outcome: Future[T] = Future()

        def run() -> None:
            try:
                outcome.set_result(function())
            except Exception as error:  # noqa: BLE001  whatever it is, it is for the caller of the command
                outcome.set_exception(error)

        self._commands.append(run)
        self._wake_out.send(b"!")
        return outcome.result(10)

    # What runs in the thread

    def _serve(self) -> None:
        while not self._closing:
            for key, events in self._selector.select():
                key.data(events)

    def _obey(self, _events: int) -> None:
        self._wake_in.recv(_CHUNK)
        while self._commands:
            self._commands.popleft()()

    def _shut(self) -> None:
        self._closing = True
        self._unlisten()
        self._end_all(rst=False)

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((_HOST, self.port))
            self._listener.setblocking(False)
            self._watch_listener()

    def _unlisten(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(KeyError):  # not registered while frozen
                self._selector.unregister(listener)
            listener.close()

    def _watch_listener(self) -> None:
        if self._listener is not None:
            self._register(self._listener, 0 if self._frozen else selectors.EVENT_READ, self._welcome)

    def _welcome(self, _events: int) -> None:
        if self._listener is None:
            return
        try:
            client, _ = self._listener.accept()
        except OSError:  # the client has gone again
            return
        try:
            server = socket.create_connection(self.target, 2)
        except OSError:
            # To refuse a connection is no longer possible: this is the nearest to it.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            return
        link = _Link(client, server)
        self._links.append(link)
        self._watch(link)

    def _set_frozen(self, frozen: bool) -> None:
        self._frozen = frozen
        self._watch_listener()
        for link in self._links:
            self._watch(link)

    def _watch(self, link: _Link) -> None:
        for end in (link.client, link.server):
            events = selectors.EVENT_WRITE if end.unsent else 0
            if len(end.other.unsent) < _FULL:
                events |= selectors.EVENT_READ
            self._register(end.sock, 0 if self._frozen else events, partial(self._move, end))

    def _register(self, sock: socket.socket, events: int, action: Callable[[int], None]) -> None:
        known = sock in self._selector.get_map()
        if known and events:
            self._selector.modify(sock, events, action)
        elif known:
            self._selector.unregister(sock)
        elif events:
            self._selector.register(sock, events, action)

    def _move(self, end: _End, events: int) -> None:
        link = end.link
        # What was ended or frozen a moment ago may still be in this round's list.
        if not link.open or self._frozen:
            return
        try:
            if events & selectors.EVENT_WRITE:
                end.flush()
            if events & selectors.EVENT_READ:
                self._receive(end)
        except BlockingIOError:
            return
        except OSError:  # the peer has reset its side: so do we with the other
            self._end(link, rst=True)
        if link.open:
            self._watch(link)

    def _receive(self, end: _End) -> None:
        chunk = end.sock.recv(_CHUNK)
        if not chunk:
            self._end(end.link, rst=False)
        elif end is end.link.client:
            self._from_client(end.link, chunk)
        else:
            self._from_server(end.link, chunk)

    def _from_client(self, link: _Link, chunk: bytes) -> None:
        if link.trigger is None and (trigger := self._pull(link, chunk)) is not None:
            if trigger.moment is Moment.BEFORE_REQUEST:
                self._fire(link, trigger)
                return
            link.trigger = trigger
        self._forward(link.server, chunk)

    def _pull(self, link: _Link, chunk: bytes) -> Trigger | None:
        """Return the first trigger that waits for what *chunk* completes; it does not wait any longer."""
        sent = chunk.lower()
        before, link.recent = link.recent, (link.recent + sent)[-1024:]
        for trigger in self._triggers:
            start = max(0, len(before) - len(trigger.match) + 1)
            if trigger.match in before[start:] + sent:
                self._triggers.remove(trigger)
                return trigger
        return None

    def _from_server(self, link: _Link, chunk: bytes) -> None:
        trigger = link.trigger
        if trigger is None:
            self._forward(link.client, chunk)
            return
        passed = len(link.reply)
        link.reply += chunk
        if trigger.moment is Moment.IN_REPLY:
            self._forward(link.client, bytes(link.reply[passed : trigger.size]))
            done = len(link.reply) >= trigger.size
        else:
            done = self._reply_complete(bytes(link.reply))
        if done:
            self._fire(link, trigger)

    def _forward(self, to: _End, chunk: bytes) -> None:
        to.unsent += chunk
        to.flush()

    def _fire(self, link: _Link, trigger: Trigger) -> None:
        trigger.fired.set()  # first: whoever sees the link end may rely on it
        self._end(link, rst=trigger.rst)

    def _end_all(self, *, rst: bool) -> None:
        for link in list(self._links):
            self._end(link, rst=rst)

    def _end(self, link: _Link, *, rst: bool) -> None:
        link.open = False
        self._links.remove(link)
        for end in (link.client, link.server):
            self._register(end.sock, 0, lambda _events: None)
            if rst:
                end.reset()
            else:
                end.close()
