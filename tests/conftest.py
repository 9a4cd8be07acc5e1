"""The fixtures of all tests; they live in `servers/`."""

from servers.fixtures import *  # noqa: F403 - a fixture is found by its name here
