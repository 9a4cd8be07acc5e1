"""The command: a run with a seed, and what came of it in figures."""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from . import audit
from .ground import SERVERS
from .plan import Exit, Settings, kinds_on
from .run import run


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Money on the move on a breaking server."
    )
    parser.add_argument("--server", choices=SERVERS, required=True)
    parser.add_argument("--seconds", type=float, default=60, help="at least (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="the plan of an earlier run (default: a new one)")
    parser.add_argument("--tellers", type=int, default=8, help="threads (default: %(default)s)")
    parser.add_argument(
        "--drivers", nargs="+", default=[], metavar="NAME", help="only these (default: all that are sound)"
    )
    parser.add_argument("--journal", type=Path, metavar="FILE", help="keep the journal there")
    return parser.parse_args()


def figures(report: audit.Report) -> Iterator[str]:
    """Yield what happened, for people."""
    words = Counter(entry.word for entry in audit.outcomes(report.entries).values())
    yield f"{report.seconds:.0f} s, {report.faults.total()} faults over {', '.join(report.drivers)}"
    yield "transfers: " + ", ".join(f"{count} {word.value}" for word, count in words.most_common())
    for what, count in sorted(audit.made(report.entries).items()):
        yield f"{count:8} {what}"
    for kind in kinds_on(report.settings.server):
        yield f"{report.faults[kind]:8} {kind.value}"
    for way in Exit:
        yield f"{report.exits[way]:8} children ended by {way.value}"


def main() -> int:
    """Run, print, and return the exit code."""
    option = options()
    if missing := SERVERS[option.server].missing():
        print(missing)
        return 2
    seed = random.SystemRandom().randrange(10**6) if option.seed is None else option.seed
    settings = Settings(option.server, seed, option.seconds, option.tellers, tuple(option.drivers))
    more = [f" --drivers {' '.join(option.drivers)}"] if option.drivers else []
    asked = f"--server {option.server} --seconds {option.seconds:g} --tellers {option.tellers}{''.join(more)}"
    print(f"again with: python -m tests.chaos {asked} --seed {seed}", flush=True)
    report = run(settings, option.journal)
    print(*figures(report), sep="\n")
    missed = list(audit.blind_spots(report))
    print(*report.wrongs, *report.histories, *missed, sep="\n")
    print("FAILED" if report.wrongs or missed else "the books balance")
    return 1 if report.wrongs or missed else 0


if __name__ == "__main__":  # the process of the line imports this, too
    sys.exit(main())
