"""A driver that goes on naming the descriptor of a socket which it has closed, and a child process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from servers import LiveDriver

from .deeds import kill, losses, run, write


def test_a_child_spares_what_has_the_number_of_a_lost_connection(
    driver: LiveDriver, db: Any, table: str, tmp_path: Path
) -> None:
    """X5: in a child the parent's socket is silenced, but no file that was given the number of a socket long closed."""
    write(db, table, 1)
    kill(driver, db)
    with pytest.raises(losses(driver)):  # lost, but not reopened yet: mysqlclient has closed the socket by itself
        run(db, "select 1")
    with (tmp_path / "one").open("wb", buffering=0) as one, (tmp_path / "two").open("wb", buffering=0) as two:
        child = os.fork()
        if child == 0:
            one.write(b"from the child")
            two.write(b"from the child")
            os._exit(0)
        assert os.waitpid(child, 0) == (child, 0)
    db.rollback()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == b"from the child"
