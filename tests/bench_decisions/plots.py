"""The picture of docs/decisions-bench.md, from docs/benchmarks/decisions.json. Needs matplotlib."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.plot_style import OUR_COLOUR, SAVED, STYLE

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
COLOURS = (OUR_COLOUR, "#00798c", "#66b2bd", "#edae49", "#66717e")


def main() -> None:
    """Draw the picture."""
    rows = json.loads((FOLDER / "decisions.json").read_text())["rows"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 4.6), layout="constrained")
        good, bad = figure.subplots(1, 2)
        _draw(good, [row for row in rows if row["good"]], "failed", "good versions rolled back (wrongly), %")
        _draw(bad, [row for row in rows if not row["good"]], "failedInFirstStep", "bad versions stopped in step one, %")
        figure.legend(*good.get_legend_handles_labels(), loc="outside lower center", ncols=5)
        figure.savefig(FOLDER / "decisions.svg", **SAVED)


def _draw(axes: Axes, rows: list[dict[str, Any]], figure: str, title: str) -> None:
    scenarios = list(dict.fromkeys(row["scenario"] for row in rows))
    judges = list(dict.fromkeys(row["judge"] for row in rows))
    for number, (judge, colour) in enumerate(zip(judges, COLOURS, strict=True)):
        mine = {row["scenario"]: 100 * row[figure] / row["rollouts"] for row in rows if row["judge"] == judge}
        heights = [index + 0.15 * (number - 2) for index in range(len(scenarios))]
        axes.plot([mine[name] for name in scenarios], heights, "o", color=colour, label=judge, markersize=5)
    axes.set_yticks(range(len(scenarios)), scenarios)
    axes.invert_yaxis()
    axes.set_xlim(-3, 103)
    axes.set_title(title, loc="left", fontsize=9)


if __name__ == "__main__":
    main()
