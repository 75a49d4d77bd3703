"""The pictures of docs/benchmarks.md: time against rows, time against columns, ARI. Small SVG files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench import suite_adaptive
from tests.bench.contestants import ADAPTIVE, EXACT, OURS
from tests.bench.race import Row
from tests.plot_style import OUR_COLOUR, SAVED, STYLE

PEER_COLOURS = ("#00798c", "#edae49", "#66717e", "#7a9e3d", "#8e6cb8", "#30638e")


def draw(known: dict[str, Any], folder: Path) -> list[Path]:
    """Draw what the figures allow; returns the files."""
    drawn = []
    with mpl.rc_context(STYLE):
        if fits := _finished(known, "fit"):
            drawn += [
                _save(_time_by_n(fits), folder / "time-by-n.svg"),
                _save(_time_by_d(fits), folder / "time-by-d.svg"),
            ]
        if rows := _finished(known, "adaptive"):
            drawn.append(_save(_ari(rows), folder / "ari.svg"))
    return drawn


def _finished(known: dict[str, Any], suite: str) -> list[Row]:
    return [row for row in known.get(suite, {}).get("rows", []) if row["status"] == "ok"]


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, **SAVED, bbox_inches="tight")
    return path


def _colours(names: Iterable[str]) -> dict[str, str]:
    peers = [name for name in names if name != OURS]
    return {OURS: OUR_COLOUR} | dict(zip(peers, PEER_COLOURS, strict=False))


def _time_by_n(rows: list[Row]) -> Figure:
    shown = [d for d in (2, 3, 8, 16) if any(row["d"] == d and row["data"] == "spreader" for row in rows)]
    figure = Figure(figsize=(3 * max(1, len(shown)), 3.2), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, max(1, len(shown)), sharey=True))
    for d, axis in zip(shown, axes, strict=False):
        _lines(axis, [row for row in rows if row["d"] == d], "n")
        axis.set(title=f"seed spreader, d = {d}", xlabel="rows", xscale="log", yscale="log")
    axes[0].set_ylabel("seconds")
    _legend(figure, axes)
    return figure


def _time_by_d(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axis = figure.subplots()
    _lines(axis, [row for row in rows if row["n"] == 100_000], "d")
    columns = sorted({row["d"] for row in rows if row["n"] == 100_000 and row["data"] == "spreader"})
    axis.set(title="seed spreader, 100,000 rows", xlabel="columns", ylabel="seconds", xscale="log", yscale="log")
    axis.set_xticks(columns, [str(d) for d in columns])
    axis.minorticks_off()
    _legend(figure, [axis])
    return figure


def _lines(axis: Axes, rows: list[Row], key: str) -> None:
    """One line for each contestant on the seed spreader with the usual eps."""
    for name, colour in _colours(EXACT).items():
        found = sorted(
            (row[key], row["seconds"])
            for row in rows
            if row["name"] == name and row["data"] == "spreader" and row["kind"] == "typ"
        )
        if found:
            heavy = name == OURS
            style = {
                "color": colour,
                "marker": "o",
                "markersize": 4 if heavy else 3,
                "linewidth": 2.2 if heavy else 1.2,
            }
            axis.plot(*zip(*found, strict=True), label=name, **style)


def _ari(rows: list[Row]) -> Figure:
    cases = suite_adaptive.by_case(rows)
    names = [name for name in ADAPTIVE if any(row["name"] == name for row in rows)]
    figure = Figure(figsize=(max(6.0, 1.05 * len(cases)), 3.4), layout="constrained")
    axis = figure.subplots()
    width = 0.85 / len(names)
    for at, (name, colour) in enumerate((name, _colours(ADAPTIVE)[name]) for name in names):
        heights = [members[name]["ari"] if name in members else 0.0 for members in cases.values()]
        axis.bar(np.arange(len(cases)) + (at - (len(names) - 1) / 2) * width, heights, width, color=colour, label=name)
    axis.set_xticks(range(len(cases)), [f"{data}\n{n:,} x {d}" for data, n, d in cases], rotation=35, ha="right")
    axis.set(ylabel="adjusted Rand index", ylim=(0, 1))
    axis.grid(visible=False, axis="x")
    _legend(figure, [axis])
    return figure


def _legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend below all panels."""
    entries = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=3)
