"""The steady connection and cursor over a fake driver without a profile: the inherited system's logic."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from persistentdb import (
    Backoff,
    CommitOutcomeUnknown,
    FailureClasses,
    InheritedReplay,
    MaskPing,
    NoReplay,
    NotSupportedError,
    Outage,
    PersistentDB,
    PersistentDBError,
    Ping,
    ServerUnavailable,
    TransactionLost,
    Verdict,
)
from persistentdb.drivers import Rule
from persistentdb.testing import fake


@pytest.fixture
def server() -> fake.Server:
    """A server that counts what it executes."""
    return fake.Server()


@pytest.fixture
def open_db(server: fake.Server) -> Iterator[Callable[..., PersistentDB[Any]]]:
    """Make a PersistentDB over the fake driver; they are closed after the test."""
    made: list[PersistentDB[Any]] = []

    def make(*args: Any, **kwargs: Any) -> PersistentDB[Any]:
        made.append(PersistentDB(server.connect, *args, **kwargs))
        return made[-1]

    yield make
    for persist in made:
        persist.close()


def notes(error: BaseException) -> str:
    """Return what was attached to an error."""
    return "\n".join(getattr(error, "__notes__", []))


# C5, C12: losses


def test_an_idle_loss_is_invisible(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C5: when the connection was lost, the next use works as if nothing had happened."""
    db = open_db().connection()
    server.kill()
    db.cursor().execute("insert a")
    db.commit()
    assert server.executed == server.committed == ["insert a"]
    assert len(server.connections) == 2


