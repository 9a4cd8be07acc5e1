"""Where it takes place: the server with its tables and procedures, and a desk for each teller."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from persistentdb import PersistentDB
from persistentdb._demo_bank import READ_BALANCES, READ_LEDGER, TABLES, Bank, Transfer
from persistentdb.outcome import PostgresOutcome
from tests.servers import DRIVERS, Driver, LiveDriver, MariaDBServer, PostgresServer, PrivateServer

from .line import Line
from .plan import ACCOUNTS, OPENING_BALANCE, Settings, lots

__all__ = ["BY_CALL", "BY_STATEMENT", "SERVERS", "Books", "Desk", "create", "desks", "drivers", "read"]

SERVERS: dict[str, type[PrivateServer]] = {"postgres": PostgresServer, "mariadb": MariaDBServer}

# A lock that is never given back may not look like a hang; deadlocks are found before they take much of the time.
SESSION = {
    "postgres": ["set lock_timeout = '5s'", "set deadlock_timeout = '50ms'"],
    "mariadb": ["set innodb_lock_wait_timeout = 5"],
}

# One statement that makes a whole transfer. PostgreSQL changes two tables at once; for MariaDB a transfer can also be
# an order, from which the balances are derived in the end. (It has triggers, but a kill at the wrong moment has left
# one behind that was broken for all: "Query was empty".)
BY_STATEMENT = {
    "postgres": """
        with chaos_moved as (
            update persistentdb_demo_account
            set balance = balance + case when id = cast(? as integer) then -cast(? as integer) else ? end
            where id in (?, ?)
        )
        insert into persistentdb_demo_ledger (id, source, target, amount) values (?, ?, ?, ?)
    """,
    "mariadb": "insert into chaos_order (id, source, target, amount) values (?, ?, ?, ?)",
}
BY_CALL = {
    # With a COMMIT inside: cut off behind it, a call that is sent again makes the transfer twice.
    "postgres": "call chaos_transfer(cast(? as integer), cast(? as integer), cast(? as integer), cast(? as integer))",
    "mariadb": "call chaos_transfer(?, ?, ?, ?)",
}
_POSTGRES = [
    """
    create procedure chaos_transfer(identifier integer, origin integer, destination integer, sum integer)
    language plpgsql as $$
    begin
        update persistentdb_demo_account set balance = balance - sum where id = origin;
        update persistentdb_demo_account set balance = balance + sum where id = destination;
        insert into persistentdb_demo_ledger values (identifier, origin, destination, sum);
        commit;
    end
    $$
    """,
]
_MARIADB = [
    "create table chaos_order (id integer, source integer, target integer, amount integer)",
    """
    create procedure chaos_transfer(identifier integer, origin integer, destination integer, sum integer)
    begin
        declare exit handler for sqlexception begin rollback; resignal; end;
        start transaction;
        update persistentdb_demo_account set balance = balance - sum where id = origin;
        update persistentdb_demo_account set balance = balance + sum where id = destination;
        insert into persistentdb_demo_ledger values (identifier, origin, destination, sum);
        commit;
    end
    """,
]
READ_ORDERS = "select id, source, target, amount from chaos_order"
MORE = {"postgres": _POSTGRES, "mariadb": _MARIADB}

# OSError and struct.error escape from those in Python; pgdb asks for unknown types by queries of its own, and says that
# there is no such type when the connection breaks under one of these.
FOREIGN_ERRORS: dict[str, tuple[type[Exception], ...]] = {
    "pg8000": (OSError, struct.error),
    "pymysql": (OSError, struct.error),
    "pgdb": (KeyError,),
}


UNSTABLE = {"mariadb"}
"""Drivers that take part only when they are named: 1.1.14 ends the process now and then, in a garbage collection."""


def drivers(server: str, only: Sequence[str] = ()) -> list[Driver]:
    """Return the drivers of that server which are installed and sound, or only those of some names."""
    here = [driver for driver in DRIVERS if driver.server == server and driver.missing() is None]
    return [driver for driver in here if (driver.name in only if only else driver.name not in UNSTABLE)]


def create(server: PrivateServer, name: str) -> dict[int, int]:
    """Create the tables and procedures; return the balance of each account."""
    for statement in [*TABLES.values(), *MORE[name]]:
        server.query(statement)
    opening = dict.fromkeys(ACCOUNTS, OPENING_BALANCE)
    accounts = ", ".join(str(pair) for pair in opening.items())
    server.query(f"insert into persistentdb_demo_account (id, balance) values {accounts}")
    return opening


@frozen
class Books:
    """What the database knows in the end.

    Attributes:
        ledger: All transfers.
        closing: The balance of each account.
    """

    ledger: list[Transfer]
    closing: dict[int, int]


def read(server: PrivateServer, name: str) -> Books:
    """Read the books through an independent connection."""
    ledger = [Transfer(*map(int, row)) for row in server.query(READ_LEDGER)]
    closing = {int(account): int(balance) for account, balance in server.query(READ_BALANCES)}
    for row in server.query(READ_ORDERS) if name == "mariadb" else ():
        order = Transfer(*map(int, row))
        ledger.append(order)
        closing[order.source] -= order.amount
        closing[order.target] += order.amount
    return Books(ledger, closing)


@frozen
class Desk:
    """Where a teller works: one driver, with two PersistentDBs that several tellers may share.

    Attributes:
        driver: The name of the driver.
        server: "postgres" or "mariadb".
        errors: What the driver raises when it loses its connection.
        in_transactions: The bank over connections that open transactions by themselves.
        in_autocommit: The bank over connections in autocommit.
    """

    driver: str
    server: str
    errors: tuple[type[Exception], ...]
    in_transactions: Bank = field(repr=False)
    in_autocommit: Bank = field(repr=False)

    def bank(self, *, autocommit: bool) -> Bank:
        """Return one of the two."""
        return self.in_autocommit if autocommit else self.in_transactions

    def close(self) -> None:
        """Close both PersistentDBs."""
        self.in_transactions.persist.close()
        self.in_autocommit.persist.close()


def desks(settings: Settings, server: PrivateServer, line: Line, whose: str) -> list[Desk]:
    """Return the desks of some tellers, one for each driver in an order drawn from the seed, as are their options."""
    draw = lots(settings, f"the desks of {whose}")
    found = drivers(settings.server, settings.drivers)
    lives = [LiveDriver(one, one.module(), server) for one in draw.sample(found, len(found))]
    # The first always goes by the line: a socket is not cut.
    sockets = [(False, False), *(draw.choice([(False, False), (True, False), (False, True)]) for _ in lives)]
    # The second asks what became of a commit without an answer; with the others that stays unknown.
    resolvers = [None, PostgresOutcome() if settings.server == "postgres" else None, *(None for _ in lives)]
    return [
        Desk(
            live.name,
            settings.server,
            (live.module.Error, *FOREIGN_ERRORS.get(live.name, ())),
            *(
                Bank(_persist(settings, draw, live, _line(line, one) | {"autocommit": mode}, resolver), live.module)
                for mode, one in zip((False, True), by_socket, strict=True)
            ),
        )
        for live, by_socket, resolver in zip(lives, sockets, resolvers, strict=False)
    ]


def _line(line: Line, by_socket: bool) -> dict[str, Any]:
    return {"via": "socket"} if by_socket else {"port": line.port}


def _persist(
    settings: Settings,
    draw: random.Random,
    driver: LiveDriver,
    connect: dict[str, Any],
    resolver: PostgresOutcome | None,
) -> PersistentDB[Any]:
    # A statement that psycopg has prepared travels without its text, and no cut would find it.
    unprepared: dict[str, Any] = {"prepare_threshold": None}
    if driver.name == "psycopg" and draw.random() < 0.5:
        connect |= unprepared
    return PersistentDB(
        driver.creator(**connect),
        maxusage=draw.choice([None, 5, 100]),
        setsession=SESSION[settings.server],
        ping=draw.choice([0, 1, 4, 7]),
        closeable=draw.random() < 0.3,
        outcome=resolver,
    )
