"""`python -m tests.bench_scaler`: simulates, tells, writes docs/benchmarks/scaler.json and the page."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench_scaler.page import write_page
from tests.bench_scaler.scalers import SCALERS
from tests.bench_scaler.simulation import TARGET, run, thin
from tests.bench_scaler.traces import TRACES

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "benchmarks" / "scaler.json"
_POINTS = 240
"""Points of a line in the pictures."""


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="make bench-scaler ARGS=", description=__doc__)
    parser.add_argument("--only", default="", help="only loads whose name contains this; writes no page")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for trace in TRACES:
        if arguments.only not in trace.name:
            continue
        demand = trace.draw()
        every = trace.seconds // _POINTS
        smooth = demand[: every * _POINTS].reshape(_POINTS, every).mean(axis=1)
        lines.append({"trace": trace.name, "every": every, "load": [round(value / TARGET, 2) for value in smooth]})
        for name, make in SCALERS.items():
            started = time.monotonic()
            outcome = run(demand, make())
            row = {"trace": trace.name, "told": trace.told, "scaler": name, **outcome.to_row()}
            rows.append(row)
            lines[-1][name] = thin(outcome.wanted, every)[:_POINTS]
            if name == "Shoal":
                lines[-1]["ready"] = thin(outcome.ready, every)[:_POINTS]
            print(
                f"{trace.name:10} {name:18} {row['podHours']:8.2f} pod hours, unserved {row['unservedShare']:.2%}, "
                f"{row['turns']} turns, {row['changes']} changes ({time.monotonic() - started:.1f} s)",
                file=sys.stderr,
                flush=True,
            )
    if not arguments.only:
        FIGURES.write_text(json.dumps({"rows": rows, "lines": lines}) + "\n")
        write_page(rows, ROOT / "docs" / "benchmarks-scaler.md")


if __name__ == "__main__":
    main()
