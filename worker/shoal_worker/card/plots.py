"""Draws a sketch as SVG: the clusters, their sizes, the k-distance curve; put on paper by `page` and `picture`.

Colours are classes, so that a page can be light or dark: k0 to k6 are clusters, kn is noise. Invariant: equal sketches
give equal drawings.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import cos, log10, radians
from xml.etree.ElementTree import Element

import numpy as np

from shoal_worker.card.facts import show_distance
from shoal_worker.card.markup import DEGREES, EARTH_RADIUS_KM, ROUND, coordinate, count, el, figure, plural, ticks
from shoal_worker.card.projecting import Positions
from shoal_worker.card.sketch import Sketch
from shoal_worker.errors import shorten

COLOURS = 7
_MOST_NAMED = 12
_MOST_BARS = 10
_MARGIN = 14
_FLATTEST, _STEEPEST = 0.28, 0.62
_TALLEST_EQUAL = 4.0
_WORLD, _ISOGRAPHIC = 60.0, 36.0
_HIGHEST = 307
"""Power of ten that is still a number."""
_SMALL = 60.0
"""Pixels of a cluster that its own id would hide."""


@dataclass(frozen=True, slots=True)
class Palette:
    """The colour of each label, -1 among them."""

    by_label: np.ndarray

    def name(self, label: int) -> str:
        """The class of a label."""
        return "kn" if label < 0 else f"k{int(self.by_label[label])}"


def choose_colours(sketch: Sketch) -> Palette:
    """Give clusters that lie side by side different colours: each gets that whose clusters so far are the farthest.

    The largest come first, so they all differ.
    """
    places, labels = _places(sketch)
    colours = np.arange(len(sketch.sizes)) % COLOURS
    span = np.ptp(places, axis=0) if len(places) else np.ones(2)
    scaled = places / np.where(span > 0, span, 1.0)
    middles = np.full((len(sketch.sizes), 2), np.nan)
    for label in np.unique(labels[labels >= 0]).tolist():
        middles[label] = np.median(scaled[labels == label], axis=0)
    by_size = np.argsort(-sketch.sizes, kind="stable")
    shown = by_size[~np.isnan(middles[by_size, 0])]
    for place, label in enumerate(shown.tolist()):
        before = shown[:place]
        nearest = np.full(COLOURS, np.inf)
        np.minimum.at(nearest, colours[before], np.sum((middles[before] - middles[label]) ** 2, axis=1))
        colours[label] = int(np.argmax(nearest))
    return Palette(colours)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A group of elements and the space that it takes."""

    group: Element
    width: float
    height: float


def draw_clusters(sketch: Sketch, palette: Palette, width: float, height: float | None = None) -> Drawing:
    """Draw the rows, or the cells, in the colours of their clusters, with the ids of the largest."""
    places, labels = _places(sketch)
    frame = _Frame.around(places, sketch, width, height)
    group = el("g", el("rect", class_="plot", x=0.5, y=0.5, width=width - 1, height=frame.height - 1, rx=8.0))
    group.extend(frame.axes())
    if sketch.cells is not None:
        group.extend(_draw_cells(sketch, palette, frame))
    else:
        group.extend(_draw_points(sketch, palette, frame))
    if not len(places):
        nothing = "The model has no core samples to show" if sketch.of == "cores" else "There is nothing to show"
        group.append(el("text", nothing, class_="quiet", x=width / 2, y=frame.height / 2, text_anchor="middle"))
    group.extend(_name_clusters(sketch, frame, places, labels))
    return Drawing(group, width, frame.height)


