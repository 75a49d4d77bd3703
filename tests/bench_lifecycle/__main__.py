"""`make bench-lifecycle`: what trainings, the model store and batches cost; writes docs/benchmarks-lifecycle.md.

The suite `training` measures on the cluster that is up; the others need none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console

from tests.bench.machine import stamp
from tests.bench_lifecycle import batch, page, store, training

SUITES: dict[str, Callable[[], dict[str, Any]]] = {
    "training": training.measure,
    "store": store.measure,
    "batch": batch.measure,
}


def main() -> int:
    """Run the suites asked for, and write their figures after each, so that a cut run keeps what it found."""
    parser = argparse.ArgumentParser(prog="make bench-lifecycle", description=__doc__)
    parser.add_argument("--suite", action="append", choices=list(SUITES), help="this suite only; may be repeated")
    chosen = parser.parse_args().suite or list(SUITES)
    console = Console(width=None if sys.stdout.isatty() else 160)
    found: dict[str, Any] = {}
    for name in chosen:
        with console.status(f"measuring: {name}"):
            figures = SUITES[name]()
        found[name] = {**stamp(), "figures": figures}
        written = page.write({name: found[name]})
    console.print(page.figures(found).rich())
    console.print(page.goals(found).rich())
    console.print("written: " + ", ".join(map(str, written)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
