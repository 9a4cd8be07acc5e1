"""Runs the Python examples of README.md and docs/ as they stand, top to bottom, one namespace a page."""

from __future__ import annotations

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

# Where persistentdb is installed pytest has loaded it already, under this same name: that of its entry point.
pytest_plugins = ["persistentdb.testing.plugin"]

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],
).pytest()
