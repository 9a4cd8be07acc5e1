"""What a resolver of commits is asked, and what its answers come to; and the questions to PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from persistentdb import CommitOutcomeUnknown, PersistentDB, PostgresOutcome, TransactionLost
from persistentdb.testing import FakeClock, fake


class Resolver:
    """Answers what it is told to; notes what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.marked: list[Any] = []
        self.asked: list[tuple[object, Any]] = []

    def mark(self, connection: Any, /) -> object:
        """Mark by a number."""
        self.marked.append(connection)
        return f"mark {len(self.marked)}"

    def committed(self, mark: object, connection: Any, /) -> bool | None:
        """Answer."""
        self.asked.append((mark, connection))
        if isinstance(self.answer, Exception):
            raise self.answer
        answer: bool | None = self.answer
        return answer


@pytest.fixture
def server() -> fake.FakeServer:
    """A server whose driver is known."""
    return fake.FakeServer(known=True)


Open = Callable[[Resolver], Any]


@pytest.fixture
def open_db(server: fake.FakeServer) -> Iterator[Open]:
    """Lend a function that opens a connection with that resolver."""
    made: list[PersistentDB[Any]] = []

    def make(resolver: Resolver) -> Any:
        made.append(PersistentDB(server.connect, outcome=resolver))
        return made[-1].connection()

    yield make
    for persist in made:
        persist.close()


def lose_the_commit(server: fake.FakeServer, db: Any) -> None:
    """Commit one statement, and lose the answer."""
    db.cursor().execute("insert a")
    server.lose_after("commit")
    db.commit()


def test_a_commit_that_was_made(server: fake.FakeServer, open_db: Open) -> None:
    """X1: when the resolver finds the work committed, commit() returns as if nothing had happened."""
    resolver = Resolver(answer=True)
    db = open_db(resolver)
    lose_the_commit(server, db)
    assert [mark for mark, _ in resolver.asked] == ["mark 1"]
    assert resolver.asked[0][1] is not resolver.marked[0]
    assert not db.in_transaction
    db.cursor().execute("insert b")
    db.commit()
    assert server.committed == ["insert a", "insert b"]
    assert len(server.sessions) == 1  # the one to ask on is closed


def test_a_commit_that_was_not_made(server: fake.FakeServer, open_db: Open) -> None:
    """X1: when the resolver finds that nothing was committed, the work is lost for certain, and can be repeated."""
    db = open_db(Resolver(answer=False))
    with pytest.raises(TransactionLost, match="not committed") as caught:
        lose_the_commit(server, db)
    assert isinstance(caught.value, fake.OperationalError)
    assert isinstance(caught.value.__cause__, fake.OperationalError)
    with pytest.raises(TransactionLost):
        db.cursor().execute("insert b")
    db.rollback()
    db.cursor().execute("insert b")
    assert len(server.sessions) == 1


def test_run_repeats_what_was_certainly_not_committed(server: fake.FakeServer) -> None:
    """X1: run() does it again then, and counts on what was committed."""
    for answer, executed in ((False, 2), (True, 1)):
        server.executed.clear()
        with PersistentDB(server.connect, outcome=Resolver(answer)) as persist:
            server.lose_before("commit")
            persist.run(lambda db: db.cursor().execute("insert a"))
            assert len(server.executed) == executed


@pytest.mark.parametrize("answer", [None, RuntimeError("mine"), fake.OperationalError("away")])
def test_it_stays_unknown(server: fake.FakeServer, open_db: Open, answer: object) -> None:
    """X1: what the resolver does not know, or fails to find out, stays unknown; its errors hide nothing."""
    db = open_db(Resolver(answer))
    with pytest.raises(CommitOutcomeUnknown) as caught:
        lose_the_commit(server, db)
    assert "closed the connection unexpectedly" in str(caught.value.__cause__)
    assert len(server.sessions) == 0


