"""The steady connection: it stands in for the driver's connection, which may be replaced under it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from persistentdb._commits import mark, resolved
from persistentdb._fitness import is_calm, spent
from persistentdb._link import Link, Terms
from persistentdb._losses import lose, refuse_lost, refuse_poisoned
from persistentdb._recovery import Operation, Pending, Recovery, Verdict, decide
from persistentdb._transactions import begin, end_by_sql, refuse_aborted, refuse_open_work
from persistentdb.cursor import SteadyCursor, cursor_class
from persistentdb.dbapi import Connection, Cursor
from persistentdb.drivers import UNKNOWN
from persistentdb.exceptions import (
    PersistentDBError,
    add_note,
)
from persistentdb.ping import Ping
from persistentdb.replay import Loss

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self
    from typing_extensions import TypeVar as DefaultTypeVar

    from persistentdb._lease import Lease
    from persistentdb._projections import ConnectionExecutes, Cursors, UntypedConnection
else:
    from persistentdb.dbapi import TypeVar as DefaultTypeVar

__all__ = ["SteadyConnection"]

P = ParamSpec("P")
T = TypeVar("T")
CurT = TypeVar("CurT", bound=Cursor)
ConnT_co = DefaultTypeVar("ConnT_co", bound=Connection[Any], covariant=True, default=Connection)


# By their own names: looking a member up in its class costs more than the comparison.
NOTHING, WORK, EXPLICIT = Pending.NOTHING, Pending.WORK, Pending.EXPLICIT


class SteadyConnection(Generic[ConnT_co]):
    """A connection that stays, while the driver's connection under it may come and go.

    It has all attributes and methods of the driver's connection. It belongs to one thread.
    """

    __slots__ = ("__weakref__", "_given_up", "_lease", "_link", "_settings", "_terms")

    _link: Link
    _terms: Terms
    _settings: dict[tuple[object, ...], Callable[[Any], object]]
    _given_up: str | None
    _lease: Lease | None

    # What stands under it

    @property
    def link(self) -> Link:
        """The link in use; for the rooms of this house, not for users."""
        return self._link

    @property
    def driver_connection(self) -> ConnT_co:
        """The driver's own connection, as it is now: unprotected, and replaced by a reopening."""
        self._link.escaped()
        connection: ConnT_co = self._link.connection
        return connection

    @property
    def as_driver(self) -> ConnT_co:
        """This same steady connection, typed as the driver's: for functions annotated with the driver's class."""
        view: Any = self
        driver: ConnT_co = view
        return driver

    @property
    def usage(self) -> int:
        """How many statements were sent on the driver's present connection."""
        return self._link.usage

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, or lost and not ended yet; told without a round trip."""
        link = self._link
        return link.poison is not None or link.hanging() is not NOTHING

    # Cursors. Both overloads must annotate self alike: with a bare self in the second, mypy drops the first unseen.

    @overload
    def cursor(self: SteadyConnection[Cursors[CurT]]) -> SteadyCursor[CurT]: ...
    @overload
    def cursor(  # pyright: ignore[reportOverlappingOverload]
        self: SteadyConnection[Cursors[CurT]], *args: Any, **kwargs: Any
    ) -> SteadyCursor[Any]: ...
    def cursor(self, *args: Any, **kwargs: Any) -> SteadyCursor[Any]:
        """Return a new steady cursor; the arguments are those of the driver's `cursor`, and survive a reopening.

        Raises:
            TransactionLost: The transaction was lost before and is not ended yet.
        """
        if args or kwargs:
            return self.open_cursor(_call_cursor(args, kwargs))
        link = self._link
        if link.watch_cursor:
            link = self.ready(None, Ping.CURSOR)
        try:
            raw = link.connection.cursor()
        except BaseException as error:
            if self.settle(error, Operation.CURSOR, link) is not Recovery.RESEND:
                raise
            link = self._link
            raw = self.once_more(lambda link: link.connection.cursor())
        if type(raw) is not link.cursor_type:
            return self._wrap(link, raw, _plain_cursor)
        cursor: SteadyCursor[Any] = link.cursor_class()
        cursor._link = link
        cursor._raw = raw
        cursor._recipe = _plain_cursor
        cursor._steady = self
        return cursor

    def open_cursor(self, recipe: Callable[[ConnT_co], CurT], /) -> SteadyCursor[CurT]:
        """Return a steady cursor made by a recipe, wholly type-checked, which also makes it anew after a reopening.

        Args:
            recipe: Makes the driver's cursor, given the driver's connection:
                `con.open_cursor(lambda raw: raw.cursor(row_factory=class_row(User)))`.
        """
        link = self.ready(None, Ping.CURSOR) if self._link.watch_cursor else self._link
        try:
            raw = recipe(link.connection)
        except BaseException as error:
            if self.settle(error, Operation.CURSOR, link) is not Recovery.RESEND:
                raise
            link = self._link
            raw = self.once_more(lambda link: recipe(link.connection))
        return self._wrap(link, raw, recipe)

    def _wrap(self, link: Link, raw: Any, recipe: Callable[[Any], Any]) -> SteadyCursor[Any]:
        """Make a steady cursor of a class that may be new, and that may have to be watched."""
        link.cursor_class = cursor_class(raw, link.profile.statement_methods)
        cursor: SteadyCursor[Any] = link.cursor_class()
        cursor._link, cursor._raw, cursor._recipe, cursor._steady = link, raw, recipe, self
        if link.open_cursors is None:
            link.cursor_type = type(raw)  # the next one of this class need not be seen to
        else:
            link.open_cursors.add(cursor)
        return cursor

    if TYPE_CHECKING:  # there at run time where the driver has it

        @overload
        def execute(self: SteadyConnection[UntypedConnection], *args: Any, **kwargs: Any) -> Any: ...
        @overload
        def execute(self: SteadyConnection[ConnectionExecutes[P, T]], *args: P.args, **kwargs: P.kwargs) -> T: ...
        def execute(self, *args: Any, **kwargs: Any) -> Any:
            """Run a statement on a new steady cursor, and return what its `execute` returns."""

    # Transactions

    def begin(self, *args: Any, **kwargs: Any) -> None:
        """Start a transaction: until it is ended nothing is reopened, and every error reaches the caller.

        The driver's own `begin` is called where it has one. In autocommit `BEGIN` is sent; else the driver opens the
        transaction with the next statement. The link is looked at first, and reopened if it is dead.

        Args:
            *args: Passed to the driver's `begin`.
            **kwargs: Passed to the driver's `begin`.

        Raises:
            PersistentDBError: A transaction was begun already.
            NotSupportedError: The driver has no `begin` that would take arguments.
            TransactionLost: The last transaction was lost and is not ended yet.
        """
        self.start_transaction(begin, args, kwargs)

    def start_transaction(
        self,
        start: Callable[[Link, tuple[Any, ...], dict[str, Any]], bool],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Open a transaction by a function that tells whether it has to be ended by a statement."""
        link = self._link
        if link.watch or link.pending is not NOTHING:
            link = self.ready(None, None)
            if link.pending is EXPLICIT:
                raise PersistentDBError(
                    "begin() inside a transaction that was begun already: end it by commit() or rollback() first"
                )
        try:
            by_sql = start(link, args, kwargs)
        except BaseException as error:
            commits = "begin" in link.profile.committing
            if self.settle(error, Operation.BEGIN, link, may_commit=commits) is not Recovery.RESEND:
                raise
            link = self._link
            by_sql = self.once_more(lambda link: start(link, args, kwargs))
        link.begun(by_sql=by_sql)

    def commit(self) -> None:
        """Commit the transaction.

        Raises:
            TransactionLost: The work was lost before and is certainly not committed.
            CommitOutcomeUnknown: The connection broke during the commit, which may or may not have happened.
        """
        link = self._link
        if link.watch:
            link.hanging()
            refuse_poisoned(link)
            if link.pending < WORK and link.gone:
                link.ended()
                return
        if link.guards_commit:
            refuse_lost(link)
            if self._terms.outcome is not None:
                self.once_more(mark)
        try:
            if link.by_sql:
                end_by_sql(link, "commit")
            else:
                link.connection.commit()
        except BaseException as error:
            if self.settle(error, Operation.COMMIT, link) is not Recovery.SUCCEED:
                raise
        link.ended()

    def rollback(self) -> None:
        """Roll the transaction back; when it was lost with its connection, that is acknowledged here."""
        link = self._link
        if link.gone:
            link.ended()
            return
        try:
            if link.by_sql:
                end_by_sql(link, "rollback")
            else:
                link.connection.rollback()
        except BaseException as error:
            if self.settle(error, Operation.ROLLBACK, link) is not Recovery.SUCCEED:
                raise
        link.ended()

    def cancel(self) -> None:
        """End the transaction without its work: the driver's own `cancel` where it has one, then a rollback."""
        link = self._link
        cancel = getattr(link.connection, "cancel", None)
        try:
            if cancel is not None and not link.gone:
                cancel()
        except BaseException as error:
            if self.settle(error, Operation.ROLLBACK, link) is not Recovery.SUCCEED:
                raise
        finally:
            self.rollback()

    @contextmanager
    def transaction(self) -> Generator[Self]:
        """Begin a transaction, commit it at the end of the `with` block, roll it back on an exception.

        Raises:
            TransactionLost: The work was lost and is certainly not committed: the block can be run again.
            CommitOutcomeUnknown: The connection broke during the commit, which may or may not have happened.
            PersistentDBError: A statement's error has ended the transaction on the server (PostgreSQL), and the block
                has not let it out; or there is uncommitted work from before the block.
        """
        nested = self._link.pending is EXPLICIT or self._link.poison is not None
        if not nested:
            refuse_open_work(self._link, "transaction()")
        try:
            self.begin()
            yield self
            refuse_aborted(self._link)
            self.commit()
        except BaseException:
            if not nested:
                self.abandon()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if kind is not None:
            self.abandon()
            return
        try:
            self.commit()
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Roll back; a connection that cannot even do that is given up, and its server rolls back."""
        try:
            self.rollback()
        except Exception:  # noqa: BLE001  the caller has an error already, or wants none
            self._link.close()
            self._link.ended()

    def close(self) -> None:
        """Roll an open transaction back; close the connection if it is closeable, the next use then reopens it."""
        link = self._link
        if link.poison is not None or link.hanging() is not NOTHING:
            self.abandon()
        if self._terms.closeable:
            link.close()

    # Between the decisions and the driver

    def ready(self, raw_cursor: object, event: Ping | None = Ping.EXECUTE) -> Link:
        """Return a link that is fit for a statement or a cursor, a new one if need be.

        Args:
            raw_cursor: The driver's cursor that is about to be used, if any.
            event: What is about to happen, for the ping strategy; None: `begin()`.

        Raises:
            TransactionLost: The transaction was lost before and is not ended yet.
        """
        link = self._link
        pending = link.hanging()
        refuse_poisoned(link)
        if pending < WORK and not is_calm(link, event) and spent(link, event, raw_cursor):
            link = self._reopen()
        return link

    def revive(self) -> None:
        """Reopen what is known to be gone, before one of the driver's own methods is used."""
        if self._link.gone and self._link.poison is None:
            self._reopen()

    def requested(self) -> None:
        """Check the connection when its thread asks for it: never inside a transaction, lost ones included."""
        link = self._link
        if is_calm(link, Ping.REQUEST):
            return
        if link.poison is None and link.hanging() < WORK and spent(link, Ping.REQUEST):
            self._reopen()

    def settle(
        self,
        error: BaseException,
        operation: Operation,
        link: Link,
        *,
        several_sends: bool = False,
        repeatable: bool = True,
        may_commit: bool = False,
    ) -> Recovery:
        """Decide on an error out of the driver, and do everything about it but the sending itself.

        Args:
            error: What the driver raised.
            operation: What the caller was doing.
            link: The link it was done on; that of an older cursor may be replaced already.
            several_sends: The call may have sent other requests before the one that failed.
            repeatable: Whether it can be sent again at all.
            may_commit: Whether it commits on the way what was done before, so that its loss leaves that unknown.

        Returns:
            `RESEND` (the link is a new one then) or `SUCCEED`; after anything else the caller raises the error.

        Raises:
            CommitOutcomeUnknown: The connection broke during the commit.
            TransactionLost: The commit was certainly not made.
        """
        if link.gone and (link is not self._link or link.poison is not None):
            return Recovery.RAISE  # it was lost before: what was said of it then stands
        verdict = self._verdict(error, link)
        if verdict is Verdict.LOST_UNSENT and several_sends:
            verdict = Verdict.LOST_MAYBE_SENT
        pending = link.at_stake(operation)
        if may_commit and pending >= WORK:
            operation = Operation.COMMIT
        loss = Loss(operation, verdict, pending, link.profile is not UNKNOWN, error)
        interrupted = not isinstance(error, Exception)
        asked = repeatable and verdict is not Verdict.NOT_LOST and pending < WORK and operation is Operation.STATEMENT
        replay = asked and not interrupted and self._terms.replay.replay(loss)
        recovery = decide(operation, verdict, pending, replay=replay, mortal=link.mortal, interrupted=interrupted)
        if recovery is Recovery.RAISE:
            link.forget_effect()
            return recovery
        if not interrupted:
            link.tell_others()
            recovery = resolved(link, recovery)
        if recovery is Recovery.RESEND:
            self._reopen_after(error)
        else:
            lose(link, recovery, error)
        return recovery

    def once_more(self, action: Callable[[Link], T]) -> T:
        """Do something on the link in use without another attempt: what fails here is the caller's to see."""
        link = self._link
        try:
            return action(link)
        except BaseException as error:
            self.settle(error, Operation.FETCH, link)
            raise

    def _verdict(self, error: BaseException, link: Link) -> Verdict:
        """An interrupt out of a driver call leaves the connection in an unknown state, never to be used again."""
        if not isinstance(error, Exception):
            return Verdict.LOST_MAYBE_SENT
        return self._terms.failures.verdict(error, link.connection)

    def _reopen_after(self, error: BaseException) -> None:
        try:
            self._reopen()
        except Exception as failure:
            add_note(failure, f"persistentdb: reopening after a lost connection ({type(error).__name__}) failed")
            raise

    def _reopen(self) -> Link:
        """Replace the link; the old connection is closed first, for its server may count connections."""
        self._link.close()
        if self._given_up is not None:
            raise PersistentDBError(self._given_up)
        link = Link(self._terms)
        try:
            for apply in self._settings.values():
                apply(link.connection)
        except BaseException:
            link.close()
            raise
        if self._settings:
            link.settings_changed()
        self._link = link
        if self._lease is not None:
            self._lease.link = link
        return link

    def give_up(self, reason: str, *, now: bool) -> None:
        """Close the connection for good.

        Args:
            reason: The message for whoever uses it afterwards.
            now: The calling thread owns it, or nobody does; else the owner closes it at its next safe moment.
        """
        self._given_up = self._given_up or reason
        if now:
            self._link.close()
        else:
            self._link.order()

    def __repr__(self) -> str:
        link = self._link
        state = "lost" if link.poison is not None else "closed" if link.gone else "open"
        transaction = ", in transaction" if link.pending is EXPLICIT else ""
        limit = f" of {self._terms.maxusage}" if self._terms.maxusage else ""
        return f"<SteadyConnection {state}{transaction}, used {link.usage}{limit}>"


def _plain_cursor(connection: Any) -> Any:
    return connection.cursor()


def _call_cursor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[Any], Any]:
    return lambda connection: connection.cursor(*args, **kwargs)
