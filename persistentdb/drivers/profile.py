"""What only the driver knows: one `DriverProfile` a driver, data and three-line functions."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from attrs import frozen

from persistentdb._recovery import Verdict
from persistentdb.drivers.rules import Explanation, Rule

__all__ = ["DriverProfile", "Rule", "look_at"]

NO_METHODS: Mapping[str, int] = MappingProxyType({})

_NOT_LOST = frozenset({Verdict.NOT_LOST})
_LOST = frozenset(Verdict) - _NOT_LOST


CONFLICTS: frozenset[object] = frozenset({"40001", "40P01"})
"""The SQLSTATEs of a serialization failure (SQL standard) and of a deadlock (PostgreSQL)."""


def _never(_: Any) -> bool:
    return False


def _unknown(_: Any) -> bool | None:
    return None


def _no_code(_: BaseException) -> object:
    return None


def _sqlstate(error: BaseException) -> object:
    """By the name that most drivers give it."""
    return getattr(error, "sqlstate", None)


def _in_step(_: BaseException) -> bool:
    return False


def _no_refusal(_: Any) -> str | None:
    return None


def _nothing_to_do(_: Any) -> None:
    """Do without: a database in this very process needs no ping, most drivers need no goodbye."""


@frozen
class DriverProfile:
    """The facts of one driver, told without a round trip.

    Attributes:
        name: The driver's top-level module.
        is_closed: Whether the connection object knows itself closed or broken.
        rules: What its errors mean, the first matching row counts.
        code: Takes the error code out of an error; None where it carries none.
        sqlstate: Takes the SQLSTATE out of an error; None where it carries none.
        out_of_step: Whether an error, of whatever class, left the exchange with the server in the middle, so that the
            next statement would read the rest of the last one's reply.
        closed_is_truth: After an error `is_closed` is right both ways, and outranks every code.
        code_is_truth: An error with a code that no rule lists came from a living session.
        conflicts: Codes of the errors by which a server ends a transaction for another one's sake (deadlock,
            serialization failure): nothing of it is left, and it may succeed when it is run again.
        in_transaction: Whether a transaction is open; None where the driver cannot tell.
        is_aborted: Whether an error has ended the open transaction, so that the server will answer its commit by a
            rollback, without an error.
        transaction_is_work: Whether an open transaction always means uncommitted work (reads open none).
        reads_are_work: Whether what was read must not be read anew in the middle of a transaction: the caller asked for
            one snapshot.
        autocommit: Whether each statement commits by itself; None where the driver cannot tell.
        fileno: The socket's file descriptor; None for a database in this very process.
        drain: Reads what an idle session was sent unasked, raises when it finds the session dead; None: an idle session
            is sent nothing but its end, and what else can be read is the rest of a reply.
        ping: Makes a round trip that opens no transaction and never reconnects; raises when the session is dead.
        is_streaming: Whether rows or results are still to be read from the server.
        cursor_is_streaming: The same, for drivers where only the cursor tells.
        ends_in_silence: Whether a streaming cursor that loses its connection behaves as if the rows had ended; that
            the connection is closed is the only sign.
        refuses_begin: Why `begin()` would not start a transaction on a connection; None: it does.
        begins: Whether `begin()` has to send `BEGIN`, and whether a statement has to end what that opened, because the
            driver's own `commit()` does nothing then; None: both, where the connection is in autocommit.
        in_process: Whether the database lives in this very process: no ping is needed, and no server can go away.
        always_open: Whether a transaction is open even when nothing was executed yet.
        autocommit_commits: Whether switching to autocommit commits what was done before.
        committing: First words of statements that commit, by the way, what was done before them.
        dies_with_connection: Whether the database itself is gone once the connection is closed.
        let_go: Makes a connection that is given up forget what its server still owes it, so that no destructor asks
            for it later, and no reader takes what is missing for the end.
        end_two_phases: Tells the driver that its transaction in two phases is over, should it not know.
        disown: In a forked child: makes a connection that the parent opened useless, and leaves its database alone. A
            socket need not be seen to, nothing passes through it any more.
        one_process: A database file belongs to one process, and all its connections there share what is in memory.
        let_go_of_cursor: Makes a cursor that was lost with its connection safe to be touched again, or dropped.
        session_methods: Methods of the connection that set session state, and how many of their leading arguments
            tell one setting from another (`create_function`: 1, the function's name).
        taken_back_by_none: Those of these methods that take back what they set when their last argument is None.
        permissions: Those of these methods that permit what another one of them, named here, does.
        sending_methods: Methods of the connection that send a statement, their first argument.
        unsetting_methods: Methods of the connection that take back what one of those, named here, has set with the same
            arguments.
        statement_methods: Further methods of the cursor that send statements.
    """

    name: str
    is_closed: Callable[[Any], bool]
    rules: tuple[Rule, ...]
    code: Callable[[BaseException], object] = _no_code
    sqlstate: Callable[[BaseException], object] = _sqlstate
    out_of_step: Callable[[BaseException], bool] = _in_step
    closed_is_truth: bool = False
    code_is_truth: bool = False
    conflicts: frozenset[object] = CONFLICTS
    in_transaction: Callable[[Any], bool | None] = _unknown
    is_aborted: Callable[[Any], bool] = _never
    transaction_is_work: bool = False
    reads_are_work: Callable[[Any], bool] = _never
    autocommit: Callable[[Any], bool | None] = _unknown
    fileno: Callable[[Any], int] | None = None
    drain: Callable[[Any], object] | None = None
    ping: Callable[[Any], object] = _nothing_to_do
    is_streaming: Callable[[Any], bool] = _never
    cursor_is_streaming: Callable[[Any], bool] | None = None
    ends_in_silence: bool = False
    refuses_begin: Callable[[Any], str | None] = _no_refusal
    begins: Callable[[Any], tuple[bool, bool]] | None = None
    in_process: bool = False
    dies_with_connection: Callable[[Any], bool] = _never
    let_go: Callable[[Any], object] = _nothing_to_do
    let_go_of_cursor: Callable[[Any], object] = _nothing_to_do
    end_two_phases: Callable[[Any], object] = _nothing_to_do
    disown: Callable[[Any], object] = _nothing_to_do
    one_process: bool = False
    session_methods: Mapping[str, int] = NO_METHODS
    taken_back_by_none: frozenset[str] = frozenset()
    permissions: Mapping[str, str] = MappingProxyType({})
    sending_methods: tuple[str, ...] = ()
    unsetting_methods: Mapping[str, str] = MappingProxyType({})
    autocommit_commits: bool = False
    committing: frozenset[str] = frozenset()
    always_open: Callable[[Any], bool] = _never
    statement_methods: tuple[str, ...] = ()

    def verdict(self, error: BaseException, connection: object) -> Verdict | None:
        """Return what an error means; None if neither the connection nor the error itself tells."""
        found = self.explain(error, connection)
        return None if found is None else found.verdict

    def explain(self, error: BaseException, connection: object) -> Explanation | None:
        """Return what an error means and why; None if neither the connection nor the error itself tells.

        The order is: what the connection knows of itself, the rows, that it carries a code at all.
        """
        closed = self.is_closed(connection)
        if closed:
            gone = Explanation(
                Verdict.LOST_MAYBE_SENT, None, f"{self.name} knows the connection to be closed or broken"
            )
            return self._by_row(error, _LOST) or gone
        if self.closed_is_truth:
            alive = f"{self.name} knows when a connection is closed or broken, and this one is not"
            return self._by_row(error, _NOT_LOST) or Explanation(Verdict.NOT_LOST, None, alive)
        found = self._by_row(error, _LOST | _NOT_LOST)
        if found is None and self.code_is_truth and self.code(error) is not None:
            answered = f"code {self.code(error)} is an answer, so the session of {self.name} lives"
            return Explanation(Verdict.NOT_LOST, None, answered)
        return found

    def _by_row(self, error: BaseException, verdicts: frozenset[Verdict]) -> Explanation | None:
        """Ask the rows in their order, as far as what is known of the connection does not contradict them."""
        code, sqlstate = self.code(error), self.sqlstate(error)
        for rule in self.rules:
            if rule.verdict in verdicts and rule.matches(error, code, sqlstate):
                return Explanation(rule.verdict, rule, f"{rule.why or 'a row says so'} ({self.name}: {rule})")
        return None

    def is_conflict(self, error: BaseException) -> bool:
        """Whether a server ended the whole transaction by this error, to the advantage of another one."""
        found = (self.code(error), self.sqlstate(error))
        return any(isinstance(code, (int, str)) and code in self.conflicts for code in found)

    def survives(self, connection: object) -> bool:
        """Whether an idle session lives on although there is something to read from its socket."""
        if self.drain is None:
            return self.fileno is not None and has_more_to_say(self.fileno(connection))
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


def has_more_to_say(descriptor: int) -> bool:
    """Whether what can be read from a socket is the rest of a reply: the other side has not hung up.

    Where the system does not tell that (it is Linux that does), what can be read is taken for the end.

    Args:
        descriptor: The socket's file descriptor.
    """
    if not hasattr(select, "POLLRDHUP"):
        return False
    poller = select.poll()
    poller.register(descriptor, select.POLLRDHUP)
    return not poller.poll(0)
