"""The decisions of design section 4: every cell of the table, and the rules that hold for all cells."""

from __future__ import annotations

import itertools

import psycopg.sql
import psycopg2.sql
import pytest

from persistentdb._recovery import NOTES, Operation, Pending, Recovery, Verdict, decide
from persistentdb._statements import Effect, effect_of, may_commit, text_of

NOTHING, READS, WORK, EXPLICIT = Pending
NOT_LOST, UNSENT, MAYBE_SENT = Verdict
SAFE, AT_STAKE = (NOTHING, READS), (WORK, EXPLICIT)
LOST = (UNSENT, MAYBE_SENT)
BEGIN, CURSOR, STATEMENT, FETCH, COMMIT, ROLLBACK = Operation

# Operations, verdicts, pendings, what the replay policy says, whether the loss must show (an interrupt, or a database
# that is gone with its connection) -> what is done.
EITHER = (False, True)
TABLE = [
    (tuple(Operation), (NOT_LOST,), tuple(Pending), EITHER, EITHER, Recovery.RAISE),
    ((STATEMENT,), LOST, SAFE, (True,), (False,), Recovery.RESEND),
    ((STATEMENT,), LOST, SAFE, (True,), (True,), Recovery.RAISE_AND_REOPEN),
    ((STATEMENT,), LOST, SAFE, (False,), EITHER, Recovery.RAISE_AND_REOPEN),
    ((BEGIN, CURSOR), LOST, SAFE, EITHER, (False,), Recovery.RESEND),
    ((BEGIN, CURSOR), LOST, SAFE, EITHER, (True,), Recovery.RAISE_AND_REOPEN),
    ((BEGIN, CURSOR, STATEMENT, FETCH), LOST, AT_STAKE, EITHER, EITHER, Recovery.RAISE_AND_POISON),
    ((FETCH,), LOST, SAFE, EITHER, EITHER, Recovery.RAISE_AND_REOPEN),
    ((COMMIT,), LOST, SAFE, EITHER, (False,), Recovery.SUCCEED),
    ((COMMIT,), LOST, SAFE, EITHER, (True,), Recovery.RAISE_AND_REOPEN),
    ((COMMIT,), (UNSENT,), AT_STAKE, EITHER, EITHER, Recovery.TRANSACTION_LOST),
    ((COMMIT,), (MAYBE_SENT,), AT_STAKE, EITHER, EITHER, Recovery.OUTCOME_UNKNOWN),
    ((ROLLBACK,), LOST, tuple(Pending), EITHER, (False,), Recovery.SUCCEED),
    ((ROLLBACK,), LOST, tuple(Pending), EITHER, (True,), Recovery.RAISE_AND_REOPEN),
]
CELLS = [(*cell, row[-1]) for row in TABLE for cell in itertools.product(*row[:-1])]
EVERY_CASE = set(itertools.product(Operation, Verdict, Pending, EITHER, EITHER))


@pytest.mark.parametrize("why", ["mortal", "interrupted"])
@pytest.mark.parametrize(("operation", "verdict", "pending", "replay", "shows", "expected"), CELLS)
def test_cell(
    operation: Operation, verdict: Verdict, pending: Pending, replay: bool, shows: bool, why: str, expected: Recovery
) -> None:
    """X1, design 4: what happens when something fails is what the table says."""
    assert decide(operation, verdict, pending, replay=replay, **{why: shows}) is expected


def test_the_table_is_whole() -> None:
    """Design 4: the table above has every case, and each once."""
    cells = [cell[:-1] for cell in CELLS]
    assert set(cells) == EVERY_CASE
    assert len(cells) == len(EVERY_CASE)


@pytest.mark.parametrize("case", sorted(EVERY_CASE, key=str))
def test_work_is_never_dropped_in_silence(case: tuple[Operation, Verdict, Pending, bool, bool]) -> None:
    """X1: no loss with uncommitted work is answered by going on, but for the caller's own rollback."""
    operation, verdict, pending, replay, shows = case
    if verdict is NOT_LOST or pending not in AT_STAKE or operation is ROLLBACK:
        return
    outcome = decide(operation, verdict, pending, replay=replay, interrupted=shows)
    assert outcome not in (Recovery.RESEND, Recovery.SUCCEED, Recovery.RAISE, Recovery.RAISE_AND_REOPEN)


