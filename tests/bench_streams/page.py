"""The page docs/benchmarks-streams.md and its figures, written from what was measured. Nothing is measured here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from tests.bench.tables import Table, size

DOCS = Path("docs")
TEMPLATE = Path(__file__).with_name("page.md")

LEAST_RATE = 5000
MOST_P99_MS = 50
NEAR_SHARE = 0.5


def write(found: Mapping[str, Any], docs: Path = DOCS) -> list[Path]:
    """Write docs/benchmarks/streams.json and the page."""
    target, page = docs / "benchmarks" / "streams.json", docs / "benchmarks-streams.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(found, indent=1) + "\n")
    page.write_text(render(found))
    return [target, page]


def render(found: Mapping[str, Any]) -> str:
    """Return the page's text."""
    where = found["machine"]
    machine = (
        f"{where['cpu']}, {where['cores']} cores, {size(where['memory_bytes'])} of memory, {where['system']}, "
        f"Python {where['python']}"
    )
    return Template(TEMPLATE.read_text()).substitute(
        figures=figures(found["figures"]).markdown(), machine=machine, date=f"{found['date']}, {found['commit']}"
    )


def figures(found: Mapping[str, Any]) -> Table:
    """Return the figures, each with its goal where it has one."""
    rate, latency, kill, share = (found[name] for name in ("rate", "latency", "kill", "share"))
    small, p99 = rate["smallMessagesPerSecond"], latency["p99Ms"]
    store = found["store"]
    stored = store["messagesPerSecond"]
    off = abs(share["takenPercent"] - share["toldPercent"])
    lines = [
        ["messages of one row, a second", f"{small:,}", f"≥ {LEAST_RATE:,}", _met(small >= LEAST_RATE)],
        ["CPU of the worker for each", f"{rate['cpuMicrosecondsPerSmallMessage']:g} µs", "", ""],
        ["rows a second in messages of 1,000", f"{rate['rowsPerSecondInMessagesOf1000']:,}", "", ""],
        ["from publish to answer at 500 a second, P50", f"{latency['p50Ms']:g} ms", "", ""],
        ["the same, P99", f"{p99:g} ms", f"≤ {MOST_P99_MS} ms", _met(p99 <= MOST_P99_MS)],
        ["redelivered after a kill", f"{kill['redelivered']:,.0f} of {kill['messages']:,}", "", ""],
        ["answers lost by it", f"{kill['lost']}", "0", _met(kill["lost"] == 0)],
        ["answers doubled by it", f"{kill['doubled']}", "0", _met(kill["doubled"] == 0)],
        [
            "leases of a candidate that was told 10 %",
            f"{share['takenPercent']:g} %",
            "10 ± 0.5 %",
            _met(off <= NEAR_SHARE),
        ],
        ["messages of one row into a store, a second", f"{stored:,}", f"≥ {LEAST_RATE:,}", _met(stored >= LEAST_RATE)],
        ["CPU of the worker for each", f"{store['cpuMicrosecondsPerMessage']:g} µs", "", ""],
        ["messages in a file", f"{store['messagesInAFile']:,}", "", ""],
        ["messages lost from the store by a kill", f"{store['lost']}", "0", _met(store["lost"] == 0)],
        ["rows stored twice by it, which readers drop", f"{store['doubles']:,} of {store['messages']:,}", "", ""],
    ]
    return Table("Figures", ["", "measured", "goal", "met"], lines)


def _met(good: bool) -> str:
    return "met" if good else "not met"
