"""Writes docs/benchmarks-scaler.md from the figures. Everything that it states is counted, nothing is typed in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("page.md")


def write_page(rows: list[dict[str, Any]], path: Path) -> None:
    """Fill the template."""
    text = TEMPLATE.read_text()
    loads = "\n".join(f"- **{name}**: {told}." for name, told in {r["trace"]: r["told"] for r in rows}.items())
    path.write_text(
        text.replace("{loads}", loads)
        .replace("{unserved}", _table(rows, lambda row: f"{row['unservedShare']:.2%}"))
        .replace("{cost}", _table(rows, lambda row: f"{row['podHours'] / row['leastPodHours']:.2f}"))
        .replace("{turns}", _table(rows, lambda row: f"{row['turns']} / {row['changes']}"))
        .replace("{goals}", _goals(rows))
    )


def _goals(rows: list[dict[str, Any]]) -> str:
    ours = {row["trace"]: row for row in rows if row["scaler"] == "Shoal"}
    noise, sine = ours["noise"], ours["sine"]
    lines = ["| goal | target | measured | |", "| --- | ---: | ---: | ---: |"]
    lines.append(_goal("changes under noise of ±9 % in half an hour", "0", noise["changes"], met=not noise["changes"]))
    lines.append(
        _goal(
            "turns under a sine in an hour, which has 12 windows of 300 s",
            "≤ 12",
            sine["turns"],
            met=sine["turns"] <= 12,
        )
    )
    return "\n".join(lines)


def _goal(name: str, target: str, measured: int, *, met: bool) -> str:
    return f"| {name} | {target} | {measured} | {'met' if met else 'not met'} |"


def _table(rows: list[dict[str, Any]], cell: Callable[[dict[str, Any]], str]) -> str:
    scalers = list(dict.fromkeys(row["scaler"] for row in rows))
    lines = [f"| | {' | '.join(scalers)} |", f"| --- |{' ---: |' * len(scalers)}"]
    for trace in dict.fromkeys(row["trace"] for row in rows):
        cells = [cell(next(r for r in rows if (r["trace"], r["scaler"]) == (trace, name))) for name in scalers]
        lines.append(f"| {trace} | {' | '.join(cells)} |")
    return "\n".join(lines)