def test_no_server_to_ask(server: fake.FakeServer, open_db: Open) -> None:
    """X1, X6: while the server is away nobody knows."""
    resolver = Resolver(answer=True)
    db = open_db(resolver)
    server.refuse = True
    with pytest.raises(CommitOutcomeUnknown):
        lose_the_commit(server, db)
    assert resolver.asked == []


def test_what_is_marked(server: fake.FakeServer, open_db: Open) -> None:
    """X1: only a commit of work is marked, once; a read, an empty commit and a rollback cost nothing."""
    resolver = Resolver(answer=True)
    db = open_db(resolver)
    db.commit()
    db.cursor().execute("insert a")
    db.rollback()
    assert resolver.marked == []
    db.cursor().execute("insert a")
    db.commit()
    with db.transaction():
        db.cursor().execute("insert b")
    assert len(resolver.marked) == 2
    server.lose_after("insert c")  # later losses are none of the last commit's
    with suppress(fake.OperationalError):
        db.cursor().execute("insert c")
    assert resolver.asked == []


def test_a_commit_by_sql_has_no_mark(server: fake.FakeServer, open_db: Open) -> None:
    """X1: the mark of one transaction says nothing of the next, which was committed by a statement: unknown."""
    resolver = Resolver(answer=True)
    db = open_db(resolver)
    db.cursor().execute("insert a")
    db.commit()
    db.cursor().execute("insert b")
    server.lose_before("commit")
    with pytest.raises(CommitOutcomeUnknown):
        db.cursor().execute("commit")
    assert resolver.asked == []


