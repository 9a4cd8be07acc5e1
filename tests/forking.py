"""Children for tests: they never return into the test's process, and one that hangs fails the test."""

from __future__ import annotations

import os
import pickle
import select
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["PATIENCE", "Child", "forked", "forking_allowed"]

PATIENCE = 30.0
"""Seconds after which a child is taken for hanging."""


class Child:
    """A forked process.

    Attributes:
        pid: Its number.
        pipe: What it says comes from here.
    """

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self.pipe = pipe

    def result(self) -> Any:
        """Wait for the end of the child, and return what its function returned.

        Raises:
            AssertionError: It hung, was ended by a signal, or its function raised.
        """
        said = b""
        deadline = time.monotonic() + PATIENCE
        while select.select([self.pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            part = os.read(self.pipe, 65536)
            if not part:
                break
            said += part
        else:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        assert status == 0, f"the child ended with {os.waitstatus_to_exitcode(status)}; -9: it hung"
        failure, result = pickle.loads(said)  # noqa: S301  from our own child
        assert failure is None, f"in the child:\n{failure}"
        return result


def forked(function: Callable[[], object]) -> Child:
    """Fork a child that calls a function and ends by `os._exit`."""
    reader, writer = os.pipe()
    with forking_allowed():
        pid = os.fork()
    if pid:
        os.close(writer)
        return Child(pid, reader)
    try:
        said: tuple[str | None, object] = (None, function())
    except BaseException:
        said = (traceback.format_exc(), None)
    try:
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(said, pipe)
        os._exit(0)
    finally:
        os._exit(1)


@contextmanager
def forking_allowed() -> Generator[None]:
    """Fork although other threads run, which Python warns of since 3.12."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        yield
