"""The page docs/benchmarks-serving.md and its figures, written from what the suites found.

A run of some suites replaces their figures and keeps those of the others. Nothing is measured here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from tests.bench.judge import Goal
from tests.bench.tables import Table, seconds, size
from tests.bench_serving.figures import (
    MIB,
    OURS,
    contended,
    overload_goals,
    race_goals,
    ratio,
    start_goals,
    typical,
    typical_overloads,
)

DOCS = Path("docs")
TEMPLATE = Path(__file__).with_name("page.md")
Rows = Sequence[Mapping[str, Any]]
_GOALS: dict[str, Callable[[Rows], list[Goal]]] = {
    "race": race_goals,
    "start": start_goals,
    "overload": overload_goals,
}


def write(found: Mapping[str, Any], docs: Path = DOCS) -> list[Path]:
    """Merge the figures into docs/benchmarks/serving.json and write the page anew; returns what was written."""
    target = docs / "benchmarks" / "serving.json"
    known: dict[str, Any] = json.loads(target.read_text()) if target.exists() else {}
    known |= found
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(known, indent=1) + "\n")
    page = docs / "benchmarks-serving.md"
    page.write_text(render(known))
    return [target, page]


def render(known: Mapping[str, Any]) -> str:
    """Return the page's text; suites that have not run yet are left out of its tables."""
    lines = [_measured_on(name, suite) for name, suite in known.items()]
    sections = "\n\n".join(
        f"### {table.title}\n\n{table.markdown()}" for name in known for table in tables(name, known[name]["rows"])
    )
    return Template(TEMPLATE.read_text()).substitute(
        machine="\n".join(lines) or "Not measured yet.",
        goals=goals(known).markdown(),
        sections=sections,
        warning=warning(known),
    )


def goals(known: Mapping[str, Any]) -> Table:
    """Return the goals of the suites that ran."""
    words = {True: "met", False: "not met", None: ""}
    lines = [
        [goal.what, goal.target, goal.measured, words[goal.met]]
        for name, judge in _GOALS.items()
        if name in known
        for goal in judge(known[name]["rows"])
    ]
    return Table("Goals", ["goal", "target", "measured", ""], lines)


def tables(suite: str, rows: Rows) -> list[Table]:
    """Return a suite's tables."""
    if suite == "race":
        return [_loop("closed", rows), _loop("open", rows), _ready(rows)]
    return [_starts(rows)] if suite == "start" else [_overloads(rows)]


def warning(known: Mapping[str, Any]) -> str:
    """What is to be said of a machine that had other work to do; empty where it had none."""
    starved, runs = contended(known["race"]["rows"]) if "race" in known else (0, 0)
    if not starved:
        return ""
    return (
        f"In {starved} of {runs} rounds of the closed loop neither the server's nor the client's core was busy: other "
        "processes took them. Such rounds are in no verdict on the closed loop; all latencies are to be measured anew."
    )


def _loop(kind: str, rows: Rows) -> Table:
    """One loop: a line for each size and server."""
    runs = [row for row in rows if row["kind"] == kind]
    lines = []
    for batch, name in dict.fromkeys((row["batch"], row["name"]) for row in sorted(runs, key=lambda row: row["batch"])):

        def told(figure: str, batch: int = batch, name: str = name) -> float:
            return typical(runs, kind, batch, name, figure) or 0.0

        beside = None if name == OURS or kind == "open" else ratio(runs, kind, batch, "callsPerSecond", name)
        lines.append(
            [
                f"{batch:,}",
                name,
                f"{told('callsPerSecond'):,.0f}",
                "" if beside is None else f"{beside:.2f}x",
                seconds(told("p50")),
                seconds(told("p99")),
                seconds(told("serverSecondsPerCall")),
                f"{told('serverBusy'):.0%}",
                f"{told('clientBusy'):.0%}",
                f"{sum(row['failed'] for row in runs if (row['batch'], row['name']) == (batch, name)):,}",
            ]
        )
    columns = [
        "rows",
        "server",
        "calls/s",
        "Shoal's to it",
        "p50",
        "p99",
        "CPU a call",
        "its core",
        "client's core",
        "failed",
    ]
    return Table(f"{kind.capitalize()} loop", columns, lines, names=2)


def _ready(rows: Rows) -> Table:
    lines = [
        [row["name"], seconds(row["readySeconds"]), size(row["residentBytes"]), size(row["loadedResidentBytes"])]
        for row in rows
        if row["kind"] == "server"
    ]
    return Table("Start and memory, model of the race", ["server", "ready", "memory", "after the race"], lines)


def _starts(rows: Rows) -> Table:
    lines = [
        [
            "in the cache" if row["cached"] else "not in the cache",
            seconds(row["readySeconds"]),
            seconds(row["cpuSeconds"]),
            f"{row['residentBytes'] / MIB:.0f} MiB",
            f"{row['loadedResidentBytes'] / MIB:.0f} MiB" if "loadedResidentBytes" in row else "",
        ]
        for row in rows
    ]
    bytes_of_model = size(rows[0]["modelBytes"]) if rows else ""
    columns = ["model", "ready", "CPU", "memory", "after load"]
    return Table(f"Shoal's start with a model of {bytes_of_model}", columns, lines)


def _overloads(rows: Rows) -> Table:
    lines = [
        [
            f"{row['batch']:,}{' hard' * row['hard']}",
            f"{row['peak']:,.0f}",
            f"{row['factor']:.1f}x",
            f"{row['goodput']:.0%}",
            ", ".join(f"{count:,} {code}" for code, count in sorted(row["calls"].items())),
            _latencies(row["answeredP50"], row["answeredP99"]),
            _latencies(row["refusedP50"], row["refusedP99"]),
            seconds(row["recovery"]) if row["recovery"] else "0 s",
            f"{row['grown'] / MIB:+.0f} MiB",
            f"{row['clientBusy']:.0%}",
        ]
        for row in typical_overloads(rows)
    ]
    columns = [
        "rows",
        "peak",
        "sent",
        "goodput",
        "calls",
        "answered: p50, p99",
        "refused: p50, p99",
        "recovery",
        "memory",
        "client's core",
    ]
    return Table("Overload of Shoal", columns, lines)


def _latencies(middle: float | None, tail: float | None) -> str:
    return "none" if middle is None or tail is None else f"{seconds(middle)}, {seconds(tail)}"


def _measured_on(name: str, suite: Mapping[str, Any]) -> str:
    where = suite["machine"]
    versions = ", ".join(f"{package} {number}" for package, number in suite["versions"].items())
    return (
        f"- {name} ({suite['date']}, {suite['commit']}): {where['cpu']}, {where['cores']} cores, "
        f"{size(where['memory_bytes'])} of memory, {where['system']}, Python {where['python']}; {versions}."
    )
