"""`make bench-rollouts`: rollouts on the cluster that is up; writes docs/benchmarks-rollouts.md after every result.

A run that is cut (Ctrl-C, an error) keeps what it found and removes what it made.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rich.console import Console

from tests.bench.machine import stamp
from tests.bench_rollouts import page, promotions, replays, rollbacks, shares
from tests.bench_rollouts.stage import Stage, open_stage

Told = Callable[[dict[str, Any]], None]
Suite = Callable[[Stage, Told], None]


def main() -> int:
    """Run the suites asked for."""
    parser = argparse.ArgumentParser(prog="make bench-rollouts ARGS=", description=__doc__)
    parser.add_argument("--suite", action="append", choices=list(_suites(0, quick=True)), help="only this; repeatable")
    parser.add_argument("--promotions", type=int, default=50, help="promotions by each router")
    parser.add_argument("--quick", action="store_true", help="3 promotions and one of everything else; writes no page")
    arguments = parser.parse_args()
    suites = _suites(3 if arguments.quick else arguments.promotions, quick=arguments.quick)
    console = Console(width=None if sys.stdout.isatty() else 160)
    found: dict[str, Any] = {}
    began = time.monotonic()

    def tell(name: str, figures: dict[str, Any]) -> None:
        found[name] = {**stamp(), "figures": figures}
        if not arguments.quick:
            page.write({name: found[name]})
        line = f"{time.monotonic() - began:5.0f} s  {name}: {page.summary(name, figures)}"
        console.print(line, highlight=False, soft_wrap=True)

    try:
        console.print("training the versions", highlight=False)
        with open_stage() as stage:
            for name in arguments.suite or suites:
                suites[name](stage, partial(tell, name))
    except KeyboardInterrupt:
        console.print("cut short")
    for table in page.tables(found):
        console.print(table.rich())
    return 0


def _suites(count: int, *, quick: bool) -> dict[str, Suite]:
    return {
        "promotions": partial(promotions.measure, promotions=count),
        "rollbacks": partial(rollbacks.measure, rollbacks=1 if quick else 3),
        "shares": partial(shares.measure, calls=1000 if quick else 10_000),
        "replays": partial(replays.measure, replays=1 if quick else 2),
    }


if __name__ == "__main__":
    sys.exit(main())
