"""The page docs/benchmarks-lifecycle.md and its figures, written from what the suites found.

A run of some suites replaces their figures and keeps those of the others. Nothing is measured here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from tests.bench.tables import Table, size

DOCS = Path("docs")
TEMPLATE = Path(__file__).with_name("page.md")


@dataclass(frozen=True)
class Goal:
    """A bound of one figure of one suite."""

    what: str
    suite: str
    path: str
    bound: float
    unit: str
    least: bool = False


GOALS = (
    Goal("training, from apply to the stored artifact, without the fit", "training", "overheadSeconds", 3, " s"),
    Goal("list of 10,000 versions, files", "store", "file.listSeconds", 1, " s"),
    Goal("list of 10,000 versions, S3", "store", "s3.listSeconds", 1, " s"),
    Goal(
        "batch, rows a second against the bare engine with Parquet", "batch", "batchShareOfBare", 0.7, "x", least=True
    ),
    Goal("batch of 10 million rows, memory of its process", "batch", "batchPeakMegabytes", 512, " MB"),
)


def write(found: Mapping[str, Any], docs: Path = DOCS) -> list[Path]:
    """Merge the figures into docs/benchmarks/lifecycle.json and write the page anew; returns what was written."""
    target = docs / "benchmarks" / "lifecycle.json"
    known: dict[str, Any] = json.loads(target.read_text()) if target.exists() else {}
    known |= found
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(known, indent=1) + "\n")
    page = docs / "benchmarks-lifecycle.md"
    page.write_text(render(known))
    return [target, page]


def render(known: Mapping[str, Any]) -> str:
    """Return the page's text; suites that have not run yet are left out of its tables."""
    machines = {
        f"{where['cpu']}, {where['cores']} cores, {size(where['memory_bytes'])} of memory, {where['system']}, "
        f"Python {where['python']}"
        for where in (suite["machine"] for suite in known.values())
    }
    dates = ", ".join(f"{name} {suite['date']} ({suite['commit']})" for name, suite in known.items())
    return Template(TEMPLATE.read_text()).substitute(
        goals=goals(known).markdown(),
        figures=figures(known).markdown(),
        machine="; ".join(sorted(machines)),
        dates=dates,
    )


def goals(known: Mapping[str, Any]) -> Table:
    """Return the goals of the suites that ran."""
    lines = []
    for goal in GOALS:
        value = dict(_leaves(known.get(goal.suite, {}).get("figures", {}))).get(goal.path)
        if value is not None:
            met = value >= goal.bound if goal.least else value <= goal.bound
            bound = f"{'≥' if goal.least else '≤'} {goal.bound:g}{goal.unit}"
            lines.append([goal.what, bound, f"{value:.3g}{goal.unit}", "met" if met else "not met"])
    return Table("Goals", ["goal", "target", "measured", ""], lines)


def figures(known: Mapping[str, Any]) -> Table:
    """Return every figure that was measured."""
    lines = [
        [name, path, f"{value:,.4g}"] for name, suite in known.items() for path, value in _leaves(suite["figures"])
    ]
    return Table("Figures", ["suite", "figure", "value"], lines, names=2)


def _leaves(found: Mapping[str, Any], before: str = "") -> list[tuple[str, float]]:
    leaves: list[tuple[str, float]] = []
    for name, value in found.items():
        path = f"{before}{name}"
        leaves += _leaves(value, f"{path}.") if isinstance(value, Mapping) else [(path, value)]
    return leaves
