"""In a child process: a link that the parent opened is given up, without a word to the server (X5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from persistentdb._fork import identity_of, keep_for_ever, silence, stand_in_for
from persistentdb._recovery import Pending
from persistentdb.exceptions import NotSupportedError, TransactionLost

if TYPE_CHECKING:
    from persistentdb._link import Link

__all__ = ["abandon", "refuse_inherited"]

_inherited_instances: set[str] = set()
"""The drivers of which the parent had opened databases that belong to one process."""


def abandon(link: Link) -> None:
    """Give up what the parent opened: from now on the link counts as lost, and nothing reaches its connection.

    What hung on it is the parent's to end. The child is told so by `TransactionLost` until it ends its part; a loss
    that was not acknowledged yet stands as it is.

    Args:
        link: A link whose connection is open, in a process that did not open it.
    """
    if link.profile.one_process and not link.mortal:
        _inherited_instances.add(link.profile.name)
    poison = link.poison
    if poison is None and not link.gone and _would_be_missed(link):
        poison = (TransactionLost, None)
        link.inherited = True
    connection = link.connection
    keep_for_ever(connection)
    _cut_off(link, connection)
    link.connection = stand_in = stand_in_for(connection)
    for cursor in list(link.open_cursors or ()):
        keep_for_ever(cursor._raw)
        cursor._raw = stand_in
    _forget_what_was_known(link)
    link.lose(poison)


def _forget_what_was_known(link: Link) -> None:
    """Nothing of it holds for the stand-in, nor is it to be asked again."""
    link._settled_usage = link.usage
    link.readable = None
    link.prepared = link.by_sql = link.whole = False
    if link.open_cursors is not None:
        link.open_cursors.clear()


def refuse_inherited(link: Link) -> None:
    """Refuse a connection that was opened in a child, and works in memory of the parent's.

    Raises:
        NotSupportedError: The driver may have connected it to what the parent had opened.
    """
    if not link.mortal and link.profile.name in _inherited_instances:
        raise NotSupportedError(
            f"{link.profile.name} lets only one process use a database file, and this is a child of one that had one "
            "open when it forked: what is written here would be lost. Close it before the fork, or start the child by "
            "multiprocessing's 'spawn'"
        )


def _would_be_missed(link: Link) -> bool:
    try:
        return link.mortal or link.hanging() >= Pending.WORK
    except Exception:  # noqa: BLE001  a driver may refuse to say anything now: better told once too often
        return True


def _cut_off(link: Link, connection: Any) -> None:
    """Take the way to the server from the driver, so that neither a use nor a destructor can reach it."""
    profile = link.profile
    profile.disown(connection)
    if profile.fileno is None:
        return
    try:
        descriptor = profile.fileno(connection)
    except Exception:  # noqa: BLE001  each driver has its own error: it has closed the socket already
        return
    # A driver may go on naming a descriptor that it has closed, and that is somebody else's by now.
    if descriptor >= 0 and identity_of(descriptor) == link.socket_identity is not None:
        silence(descriptor)
