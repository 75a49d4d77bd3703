"""`make bench-engine`: runs the suites, prints their tables, and writes figures, plots and the page under docs/.

`--quick` runs a subset within a minute and writes nothing under docs/.
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

from tests.bench import machine, suite_fit, suite_predict, suite_size
from tests.bench.judge import Goal
from tests.bench.tables import Table

CACHE = Path(os.environ.get("SHOAL_CACHE", Path.home() / ".cache" / "shoal")) / "bench"
DOCS = Path("docs")
SUITES = {"fit": suite_fit, "predict": suite_predict, "size": suite_size}


def main() -> int:
    """Run the suites asked for."""
    parser = argparse.ArgumentParser(prog="make bench-engine", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a subset within a minute; docs/ stays as it is")
    parser.add_argument("--suite", action="append", choices=list(SUITES), help="only this suite (may be repeated)")
    parser.add_argument("--only", default="", metavar="TEXT", help="fit: only cases whose name has this text")
    parser.add_argument("--wheels", type=Path, default=Path("dist/bench"), help="folder of the engine's wheel")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 200)
    found: dict[str, Any] = {}
    begin = time.monotonic()
    for name in arguments.suite or SUITES:
        rows = _run(console, name, arguments)
        found[name] = {**machine.describe(), "quick": arguments.quick, "rows": rows}
        for table in SUITES[name].tables(rows):
            console.print(table.rich())
    console.print(goal_table([goal for name in found for goal in SUITES[name].goals(found[name]["rows"])]).rich())
    console.print(f"{time.monotonic() - begin:.0f} s in all")
    path = CACHE / "latest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1))
    console.print(f"figures: {path}")
    return 0


def _run(console: Console, name: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Run one suite with its progress shown."""
    data = CACHE / "data"
    if name == "fit":
        cases = [
            case
            for case in (suite_fit.QUICK if arguments.quick else suite_fit.FULL)
            if arguments.only in f"{case.data.key} {case.kind}"
        ]
        names = suite_fit.QUICK_NAMES if arguments.quick else tuple(suite_fit.EXACT)
        steps, total = suite_fit.run(cases, data, names), len(cases)
    elif name == "predict":
        sets = suite_predict.QUICK if arguments.quick else suite_predict.FULL
        steps, total = suite_predict.run(sets, data), len(sets)
    else:
        steps, total = suite_size.run(arguments.wheels), 1
    began = time.monotonic()
    rows: list[dict[str, Any]] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=total)
        for doing, finished in steps:
            if doing:
                progress.update(task, description=f"{name}: {doing}")
                if not console.is_terminal:
                    print(f"{time.monotonic() - began:4.0f} s  {name}: {doing}", file=sys.stderr)
            if finished:
                rows += finished
                progress.advance(task)
    return rows


def goal_table(goals: list[Goal]) -> Table:
    """Goals, and whether each is met."""
    words = {True: "met", False: "not met", None: ""}
    lines = [[goal.what, goal.target, goal.measured, words[goal.met]] for goal in goals]
    return Table("Goals", ["goal", "target", "measured", ""], lines)


if __name__ == "__main__":
    sys.exit(main())
