"""The steady cursor: it sends statements where it is proven that they arrive at most once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from inspect import isgenerator
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from persistentdb._discovery import error_class
from persistentdb._forwarding import forwarding_class
from persistentdb._recovery import Operation, Recovery
from persistentdb._statements import may_commit, text_of
from persistentdb.dbapi import Cursor
from persistentdb.exceptions import PersistentDBError

if TYPE_CHECKING:
    from typing_extensions import Self
    from typing_extensions import TypeVar as DefaultTypeVar

    from persistentdb._link import Link
    from persistentdb._projections import (
        All,
        CallProc,
        Executes,
        ExecutesMany,
        Iterates,
        LastRowId,
        Many,
        NextSet,
        One,
        UntypedCursor,
    )
    from persistentdb.steady import SteadyConnection
else:
    from persistentdb.dbapi import TypeVar as DefaultTypeVar

__all__ = ["SteadyCursor", "cursor_class"]

P = ParamSpec("P")
T = TypeVar("T")

_BEGIN_WITH_A_STATEMENT = frozenset({"executemany", "stream"})
"""Methods whose first argument tells what they do to the transaction, as that of `execute` does."""

UNSET: Any = object()
"""Not given; None is a value that drivers take."""


CurT_co = DefaultTypeVar("CurT_co", bound=Cursor, covariant=True, default=Cursor)


def _given(operation: Any, parameters: Any) -> tuple[Any, ...]:
    return (operation,) if parameters is UNSET else (operation, parameters)


def _is_used_up(argument: object) -> bool:
    """Whether it may give its items only once: a generator, a file, another cursor."""
    return hasattr(argument, "read") or (isinstance(argument, Iterable) and not isinstance(argument, Collection))


def _refuse_to_reopen(connection: Any) -> Any:
    error = error_class(connection, "InterfaceError") or error_class(connection, "Error") or RuntimeError
    raise error("this cursor is closed; create a new one")


class SteadyCursor(Generic[CurT_co]):
    """A cursor of a steady connection; `SteadyConnection.cursor()` makes it.

    It has all attributes and methods of the driver's cursor. When its connection was reopened it goes on with a new
    cursor of the new connection, made with the same arguments and settings.
    """

    __slots__ = ("__weakref__", "_link", "_raw", "_recipe", "_settings", "_steady")

    _link: Link
    _raw: Any
    _recipe: Callable[[Any], Any]
    _settings: dict[str, tuple[object, ...]]
    _steady: SteadyConnection[Any]

    @property
    def driver_cursor(self) -> CurT_co:
        """The driver's own cursor, as it is now: a reopening replaces it."""
        cursor: CurT_co = self._raw
        return cursor

    @property
    def as_driver(self) -> CurT_co:
        """This same steady cursor, typed as the driver's: for functions annotated with the driver's class."""
        view: Any = self
        driver: CurT_co = view
        return driver

    @property
    def connection(self) -> SteadyConnection[Any]:
        """The steady connection that this cursor belongs to."""
        return self._steady

    @property
    def description(self) -> Any:
        """The columns of the result, as the driver describes them."""
        return self._raw.description

    @property
    def rowcount(self) -> int | None:
        """How many rows the last statement gave or changed, as the driver counts them."""
        count: int | None = self._raw.rowcount
        return count

    # Statements. A method with a ParamSpec, not a property that returns the driver's callable: pyright takes no
    # property for a Protocol's method, and a steady cursor must be a Cursor.

    if TYPE_CHECKING:

        @overload
        def execute(self: SteadyCursor[UntypedCursor], *args: Any, **kwargs: Any) -> Any: ...
        @overload
        def execute(self: SteadyCursor[Executes[P, T]], *args: P.args, **kwargs: P.kwargs) -> T: ...
        def execute(self, *args: Any, **kwargs: Any) -> Any:
            """Run a statement; see `_execute`, which it is at run time."""

    def _execute(self, operation: Any = UNSET, parameters: Any = UNSET, /, **kwargs: Any) -> Any:
        """Run a statement as the driver's `execute` does, see the driver for arguments and result.

        A link that is found dead before the statement is sent is replaced first, outside a transaction.

        Raises:
            TransactionLost: The transaction was lost before and is not ended yet.
        """
        if operation is UNSET:
            return self._run("execute", (), kwargs)
        link = self._link
        if link.watch:
            link = self._attend(operation)
        link.usage += 1
        raw = self._raw
        try:
            if kwargs:
                result = raw.execute(*_given(operation, parameters), **kwargs)
            elif parameters is UNSET:
                result = raw.execute(operation)
            else:
                result = raw.execute(operation, parameters)
        except BaseException as error:
            if not self._resends(error, operation, (parameters,)):
                raise
        else:
            return self if result is raw else result
        return self._send_again("execute", _given(operation, parameters), kwargs)

    if not TYPE_CHECKING:
        execute = _execute
        execute.__name__ = "execute"
        execute.__qualname__ = "SteadyCursor.execute"

    @overload
    def executemany(self: SteadyCursor[UntypedCursor], *args: Any, **kwargs: Any) -> Any: ...
    @overload
    def executemany(self: SteadyCursor[ExecutesMany[P, T]], *args: P.args, **kwargs: P.kwargs) -> T: ...
    def executemany(self, *args: Any, **kwargs: Any) -> Any:
        """Run a statement once per set of parameters, see the driver for arguments and result.

        Parameters that can be read only once (a generator) are never sent a second time.

        Raises:
            TransactionLost: The transaction was lost before and is not ended yet.
        """
        return self._run("executemany", args, kwargs)

    if TYPE_CHECKING:  # there at run time where the driver has it

        @overload
        def callproc(self: SteadyCursor[UntypedCursor], *args: Any, **kwargs: Any) -> Any: ...
        @overload
        def callproc(self: SteadyCursor[CallProc[P, T]], *args: P.args, **kwargs: P.kwargs) -> T: ...
        def callproc(self, *args: Any, **kwargs: Any) -> Any:
            """Call a stored procedure, see the driver for arguments and result."""

        @property
        def lastrowid(self: SteadyCursor[LastRowId[T]]) -> T:
            """The identifier of the last inserted row."""
            ...

        def nextset(self: SteadyCursor[NextSet[T]]) -> T:
            """Go on to the next result set."""
            ...

    def _run(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method of the driver's cursor that may send several statements."""
        link = self._link
        if link.watch:
            link = self._attend(args[0] if method in _BEGIN_WITH_A_STATEMENT and args else None)
        link.usage += 1
        if method == "executescript":
            link.whole = False  # sqlite3 commits first
        raw = self._raw
        link.running += 1
        try:
            result = getattr(raw, method)(*args, **kwargs)
        except BaseException as error:
            text = "call" if method == "callproc" else next(iter((*args, *kwargs.values())), None)
            rest = (*args[1:], *kwargs.values())
            if not self._resends(error, text, rest, several_sends=method != "execute"):
                raise
        else:
            if isgenerator(result):
                return self._iterate(result)  # psycopg's stream() sends when it is read
            return self if result is raw else result
        finally:
            link.running -= 1
        return self._send_again(method, args, kwargs)

    def _attend(self, operation: object) -> Link:
        """See to everything that the connection wants seen to before the next statement."""
        link = self._steady.ready(self)
        if link is not self._link:
            link = self._follow(link)
        if link.open_cursors is not None:
            link.open_cursors.add(self)
        link.track(operation)
        return link

    def _resends(
        self,
        error: BaseException,
        operation: object,
        arguments: tuple[object, ...],
        *,
        several_sends: bool = False,
        repeatable: bool = True,
    ) -> bool:
        """Settle an error out of the driver; True if the statement is to be sent again, on a new connection."""
        once_only = hasattr(operation, "read") or any(_is_used_up(argument) for argument in arguments)
        commits = may_commit(text_of(operation), self._link.profile.committing)
        try:
            recovery = self._steady.settle(
                error,
                Operation.STATEMENT,
                self._link,
                several_sends=several_sends,
                repeatable=repeatable and not once_only,
                may_commit=commits,
            )
        finally:
            if self._link.gone:
                self._link.profile.let_go_of_cursor(self._raw)
        return recovery is Recovery.RESEND

    def _send_again(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Send the statement on the connection that was just opened; what fails there is the caller's to see."""
        link = self._steady.link
        if self._recipe is _refuse_to_reopen:
            _refuse_to_reopen(link.connection)
        self._steady.once_more(self._move)
        link.track(args[0] if args else None)
        link.usage += 1
        try:
            result = getattr(self._raw, method)(*args, **kwargs)
        except BaseException as error:
            self._resends(error, None, (), repeatable=False)
            raise
        return self if result is self._raw else result

    def _follow(self, link: Link) -> Link:
        """Go on with a cursor of the link in use; one that this finds dead is replaced, outside a transaction."""
        if self._recipe is _refuse_to_reopen:
            _refuse_to_reopen(link.connection)
        try:
            self._move(link)
        except BaseException as error:
            if self._steady.settle(error, Operation.CURSOR, link) is not Recovery.RESEND:
                raise
            link = self._steady.link
            self._steady.once_more(self._move)
        return link

    def _move(self, link: Link) -> None:
        """Go on with a cursor of another connection, made and set like the last one."""
        new = self._recipe(link.connection)
        for name, value in getattr(self, "_settings", {}).items():
            if name in ("setinputsizes", "setoutputsize"):
                getattr(new, name)(*value)
            else:
                setattr(new, name, *value)
        with suppress(Exception):  # its connection is gone, and so is all that it could complain of
            self._link.profile.let_go_of_cursor(self._raw)
        self._raw, self._link = new, link
        if link.open_cursors is not None:
            link.open_cursors.add(self)

    def _set(self, name: str, value: object) -> None:
        """Set an attribute of the driver's cursor, and of its successors."""
        setattr(self._raw, name, value)
        self._remember(name, (value,))

    def _remember(self, name: str, value: tuple[object, ...]) -> None:
        try:
            self._settings[name] = value
        except AttributeError:
            self._settings = {name: value}

    # Rows

    def fetchone(self: SteadyCursor[One[T]]) -> T:
        """Return the next row or None; an error means that rows are missing, never that they ended."""
        try:
            row: T = self._raw.fetchone()
        except BaseException as error:
            self._steady.settle(error, Operation.FETCH, self._link)
            raise
        if row is None and self._link.open_cursors is not None:
            self._refuse_a_short_result()
        return row

    def fetchmany(self: SteadyCursor[Many[T]], size: int = UNSET) -> T:
        """Return the next rows, by default as many as the driver's `arraysize` says."""
        try:
            rows: T = self._raw.fetchmany() if size is UNSET else self._raw.fetchmany(size)
        except BaseException as error:
            self._steady.settle(error, Operation.FETCH, self._link)
            raise
        if self._link.open_cursors is not None:
            self._refuse_a_short_result()
        return rows

    def fetchall(self: SteadyCursor[All[T]]) -> T:
        """Return the rest of the rows."""
        try:
            rows: T = self._raw.fetchall()
        except BaseException as error:
            self._steady.settle(error, Operation.FETCH, self._link)
            raise
        if self._link.open_cursors is not None:
            self._refuse_a_short_result()
            self._link.read_to_the_end(self)
        return rows

    def __iter__(self: SteadyCursor[Iterates[T]]) -> Iterator[T]:
        """Hand out the driver's own iterator; where it matters, its end is noticed."""
        if self._link.open_cursors is None and self._link.profile.in_process:
            return iter(self._raw)
        return self._iterate(self._raw)

    def _iterate(self, rows: Iterable[T]) -> Iterator[T]:
        """Hand out rows that may still be with the server."""
        link = self._link
        try:
            yield from rows
        except GeneratorExit:
            raise
        except BaseException as error:
            self._steady.settle(error, Operation.FETCH, link)
            raise
        self._refuse_a_short_result()
        link.read_to_the_end(self)

    def _refuse_a_short_result(self) -> None:
        """Tell a loss from the end of the rows, where the driver does not."""
        link, raw = self._link, self._raw
        profile = link.profile
        streams = profile.cursor_is_streaming
        if profile.ends_in_silence and streams is not None and streams(raw) and profile.is_closed(link.connection):
            operational_error = error_class(link.connection, "OperationalError") or PersistentDBError
            error = operational_error("the connection was lost while rows were read from the server: some are missing")
            self._steady.settle(error, Operation.FETCH, link)
            raise error

    def setinputsizes(self, *sizes: Any) -> None:
        """Announce the sizes of parameters to the driver; a reopened cursor keeps them."""
        self._raw.setinputsizes(*sizes)
        self._remember("setinputsizes", sizes)

    def setoutputsize(self, *size: Any) -> None:
        """Announce the size of large columns to the driver; a reopened cursor keeps it."""
        self._raw.setoutputsize(*size)
        self._remember("setoutputsize", size)

    def close(self) -> None:
        """Close the cursor; it cannot be used any more."""
        self._recipe = _refuse_to_reopen
        if self._link.open_cursors is not None:
            self._link.read_to_the_end(self)
        try:
            self._raw.close()
        except Exception as error:
            # With its connection gone there is nothing left to close.
            if not self._link.gone and self._steady.settle(error, Operation.FETCH, self._link) is Recovery.RAISE:
                raise
        except BaseException as error:
            self._steady.settle(error, Operation.FETCH, self._link)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {type(self._raw).__module__}.{type(self._raw).__qualname__}>"


def _sending(name: str) -> Callable[..., Any]:
    """Return a method for a statement that only some drivers' cursors have."""

    def method(self: SteadyCursor[Any], *args: Any, **kwargs: Any) -> Any:
        return self._run(name, args, kwargs)

    method.__name__ = name
    method.__doc__ = f"Send what the driver's `{name}` sends, as carefully as `execute`."
    return method


def _next(self: SteadyCursor[Any]) -> Any:
    """Return the next row."""
    try:
        return next(self._raw)
    except StopIteration:
        raise
    except BaseException as error:
        self._steady.settle(error, Operation.FETCH, self._link)
        raise


_classes: dict[Any, Any] = {}
"""The steady class of each class of driver cursors."""


def cursor_class(raw: Any, statement_methods: tuple[str, ...]) -> Any:
    """Return the steady class for a driver's cursor.

    Args:
        raw: The driver's cursor.
        statement_methods: What it has beside `execute` and `executemany` that sends statements.
    """
    found = _classes.get(type(raw))
    if found is None:
        methods: dict[str, Any] = {"__next__": _next}
        methods |= {name: _sending(name) for name in ("callproc", *statement_methods)}
        found = _classes[type(raw)] = forwarding_class(SteadyCursor, raw, "_raw", SteadyCursor._set, methods)
    return found
