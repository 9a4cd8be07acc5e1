"""Whether a link is fit for use: looked at, asked, or worn; never while work hangs on it (C5, C6, C9)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from persistentdb._discovery import error_class
from persistentdb._link import Link
from persistentdb._recovery import Pending
from persistentdb._watchdog import bounded
from persistentdb.ping import MaskPing, Ping, PingStrategy

__all__ = ["is_calm", "looks_dead", "spent"]

NOTHING = Pending.NOTHING  # by a name of its own: looking a member up in its class costs more than the comparison


def is_calm(link: Link, event: Ping | None) -> bool:
    """Whether nothing at all speaks for a replacement: the short way past `spent()`, which it never contradicts."""
    return not (
        link.gone
        or link.ordered
        or link.doubted
        or link.readable is None
        or link.profile.is_closed(link.connection)
        or (link._recycles and link.usage >= link.terms.maxusage)
        or link.readable()
        or (event is not None and link._due & int(event) and link.clock() - link.proven_at >= link._window)
    )


def spent(link: Link, event: Ping | None, cursor: object = None) -> bool:
    """Whether the connection has to be replaced before it is used; never asked while work hangs on it.

    Args:
        link: The link.
        event: The event for which the ping strategy is asked; None: a transaction is about to begin.
        cursor: The driver's cursor that is about to be used: what it has still to fetch is given up anyway.
    """
    if link.running:
        return False  # a generator's statements come in the middle of the executemany() that reads it
    if link.gone or link.ordered or link.profile.is_closed(link.connection):
        return True
    if _is_busy(link, cursor):
        return False
    if link._recycles and link.pending is NOTHING and link.usage >= link.terms.maxusage:
        return True
    doubted = link.doubted and link.pending is NOTHING  # nobody can be asked in a transaction: the doubt stands
    if doubted:
        link.doubted = False  # first: a doubt that comes meanwhile stands
    generation = link.terms.gate.generation
    if not (_looks_alive(link) and _answers(link, event, doubted=doubted)):
        link.tell_others()
        return True
    if doubted:
        link.generation = generation  # it lives: should it be lost later, that is news
        link.refresh()
    return False


def looks_dead(link: Link) -> bool:
    """Look at the socket, if there is one, just before work is committed: found dead now, it is surely not."""
    return link.readable is not None and not _looks_alive(link)


def _looks_alive(link: Link) -> bool:
    """Look at the socket, without a round trip; True where there is none to look at."""
    if link.profile.is_closed(link.connection):
        return False
    if link.readable is None or not link.readable():
        return True
    try:
        with _in_time(link):
            return link.profile.survives(link.connection)
    except OSError:
        return False  # no socket left to look at
    except BaseException:
        link.lose(None)  # interrupted in the middle of an exchange
        raise


def _answers(link: Link, event: Ping | None, *, doubted: bool) -> bool:
    ping = link.terms.ping
    # begin() has only the ping where there is no socket to look at.
    due = link._due & int(event) if event is not None else link.readable is None and link._due
    if doubted:
        due = link._due  # whatever the event, but not for those who want no ping at all
    if not due or link.pending is not NOTHING:
        return True
    window = ping.window if isinstance(ping, MaskPing) and link.readable is not None else 0
    if window and not doubted and link.clock() - link.proven_at < window:
        return True
    return _ask(link, ping)


def _ask(link: Link, ping: PingStrategy[Any]) -> bool:
    errors = error_class(link.connection, "Error") or Exception
    try:
        with _in_time(link):
            alive = ping.alive(link.connection)
            own = isinstance(ping, MaskPing) and ping.check is None
            if not own and alive and link.profile.autocommit(link.connection) is not True:
                link.connection.rollback()  # a check of the user's may have opened a transaction
    except (errors, OSError):
        return False
    except BaseException:
        link.lose(None)  # interrupted in the middle of an exchange
        raise
    link.proven_at = link.clock()
    return alive


def _in_time(link: Link) -> AbstractContextManager[None]:
    """A round trip in here is ended when it takes longer than the ping strategy allows, where there is a socket."""
    ping, fileno = link.terms.ping, link.profile.fileno
    if fileno is None or not isinstance(ping, MaskPing) or ping.timeout is None:
        return nullcontext()
    return bounded(fileno(link.connection), ping.timeout)


def _is_busy(link: Link, cursor: object) -> bool:
    """Whether somebody is still to read rows that a replacement or a round trip would cut short."""
    if link.profile.is_streaming(link.connection):
        return True
    if link.open_cursors is None:
        return False
    streams = link.profile.cursor_is_streaming
    return any(
        other is not cursor
        and other.description is not None
        and (streams is None or link._recycles or streams(other._raw))
        for other in link.open_cursors
    )
