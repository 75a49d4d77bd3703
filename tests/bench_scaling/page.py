"""The page docs/benchmarks-scaling.md and its figures, written from what the drives found. Nothing is measured here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from tests.bench.tables import Table, size
from tests.bench_scaling.plan import EACH, PLAN

DOCS = Path("docs")
TEMPLATE = Path(__file__).with_name("page.md")


def write(found: Mapping[str, Any], docs: Path = DOCS) -> None:
    """Merge the figures into docs/benchmarks/scaling.json and write the page anew."""
    target = docs / "benchmarks" / "scaling.json"
    known: dict[str, Any] = json.loads(target.read_text()) if target.exists() else {}
    known |= found
    target.write_text(json.dumps(known) + "\n")
    (docs / "benchmarks-scaling.md").write_text(render(known))


def render(known: Mapping[str, Any]) -> str:
    """Return the page's text, of the drives that have run."""
    machines = [
        f"{where['cpu']}, {where['cores']} cores, {size(where['memory_bytes'])} of memory ({name} {one['date']}, "
        f"{one['commit']})"
        for name, one in known.items()
        if (where := one["machine"])
    ]
    plan = ", ".join(
        f"{stage.rate:g} a second{' ±9 %' if stage.noisy else ''} for {stage.seconds:g} s" for stage in PLAN
    )
    goals, figures = tables({name: one["figures"] for name, one in known.items()})
    return Template(TEMPLATE.read_text()).substitute(
        goals=f"## {goals.title}\n\n{goals.markdown()}",
        figures=f"## {figures.title}\n\n{figures.markdown()}",
        plan=plan,
        each=EACH,
        machine="; ".join(machines),
    )


def tables(figures: Mapping[str, Mapping[str, Any]]) -> tuple[Table, Table]:
    """Return the goals and the figures of the drives."""
    lines: list[list[str]] = []
    for name, one in figures.items():
        for what in ("failed", "lost", "double"):
            if what in one:
                of = f"{one['calls']:,} calls" if "calls" in one else f"{one['messages']:,} messages"
                lines.append(_goal(f"{name}: 1 → 8 → 1 → 8 → 1 pods, {what} of {of}", one[what], 0, ""))
        lines.append(_goal(f"{name}: changes under noise of ±9 %", one["changesUnderNoise"], 0, ""))
        ready, start = one["secondsFromDecisionToAllReady"], one["mostPodStartSeconds"]
        beside = None if ready is None else max(0.0, round(ready - start, 1))
        lines.append(_goal(f"{name}: step x10, from the first decision to all ready, beside a pod's start", beside, 30))
        lines.append(_goal(f"{name}: pods at most, beyond the formula's 8", max(0, one["mostPods"] - 8), 1, ""))
    names = list(dict.fromkeys(name for one in figures.values() for name in one if name != "looks"))
    rows = [[name, *(_tell(one.get(name)) for one in figures.values())] for name in names]
    return Table("Goals", ["goal", "target", "measured", ""], lines), Table("Figures", ["", *figures], rows)


def _goal(what: str, value: float | None, bound: float, unit: str = " s") -> list[str]:
    target = f"≤ {bound:g}{unit}" if bound else "0"
    if value is None:
        return [what, target, "never", "not met"]
    return [what, target, f"{value:g}{unit}", "met" if value <= bound else "not met"]


def _tell(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count} x {what}" for what, count in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else f"{value:,}"