def test_every_raised_loss_says_what_was_done() -> None:
    """Design 4: whatever is raised for a loss carries one line on what was done and why."""
    silent = {Recovery.RAISE, Recovery.RESEND, Recovery.SUCCEED}
    assert set(NOTES) == set(Recovery) - silent
    assert all("\n" not in note and note.startswith("persistentdb: ") for note in NOTES.values())


class Template:
    """What a template string of Python 3.14 is: the pieces around its values."""

    def __init__(self, strings: tuple[str, ...]) -> None:
        self.strings = strings


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("select 1", Effect.READS),
        ("  \n SELECT 1", Effect.READS),
        ("-- a remark\nselect 1", Effect.READS),
        ("/* a remark */ select 1;", Effect.READS),
        ("(select 1) union (select 2)", Effect.READS),
        (b"select 1", Effect.READS),
        ("show tables", Effect.READS),
        ("values (1)", Effect.READS),
        ("explain select 1", Effect.READS),
        ("explain analyze delete from t", Effect.WORK),
        ("select * from t for update", Effect.WORK),
        ("select * from t lock in share mode", Effect.WORK),
        ("select * into new from t", Effect.WORK),
        ("select 1; delete from t", Effect.WORK),
        ("/*! delete from t */", Effect.WORK),
        ("/*M! delete from t */", Effect.WORK),
        ("with x as (delete from t returning *) select * from x", Effect.WORK),
        ("insert into t values (1)", Effect.WORK),
        ("call p()", Effect.WORK),
        ("", Effect.WORK),
        (object(), Effect.WORK),
        ("begin", Effect.OPENS),
        ("start transaction", Effect.OPENS),
        ("explain analyse delete from t", Effect.WORK),
        ("/* /* nested */ select 1 */ delete from t", Effect.WORK),
        ("# a remark\nselect 1", Effect.READS),
        ("# a remark\nbegin", Effect.OPENS),
        ("xa start 'x'", Effect.OPENS),
        ("XA BEGIN 'x'", Effect.OPENS),
        ("xa end 'x'", Effect.WORK),
        ("xa prepare 'x'", Effect.WORK),
        ("xa commit 'x'", Effect.ENDS),
        (psycopg.sql.SQL("select {}").format(psycopg.sql.Identifier("x")), Effect.READS),
        (psycopg2.sql.SQL("select {}").format(psycopg2.sql.Identifier("x")), Effect.READS),
        (psycopg2.sql.SQL("delete from {}").format(psycopg2.sql.Identifier("x")), Effect.WORK),
        (Template(("select ", " from t")), Effect.READS),
        (Template(("", " select 1")), Effect.WORK),
        ("commit", Effect.ENDS),
        ("ROLLBACK;", Effect.ENDS),
        ("rollback to savepoint s", Effect.WORK),
        ("commit and chain", Effect.WORK),
        ("commit prepared 'x'", Effect.WORK),
        ("savepoint s", Effect.WORK),
    ],
)
def test_effect_of_a_statement(operation: object, expected: Effect) -> None:
    """X1, design 4: a statement whose first keyword is not a plain read is work; doubt makes it work, too."""
    assert effect_of(text_of(operation)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("commit", True),
        ("end", True),
        ("select 1; commit", True),
        ("/* a remark */ commit;", True),
        ("prepare transaction 'x'", True),
        ("prepare p as select 1", False),
        ("alter table t add x int", True),
        ("# a remark\nalter table t add x int", True),
        ("/*! alter table t add x int */", True),
        ("insert into t values (1); alter table t add x int", True),
        ("insert into t values (1)", False),
        ("insert into t values (1); -- done\n", False),
        ("select 1;", False),
        ("rollback", False),
        (None, False),
    ],
)
def test_what_may_commit(text: str | None, expected: bool) -> None:
    """X1: a statement that commits on the way is seen wherever it stands in a text: what it committed is not redone."""
    assert may_commit(text, frozenset({"alter"})) is expected
