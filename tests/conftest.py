"""The fixtures of all tests; they live in `servers/`."""

import signal

from servers.fixtures import *  # noqa: F403 - a fixture is found by its name here


def pytest_configure() -> None:
    """Take notice of SIGINT also in what a shell runs in the background, where it is ignored: tests send it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
