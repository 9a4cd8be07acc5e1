"""The command: play the faults, print the table, put it into the page when asked."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack

from tests.servers import DRIVERS, left_out

from .contenders import CONTENDERS, without_dbutils
from .faults import FAULTS
from .page import block, put_into_page
from .playing import Played, play_all, started

KEYS = [fault.key for fault in FAULTS]
NAMES = [driver.name for driver in DRIVERS]


def options() -> argparse.Namespace:
    """Read the command line."""
    description = "The same faults against the raw driver, DBUtils 3.2.0 and persistentdb."
    parser = argparse.ArgumentParser(prog="python -m tests.comparison", description=description)
    parser.add_argument("--drivers", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--faults", nargs="+", choices=KEYS, default=KEYS, metavar="KEY", help=", ".join(KEYS))
    parser.add_argument("--list", action="store_true", help="name faults and contenders as JSON, play nothing")
    parser.add_argument("--json", action="store_true", help="print every single outcome as JSON, not the table")
    parser.add_argument("--verbose", action="store_true", help="print each outcome with its error as it comes")
    parser.add_argument("--write", action="store_true", help="put the table into docs/comparison.md; takes all drivers")
    option = parser.parse_args()
    if option.write and (option.drivers, option.faults) != (NAMES, KEYS):
        parser.error("--write is for all drivers and all faults: leave --drivers and --faults out")
    return option


def as_record(one: Played) -> dict[str, str]:
    """Return an outcome as plain data."""
    return {
        "fault": one.fault.key,
        "driver": one.driver.name,
        "contender": one.contender.name,
        "verdict": one.outcome.verdict.name,
        "detail": one.outcome.detail,
        "error": one.outcome.error,
    }


def played(option: argparse.Namespace) -> tuple[list[Played], str]:
    """Play what was asked for; return the outcomes and the text for the page."""
    with ExitStack() as stack:
        drivers, absent = started(option.drivers, stack)
        for reason in absent:
            sys.stderr.write(f"left out: {reason}\n")
        outcomes = []
        for one in play_all((fault for fault in FAULTS if fault.key in option.faults), drivers):
            outcomes.append(one)
            if option.verbose:
                sys.stderr.write(" | ".join(as_record(one).values()) + "\n")
        return outcomes, block(outcomes)


def main() -> None:
    """Do what the command line says."""
    option = options()
    if option.list:
        faults = [{"key": fault.key, "title": fault.title} for fault in FAULTS]
        contenders = [contender.name for contender in CONTENDERS]
        sys.stdout.write(json.dumps({"faults": faults, "contenders": contenders}))
        return
    if reason := without_dbutils():
        sys.exit(reason)
    if option.write and (missing := left_out()):
        sys.exit(f"--write is for all drivers: {'; '.join(missing)}")
    start = time.monotonic()
    outcomes, text = played(option)
    sys.stdout.write(json.dumps([as_record(one) for one in outcomes]) if option.json else f"{text}\n")
    sys.stderr.write(f"{len(outcomes)} plays in {time.monotonic() - start:.0f} s\n")
    if option.write:
        put_into_page(text)


if __name__ == "__main__":
    main()
