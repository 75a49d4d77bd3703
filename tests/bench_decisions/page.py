"""Writes docs/decisions-bench.md from the figures. Everything that it states is counted, nothing is typed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("page.md")
_SURE = ("Shoal, agreement.min 0.95", "Shoal, learnt from 10 promotions")
"""The judges of labels that know what to expect."""
_WRONG = "wrong labels on 5 % of the rows"


def write_page(rows: list[dict[str, Any]], labels: list[dict[str, Any]], path: Path) -> None:
    """Fill the template."""
    text = TEMPLATE.read_text()
    path.write_text(
        text.replace("{rollouts}", str(rows[0]["rollouts"]))
        .replace("{label-rollouts}", str(labels[0]["rollouts"]))
        .replace("{goals}", _goals(rows, labels))
        .replace("{good}", _table([row for row in rows if row["good"]], _wrongly))
        .replace("{bad}", _table([row for row in rows if not row["good"]], _rightly))
        .replace("{good-labels}", _table([row for row in labels if row["good"]], _wrongly))
        .replace("{bad-labels}", _table([row for row in labels if not row["good"]], _rightly))
    )


def _goals(rows: list[dict[str, Any]], labels: list[dict[str, Any]]) -> str:
    ours = {row["scenario"]: row for row in rows if row["judge"] == "Shoal"}
    same = [row for name, row in ours.items() if name.startswith("as good") and "neighbours" not in name]
    total, failed = sum(row["rollouts"] for row in same), sum(row["failed"] for row in same)
    lines = ["| goal | target | measured | |", "| --- | ---: | ---: | ---: |"]
    lines.append(_goal("a version as good, failed by chance", "≤ 1 %", failed / total, met=failed / total <= 0.01))
    # Of the 100 or 200 calls a second the candidate gets a fifth in its first step.
    for name in [f"{what}{rate}" for rate in (", 200 calls/s", "") for what in ("+2 points of errors", "x1.5 latency")]:
        share = ours[name]["failedInFirstStep"] / ours[name]["rollouts"]
        lines.append(_goal(f"{name}, stopped within the first step", "≥ 95 %", share, met=share >= 0.95))
    sure = [row for row in labels if row["judge"] in _SURE]
    anew = [row for row in sure if row["good"]]
    total, failed = sum(row["rollouts"] for row in anew), sum(row["failed"] for row in anew)
    name = "as good by its labels, failed by chance"
    lines.append(_goal(name, "≤ 1 %", failed / total, met=failed / total <= 0.01))
    for row in (row for row in sure if row["scenario"] == _WRONG):
        share = row["failedInFirstStep"] / row["rollouts"]
        lines.append(_goal(f"{_WRONG}, {row['judge']}, stopped in shadow", "≥ 95 %", share, met=share >= 0.95))
    idle = ours["as good, no traffic"]
    lines.append(_goal("no traffic, failed", "0", idle["failed"] / idle["rollouts"], met=idle["failed"] == 0))
    return "\n".join(lines)


def _goal(name: str, target: str, share: float, *, met: bool) -> str:
    return f"| {name} | {target} | {share:.1%} | {'met' if met else 'not met'} |"


def _table(rows: list[dict[str, Any]], cell: Any) -> str:
    judges = list(dict.fromkeys(row["judge"] for row in rows))
    lines = [f"| | {' | '.join(judges)} |", f"| --- |{' ---: |' * len(judges)}"]
    for scenario in dict.fromkeys(row["scenario"] for row in rows):
        cells = [cell(next(r for r in rows if (r["scenario"], r["judge"]) == (scenario, judge))) for judge in judges]
        lines.append(f"| {scenario} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _wrongly(row: dict[str, Any]) -> str:
    held = f", held {row['held'] / row['rollouts']:.1%}" if row["held"] else ""
    return f"{row['failed'] / row['rollouts']:.1%}{held}"


def _rightly(row: dict[str, Any]) -> str:
    held = f", held {row['held'] / row['rollouts']:.0%}" if row["held"] else ""
    delay = f", {row['medianSecondsToFail']:.0f} s" if row["medianSecondsToFail"] is not None else ""
    return f"{row['failedInFirstStep'] / row['rollouts']:.0%} / {row['failed'] / row['rollouts']:.0%}{held}{delay}"