def test_an_interrupt_asks_nobody(server: fake.FakeServer, open_db: Open) -> None:
    """X1: an interrupt in the commit reaches the caller at once; the outcome is unknown until it is acknowledged."""
    resolver = Resolver(answer=True)
    db = open_db(resolver)
    db.cursor().execute("insert a")
    server.lose_after("commit", error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        db.commit()
    assert resolver.asked == []
    with pytest.raises(CommitOutcomeUnknown):
        db.commit()


class Broken(Resolver):
    """Cannot mark: as many times as it has errors to raise."""

    def __init__(self, *errors: BaseException) -> None:
        super().__init__(answer=True)
        self.errors = list(errors)

    def mark(self, connection: Any, /) -> object:
        """Fail, or mark."""
        if self.errors:
            raise self.errors.pop(0)
        return super().mark(connection)


def test_a_mark_that_fails(server: fake.FakeServer, open_db: Open) -> None:
    """X1: its error reaches the caller, and no commit is sent: a server that it has upset would just roll back."""
    db = open_db(Broken(RuntimeError("no mark"), fake.OperationalError("refused", code="57014")))
    db.cursor().execute("insert a")
    for match in ("no mark", "refused"):
        with pytest.raises(Exception, match=match):
            db.commit()
        assert db.in_transaction
        assert server.committed == []
    db.commit()
    assert server.committed == ["insert a"]


def test_a_mark_that_is_lost(server: fake.FakeServer, open_db: Open) -> None:
    """X1: a loss while the commit is marked is one before the commit: the work is lost, for certain."""
    db = open_db(Broken(fake.OperationalError("gone", code="57P01")))
    db.cursor().execute("insert a")
    server.kill()
    with pytest.raises(fake.OperationalError):
        db.commit()
    with pytest.raises(TransactionLost):
        db.commit()
    db.rollback()
    assert server.committed == []


def test_an_interrupt_in_a_mark(server: fake.FakeServer, open_db: Open) -> None:
    """X1: the connection is suspect and not used again; the work is lost, for the commit was not sent."""
    resolver = Broken(KeyboardInterrupt())
    db = open_db(resolver)
    raw = db.driver_connection
    db.cursor().execute("insert a")
    with pytest.raises(KeyboardInterrupt):
        db.commit()
    with pytest.raises(TransactionLost):
        db.commit()
    db.rollback()
    db.cursor().execute("insert b")
    db.commit()
    assert db.driver_connection is not raw
    assert server.committed == ["insert b"]


def test_a_driver_that_nothing_is_known_of() -> None:
    """X1: the resolver is asked there, too, although there is no socket to look at."""
    server, resolver = fake.FakeServer(), Resolver(answer=True)
    with PersistentDB(server.connect, outcome=resolver) as persist:
        lose_the_commit(server, persist.connection())
        assert len(resolver.asked) == 1
        assert server.committed == ["insert a"]


def test_a_wrong_resolver(server: fake.FakeServer) -> None:
    """C1: a wrong argument is named, with what was expected."""
    for wrong in ("secret", PostgresOutcome):
        with pytest.raises(TypeError, match=r"outcome=.*expected an object with mark\(\) and committed\(\)") as caught:
            PersistentDB(server.connect, outcome=wrong)  # type: ignore[arg-type]
        assert "secret" not in str(caught.value)


# PostgreSQL's answers; that it really gives them is shown in tests/live/test_outcome.py

STARTED = ["Monday", "Tuesday"]


@pytest.mark.parametrize(
    ("status", "started", "expected"),
    [
        ("committed", STARTED, True),
        ("aborted", STARTED, False),
        (None, STARTED, None),  # too long ago
        ("in progress", STARTED, None),
        # After a crash the number may be another transaction's: who committed under it is unknown.
        ("committed", ["Monday", "Wednesday"], None),
        ("committed", ["Wednesday", "Wednesday"], None),
        ("aborted", ["Monday", "Wednesday"], False),
    ],
)
def test_postgres_answers(
    server: fake.FakeServer, status: str | None, started: list[str], expected: bool | None
) -> None:
    """X1: only what is certain counts; a server that has crashed since is not believed that it has committed."""
    server.answer("pg_current_xact_id()", [("77", *STARTED)])
    server.answer("pg_xact_status('77'::xid8)", [(status, *started)])
    clock = FakeClock()
    resolver = PostgresOutcome(patience=1.0, clock=clock, sleep=clock.sleep)
    mark = resolver.mark(server.connect())
    assert resolver.committed(mark, server.connect()) is expected
    assert (clock() >= 1.0) == (status == "in progress")


@pytest.mark.parametrize(
    "form", [tuple, list, lambda row: dict(zip(("number", "started", "recovered"), row, strict=True))]
)
def test_rows_of_any_form(server: fake.FakeServer, form: Callable[[tuple[str, ...]], Any]) -> None:
    """X1: what form the connection's rows have changes nothing."""
    server.answer("pg_current_xact_id()", [form(("77", *STARTED))])
    server.answer("pg_xact_status('77'::xid8)", [form(("committed", *STARTED))])
    resolver = PostgresOutcome()
    assert resolver.committed(resolver.mark(server.connect()), server.connect()) is True


@pytest.mark.parametrize("row", ["745", b"745"])
def test_a_row_that_is_none(server: fake.FakeServer, row: Any) -> None:
    """X1: a row factory that gives single values is told of; its digits are not taken for a transaction's number."""
    server.answer("pg_current_xact_id()", [row])
    with pytest.raises(TypeError, match="PostgresOutcome cannot read a row"):
        PostgresOutcome().mark(server.connect())


def test_postgres_changed_nothing(server: fake.FakeServer) -> None:
    """X1: on a standby, where no transaction gets a number, nothing is changed: a lost commit loses nothing."""
    server.answer("pg_current_xact_id()", [(None, *STARTED)])
    resolver = PostgresOutcome()
    assert resolver.committed(resolver.mark(server.connect()), server.connect()) is True


def test_postgres_is_waited_for(server: fake.FakeServer) -> None:
    """X1: a commit that is still under way is waited for, with a transaction for each look."""
    clock = FakeClock()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock() > 0.5:
            server.answer("pg_xact_status", [("committed", *STARTED)])

    server.answer("pg_xact_status", [("in progress", *STARTED)])
    connection = server.connect()
    assert PostgresOutcome(clock=clock, sleep=sleep).committed(("77", *STARTED), connection) is True
    assert 0.5 < clock() < 0.6
    assert connection.calls.count("rollback") == len(clock.sleeps) + 1
