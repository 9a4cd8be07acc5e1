"""What is to go wrong: one fault that waits for its moment, and those that wait on a server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum, auto

from attrs import define, field

__all__ = ["CALLS", "Fault", "Faults", "Moment"]

CALLS = frozenset({"begin", "commit", "connect", "cursor", "fetch", "ping", "rollback"})
"""What a fault can wait for by its name; anything else is looked for in the statements."""


class Moment(Enum):
    """Where in a request a fault strikes."""

    BEFORE = auto()
    """The server never hears of the request."""

    AFTER = auto()
    """The server has done it; the client does not learn."""


@define(eq=False)
class Fault:
    """One fault that waits for its moment; it happens once.

    Attributes:
        what: The call (`commit`, `cursor`, `fetch`, `rollback`, `begin`, `connect`, `ping`), or a fragment of the
            statement, in upper or lower case.
        moment: Before the server has done it, or after.
        loses: Whether the connection is lost by it.
        error: What the driver raises.
        fired: Set when it has happened.
    """

    what: str
    moment: Moment
    loses: bool
    error: BaseException
    fired: threading.Event = field(init=False, factory=threading.Event)

    def strikes(self, call: str, moment: Moment) -> bool:
        """Whether it has waited for this.

        Args:
            call: The name of a call, or the text of a statement; a statement `COMMIT` counts as the call `commit`.
            moment: Where in the request we are.
        """
        wanted, said = self.what.lower(), call.strip("; \n").lower()
        if moment is not self.moment:
            return False
        return wanted == said if wanted in CALLS or said in CALLS else wanted in said

    def __repr__(self) -> str:
        state = "fired" if self.fired.is_set() else "waiting"
        return f"<Fault {self.moment.name} {self.what!r} {state}>"


@define(eq=False)
class Faults:
    """The faults that wait on a server, the first one armed strikes first.

    Attributes:
        waiting: Those that have not happened yet.
    """

    waiting: list[Fault] = field(init=False, factory=list[Fault])
    _lock: threading.Lock = field(init=False, repr=False, factory=threading.Lock)

    def arm(self, fault: Fault) -> Fault:
        """Have a fault wait for its moment.

        Raises:
            ValueError: It would strike at everything.
        """
        if not fault.what.strip():
            raise ValueError("a fault needs a call or a fragment of a statement to wait for: an empty one is in all")
        with self._lock:
            self.waiting.append(fault)
        return fault

    def strike(self, call: str, moment: Moment, lose: Callable[[], object]) -> None:
        """Have the first fault happen that waits for this, if any.

        Args:
            call: What the client does.
            moment: Where in the request we are.
            lose: Breaks the connection.

        Raises:
            BaseException: What the fault is to raise.
        """
        with self._lock:
            fault = next((one for one in self.waiting if one.strikes(call, moment)), None)
            if fault is None:
                return
            self.waiting.remove(fault)
        fault.fired.set()
        if fault.loses:
            lose()
        raise fault.error
