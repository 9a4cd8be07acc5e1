"""The demo's bank: two tables, the SQL for them in the words of any driver, and the audit of its books."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any, NamedTuple

from attrs import frozen

from persistentdb import PersistentDB
from persistentdb._discovery import module_of_connection

__all__ = ["Bank", "CannotFinishError", "CannotStartError", "Transfer", "audit", "bank_at", "tables", "written_for"]

# No key on the ledger's id: it must not be the database that keeps a doubled transfer out.
TABLES = {
    "persistentdb_demo_account": (
        "create table persistentdb_demo_account (id integer not null primary key, balance integer not null)"
    ),
    "persistentdb_demo_ledger": (
        "create table persistentdb_demo_ledger "
        "(id integer not null, source integer not null, target integer not null, amount integer not null)"
    ),
}
OPEN_ACCOUNT = "insert into persistentdb_demo_account (id, balance) values (?, ?)"
CHANGE_BALANCE = "update persistentdb_demo_account set balance = balance + ? where id = ?"
BOOK = "insert into persistentdb_demo_ledger (id, source, target, amount) values (?, ?, ?, ?)"
FIND = "select count(*) from persistentdb_demo_ledger where id = ?"
READ_BALANCES = "select id, balance from persistentdb_demo_account"
READ_LEDGER = "select id, source, target, amount from persistentdb_demo_ledger"


class CannotStartError(Exception):
    """Raised when the demo cannot run on this database; nothing was changed there."""


class CannotFinishError(Exception):
    """Raised when the database went away before its books could be audited and its tables dropped."""


class Transfer(NamedTuple):
    """So much money from one account to another; a row of the ledger."""

    id: int
    source: int
    target: int
    amount: int


def audit(
    acknowledged: Iterable[Transfer], ledger: Sequence[Transfer], opening: Mapping[int, int], closing: Mapping[int, int]
) -> Iterator[str]:
    """Yield a sentence for everything that does not agree: none, if nothing is lost and nothing is doubled.

    Args:
        acknowledged: The transfers that the tellers know to be committed.
        ledger: The transfers that the database knows.
        opening: The balance of each account before.
        closing: The balance of each account afterwards.
    """
    known, booked = Counter(acknowledged), Counter(ledger)
    for transfer, times in (known - booked).items():
        yield f"lost: {transfer} was acknowledged, and is missing from the ledger ({times} x)"
    for transfer, times in (booked - known).items():
        yield f"too much: {transfer} is in the ledger without having been acknowledged ({times} x)"
    for identifier, times in Counter(transfer.id for transfer in ledger).items():
        if times > 1:
            yield f"doubled: the ledger has id {identifier} {times} times"
    expected = Counter(opening)  # a Counter, for an account that nobody opened starts at 0
    for transfer in ledger:
        expected[transfer.source] -= transfer.amount
        expected[transfer.target] += transfer.amount
    for account in sorted(expected.keys() | closing.keys()):
        if expected[account] != closing.get(account):
            yield f"account {account} has {closing.get(account)}, by the ledger it should have {expected[account]}"
    if sum(opening.values()) != sum(closing.values()):
        yield f"all balances together were {sum(opening.values())}, and are {sum(closing.values())}"


MARKS = {"qmark": "?", "format": "%s", "pyformat": "%(v{})s", "numeric": ":{}", "named": ":v{}"}


def written_for(paramstyle: str, statement: str, values: Sequence[object]) -> tuple[str, object]:
    """Return a statement and its values as a driver wants them.

    Args:
        paramstyle: What the driver's module says of itself (PEP 249).
        statement: SQL with question marks.
        values: One for each question mark.
    """
    numbers = count(1)
    text = re.sub(r"\?", lambda _: MARKS[paramstyle].format(next(numbers)), statement)
    if paramstyle in ("pyformat", "named"):
        return text, {f"v{number}": value for number, value in enumerate(values, 1)}
    return text, tuple(values)


@frozen
class Bank:
    """The persistent connections, and the driver they are made by.

    Attributes:
        persist: Gives each thread its own connection.
        driver: The driver's module, for its `paramstyle` and its `Error`.
    """

    persist: PersistentDB[Any]
    driver: Any

    def execute(self, cursor: Any, statement: str, *values: object) -> None:
        """Run a statement that is written with question marks."""
        if values:
            cursor.execute(*written_for(self.driver.paramstyle, statement, values))
        else:
            cursor.execute(statement)

    def read(self, statement: str) -> list[Any]:
        """Return all rows of a query, and leave no transaction open."""
        db = self.persist.connection()
        cursor = db.cursor()
        cursor.execute(statement)
        rows: list[Any] = cursor.fetchall()
        db.rollback()
        return rows


def bank_at(persist: PersistentDB[Any]) -> Bank:
    """Return the bank on a database; its driver is asked of the connection, for any function may be the creator.

    Raises:
        CannotStartError: The driver does not tell how its statements are to be written.
    """
    connection = persist.connection().driver_connection
    driver: Any = module_of_connection(connection)
    if getattr(driver, "paramstyle", None) not in MARKS:
        kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
        raise CannotStartError(f"no paramstyle is to be found for {kind}: the demo cannot write statements for it")
    return Bank(persist, driver)


@contextmanager
def tables(bank: Bank, opening: Mapping[int, int]) -> Generator[None]:
    """Create both tables and open the accounts; drop at the end what was created here.

    Args:
        bank: Where.
        opening: The accounts with their balances.

    Raises:
        CannotStartError: A table is there already, or cannot be created.
    """
    for name in TABLES:
        if _exists(bank, name):
            raise CannotStartError(
                f"the table {name} exists already: another demo is at work on this database, or one was killed. "
                f"Wait for its end, or drop the tables {' and '.join(TABLES)} by hand"
            )
    with ExitStack() as to_be_dropped:
        for name, create in TABLES.items():
            try:
                _define(bank, create)
            except bank.driver.Error as error:
                raise CannotStartError(f"the table {name} cannot be created: {error}") from error
            to_be_dropped.callback(_define, bank, f"drop table {name}")
        db = bank.persist.connection()
        with db.transaction():
            for account, balance in opening.items():
                bank.execute(db.cursor(), OPEN_ACCOUNT, account, balance)
        yield


def _exists(bank: Bank, table: str) -> bool:
    """Whether a table is there: the only question that every database understands is to read from it."""
    try:
        bank.read(f"select 1 from {table} where 1 = 0")  # noqa: S608  the name is one of ours
    except bank.driver.Error:
        bank.persist.connection().rollback()
        return False
    return True


def _define(bank: Bank, statement: str) -> None:
    db = bank.persist.connection()
    db.rollback()  # what Ctrl-C may have left behind
    with db.transaction():
        db.cursor().execute(statement)
