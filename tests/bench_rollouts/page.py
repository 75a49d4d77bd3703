"""The page docs/benchmarks-rollouts.md and its figures, written from what the suites found.

A run of some suites replaces their figures and keeps those of the others. Nothing is measured here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from tests.bench.tables import Table, size

DOCS = Path("docs")
TEMPLATE = Path(__file__).with_name("page.md")


def write(found: Mapping[str, Any], docs: Path = DOCS) -> None:
    """Merge the figures into docs/benchmarks/rollouts.json and write the page anew."""
    target = docs / "benchmarks" / "rollouts.json"
    known: dict[str, Any] = json.loads(target.read_text()) if target.exists() else {}
    known |= found
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(known, indent=1) + "\n")
    simulated = json.loads((docs / "benchmarks" / "decisions.json").read_text())["rows"]
    (docs / "benchmarks-rollouts.md").write_text(render(known, simulated))


def render(known: Mapping[str, Any], simulated: list[dict[str, Any]]) -> str:
    """Return the page's text; suites that have not run yet are left out of its tables."""
    machines = {
        f"{where['cpu']}, {where['cores']} cores, {size(where['memory_bytes'])} of memory, {where['system']}, "
        f"Python {where['python']}"
        for where in (suite["machine"] for suite in known.values())
    }
    dates = ", ".join(f"{name} {suite['date']} ({suite['commit']})" for name, suite in known.items())
    sections = "\n\n".join(f"## {table.title}\n\n{table.markdown()}" for table in tables(known, simulated))
    return Template(TEMPLATE.read_text()).substitute(
        machine="; ".join(sorted(machines)), dates=dates, sections=sections
    )


def summary(name: str, figures: Mapping[str, Any]) -> str:
    """Return the newest of a suite's figures in one line."""
    where, newest = list(figures.items())[-1]
    if name == "replays":
        last = newest["outcomes"][-1]
        return f"{where}: {last['end']} after {last['seconds']:g} s"
    return f"{where}: " + ", ".join(f"{key} {value}" for key, value in newest.items() if value != {})


def tables(known: Mapping[str, Any], simulated: list[dict[str, Any]] | None = None) -> list[Table]:
    """Return the goals and the suites' tables."""
    figures = {name: suite["figures"] for name, suite in known.items()}
    found = [goals(figures)]
    if "promotions" in figures:
        found.append(_grid("Promotions", figures["promotions"]))
    if "rollbacks" in figures:
        found.append(_grid("Rollbacks", figures["rollbacks"]))
    if "shares" in figures:
        found.append(_grid("Shares", figures["shares"]))
    if "replays" in figures:
        found.append(_replays(figures["replays"], simulated or []))
    return found


def goals(figures: Mapping[str, Any]) -> Table:
    """Return the goals of the suites that ran."""
    lines = []
    for router, one in figures.get("promotions", {}).items():
        what = f"{router}: {one['promotions']} promotions under 200 calls/s, failed calls"
        lines.append(_goal(what, one["failedCalls"], 0, ""))
        what = f"{router}: from apply to the candidate's first answer, beside the pod's start, median"
        lines.append(_goal(what, one["medianSecondsBesidePodStart"], 3, " s"))
    for router, one in figures.get("rollbacks", {}).items():
        lines.append(_goal(f"{router}: from abort to 100 % stable", one["mostSecondsFromAbortToLastAnswer"], 5, " s"))
        what = f"{router}: from the failing verdict to 100 % stable"
        lines.append(_goal(what, one["mostSecondsFromVerdictToLastAnswer"], 5, " s"))
    for weight, one in figures.get("shares", {}).items():
        what = f"Gateway: share of {one['calls']:,} calls at {weight.removeprefix('weight')} %, off by"
        lines.append(_goal(what, one["sigmas"], 3, " sigma"))
    replays = figures.get("replays", {}).values()
    outcomes = [(one["good"], end["end"]) for one in replays for end in one["outcomes"]]
    if outcomes:
        wrong = sum(end != ("promoted" if good else "failed") for good, end in outcomes)
        lines.append(_goal(f"{len(outcomes)} replays, decided wrongly", wrong, 0, ""))
    return Table("Goals", ["goal", "target", "measured", ""], lines)


def _goal(what: str, value: float, bound: float, unit: str) -> list[str]:
    target = f"≤ {bound:g}{unit}" if bound else "0"
    return [what, target, f"{value:.3g}{unit}", "met" if value <= bound else "not met"]


def _grid(title: str, suite: Mapping[str, Any]) -> Table:
    """A row for each figure, a column for each router or weight."""
    names = list(dict.fromkeys(name for one in suite.values() for name in one))
    lines = [[name, *(_tell(one.get(name)) for one in suite.values())] for name in names]
    return Table(title, ["", *suite], lines)


def _tell(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count} x {what}" for what, count in value.items()) or "none"
    return "" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def _replays(suite: Mapping[str, Any], simulated: list[dict[str, Any]]) -> Table:
    known = {row["scenario"]: row for row in simulated if row["judge"] == "Shoal"}
    lines = []
    for name, one in suite.items():
        ends = "; ".join(f"{item['end']} after {item['seconds']:g} s" for item in one["outcomes"])
        lines.append([name, ends, _expect(known.get(one["simulated"])), f"{one['otherFailedCalls']:,}"])
    return Table("Replays", ["candidate", "on the cluster", "simulated", "calls failed otherwise"], lines, names=3)


def _expect(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "not simulated"
    share = f"{row['failed'] / row['rollouts']:.1%} failed"
    delay = row["medianSecondsToFail"]
    return share if delay is None else f"{share}, {delay:.0f} s in the median"
