"""`python -m tests.bench_decisions`: simulates, tells, writes docs/benchmarks/decisions.json and the page."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench_decisions.page import write_page
from tests.bench_decisions.rollout import JUDGES, SCENARIOS, run

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "benchmarks" / "decisions.json"


def measure(case: tuple[int, str, int]) -> dict[str, Any]:
    """Judge many rollouts of one scenario by one judge."""
    index, judge, rollouts = case
    scenario = SCENARIOS[index]
    outcomes = [run(scenario, JUDGES[judge](), seed) for seed in range(rollouts)]
    failed = [item for item in outcomes if item.end == "failed"]
    return {
        "scenario": scenario.name,
        "good": scenario.good,
        "judge": judge,
        "rollouts": rollouts,
        "failed": len(failed),
        "failedInFirstStep": sum(item.step == 0 and item.seconds <= 60 for item in failed),
        "held": sum(item.end == "held" for item in outcomes),
        "promoted": sum(item.end == "promoted" for item in outcomes),
        "medianSecondsToFail": statistics.median(item.seconds for item in failed) if failed else None,
    }


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="make bench-decisions ARGS=", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=300, help="rollouts of each scenario and judge")
    parser.add_argument("--only", default="", help="only scenarios whose name contains this; writes no page")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    arguments = parser.parse_args()
    cases = [
        (index, judge, arguments.rollouts)
        for index, scenario in enumerate(SCENARIOS)
        if arguments.only in scenario.name
        for judge in JUDGES
    ]
    rows = []
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for row in pool.map(measure, cases):
            rows.append(row)
            ended = f"failed {row['failed']}, held {row['held']}, promoted {row['promoted']}"
            print(f"{row['scenario']:36} {row['judge']:32} {ended}", file=sys.stderr, flush=True)
    if not arguments.only:
        FIGURES.write_text(json.dumps({"rollouts": arguments.rollouts, "rows": rows}, indent=1) + "\n")
        write_page(rows, ROOT / "docs" / "decisions-bench.md")


if __name__ == "__main__":
    main()
