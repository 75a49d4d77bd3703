"""The pictures of docs/benchmarks-scaler.md and docs/scaling.md, from docs/benchmarks/scaler.json. Needs matplotlib."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.plot_style import OUR_COLOUR, SAVED, STYLE

DOCS = Path(__file__).resolve().parents[2] / "docs"
COLOURS = {
    "Shoal": OUR_COLOUR,
    "HPA, Pods metric": "#00798c",
    "KEDA": "#66b2bd",
    "Knative KPA": "#edae49",
    "bare formula": "#b8bdc4",
}


def main() -> None:
    """Draw both."""
    lines = {line["trace"]: line for line in json.loads((DOCS / "benchmarks" / "scaler.json").read_text())["lines"]}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 8.4), layout="constrained")
        for axes, name in zip(figure.subplots(len(lines), 1), lines, strict=True):
            _compare(axes, lines[name])
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6)
        figure.savefig(DOCS / "benchmarks" / "scaler.svg", **SAVED)
        figure = Figure(figsize=(8, 4.4), layout="constrained")
        for axes, name in zip(figure.subplots(2, 1), ("step x10", "a day"), strict=True):
            _follow(axes, lines[name])
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        figure.savefig(DOCS / "images" / "scaling.svg", **SAVED)


def _times(line: dict[str, Any]) -> tuple[list[float], str]:
    hours = line["every"] * len(line["load"]) > 2 * 3600
    return [place * line["every"] / (3600 if hours else 60) for place in range(len(line["load"]))], (
        "hours" if hours else "minutes"
    )


def _compare(axes: Axes, line: dict[str, Any]) -> None:
    times, unit = _times(line)
    axes.fill_between(times, line["load"], color="#e9ecef", label="load in pods", linewidth=0)
    for name in reversed(COLOURS):
        axes.step(times, line[name], where="post", color=COLOURS[name], label=name, linewidth=1.1)
    axes.set_title(f"{line['trace']}: pods over {unit}", loc="left", fontsize=9)
    axes.set_xlim(0, times[-1])


def _follow(axes: Axes, line: dict[str, Any]) -> None:
    times, unit = _times(line)
    axes.fill_between(times, line["load"], color="#e9ecef", label="load in pods", linewidth=0)
    axes.step(times, line["Shoal"], where="post", color=OUR_COLOUR, label="wanted", linewidth=1.4)
    axes.step(times, line["ready"], where="post", color="#00798c", label="ready", linewidth=1.0)
    axes.set_title(f"{line['trace']}: pods over {unit}", loc="left", fontsize=9)
    axes.set_xlim(0, times[-1])


if __name__ == "__main__":
    main()
