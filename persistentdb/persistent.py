"""`PersistentDB`: loose arguments to strategies, threads to connections."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

from attrs import define, evolve, field

from persistentdb._factory import steady_connection
from persistentdb._fork import in_child
from persistentdb._gate import Gate
from persistentdb._keeping import kept_for_this_thread
from persistentdb._lease import Lease
from persistentdb._link import Terms
from persistentdb._opening import Opener, connect_function
from persistentdb._running import run
from persistentdb.dbapi import Connection, ConnectionProvider
from persistentdb.exceptions import PersistentDBError, described
from persistentdb.failures import FailureClassifier, Failures, as_failures
from persistentdb.locality import PerThread, ThreadLocality, ThreadLocals, as_locality
from persistentdb.outage import Outage, as_outage
from persistentdb.outcome import OutcomeResolver, as_outcome
from persistentdb.ping import Pings, PingStrategy, as_ping
from persistentdb.replay import ProvenReplay, ReplayPolicy
from persistentdb.rerun import Rerun, as_rerun
from persistentdb.session import SessionSetup, Setups, as_setup
from persistentdb.steady import SteadyConnection

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self
    from typing_extensions import TypeVar as DefaultTypeVar
else:
    from persistentdb.dbapi import TypeVar as DefaultTypeVar

__all__ = ["PersistentDB"]

P = ParamSpec("P")
T = TypeVar("T")
# A TypeVar of its own for the classmethod: pyright solves the class's by its default before it sees the argument.
ConnT = TypeVar("ConnT", bound=Connection[Any])
ConnT_co = DefaultTypeVar("ConnT_co", bound=Connection[Any], covariant=True, default=Connection)


class _Slot(threading.local):
    """The fast way from a thread to its connection."""

    steady: SteadyConnection[Any] | None = None


def as_maxusage(value: int | None) -> int:
    """Check the parameter `maxusage`.

    Raises:
        TypeError: It is no integer.
        ValueError: It is negative.
    """
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"maxusage={described(value)}: expected a number of uses, 0 or None for no limit")
    if value < 0:
        raise ValueError(f"maxusage={value!r}: expected a number of uses from 0 on, 0 or None for no limit")
    return value


def as_replay(value: ReplayPolicy | None) -> ReplayPolicy:
    """Check the parameter `replay`.

    Raises:
        TypeError: It is no replay policy.
    """
    if value is None:
        return ProvenReplay()
    if isinstance(value, type) or not isinstance(value, ReplayPolicy):
        raise TypeError(f"replay={described(value)}: expected an object with replay(), such as ProvenReplay(), or None")
    return value


def as_closeable(value: bool) -> bool:
    """Check the parameter `closeable`.

    Raises:
        TypeError: It is no truth value.
    """
    if not isinstance(value, int) or value not in (False, True):
        raise TypeError(f"closeable={described(value)}: expected True or False")
    return bool(value)


@define(init=False, eq=False)  # init=False, not auto-detection: only then does mypy's plugin know __attrs_init__
class PersistentDB(Generic[ConnT_co]):
    """Persistent, thread-affine, steady connections to one database.

    `connection()` gives each thread its own connection, which is opened at the first request, kept, checked, replaced
    when it is lost or worn, and closed when the thread ends.

    Args:
        creator: A DB-API 2 module, or a function that returns a new DB-API 2 connection.
        maxusage: Uses (`execute*`, `callproc`) after which a connection is replaced, never inside a transaction;
            0 or None (the default): unlimited.
        setsession: SQL commands, a function of the driver's connection or a `SessionSetup`: prepares every new
            connection, reopened ones too.
        failures: Exception classes, or a `FailureClassifier`: which errors mean a lost connection. Default: the
            driver's OperationalError, InterfaceError and InternalError, sharpened by what is known of the driver.
        ping: A bit mask of 1 (on request, the default), 2 (on cursor), 4 (on execute); SQL or a function for the check;
            a pair of both; or a `PingStrategy`. 0 or None: never.
        closeable: Whether `close()` on a connection closes it; False (the default): it only ends an open transaction.
        threadlocal: A class for thread-local data, or a `ThreadLocality`. The default works in every environment.
        *args: Passed to the creator.
        replay: Whether a statement is sent again after a loss; default: `ProvenReplay()`.
        outage: What callers do while the server is away; default: `Outage()`.
        rerun: The bounds of `run()`; default: `Rerun()`.
        outcome: Finds out what became of a commit without an answer, such as `PostgresOutcome()`; default: nobody does.
        **kwargs: Passed to the creator.

    Raises:
        NotSupportedError: The driver is not safe to use with threads.
        TypeError: An argument is none of the accepted forms.
        ValueError: A number is out of range.
    """

    _opener: Opener = field(repr=False)
    maxusage: int = field(converter=as_maxusage)
    setsession: SessionSetup[ConnT_co] = field(converter=as_setup, repr=False)
    failures: FailureClassifier = field(converter=as_failures)
    ping: PingStrategy[ConnT_co] = field(converter=as_ping)
    closeable: bool = field(converter=as_closeable)
    threadlocal: ThreadLocality = field(converter=as_locality)
    replay: ReplayPolicy = field(converter=as_replay)
    outage: Outage = field(converter=as_outage)
    rerun: Rerun = field(converter=as_rerun)
    outcome: OutcomeResolver[ConnT_co] | None = field(converter=as_outcome)
    _terms: Terms = field(init=False, repr=False)
    _slot: _Slot = field(init=False, repr=False, factory=_Slot)
    _steadies: weakref.WeakSet[SteadyConnection[Any]] = field(
        init=False, repr=False, factory=weakref.WeakSet[SteadyConnection[Any]]
    )
    _lock: threading.RLock = field(init=False, repr=False, factory=threading.RLock)
    _closed: bool = field(init=False, default=False)

    if TYPE_CHECKING:  # pyright does not know __attrs_init__ at all

        def __attrs_init__(
            self,
            opener: Opener,
            maxusage: int | None,
            setsession: Setups[ConnT_co],
            failures: Failures,
            ping: Pings[ConnT_co],
            closeable: bool,
            threadlocal: ThreadLocals,
            replay: ReplayPolicy | None,
            outage: Outage | None,
            rerun: Rerun | None,
            outcome: OutcomeResolver[ConnT_co] | None,
        ) -> None: ...

    def __init__(
        self,
        creator: ConnectionProvider[ConnT_co] | Callable[..., ConnT_co],
        maxusage: int | None = None,
        setsession: Setups[ConnT_co] = None,
        failures: Failures = None,
        ping: Pings[ConnT_co] = 1,
        closeable: bool = False,
        threadlocal: ThreadLocals = None,
        *args: Any,
        replay: ReplayPolicy | None = None,
        outage: Outage | None = None,
        rerun: Rerun | None = None,
        outcome: OutcomeResolver[ConnT_co] | None = None,
        **kwargs: Any,
    ) -> None:
        opener = Opener(connect_function(creator), args, kwargs, as_setup(setsession))
        self.__attrs_init__(
            opener, maxusage, opener.setup, failures, ping, closeable, threadlocal, replay, outage, rerun, outcome
        )
        gate = Gate(opener, self.outage)
        in_child(gate.renewed_after_fork)
        in_child(self._renew_lock)
        self._terms = Terms(gate, self.ping, self.failures, self.replay, self.maxusage, self.closeable, self.outcome)

    @classmethod
    def from_creator(
        cls,
        creator: Callable[[], ConnT],
        /,
        *,
        maxusage: int | None = None,
        setsession: Setups[ConnT] = None,
        failures: Failures = None,
        ping: Pings[ConnT] = 1,
        closeable: bool = False,
        threadlocal: ThreadLocals = None,
        replay: ReplayPolicy | None = None,
        outage: Outage | None = None,
        rerun: Rerun | None = None,
        outcome: OutcomeResolver[ConnT] | None = None,
    ) -> PersistentDB[ConnT]:
        """Return a `PersistentDB` by the strict door: nothing is passed through, a misspelt option is a type error.

        Args:
            creator: Returns a new connection of the driver; called without arguments.
            maxusage: See the class, as for all others.
            setsession: See the class.
            failures: See the class.
            ping: See the class.
            closeable: See the class.
            threadlocal: See the class.
            replay: See the class.
            outage: See the class.
            rerun: See the class.
            outcome: See the class.
        """
        return PersistentDB(
            creator,
            maxusage,
            setsession,
            failures,
            ping,
            closeable,
            threadlocal,
            replay=replay,
            outage=outage,
            rerun=rerun,
            outcome=outcome,
        )

    def connection(self, shareable: bool = True) -> SteadyConnection[ConnT_co]:  # noqa: ARG002
        """Return the calling thread's own connection, the same at each call.

        Args:
            shareable: Accepted for callers of DBUtils' PooledDB; it means nothing.

        Raises:
            PersistentDBError: This `PersistentDB` is closed.
        """
        steady = self._slot.steady
        if steady is None:
            return self._find()
        if steady._link.watch_request:
            steady.requested()
        return steady

    def dedicated_connection(self) -> SteadyConnection[ConnT_co]:
        """Return the same as `connection()`."""
        return self.connection()

    def run(
        self,
        function: Callable[Concatenate[SteadyConnection[ConnT_co], P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Call a function in a transaction, commit, and return what it returned.

        It is called again, as a whole and after a pause, when its transaction was lost with the connection, chosen as a
        deadlock's victim, or could not be serialized: nothing of it is left then. It is not when the outcome of its
        commit is unknown, nor when it ended a transaction by itself. So it should do nothing but work in the database.
        Inside a transaction that was begun already it becomes a part of that, and is not called again on its own.

        Args:
            function: Called with the thread's steady connection and the arguments; leaves commit and rollback to us.
            *args: Passed to the function.
            **kwargs: Passed to the function.

        Raises:
            PersistentDBError: Uncommitted work is open that would be lost with a failed attempt, and not be done again.
            CommitOutcomeUnknown: The connection broke during the commit.
            Exception: What the function or the database raised, the last time or for good.
        """
        return run(self.connection, self.rerun, lambda db: function(db, *args, **kwargs))

    def steady_connection(self) -> SteadyConnection[ConnT_co]:
        """Return a new steady connection that is cached for nobody; it is the caller's to close, and `close()` does."""
        self._refuse_closed()
        return steady_connection(evolve(self._terms, closeable=True))

    def close(self) -> None:
        """Close the connections of all threads, and give out no more.

        The calling thread's connection is closed at once. Another living thread may be in the middle of using its own:
        it is closed by that thread, before its next use or when the thread ends.
        """
        own = self.threadlocal.get()
        with self._lock:
            self._closed = True
            steadies = list(self._steadies)
        for steady in steadies:
            steady.give_up(_CLOSED, now=steady is own)
        self.threadlocal.discard()
        self._slot.steady = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def _find(self) -> SteadyConnection[ConnT_co]:
        """Ask the locality for the thread's connection, open one for a thread that has none."""
        found: Any = self.threadlocal.get()
        steady: SteadyConnection[ConnT_co]
        if found is None:
            steady = self._open()
        elif getattr(found, "_terms", None) is self._terms:
            steady = found
            steady.requested()
        else:
            raise PersistentDBError(
                f"threadlocal={described(self.threadlocal)} holds something that this PersistentDB did not give it; "
                "each needs an object of its own"
            )
        if isinstance(self.threadlocal, PerThread):
            self._slot.steady = steady
        return steady

    def _open(self) -> SteadyConnection[ConnT_co]:
        """Open the calling thread's connection, and have it closed when the thread ends."""
        self._refuse_closed()
        steady = steady_connection(self._terms)
        try:
            self.threadlocal.set(steady)
            kept_for_this_thread().add(Lease(steady))
            with self._lock:
                self._steadies.add(steady)
                self._refuse_closed()  # by another thread, in the meantime
        except BaseException:
            steady.give_up(_CLOSED, now=True)
            raise
        return steady

    def _renew_lock(self) -> None:
        """In a child process: a thread of the parent may have held the lock, and its end is not seen here."""
        self._lock = threading.RLock()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise PersistentDBError(_CLOSED)


_CLOSED = "this PersistentDB is closed; make a new one"


@atexit.register
def _close_at_exit() -> None:
    """Close the connections of the thread that ends the interpreter: its thread-local data is dropped too late."""
    kept_for_this_thread().rest()