def draw_sizes(sketch: Sketch, palette: Palette, width: float) -> Drawing:
    """Draw the rows of the largest clusters as bars, and tell of the others."""
    group, top, row = el("g"), 0.0, 22.0
    left = 62.0
    order = np.argsort(-sketch.sizes, kind="stable")[:_MOST_BARS]
    largest = int(sketch.sizes.max(initial=0))
    for label in order.tolist():
        size = int(sketch.sizes[label])
        length = max((width - left - 70) * size / largest, 1.5)
        group.append(el("text", str(int(sketch.ids[label])), x=left - 10, y=top + 14, text_anchor="end", class_="tick"))
        group.append(
            el("rect", class_=f"fill {palette.name(label)}", x=left, y=top + 3, width=length, height=row - 8, rx=2.0)
        )
        group.append(el("text", count(size), x=left + length + 8, y=top + 14, class_="tick strong"))
        top += row
    others = np.sort(sketch.sizes)[: max(len(sketch.sizes) - _MOST_BARS, 0)]
    if len(others):
        told = f"and {plural(len(others), 'cluster')} of {count(int(others[0]))} to {plural(int(others[-1]), 'row')}"
        group.append(
            el(
                "text",
                f"{told}, half of them below {figure(float(np.median(others)))}",
                x=left,
                y=top + 16,
                class_="quiet",
            )
        )
        top += 24
    if sketch.of == "rows":
        noise = plural(sketch.rows - int(sketch.sizes.sum()), "row")
        group.append(el("rect", class_="fill kn", x=left, y=top + 6, width=12.0, height=12.0, rx=2.0))
        group.append(el("text", f"noise: {noise}", x=left + 20, y=top + 16, class_="quiet"))
        top += 24
    return Drawing(group, width, top + 2)


