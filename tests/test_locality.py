"""The forms of the parameter `threadlocal` (C11); threads that Python did not start are in `test_thread_exit.py`."""

from __future__ import annotations

import _thread
import _threading_local
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from persistentdb import PersistentDB, PersistentDBError, ThreadLocality, _keeping
from persistentdb.locality import LocalClass, PerThread, as_locality
from persistentdb.testing import fake


class OwnLocal(threading.local):
    """A subclass with a constructor, a default and a state of its own."""

    value = "somebody else's"

    def __init__(self) -> None:
        self.number = 5


class ByIdentifier:
    """A locality in plain Python, with a dictionary; *asked* counts the calls of `get`."""

    def __init__(self) -> None:
        self.values: dict[int, object] = {}
        self.asked = 0

    def get(self) -> object | None:
        """Return the calling thread's value."""
        self.asked += 1
        return self.values.get(threading.get_ident())

    def set(self, value: object, /) -> None:
        """Keep a value for the calling thread."""
        self.values[threading.get_ident()] = value

    def discard(self) -> None:
        """Forget the calling thread's value."""
        self.values.pop(threading.get_ident(), None)


FORMS: dict[str, Callable[[], Any]] = {
    "default": lambda: None,
    "threading.local": lambda: threading.local,
    "_threading_local.local": lambda: _threading_local.local,
    "subclass": lambda: OwnLocal,
    "ThreadLocality": ByIdentifier,
    "PerThread": PerThread,
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@pytest.fixture
def server() -> fake.Server:
    """Lend a server of the fake driver."""
    return fake.Server()


def in_thread(target: Callable[[], object]) -> None:
    """Run *target* in a thread, and return when the thread is gone."""
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()


@every_form
def test_a_thread_finds_its_own(form: Callable[[], Any], server: fake.Server) -> None:
    """C11, C3: with every form a thread has the same connection at each call, and others have others."""
    with PersistentDB(server.connect, threadlocal=form()) as persist:
        own = persist.connection()
        found: list[object] = []

        def work() -> None:
            found.extend(persist.connection() for _ in range(3))

        in_thread(work)
        assert persist.connection() is own
        assert found[0] is found[1] is found[2] is not own
        assert len(server.connections) == 2
    assert own.driver_connection.closed


@pytest.mark.parametrize("form", [FORMS["default"], FORMS["threading.local"], FORMS["subclass"], FORMS["PerThread"]])
def test_the_end_of_a_thread(form: Callable[[], Any], server: fake.Server) -> None:
    """C11, C4: the connection is closed with the thread, though somebody still holds the Thread object."""
    with PersistentDB(server.connect, threadlocal=form()) as persist:
        thread = threading.Thread(target=persist.connection)
        thread.start()
        thread.join()
        assert len(server.connections) == 1
        assert server.open_connections() == 0


def test_the_end_of_a_thread_in_pure_python(server: fake.Server) -> None:
    """C11, C4: `_threading_local.local` keeps the last data until another thread asks; then it is closed."""
    with PersistentDB(server.connect, threadlocal=_threading_local.local) as persist:
        in_thread(persist.connection)
        persist.connection()
        gc.collect()
        assert len(server.connections) == 2
        assert server.open_connections() == 1


def test_a_value_that_another_thread_drops(server: fake.Server) -> None:
    """C11, C4: a strategy that goes on keeping an ended thread's value keeps no connection open by it."""
    kept = ByIdentifier()
    with PersistentDB(server.connect, threadlocal=kept) as persist:
        in_thread(persist.connection)
        assert len(kept.values) == 1
        assert server.open_connections() == 0
        kept.values.clear()
        assert server.open_connections() == 0


def test_a_value_that_another_thread_drops_too_early(server: fake.Server) -> None:
    """C11: a living thread that still holds its connection is not cut short; it is closed with the thread."""
    kept, dropped, used = ByIdentifier(), threading.Event(), threading.Event()
    with PersistentDB(server.connect, threadlocal=kept) as persist:

        def work() -> None:
            db = persist.connection()
            db.begin()
            used.set()
            dropped.wait(30)
            db.cursor().execute("insert 1")
            db.commit()

        thread = threading.Thread(target=work)
        thread.start()
        assert used.wait(30)
        kept.values.clear()
        assert server.open_connections() == 1
        dropped.set()
        thread.join()
        assert server.committed == ["insert 1"]
        assert server.open_connections() == 0


def test_a_strategy_is_asked_each_time(server: fake.Server) -> None:
    """C11: a locality of the user's own decides at every call which connection is the caller's."""
    kept = ByIdentifier()
    with PersistentDB(server.connect, threadlocal=kept) as persist:
        first = persist.connection()
        for _ in range(5):
            assert persist.connection() is first
        assert kept.asked == 6
        kept.discard()
        assert persist.connection() is not first
        assert server.open_connections() == 2
        del first
        assert server.open_connections() == 1
        assert len(server.connections) == 2


def test_a_strategy_that_fails(server: fake.Server) -> None:
    """C11: an error of the locality reaches the caller, and the connection that it did not keep is closed."""

    class Full(ByIdentifier):
        def set(self, value: object, /) -> None:
            raise MemoryError

    persist = PersistentDB(server.connect, threadlocal=Full())
    for _ in range(2):
        with pytest.raises(MemoryError):
            persist.connection()
    assert len(server.connections) == 2
    assert server.open_connections() == 0


def test_a_strategy_belongs_to_one_database(server: fake.Server) -> None:
    """C3, C11: a locality keeps one value a thread; given to two databases, it never hands out the other's."""
    kept = ByIdentifier()
    with PersistentDB(server.connect, threadlocal=kept, name="one") as one:
        assert one.connection().driver_connection.options == {"name": "one"}
        try:
            two = PersistentDB(server.connect, threadlocal=kept, name="two")
            options = two.connection().driver_connection.options
        except (PersistentDBError, ValueError):
            return  # refused, at once or at the first use
        assert options == {"name": "two"}


def test_plain_forms_become_strategies() -> None:
    """C11: None, a class and an object with the three methods are all strategies in the end."""
    own = ByIdentifier()
    assert isinstance(as_locality(None), PerThread)
    assert isinstance(as_locality(threading.local), LocalClass)
    assert isinstance(as_locality(_threading_local.local), LocalClass)
    assert as_locality(own) is own
    assert all(isinstance(as_locality(make()), ThreadLocality) for make in FORMS.values())


class GreenletLocal:
    """What stands in for `threading.local` where greenlets stand in for threads."""


def test_a_replaced_local_is_respected(server: fake.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """C11: where `threading.local` was replaced (gevent), the replacement decides, not the system's thread."""
    asked: list[object] = []
    monkeypatch.setattr(_keeping, "at_thread_exit", lambda callback: bool(asked.append(callback)))
    persist = PersistentDB(server.connect)

    def in_foreign_thread() -> None:
        done = _thread.allocate_lock()
        done.acquire()

        def work() -> None:
            try:
                assert persist.connection() is persist.connection()
            finally:
                done.release()

        _thread.start_new_thread(work, ())
        assert done.acquire(timeout=30)

    in_foreign_thread()
    assert len(asked) == 1, "a thread without a Thread object is watched by the operating system"
    monkeypatch.setattr(threading, "local", GreenletLocal)
    in_foreign_thread()
    assert len(asked) == 1
    assert len(server.connections) == 2
    persist.close()
