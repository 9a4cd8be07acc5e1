"""What only the driver knows: one `DriverProfile` a driver, data and three-line functions."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from attrs import frozen

from persistentdb._recovery import Verdict

__all__ = ["DriverProfile", "Rule", "look_at"]

NO_METHODS: Mapping[str, int] = MappingProxyType({})


def _never(_: Any) -> bool:
    return False


def _unknown(_: Any) -> bool | None:
    return None


def _no_code(_: BaseException) -> object:
    return None


def _nothing_to_do(_: Any) -> None:
    """Do without: a database in this very process needs no ping, most drivers need no goodbye."""


@frozen
class Rule:
    """One row of what a driver's errors mean; every condition that is given must hold.

    Attributes:
        verdict: What it means.
        codes: The error codes (numbers or SQLSTATEs) it speaks of; empty: any.
        text: A fragment of the message; empty: any.
        why: The reason in a few words, for people.
    """

    verdict: Verdict
    codes: frozenset[object] = frozenset()
    text: str = ""
    why: str = ""

    def matches(self, code: object, text: str) -> bool:
        """Whether this row speaks of an error with that code and that message."""
        return (not self.codes or code in self.codes) and self.text in text


@frozen
class DriverProfile:
    """The facts of one driver, told without a round trip.

    Attributes:
        name: The driver's top-level module.
        is_closed: Whether the connection object knows itself closed or broken.
        rules: What its errors mean, the first matching row counts.
        code: Takes the error code out of an error; None where it carries none.
        closed_is_truth: After an error `is_closed` is right both ways, and outranks every code.
        code_is_truth: An error with a code that no rule lists came from a living session.
        in_transaction: Whether a transaction is open; None where the driver cannot tell.
        transaction_is_work: Whether an open transaction always means uncommitted work (reads open none).
        autocommit: Whether each statement commits by itself; None where the driver cannot tell.
        fileno: The socket's file descriptor; None for a database in this very process.
        drain: Reads what an idle session was sent unasked, raises when it finds the session dead; None: anything that
            can be read from an idle session is its end.
        ping: Makes a round trip that opens no transaction and never reconnects; raises when the session is dead.
        is_streaming: Whether rows or results are still to be read from the server.
        cursor_is_streaming: The same, for drivers where only the cursor tells.
        begins: Whether `begin()` has to send `BEGIN`, and whether a statement has to end what that opened, because the
            driver's own `commit()` does nothing then; None: both, where the connection is in autocommit.
        always_open: Whether a transaction is open even when nothing was executed yet.
        autocommit_commits: Whether switching to autocommit commits what was done before.
        committing: First words of statements that commit, by the way, what was done before them.
        dies_with_connection: Whether the database itself is gone once the connection is closed.
        let_go: Makes a connection that is given up forget what its server still owes it, so that no destructor asks
            for it later.
        session_methods: Methods of the connection that set session state, and how many of their leading arguments
            tell one setting from another (`create_function`: 1, the function's name).
        statement_methods: Further methods of the cursor that send statements.
    """

    name: str
    is_closed: Callable[[Any], bool]
    rules: tuple[Rule, ...]
    code: Callable[[BaseException], object] = _no_code
    closed_is_truth: bool = False
    code_is_truth: bool = False
    in_transaction: Callable[[Any], bool | None] = _unknown
    transaction_is_work: bool = False
    autocommit: Callable[[Any], bool | None] = _unknown
    fileno: Callable[[Any], int] | None = None
    drain: Callable[[Any], object] | None = None
    ping: Callable[[Any], object] = _nothing_to_do
    is_streaming: Callable[[Any], bool] = _never
    cursor_is_streaming: Callable[[Any], bool] | None = None
    begins: Callable[[Any], tuple[bool, bool]] | None = None
    dies_with_connection: Callable[[Any], bool] = _never
    let_go: Callable[[Any], object] = _nothing_to_do
    session_methods: Mapping[str, int] = NO_METHODS
    autocommit_commits: bool = False
    committing: frozenset[str] = frozenset()
    always_open: Callable[[Any], bool] = _never
    statement_methods: tuple[str, ...] = ()

    def verdict(self, error: BaseException, connection: object) -> Verdict | None:
        """Return what an error means; None if neither the connection nor the error's code or message tells.

        The order is: what the connection knows of itself, the code, the message.
        """
        closed = self.is_closed(connection)
        if self.closed_is_truth and not closed:
            return Verdict.NOT_LOST
        code, text = self.code(error), str(error)
        for rule in self.rules:
            if rule.matches(code, text):
                return rule.verdict
        if closed:
            return Verdict.LOST_MAYBE_SENT
        return Verdict.NOT_LOST if self.code_is_truth and code is not None else None

    def survives(self, connection: object) -> bool:
        """Whether an idle session lives on although there is something to read from its socket."""
        if self.drain is None:
            return False
        try:
            self.drain(connection)
            if not self.in_transaction(connection):
                self.ping(connection)
        except Exception:  # noqa: BLE001  whatever it raises, a session that cannot answer is of no use
            return False
        return True


def look_at(descriptor: int) -> Callable[[], object]:
    """Return a function that tells, without a round trip, whether (true or false) a socket has something to be read.

    An idle session has nothing to say: what can be read is the server's farewell, the end of the stream, or a notice.

    Args:
        descriptor: The socket's file descriptor. A closed one counts as readable.
    """
    if not hasattr(select, "poll"):  # Windows

        def readable() -> bool:
            return bool(select.select([descriptor], [], [], 0)[0])

        return readable
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return partial(poller.poll, 0)
