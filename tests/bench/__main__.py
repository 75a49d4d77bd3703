"""`make bench-engine`: runs the suites, prints their tables, and writes figures, plots and the page under docs/.

`--quick` runs a subset within a minute and writes nothing under docs/; so do `--only` and `--against`.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.bench import machine, page
from tests.bench.race import Row, Settings

CACHE = Path(os.environ.get("SHOAL_CACHE", Path.home() / ".cache" / "shoal")) / "bench"


def main() -> int:
    """Run the suites asked for."""
    parser = argparse.ArgumentParser(prog="make bench-engine", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a subset within a minute; docs/ stays as it is")
    parser.add_argument("--suite", action="append", choices=list(page.SUITES), help="this suite only; may be repeated")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="data sets whose name has TEXT; docs/ stays as it is"
    )
    parser.add_argument(
        "--against", action="append", metavar="NAME", help="fits: this peer only; may be repeated; docs/ stays as it is"
    )
    parser.add_argument("--wheels", type=Path, default=Path("dist/bench"), help="folder of the engine's wheel")
    arguments = parser.parse_args()
    peers = None if arguments.against is None else tuple(arguments.against)
    settings = Settings(arguments.quick, arguments.only, peers, CACHE / "data", arguments.wheels)
    console = Console(width=None if sys.stdout.isatty() else 200)
    begin = time.monotonic()
    found: dict[str, Any] = {}
    for name in arguments.suite or page.SUITES:
        rows = _run(console, name, settings)
        found[name] = {**machine.describe(), "rows": rows}
        for table in page.SUITES[name].tables(rows):
            console.print(table.rich())
        # After every suite, so that a run that is cut short leaves what it found.
        (CACHE / "latest.json").write_text(json.dumps(found, indent=1))
        if not settings.partial:
            written = page.write({name: found[name]})
    console.print(page.goals(found).rich())
    console.print(f"{time.monotonic() - begin:.0f} s in all; figures: {CACHE / 'latest.json'}")
    if not settings.partial:
        console.print("written: " + ", ".join(map(str, written)))
    return 0


def _run(console: Console, name: str, settings: Settings) -> list[Row]:
    """Run one suite with its progress shown: a bar in a terminal, lines elsewhere. Ctrl-C ends it early."""
    total, steps = page.SUITES[name].start(settings)
    began = time.monotonic()
    rows: list[Row] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=total)
        try:
            for step in steps:
                if isinstance(step, list):
                    rows += step
                    progress.advance(task)
                elif console.is_terminal:
                    progress.update(task, description=f"{name}: {step}")
                else:
                    print(f"{time.monotonic() - began:4.0f} s  {name}: {step}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            console.print(f"{name}: interrupted; going on with what was measured")
    return rows


if __name__ == "__main__":
    sys.exit(main())
