"""`python -m tests.bench_decisions`: simulates, tells, writes docs/benchmarks/decisions.json and the page."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench_decisions import labels
from tests.bench_decisions.page import write_page
from tests.bench_decisions.rollout import JUDGES, SCENARIOS, count, run

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "benchmarks" / "decisions.json"


def measure(case: tuple[int, str, int]) -> list[dict[str, Any]]:
    """Judge many rollouts of one scenario by one judge."""
    index, judge, rollouts = case
    scenario = SCENARIOS[index]
    outcomes = [run(scenario, JUDGES[judge](), seed) for seed in range(rollouts)]
    return [{"scenario": scenario.name, "good": scenario.good, "judge": judge, **count(outcomes)}]


def measure_labels(case: tuple[int, int]) -> list[dict[str, Any]]:
    """Judge many rollouts of one scenario of labels by all its judges."""
    index, rollouts = case
    return labels.tally(labels.SCENARIOS[index], rollouts)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="make bench-decisions ARGS=", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=300, help="rollouts of each scenario and judge")
    parser.add_argument("--label-rollouts", type=int, default=100, help="rollouts of each scenario of labels")
    parser.add_argument("--only", default="", help="only scenarios whose name contains this; writes no page")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    arguments = parser.parse_args()
    cases = [
        (index, judge, arguments.rollouts)
        for index, scenario in enumerate(SCENARIOS)
        if arguments.only in scenario.name
        for judge in JUDGES
    ]
    label_cases = [
        (index, arguments.label_rollouts)
        for index, scenario in enumerate(labels.SCENARIOS)
        if arguments.only in scenario.name
    ]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        rows = _collect(pool.map(measure, cases))
        label_rows = _collect(pool.map(measure_labels, label_cases))
    if not arguments.only:
        FIGURES.write_text(json.dumps({"rows": rows, "labels": label_rows}, indent=1) + "\n")
        write_page(rows, label_rows, ROOT / "docs" / "decisions-bench.md")


def _collect(parts: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    rows = []
    for part in parts:
        for row in part:
            rows.append(row)
            ended = f"failed {row['failed']}, held {row['held']}, promoted {row['promoted']}"
            print(f"{row['scenario']:48} {row['judge']:34} {ended}", file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    main()
