"""The picture of docs/benchmarks-scaling.md, from docs/benchmarks/scaling.json. Needs matplotlib."""

from __future__ import annotations

import json
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench_scaler.plots import DOCS
from tests.bench_scaling.plan import EACH, PLAN, draw, starts
from tests.plot_style import OUR_COLOUR, SAVED, STYLE


def main() -> None:
    """Draw one panel for each drive."""
    known = json.loads((DOCS / "benchmarks" / "scaling.json").read_text())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 2 * len(known)), layout="constrained")
        for axes, (name, one) in zip(figure.subplots(len(known), 1, squeeze=False)[:, 0], known.items(), strict=True):
            _draw(axes, name, one["figures"]["looks"])
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        figure.savefig(DOCS / "benchmarks" / "scaling.svg", **SAVED)


def _draw(axes: Axes, name: str, looks: list[list[Any]]) -> None:
    drawn = draw(PLAN)
    rates = [stage.rate / EACH for stage in drawn]
    axes.stairs(rates, starts(drawn), fill=True, color="#e9ecef", label="load in pods")
    times, wanted, ready = zip(*looks, strict=True)
    axes.step(times, wanted, where="post", color=OUR_COLOUR, label="wanted", linewidth=1.4)
    axes.step(times, ready, where="post", color="#00798c", label="ready", linewidth=1.0)
    axes.set_title(f"{name}: pods over seconds", loc="left", fontsize=9)
    axes.set_xlim(0, starts(drawn)[-1])


if __name__ == "__main__":
    main()