def test_a_cursor_outlives_its_connection(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C5, X3: a cursor made before the loss goes on, with its arguments, arraysize, input and output sizes."""
    cursor = open_db(ping=0).connection().cursor("name", scrollable=True)
    cursor.arraysize = 7
    cursor.setinputsizes(1, 2)
    cursor.setoutputsize(1000, 3)
    old = cursor.driver_cursor
    server.kill()
    cursor.execute("insert a")
    new = cursor.driver_cursor
    assert new is not old
    assert (new.args, new.kwargs) == (("name",), {"scrollable": True})
    assert (new.arraysize, new.sizes, new.output_size) == (7, (1, 2), (1000, 3))


def test_other_cursors_follow(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C5: after a reopening every older cursor works on the new connection."""
    db = open_db(ping=0).connection()
    one, two = db.cursor(), db.cursor()
    server.kill()
    one.execute("select 1")
    two.execute("select 2")
    assert server.executed == ["select 1", "select 2"]
    assert two.driver_cursor.connection is server.connections[1]


def test_a_closed_cursor_is_not_revived(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C5: a reopening makes no closed cursor usable again."""
    db = open_db(ping=0).connection()
    cursor = db.cursor()
    cursor.close()
    server.kill()
    db.cursor().execute("select 1")
    with pytest.raises(fake.InterfaceError, match="closed"):
        cursor.execute("select 2")


def test_begin_looks_at_the_link_first(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C5: a unit of work that opens with begin() after an idle loss is no exception."""
    persist = open_db(ping=MaskPing(Ping.REQUEST, window=0))
    persist.connection()
    server.kill()
    with persist.connection().transaction() as db:
        db.cursor().execute("insert a")
    assert server.committed == ["insert a"]


def test_begin_asks_where_there_is_no_socket(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C5: also where only a ping can tell, and the connection is held since before the loss; ping=0 forbids it."""
    db = open_db().connection()
    server.kill()
    with db.transaction():
        db.cursor().execute("insert a")
    assert server.committed == ["insert a"]
    db = open_db(ping=0).connection()
    server.kill()
    with pytest.raises(fake.OperationalError), db.transaction():
        db.cursor().execute("insert b")


@pytest.mark.parametrize("explicit", [True, False], ids=["begin", "implicit"])
@pytest.mark.parametrize("end", ["rollback", "close"])
def test_a_lost_transaction_is_never_continued(
    server: fake.Server, open_db: Callable[..., Any], explicit: bool, end: str
) -> None:
    """C12, X1: losing uncommitted work raises, and the transaction stays poisoned until it is ended."""
    db = open_db(ping=7).connection()
    cursor = db.cursor()
    if explicit:
        db.begin()
    cursor.execute("insert a")
    server.kill()
    with pytest.raises(fake.OperationalError) as lost:
        cursor.execute("insert b")
    assert "rollback()" in lost.value.__notes__[0]
    for use in (lambda: cursor.execute("insert c"), db.cursor, db.commit, db.begin):
        with pytest.raises(TransactionLost) as poisoned:
            use()
        assert isinstance(poisoned.value, fake.OperationalError)
        assert poisoned.value.__cause__ is lost.value
    getattr(db, end)()
    cursor.execute("insert d")
    db.commit()
    assert server.committed == ["insert d"]


def test_the_block_ends_a_lost_transaction(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C12: leaving the `with` block ends the transaction, so the next unit of work starts clean."""
    db = open_db().connection()
    with pytest.raises(fake.OperationalError), db.transaction():
        db.cursor().execute("insert a")
        server.kill()
        db.cursor().execute("insert b")
    with db.transaction():
        db.cursor().execute("insert c")
    assert server.committed == ["insert c"]


def test_a_commit_that_may_have_happened(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X1: a commit whose connection broke raises CommitOutcomeUnknown, again until it is acknowledged."""
    db = open_db().connection()
    db.cursor().execute("insert a")
    server.kill()
    for _ in range(2):
        with pytest.raises(CommitOutcomeUnknown) as unknown:
            db.commit()
        assert isinstance(unknown.value, fake.OperationalError)
    with pytest.raises(CommitOutcomeUnknown):
        db.cursor()
    db.rollback()
    db.commit()


def test_a_commit_with_nothing_to_lose(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """Design 4: a commit after reads only succeeds although the connection is lost, which is reopened later."""
    db = open_db().connection()
    db.cursor().execute("select 1")
    server.kill()
    db.commit()
    db.cursor().execute("insert a")
    db.commit()
    assert server.committed == ["insert a"]


def test_a_rollback_on_a_lost_connection(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """Design 4: a rollback succeeds when the connection is lost: the server has rolled back."""
    db = open_db().connection()
    db.begin()
    db.cursor().execute("insert a")
    server.kill()
    db.rollback()
    db.cursor().execute("insert b")
    db.commit()
    assert server.committed == ["insert b"]


def test_rows_are_never_cut_short_in_silence(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """Design 4: a loss while fetching is always raised, and a lost transaction is poisoned by it."""
    db = open_db().connection()
    cursor = db.cursor()
    cursor.execute("insert a")
    cursor.execute("select 1")
    server.kill()
    with pytest.raises(fake.OperationalError):
        cursor.fetchone()
    with pytest.raises(TransactionLost):
        db.commit()


@pytest.mark.parametrize(
    ("fault", "kind", "done"),
    [("lose_unsent", TransactionLost, "nothing reopened"), ("lose_before", CommitOutcomeUnknown, "not sent again")],
)
def test_an_error_of_ours_says_what_was_done(fault: str, kind: type[Exception], done: str) -> None:
    """X1: what is raised in the driver's stead is its OperationalError, has its error as cause, and a note."""
    server = fake.FakeServer(known=True)
    with PersistentDB(server.connect) as persist:
        db = persist.connection()
        db.cursor().execute("insert a")
        getattr(server, fault)("commit")
        for _ in range(2):
            with pytest.raises(kind) as caught:
                db.commit()
            assert isinstance(caught.value, fake.OperationalError)
            assert isinstance(caught.value.__cause__, fake.OperationalError)
            assert done in notes(caught.value)
    server.stop()
    with PersistentDB(server.connect) as persist:
        with pytest.raises(fake.OperationalError) as refused:
            persist.connection()
        with pytest.raises(ServerUnavailable) as unavailable:
            persist.connection()
        assert unavailable.value.__cause__ is refused.value
        assert "nothing was sent" in notes(unavailable.value)


def test_a_reopening_that_fails_is_told(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C5: while the server is away the creator's error is raised; later the connection works again."""
    db = open_db(ping=0, outage=Outage(backoff=Backoff(first=0))).connection()
    server.kill()
    server.refuse = True
    for _ in range(2):
        with pytest.raises(fake.OperationalError, match="away"):
            db.cursor().execute("insert a")
    server.refuse = False
    db.cursor().execute("insert b")
    assert server.executed == ["insert b"]
    assert server.open_connections() == 1


def test_an_interrupt_leaves_a_suspect(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """Design 4: after KeyboardInterrupt out of a driver call the connection is not used again, no work sent twice."""
    db = open_db(ping=0).connection()
    server.fail_after["select 1"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        db.cursor().execute("select 1")
    db.cursor().execute("select 2")
    assert server.executed == ["select 1", "select 2"]
    assert [connection.closed for connection in server.connections] == [True, False]


def test_an_interrupt_in_a_transaction_poisons_it(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X1: work under way when an interrupt came is lost, and says so."""
    db = open_db().connection()
    db.begin()
    server.fail_after["insert a"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        db.cursor().execute("insert a")
    with pytest.raises(TransactionLost):
        db.commit()


def test_an_interrupt_always_reaches_the_caller(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """Design 4: also out of calls that would be done again, or whose loss would count as success."""
    db = open_db(ping=0).connection()
    for call in (db.cursor, db.rollback, db.commit):
        server.fail_before[call.__name__] = [KeyboardInterrupt()]
        with pytest.raises(KeyboardInterrupt):
            call()
        db.cursor().execute("select 1")
        db.rollback()
    assert len(server.connections) == 4


# X1: what is sent again


def test_unknown_drivers_keep_the_inherited_rule(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X1: "resend anything outside begin()" stays the rule for drivers of which nothing is known; once, not more."""
    db = open_db(ping=0).connection()
    server.fail_after["insert a"] = [fake.OperationalError("cut off")]
    db.cursor().execute("insert a")
    assert server.executed == ["insert a", "insert a"]
    server.fail_after["insert b"] = [fake.OperationalError("first"), fake.OperationalError("second")]
    db.rollback()
    with pytest.raises(fake.OperationalError, match="second"):
        db.cursor().execute("insert b")
    assert server.executed.count("insert b") == 2


@pytest.mark.parametrize("policy", [NoReplay()])
def test_a_policy_decides(server: fake.Server, open_db: Callable[..., Any], policy: Any) -> None:
    """X1: other rules are a strategy away."""
    db = open_db(ping=0, replay=policy).connection()
    server.fail_after["insert a"] = [fake.OperationalError("cut off")]
    with pytest.raises(fake.OperationalError) as raised:
        db.cursor().execute("insert a")
    assert "not sent again" in raised.value.__notes__[0]
    db.cursor().execute("insert b")
    assert server.executed == ["insert a", "insert b"]


def test_a_generator_is_sent_once(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X1: what can be consumed only once is never sent a second time half consumed."""
    db = open_db(ping=0, replay=InheritedReplay()).connection()
    server.fail_after["insert a"] = [fake.OperationalError("cut off")]
    with pytest.raises(fake.OperationalError):
        db.cursor().executemany("insert a", ((number,) for number in range(3)))
    assert server.executed == ["insert a"]
    server.fail_after["insert b"] = [fake.OperationalError("cut off")]
    db.cursor().executemany("insert b", [(1,), (2,)])
    assert server.executed == ["insert a", "insert b", "insert b", "insert b"]


# C6 maxusage


def test_maxusage(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C6: after that many uses the connection is reset; `execute*` and `callproc` count one each."""
    db = open_db(3).connection()
    for use in range(1, 8):
        cursor = db.cursor()
        (cursor.execute, cursor.callproc)[use % 2]("select 1")
        cursor.close()
        db.rollback()
        assert len(server.connections) == 1 + (use - 1) // 3
        assert db.usage == 1 + (use - 1) % 3
    db.cursor().executemany("insert a", [(1,), (2,), (3,)])
    assert db.usage == 2


@pytest.mark.parametrize("explicit", [True, False], ids=["begin", "implicit"])
def test_maxusage_spares_transactions(server: fake.Server, open_db: Callable[..., Any], explicit: bool) -> None:
    """C6: never in the middle of a transaction, explicit or implicit."""
    db = open_db(maxusage=2).connection()
    cursor = db.cursor()
    if explicit:
        db.begin()
    for number in range(5):
        cursor.execute(f"insert {number}")
    db.commit()
    assert len(server.connections) == 1
    assert len(server.committed) == 5
    cursor.execute("insert 5")
    assert len(server.connections) == 2


def test_maxusage_spares_reading_transactions(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C6: a transaction that only read so far is one, too: its snapshot is not swapped for another."""
    db = open_db(maxusage=1).connection()
    for _ in range(3):
        cursor = db.cursor()
        cursor.execute("select 1")
        cursor.fetchall()
    assert len(server.connections) == 1
    db.rollback()
    db.cursor().execute("select 1")
    assert len(server.connections) == 2


def test_maxusage_spares_rows(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C6, C9: rows that are still to be read are not cut short by a reset."""
    db = open_db(maxusage=1).connection()
    reader = db.cursor()
    reader.execute("select 1")
    db.rollback()
    db.cursor().execute("select 2")
    assert reader.fetchone() == (1,)
    reader.close()
    db.rollback()
    db.cursor().execute("select 3")
    assert len(server.connections) == 2


def test_maxusage_counts_what_was_read(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C6: cursors that live on with all their rows read keep no connection from being reset."""
    db = open_db(maxusage=2).connection()
    one, two = db.cursor(), db.cursor()
    for _ in range(4):
        one.execute("select 1")
        one.driver_cursor.fetchall = lambda: [(1,)]  # a driver that goes on describing its last result
        one.fetchall()
        two.execute("select 2")
        assert [row for row in two] == [(1,)]  # noqa: C416
        db.rollback()
    assert len(server.connections) == 4


# C7 setsession


def test_setsession_prepares_every_connection(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C7: the SQL commands prepare every new underlying connection, reopened ones too, and leave no transaction."""
    db = open_db(0, ["set a", "set b"]).connection()
    server.kill()
    db.cursor().execute("select 1")
    assert server.executed == ["set a", "set b", "set a", "set b", "select 1"]
    assert all(connection.uncommitted == [] for connection in server.connections)


def test_a_failing_setsession_leaves_nothing_half_open(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C7: when they fail the half-made connection is closed and the error is raised."""
    server.fail_before["set a"] = [fake.ProgrammingError("no such setting")]
    persist = open_db(0, ("set a",))
    with pytest.raises(fake.ProgrammingError, match="no such setting"):
        persist.connection()
    assert server.open_connections() == 0
    persist.connection()


def test_setsession_by_strategy(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C7: a function or a strategy gets the driver's own connection."""
    seen: list[object] = []

    class Setup:
        def prepare(self, connection: object) -> None:
            seen.append(connection)

    open_db(setsession=seen.append).connection()
    open_db(setsession=Setup()).connection()
    assert seen == server.connections


# C8 failures


def test_other_errors_are_no_losses(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C8: an error outside the failure classes is raised as it is, and nothing is reopened."""
    db = open_db(ping=0).connection()
    error = fake.ProgrammingError("syntax")
    server.fail_before["select x"] = [error]
    with pytest.raises(fake.ProgrammingError) as raised:
        db.cursor().execute("select x")
    assert raised.value is error
    assert not hasattr(error, "__notes__")
    assert len(server.connections) == 1


@pytest.mark.parametrize(
    "failures",
    [
        fake.ProgrammingError,
        (fake.ProgrammingError, KeyError),
        lambda error: isinstance(error, fake.ProgrammingError),
    ],
    ids=["class", "tuple", "function"],
)
def test_failures_by_class(server: fake.Server, open_db: Callable[..., Any], failures: Any) -> None:
    """C8: failover applies to the classes that are given, and to no others."""
    db = open_db(0, None, failures, 0).connection()
    server.fail_before["select x"] = [fake.ProgrammingError("gone")]
    db.cursor().execute("select x")
    assert len(server.connections) == 2
    server.fail_before["select y"] = [fake.OperationalError("not given")]
    with pytest.raises(fake.OperationalError):
        db.cursor().execute("select y")
    assert len(server.connections) == 2


def test_failures_by_strategy(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C8: a strategy's verdict is final."""
    asked: list[tuple[BaseException, object]] = []

    class Classifier:
        def verdict(self, error: BaseException, connection: object) -> Verdict:
            asked.append((error, connection))
            return Verdict.NOT_LOST

    db = open_db(failures=Classifier(), ping=0).connection()
    server.kill()
    with pytest.raises(fake.OperationalError) as raised:
        db.cursor().execute("select 1")
    assert asked == [(raised.value, server.connections[0])]
    assert len(server.connections) == 1


# C9 ping


@pytest.mark.parametrize("mask", range(8))
def test_ping_masks(server: fake.Server, open_db: Callable[..., Any], mask: int) -> None:
    """C9: 1 when requested, 2 when a cursor is created, 4 when a statement is executed; a fresh one is not asked."""
    counted: list[object] = []
    persist = open_db(ping=(mask, counted.append))
    db = persist.connection()
    events: list[Callable[[], object]] = [persist.connection, db.cursor, lambda: cursor.execute("insert a")]
    cursor = db.cursor()
    for bit, event in zip((1, 2, 4), events, strict=True):
        counted.clear()
        event()
        assert len(counted) == bool(mask & bit)
    db.begin()
    counted.clear()
    for event in events:
        event()
    assert counted == []


@pytest.mark.parametrize("answer", [False, fake.OperationalError("dead"), OSError("dead")], ids=repr)
def test_a_failed_ping_reopens(server: fake.Server, open_db: Callable[..., Any], answer: Any) -> None:
    """C9: a connection that does not answer is replaced before it is handed out."""

    def check(_: object) -> bool:
        if isinstance(answer, Exception):
            raise answer
        return answer

    persist = open_db(ping=check)
    persist.connection()
    persist.connection()
    assert len(server.connections) == 2
    assert server.open_connections() == 1


def test_a_broken_check_is_no_dead_connection(open_db: Callable[..., Any]) -> None:
    """C9: a mistake in the user's check is raised, not taken for a lost connection."""
    persist = open_db(ping=lambda connection: connection.no_such_thing())
    persist.connection()
    with pytest.raises(AttributeError, match="no_such_thing"):
        persist.connection()


def test_a_driver_without_ping_is_still_checked(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C9: a driver without ping() is still checked, and the check leaves no transaction open."""
    persist = open_db(ping=1)
    persist.connection()
    persist.connection()
    assert server.executed == ["select 1"]
    assert server.connections[0].calls[-1] == "rollback"
    server.kill()
    persist.connection()
    assert len(server.connections) == 2


def test_a_ping_spares_transactions(open_db: Callable[..., Any]) -> None:
    """C9: a ping never happens inside a transaction, an implicit one that only read included."""
    counted: list[object] = []
    persist = open_db(ping=(7, counted.append))
    for operation in ("select 1", "insert a"):
        cursor = persist.connection().cursor()
        cursor.execute(operation)
        cursor.close()
        counted.clear()
        persist.connection().cursor().execute(operation)
        assert counted == []
        persist.connection().rollback()


def test_a_user_s_check_leaves_no_transaction(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C9: a ping never leaves a transaction open, one by a statement of the user's included."""
    persist = open_db(ping="select 42")
    persist.connection()
    persist.connection()
    assert server.connections[0].calls[-2:] == ["fetch", "rollback"]


def test_a_ping_never_cuts_a_result_short(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C9: no ping while rows are still to be read from the server."""
    counted: list[object] = []
    persist = open_db(ping=(7, counted.append))
    db = persist.connection()
    cursor = db.cursor()
    cursor.execute("select 1")
    db.commit()
    counted.clear()
    persist.connection()
    db.cursor()
    assert counted == []
    cursor.close()
    persist.connection()
    assert len(counted) == 1


# C10 closeable, C12 transactions, C13 context managers


def test_close_of_an_uncloseable_connection(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C10, C12: close() does not close; what is not committed is rolled back, begin() or not."""
    db = open_db().connection()
    for begin in (db.begin, lambda: None):
        begin()
        db.cursor().execute("insert a")
        db.close()
        assert not db.in_transaction
    db.cursor().execute("insert b")
    db.commit()
    assert server.committed == ["insert b"]
    assert len(server.connections) == 1


def test_close_of_a_closeable_connection(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C10: close() closes, and the next use reopens."""
    persist = open_db(closeable=True)
    db = persist.connection()
    db.cursor().execute("insert a")
    db.close()
    assert server.open_connections() == 0
    assert persist.connection() is db
    db.cursor().execute("select 1")
    assert len(server.connections) == 2
    assert server.committed == []


def test_nested_callers_share_the_transaction(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C12: connection() does not end the transaction of an outer caller."""
    persist = open_db(ping=7)
    with persist.connection().transaction():
        persist.connection().cursor().execute("insert a")
        persist.connection().cursor().execute("insert b")
    assert server.committed == ["insert a", "insert b"]


def test_begin_twice(open_db: Callable[..., Any]) -> None:
    """C12: a second begin() is refused, where MySQL would commit the first transaction by it."""
    db = open_db().connection()
    db.begin()
    with pytest.raises(PersistentDBError, match="begun already"):
        db.begin()


def test_begin_passes_arguments_or_refuses_them(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C12: arguments go to the driver's own begin; a driver without one refuses them, clearly."""
    db = open_db().connection()
    with pytest.raises(NotSupportedError, match="takes no arguments"):
        db.begin("serializable")
    seen: list[object] = []

    class Beginning(fake.Connection):
        def begin(self, *args: Any, **kwargs: Any) -> None:
            seen.append((args, kwargs))

    with PersistentDB(lambda: Beginning(server, {})) as persist:
        persist.connection().begin(1, mode=2)
    assert seen == [((1,), {"mode": 2})]


def test_cancel_ends_the_transaction(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C12: cancel() ends the transaction, by the driver's own cancel where it has one."""
    db = open_db().connection()
    db.begin()
    db.cursor().execute("insert a")
    db.cancel()
    assert not db.in_transaction
    db.commit()
    assert server.committed == []


def test_the_block_commits_or_rolls_back(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C13: `with db:` commits, or rolls back on an exception; `with db.cursor() as c` closes the cursor."""
    db = open_db().connection()
    with db as same, same.cursor() as cursor:
        assert same is db
        cursor.execute("insert a")
    assert cursor.driver_cursor.closed
    with pytest.raises(KeyError), db:
        db.cursor().execute("insert b")
        raise KeyError
    assert server.committed == ["insert a"]
    assert not db.in_transaction


def test_an_error_in_the_commit_of_a_block(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C13: when the commit at the end of a block fails, nothing of it is left for the next unit of work."""
    db = open_db().connection()
    server.fail_before["commit"] = [fake.ProgrammingError("deferred constraint"), fake.ProgrammingError("again")]
    for block in (db, db.transaction()):
        with pytest.raises(fake.ProgrammingError), block:
            db.cursor().execute("insert a")
        assert not db.in_transaction
    db.commit()
    assert server.committed == []


# X4: the whole driver


def test_every_attribute_is_there(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X4: every attribute and method of the driver's connection and cursor is there, set and get."""
    db = open_db().connection()
    raw = server.connections[0]
    assert db.calls is raw.calls
    assert db.perform.__self__ is raw
    db.tag = "mine"
    assert raw.tag == "mine"
    cursor = db.cursor()
    cursor.rowcount_hint = 5
    cursor.arraysize = 9
    assert cursor.driver_cursor.arraysize == cursor.arraysize == 9
    raw.late = "came later"  # type: ignore[attr-defined]
    assert db.late == "came later"
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = db.no_such_name


def test_a_method_of_the_driver_is_a_use(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C5: the driver's own methods reopen a connection that is known to be lost, its attributes only tell."""
    db = open_db(closeable=True).connection()
    db.close()
    assert db.closed
    assert db.perform.__self__ is server.connections[1]
    assert not db.closed


def test_what_the_caller_set_survives(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X3: an attribute that was set through the steady connection is set again on the new one."""
    db = open_db(ping=0).connection()
    db.tag = "mine"
    server.kill()
    db.cursor().execute("select 1")
    assert server.connections[1].tag == "mine"


def test_a_chain_of_calls(open_db: Callable[..., Any]) -> None:
    """X4: no finalizer closes a cursor whose raw twin is in use."""
    assert open_db().steady_connection().cursor().driver_cursor.closed is False


def test_nothing_keeps_a_cursor_alive(open_db: Callable[..., Any]) -> None:
    """X4: cursors and connections are freed at once, without the garbage collector; also after an error."""
    persist = open_db(ping=0)
    gc.disable()
    try:
        db = persist.steady_connection()
        cursor = db.cursor()
        cursor.execute("select 1")
        watched = [weakref.ref(cursor), weakref.ref(db)]
        db.close()
        del cursor, db
        assert [one() for one in watched] == [None, None]
    finally:
        gc.enable()


def test_repr_shows_the_state(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X9: a repr shows the state, and no secret."""
    persist = open_db(1000, password="secret")
    db = persist.connection()
    db.begin()
    db.cursor().execute("insert a")
    assert repr(db) == "<SteadyConnection open, in transaction, used 1 of 1000>"
    server.kill()
    with pytest.raises(fake.OperationalError):
        db.cursor().execute("insert b")
    assert repr(db) == "<SteadyConnection lost, in transaction, used 2 of 1000>"
    assert "secret" not in repr(persist) + repr(db) + repr(db._terms) + repr(db.cursor.__self__)


# Found by a review that tried to break it


def test_a_commit_by_sql_that_broke(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X1: work whose COMMIT went by `execute` may be committed when the connection broke: that is not "lost"."""
    db = open_db().connection()
    cursor = db.cursor()
    cursor.execute("insert a")
    server.fail_after["commit"] = [fake.OperationalError("cut off")]
    with pytest.raises(CommitOutcomeUnknown):
        cursor.execute("commit")
    with pytest.raises(CommitOutcomeUnknown):
        db.commit()


def test_an_unknown_outcome_stays_unknown(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X1: a later error on the same lost connection does not turn "unknown" into "certainly not committed"."""
    db = open_db().connection()
    cursor = db.cursor()
    cursor.execute("insert a")
    server.kill()
    with pytest.raises(CommitOutcomeUnknown):
        db.commit()
    with pytest.raises(fake.InterfaceError, match="closed"):
        cursor.fetchone()
    with pytest.raises(CommitOutcomeUnknown):
        db.commit()


def test_a_session_that_is_given_up(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X1: what a rule calls lost is closed at once, should the session live on: it holds no lock until the next use."""
    rule = Rule(Verdict.LOST_MAYBE_SENT, text="read-only", why="a failover")
    db = open_db(failures=FailureClasses(rules=[rule])).connection()
    db.cursor().execute("insert a")
    server.fail("insert b", fake.OperationalError("read-only"))
    with pytest.raises(fake.OperationalError):
        db.cursor().execute("insert b")
    assert len(server.sessions) == 0


class OneShot:
    """What has items once, and is no iterator by name."""

    def __init__(self) -> None:
        self.rows = [(1,), (2,), (3,)]

    def __iter__(self) -> Iterator[tuple[int]]:
        while self.rows:
            yield self.rows.pop(0)


def test_a_one_shot_iterable_is_sent_once(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X1: nothing half consumed is sent again, whatever it is by its type."""
    db = open_db(ping=0).connection()
    server.fail_after["insert a"] = [fake.OperationalError("cut off")]
    with pytest.raises(fake.OperationalError):
        db.cursor().executemany("insert a", OneShot())
    assert server.executed == ["insert a"]


def test_the_last_setting_is_set_last(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X3: settings are set again in the order in which they were made last."""
    db = open_db(ping=0).connection()
    order: list[str] = []
    db.tag, db.options, db.tag = "old", {}, "new"
    db._settings = {key: lambda _, key=key: order.append(key[0]) for key in db._settings}
    server.kill()
    db.cursor().execute("select 1")
    assert order == ["options", "tag"]


def test_maxusage_spares_a_running_call(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C6: a connection is not reset in the middle of an executemany() whose generator uses it, too."""
    db = open_db(maxusage=1, ping=0).connection()

    def rows() -> Iterator[tuple[int]]:
        for number in range(3):
            reader = db.cursor()
            reader.execute("select 1")
            reader.fetchall()
            yield (number,)

    db.cursor().executemany("insert a", rows())
    db.commit()
    assert server.committed == ["insert a"] * 3
    assert len(server.connections) == 1


def test_a_strategy_that_fails_after_a_commit(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X1: an error of the user's `due()` is not raised out of a commit that was made."""

    class Moody:
        asked = 0

        def due(self, event: Ping) -> bool:
            self.asked += 1
            if self.asked > 3:
                raise RuntimeError("not today")
            return False

        def alive(self, connection: object) -> bool:
            return True

    db = open_db(ping=Moody()).connection()
    for name in ("a", "b"):
        db.cursor().execute(f"insert {name}")
        db.commit()
    db.cursor().execute("insert c")
    server.kill()
    with pytest.raises(CommitOutcomeUnknown):
        db.commit()
    assert server.committed == ["insert a", "insert b"]


def test_reads_are_committed_on_an_ordered_connection(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C12: another thread's order to give the connection up swallows no commit()."""
    db = open_db().connection()
    db.cursor().execute("select 1")
    db.give_up("closed by another thread", now=False)
    db.commit()
    assert server.connections[0].calls[-1] == "commit"


def test_a_cursor_without_weak_references(server: fake.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """X4: drivers whose cursors take no weak references work, too."""

    class Bare:
        __slots__ = ("close", "connection", "description", "execute", "fetchall")

        def __init__(self, cursor: fake.Cursor) -> None:
            self.connection, self.description = cursor.connection, None
            self.execute, self.fetchall, self.close = cursor.execute, cursor.fetchall, cursor.close

    plain = fake.Connection.cursor
    monkeypatch.setattr(fake.Connection, "cursor", lambda self: Bare(plain(self)))
    with PersistentDB(server.connect, 3) as persist:
        db = persist.connection()
        cursor: Any = db.cursor()
        with pytest.raises(TypeError, match="weak reference"):
            weakref.ref(cursor.driver_cursor)
        for _ in range(4):
            cursor.execute("select 1")
            assert cursor.fetchall() == [(1,)]
            db.commit()
        assert isinstance(cursor.driver_cursor, Bare)
    assert server.executed == ["select 1"] * 4
    assert len(server.connections) == 2


def test_execute_by_keyword(open_db: Callable[..., Any]) -> None:
    """X4: the driver's own parameter names go through."""
    cursor = open_db().connection().cursor()
    cursor.execute(operation="select 1", parameters=())
    assert cursor.fetchone() == (1,)


def test_cursors_that_are_connections(server: fake.Server) -> None:
    """C12: where a cursor does not share the connection's transaction (duckdb), begin() refuses."""

    class Duck(fake.Connection):
        def begin(self) -> None:
            raise AssertionError("not to be called")

        def fetchall(self) -> None:
            raise AssertionError("not to be called")

    with (
        PersistentDB(lambda: Duck(server, {})) as persist,
        pytest.raises(NotSupportedError, match="through one cursor"),
    ):
        persist.connection().begin()


def test_an_uncached_connection_closes(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """C3: a steady_connection() is the caller's to close, and close() does close it."""
    steady = open_db().steady_connection()
    steady.close()
    assert server.open_connections() == 0


def test_a_file_is_sent_once(server: fake.Server, open_db: Callable[..., Any]) -> None:
    """X1: a file is read once, whichever argument it is; by InheritedReplay, too."""

    class Copying(fake.Cursor):
        def copy_from(self, file: Any, table: str) -> None:
            file.read()
            self.execute(f"copy {table}")

    class File:
        def read(self) -> str:
            return "rows"

    db = open_db(ping=0, replay=InheritedReplay()).connection()
    cursor = db.open_cursor(lambda raw: Copying(raw, (), {}))
    server.fail_after["copy t"] = [fake.OperationalError("cut off")]
    with pytest.raises(fake.OperationalError):
        cursor._run("copy_from", (File(), "t"), {})
    assert server.executed == ["copy t"]
