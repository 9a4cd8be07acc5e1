"""Fixtures of the live tests: hardened connections over each real driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from servers import LiveDriver

from persistentdb import PersistentDB

from .deeds import Persist


@pytest.fixture
def persist(driver: LiveDriver) -> Iterator[Persist]:
    """Lend a function that makes a PersistentDB over the driver; `connect` is for the driver's connect."""
    with ExitStack() as made:

        def make(connect: dict[str, Any] | None = None, **kwargs: Any) -> PersistentDB[Any]:
            return made.enter_context(PersistentDB(driver.creator(**connect or {}), **kwargs))

        yield make


@pytest.fixture
def db(persist: Persist) -> Any:
    """Lend this thread's connection, with all defaults."""
    return persist().connection()


@pytest.fixture(autouse=True)
def nobody_else(request: pytest.FixtureRequest) -> None:
    """Wait until the sessions of the test before are gone, for many tests count sessions."""
    if "driver" in request.fixturenames:
        driver: LiveDriver = request.getfixturevalue("driver")
        driver.server.await_sessions(0)
