"""Draws what a gate says look by look as SVG, readable on light and on dark pages; used by `pictures`.

Invariant: equal charts give equal drawings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from shoal_worker.card.markup import el, markup

WIDTH, HEIGHT = 760.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 168.0, 34.0, 46.0
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 } .quiet { fill: #656d76 } .strong { font-weight: 600 }
.axis { stroke: #d0d7de; fill: none } .limit { stroke: #656d76; stroke-dasharray: 6 4; fill: none }
.good { stroke: #0b7285; fill: none } .bad { stroke: #c2410c; fill: none } .line { stroke-width: 2 }
.bound { stroke-width: 1.2; stroke-dasharray: 2 3 } .box { stroke: #8c959f; fill: none }
.pass { fill: #2da44e } .inconclusive { fill: #d4a72c } .fail { fill: #cf222e } .error { fill: #8250df }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .quiet { fill: #8d96a0 } .axis { stroke: #30363d } .limit { stroke: #8d96a0 }
.good { stroke: #39c5cf } .bad { stroke: #ff8c42 } }
""".replace("\n", " ")


@dataclass(frozen=True)
class Series:
    """A figure of one candidate at each look, what the gate said of it, and the bound that decides, if it is drawn."""

    name: str
    good: bool
    values: Sequence[float | None]
    verdicts: Sequence[str]
    bounds: Sequence[float | None] = ()
    beside: float = 18.0
    """Pixels from a line's end down to its name, where the candidate is not stopped."""


@dataclass(frozen=True)
class Chart:
    """Series over looks, with the limit across them."""

    series: Sequence[Series]
    limits: Sequence[tuple[float, str]]
    low: float
    high: float
    axis: str
    write: Callable[[float], str]
    ticks: Sequence[float]
    look_seconds: float = 5.0
    """0 where the looks are no moments."""


def draw_chart(chart: Chart) -> str:
    """Draw lines over time, a dot a look in the colour of its verdict."""
    looks = max(len(one.values) for one in chart.series)

    def at(look: int, value: float) -> tuple[float, float]:
        shown = min(max(value, chart.low), chart.high)
        right = _LEFT + (WIDTH - _LEFT - _RIGHT) * (look + 1) / (looks + 0.5)
        return right, HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * (shown - chart.low) / (chart.high - chart.low)

    end = WIDTH - _RIGHT
    parts = [el("line", class_="axis", x1=_LEFT, x2=end, y1=HEIGHT - _BOTTOM, y2=HEIGHT - _BOTTOM)]
    for tick in chart.ticks:
        _, y = at(0, tick)
        parts.append(el("line", class_="axis", x1=_LEFT, x2=end, y1=y, y2=y))
        parts.append(el("text", chart.write(tick), class_="quiet", x=_LEFT - 8, y=y + 4, text_anchor="end"))
    for look in range(1, looks if chart.look_seconds else 0, 2):
        x, _ = at(look, chart.low)
        told = f"{(look + 1) * chart.look_seconds:g} s"
        parts.append(el("text", told, class_="quiet", x=x, y=HEIGHT - _BOTTOM + 18, text_anchor="middle"))
    parts.append(el("text", chart.axis, class_="strong", x=_LEFT, y=14.0))
    for value, name in chart.limits:
        _, y = at(0, value)
        parts.append(el("line", class_="limit", x1=_LEFT, x2=end, y1=y, y2=y))
        parts.append(el("text", name, class_="strong", x=end + 8, y=y + 4))
    for one in chart.series:
        parts += _draw_series(one, at)
    return _page(parts, ("pass", "inconclusive", "fail"))


def draw_boxes(columns: Sequence[str], steps: Sequence[tuple[int, int, str]], notes: Sequence[tuple[str, str]]) -> str:
    """Draw who asks whom: columns from the left, arrows from the top (from, to, text), and what each verdict means."""
    height = 70.0 + 34 * len(steps) + 22 * len(notes)
    gap = (WIDTH - 160) / max(1, len(columns) - 1)
    parts: list[Element] = []
    for index, name in enumerate(columns):
        x = 80 + gap * index
        parts.append(el("rect", class_="box", x=x - 74, y=8.0, width=148.0, height=28.0, rx=5.0))
        parts.append(el("text", name, class_="strong", x=x, y=27.0, text_anchor="middle"))
        parts.append(el("line", class_="axis", x1=x, x2=x, y1=36.0, y2=58.0 + 34 * len(steps)))
    for row, (start, to, told) in enumerate(steps):
        y = 70.0 + 34 * row
        left, right = 80 + gap * start, 80 + gap * to
        head = 7 if right > left else -7
        path = f"M{left:.0f} {y:.0f}H{right:.0f}m{-head} -4l{head} 4l{-head} 4"
        parts.append(el("path", class_="good line", d=path))
        parts.append(el("text", told, x=(left + right) / 2, y=y - 7, text_anchor="middle"))
    for row, (verdict, told) in enumerate(notes):
        y = 72.0 + 34 * len(steps) + 22 * row
        parts.append(el("circle", class_=verdict, cx=18.0, cy=y, r=5.0))
        parts.append(el("text", verdict, class_="strong", x=30.0, y=y + 4))
        parts.append(el("text", told, class_="quiet", x=124.0, y=y + 4))
    return _page(parts, (), height)


def _draw_series(one: Series, at: Callable[[int, float], tuple[float, float]]) -> list[Element]:
    kind = "good" if one.good else "bad"
    parts = []
    for values, class_ in ((one.bounds, f"{kind} bound"), (one.values, f"{kind} line")):
        places = [at(look, value) for look, value in enumerate(values) if value is not None]
        if places:
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
            parts.append(el("path", class_=class_, d=path))
    last = (0.0, 0.0)
    for look, (value, verdict) in enumerate(zip(one.values, one.verdicts, strict=True)):
        last = at(look, 0.0 if value is None else value)
        parts.append(el("circle", class_=verdict, cx=last[0], cy=last[1], r=4.5))
    stopped = bool(one.verdicts) and one.verdicts[-1] == "fail"
    x, y, anchor = (last[0] + 10, last[1] + 4, None) if stopped else (last[0], last[1] + one.beside, "end")
    parts.append(el("text", one.name, x=x, y=y, text_anchor=anchor))
    return parts


def _page(parts: Sequence[Element], verdicts: Sequence[str], height: float = HEIGHT) -> str:
    for column, word in enumerate(verdicts):
        x, y = _LEFT + 5 + 92 * column, height - 5
        parts = [*parts, el("circle", class_=word, cx=x, cy=y - 4, r=4.5), el("text", word, x=x + 10, y=y)]
    drawing = el(
        "svg", el("style", STYLE), *parts, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH:g} {height:g}"
    )
    return markup(drawing, xml=True) + "\n"