def draw_curve(sketch: Sketch, width: float, height: float) -> Drawing | None:
    """Draw the k-distance curve, with eps or the reach of an adaptive model's clusters across it."""
    if sketch.curve is None or not len(sketch.curve.distances):
        return None
    globe = sketch.metric == "haversine"
    unit = EARTH_RADIUS_KM if globe else 1.0
    marks = [sketch.eps] if sketch.eps is not None else list(sketch.radii or ())
    heights = np.log10(sketch.curve.distances * unit)
    told = [log10(mark * unit) for mark in marks if mark > 0]
    low, high = min([float(heights.min()), *told]), max([float(heights.max()), *told])
    low, high = low - 0.06 * (high - low or 1), high + 0.1 * (high - low or 1)
    left, bottom = 54.0, height - 40.0

    def at(rank: float, value: float) -> tuple[float, float]:
        return left + rank * (width - left - _MARGIN), bottom - (value - low) / (high - low) * (bottom - 8)

    group = el("g")
    for value in _log_ticks(low, high):
        _, y = at(0, log10(value))
        group.append(el("line", class_="grid", x1=left, x2=width - _MARGIN, y1=y, y2=y))
        group.append(el("text", figure(value, 2), class_="tick", x=left - 7, y=y + 4, text_anchor="end"))
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, _ = at(part, low)
        group.append(
            el(
                "text",
                f"{part:.0%}".replace("%", " %"),
                class_="tick",
                x=x,
                y=bottom + 17,
                text_anchor="middle" if part < 1 else "end",
            )
        )
    if sketch.radii is not None and len(told) == 3:
        (_, lowest), (_, highest) = at(0, told[0]), at(0, told[2])
        group.append(
            el("rect", class_="band", x=left, y=highest, width=width - left - _MARGIN, height=lowest - highest)
        )
    steps = [at(float(rank), float(value)) for rank, value in zip(sketch.curve.shares, heights, strict=True)]
    path = "M" + "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in steps)
    group.append(el("path", class_="curve", d=path))
    if told:
        middle = told[len(told) // 2]
        _, y = at(0, middle)
        group.append(el("line", class_="mark", x1=left, x2=width - _MARGIN, y1=y, y2=y))
        name = "eps" if sketch.eps is not None else "median reach of a cluster"
        group.append(
            el(
                "text",
                f"{name} {show_distance(10**middle / unit, sketch.metric)}",
                class_="halo strong",
                x=left + 8,
                y=y - 7,
            )
        )
    group.append(
        el(
            "text",
            "rows, densest first",
            class_="quiet",
            x=(left + width - _MARGIN) / 2,
            y=height - 5,
            text_anchor="middle",
        )
    )
    return Drawing(group, width, height)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Maps positions to the drawing: y points up in the data and down on paper."""

    sketch: Sketch
    low: tuple[float, float]
    scale: tuple[float, float]
    origin: tuple[float, float]
    width: float
    height: float

    @classmethod
    def around(cls, places: Positions, sketch: Sketch, width: float, height: float | None) -> "_Frame":
        if len(places):
            low, high = places.min(axis=0), places.max(axis=0)
        else:
            low, high = np.zeros(2), np.ones(2)
        span = np.where(high > low, high - low, 1.0)
        # On a map, a degree of longitude is shorter the farther north it is; one of the world takes that of 36 degrees.
        middle = float((low[1] + high[1]) / 2) if span[1] < _WORLD else _ISOGRAPHIC
        squeeze = cos(radians(middle)) if sketch.view.kind == "map" else 1.0
        span = span * np.array([max(squeeze, 0.05), 1.0])
        room = width - 2 * _MARGIN
        below = _MARGIN + 26
        aspect = float(span[1] / span[0])
        flat = min(max(aspect, _FLATTEST), _STEEPEST)
        inner = room * flat if height is None else height - _MARGIN - below
        equal = min(room / span[0], inner / span[1])
        # Distances mean the same along both axes, unless a column is so much wider that nothing could be seen.
        fits = min(span * equal / np.array([room, inner])) > 1 / _TALLEST_EQUAL and sketch.view.kind != "line"
        scale = np.array([equal, equal]) if fits else np.array([room, inner]) / span
        used = span * scale
        origin = (_MARGIN + (room - used[0]) / 2, _MARGIN + inner - (inner - used[1]) / 2)
        scale = scale * np.array([max(squeeze, 0.05), 1.0])
        return cls(
            sketch,
            (float(low[0]), float(low[1])),
            (float(scale[0]), float(scale[1])),
            (float(origin[0]), float(origin[1])),
            width,
            inner + _MARGIN + below,
        )

    def at(self, places: Positions) -> Positions:
        return np.column_stack(
            [
                self.origin[0] + (places[:, 0] - self.low[0]) * self.scale[0],
                self.origin[1] - (places[:, 1] - self.low[1]) * self.scale[1],
            ]
        )

    def axes(self) -> Iterable[Element]:
        """Lines at round values, and what the axes are."""
        view, bottom = self.sketch.view, self.height - 26
        if view.kind == "projection":
            told = [
                f"{name} ({part:.0%} of the variance)".replace("%", " %")
                for name, part in zip(view.axes, view.shares, strict=True)
            ]
            yield el(
                "text",
                f"→ {told[0]}, ↑ {told[1]}",
                class_="quiet",
                x=self.width / 2,
                y=self.height - 9,
                text_anchor="middle",
            )
            return
        left, right = (
            self.low[0] + (_MARGIN - self.origin[0]) / self.scale[0],
            self.low[0] + (self.width - _MARGIN - self.origin[0]) / self.scale[0],
        )
        for value in ticks(left, right, 12, self._rounds):
            x = self.origin[0] + (value - self.low[0]) * self.scale[0]
            if not _MARGIN + 8 <= x <= self.width - _MARGIN - 8:
                continue
            yield el("line", class_="grid", x1=x, x2=x, y1=8.0, y2=bottom)
            yield el("text", self._told(value, "EW"), class_="tick", x=x, y=bottom + 15, text_anchor="middle")
        lowest = self.low[1] + (self.origin[1] - bottom) / self.scale[1]
        highest = self.low[1] + (self.origin[1] - 8) / self.scale[1]
        for value in ticks(lowest, highest, 6, self._rounds) if view.kind != "line" else ():
            y = self.origin[1] - (value - self.low[1]) * self.scale[1]
            if not 20 <= y <= bottom - 8:
                continue
            yield el("line", class_="grid", x1=8.0, x2=self.width - 8, y1=y, y2=y)
            yield el("text", self._told(value, "NS"), class_="tick halo", x=10.0, y=y - 4)
        if view.kind != "map":
            words = f"→ {shorten(view.axes[0], 60)}" + (f", ↑ {shorten(view.axes[1], 60)}" if view.axes[1] else "")
            yield el("text", words, class_="quiet halo", x=self.width - 14, y=22.0, text_anchor="end")

    @property
    def _rounds(self) -> tuple[float, ...]:
        return DEGREES if self.sketch.view.kind == "map" else ROUND

    def _told(self, value: float, sides: str) -> str:
        if self.sketch.view.kind != "map":
            return figure(value)
        return f"{figure(abs(value))}° {sides[value < 0]}" if value else "0°"


def _places(sketch: Sketch) -> tuple[Positions, np.ndarray]:
    if sketch.cells is not None:
        return sketch.cells.centres, sketch.cells.labels
    return sketch.positions, sketch.labels


def _draw_points(sketch: Sketch, palette: Palette, frame: _Frame) -> Iterable[Element]:
    """One path for each cluster, a dot being a line of no length with round ends; noise lies below, small on top."""
    at = frame.at(sketch.positions)
    dot = 6.0 if len(at) < 600 else 4.6 if len(at) < 2000 else 3.6
    present = np.unique(sketch.labels)
    for label in sorted(
        present.tolist(), key=lambda label: (label >= 0, -int(sketch.sizes[label]) if label >= 0 else 0)
    ):
        dots = "".join(f"M{coordinate(x)} {coordinate(y)}h0" for x, y in at[sketch.labels == label].tolist())
        yield el("path", class_=f"dots {palette.name(label)}", d=dots, stroke_width=dot if label >= 0 else dot * 0.7)


def _draw_cells(sketch: Sketch, palette: Palette, frame: _Frame) -> Iterable[Element]:
    """One square for each cell; the more rows, the fuller its colour, in five steps."""
    cells = sketch.cells
    if cells is None or not len(cells.rows):
        return
    wide, tall = cells.side[0] * frame.scale[0], cells.side[1] * frame.scale[1]
    at = frame.at(cells.centres)
    logs = np.log(cells.rows)
    steps = np.ceil(5 * (logs - logs.min() + 1e-9) / (np.ptp(logs) + 1e-9)).clip(1, 5)
    for label in np.unique(cells.labels).tolist():
        for step in range(1, 6):
            chosen = at[(cells.labels == label) & (steps == step)]
            if len(chosen):
                squares = "".join(
                    f"M{coordinate(x - wide / 2)} {coordinate(y - tall / 2)}h{coordinate(wide)}v{coordinate(tall)}"
                    f"h-{coordinate(wide)}z"
                    for x, y in chosen.tolist()
                )
                yield el(
                    "path", class_=f"fill {palette.name(label)}", d=squares, fill_opacity=f"{0.15 + 0.17 * step:.2f}"
                )


def _name_clusters(sketch: Sketch, frame: _Frame, places: Positions, labels: np.ndarray) -> Iterable[Element]:
    """Ids of the largest clusters, each on a row of it, none over another."""
    taken: list[tuple[float, float, float]] = []
    for label in np.argsort(-sketch.sizes, kind="stable").tolist()[: 4 * _MOST_NAMED]:
        mine = places[labels == label]
        if not len(mine) or len(taken) >= _MOST_NAMED:
            continue
        at = frame.at(mine)
        x, y = at[np.argmin(np.sum((at - np.median(at, axis=0)) ** 2, axis=1))].tolist()
        if np.ptp(at, axis=0).max() < _SMALL:
            y = float(at[:, 1].min()) - 12
        name = str(int(sketch.ids[label]))
        half = 4.4 * len(name) + 3
        x, y = min(max(x, half + 6), frame.width - half - 6), max(y, 18.0)
        if any(abs(x - other) < half + width and abs(y - line) < 20 for other, line, width in taken):
            continue
        taken.append((x, y, half))
        yield el("text", name, class_="name halo", x=x, y=y + 5, text_anchor="middle")


def _log_ticks(low: float, high: float) -> list[float]:
    """Round values between powers of ten: 1, 2, 5 where there is room for them, else 1 alone, or some of those."""
    whole = range(int(np.floor(low)), min(int(np.ceil(high)), _HIGHEST) + 1)
    factors = (1, 2, 5) if high - low < 2 else (1,)
    found = [factor * 10.0**power for power in whole for factor in factors]
    inside = [value for value in found if low <= log10(value) <= high]
    if len(inside) < 2 and high < _HIGHEST:
        inside = [value for value in ticks(10**low, 10**high, 4) if value > 0]
    every = -(-len(inside) // 6)
    return inside[::every] if every else inside
