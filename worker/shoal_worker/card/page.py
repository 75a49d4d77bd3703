"""The card as one HTML page, which needs no network and runs no script; called by `making`.

Invariant: equal facts and sketches give equal bytes; a policy in the page forbids whatever is not in it.
"""

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from xml.etree.ElementTree import Element

from shoal_worker.card.facts import Facts, Pair
from shoal_worker.card.markup import Child, count, el, figure, markup, plural, share
from shoal_worker.card.plots import Drawing, Palette, draw_clusters, draw_curve, draw_sizes
from shoal_worker.card.sketch import MOST_COLUMNS_TOLD, Sketch

_WIDTH, _HALF = 1036.0, 486.0
_ORDER = {"fail": 0, "unknown": 1, "warn": 2, "pass": 3}
_MARKS = {"pass": "✓ pass", "fail": "✗ fail", "warn": "! warning", "unknown": "? unknown"}


@cache
def style() -> str:
    """The style sheet of the page."""
    return files("shoal_worker.card").joinpath("style.css").read_text("utf-8")


def render_page(facts: Facts, sketch: Sketch, palette: Palette) -> bytes:
    """Render the page as UTF-8."""
    hashed = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'"
    title = f"{facts.title} · model card"
    sheet = Element("style")
    sheet.text = style()
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="generator", content="Shoal"),
        el("title", title),
        sheet,
    )
    main = el(
        "main",
        _header(facts),
        _tiles(facts, sketch),
        *_figures(sketch, palette),
        _validation(facts),
        _identity(facts),
        _parameters(facts, sketch),
        _data(facts, sketch),
        _lineage(facts),
        _footer(sketch),
    )
    page = el("html", head, el("body", main), lang="en")
    return ("<!doctype html>\n" + markup(page) + "\n").encode("utf-8", "replace")


def _header(facts: Facts) -> Element:
    version = el("span", f" version {facts.number}") if facts.number is not None else None
    failed = "; ".join(f"{test.name}: {test.message}" for test in facts.tests if test.rejects)
    return el(
        "header",
        el("p", "Model card · density-based clustering", class_="eyebrow"),
        el("h1", facts.model, version),
        el(
            "span",
            "✓ passed its validation" if facts.passed else "✗ rejected by its validation",
            class_=f"verdict {'pass' if facts.passed else 'fail'}",
        ),
        el("p", " · ".join(part for part in (facts.kind, facts.summary) if part), class_="lead"),
        el("p", f"Rejected for {failed}", class_="lead strong") if failed else None,
    )


def tiles_of(facts: Facts, sketch: Sketch) -> list[Pair]:
    """The figures that matter most, with their names."""
    rows, noise, cores = (facts.metric(name) for name in ("rows", "noiseRatio", "coreSamples"))
    shown: list[Pair] = [
        ("clusters", count(len(sketch.sizes))),
        ("noise", "unknown" if noise is None else share(noise)),
        ("rows", "unknown" if rows is None else count(int(rows))),
        ("core samples", "unknown" if cores is None else count(int(cores))),
    ]
    for name, title in (("silhouette", "silhouette"), ("dbcv", "DBCV")):
        value = facts.metric(name)
        shown.append((title, "none" if value is None else figure(value, 3)))
    return shown


def _tiles(facts: Facts, sketch: Sketch) -> Element:
    tiles = (el("div", el("dt", name), el("dd", value)) for name, value in tiles_of(facts, sketch))
    return el("dl", *tiles, class_="tiles", aria_label="Figures")


def describe_drawing(sketch: Sketch) -> str:
    """What the plot of the clusters shows, in a sentence."""
    view = sketch.view
    axes = {
        "map": "by longitude and latitude, in degrees",
        "plane": "by their two columns",
        "line": "by their one column, spread across it by chance",
        "projection": f"on their first two principal components, which hold {share(sum(view.shares))} of the variance",
    }[view.kind]
    what = "core samples" if sketch.of == "cores" else "rows"
    if sketch.cells is not None:
        return (
            f"Density of the {what} {axes}. No single row is shown: a square stands for at least five, and the more "
            "there are, the fuller its colour."
        )
    drawn = len(sketch.labels)
    some = (
        f"All {count(drawn)} {what}"
        if drawn == sketch.rows
        else (f"{count(drawn)} of {count(sketch.rows)} {what}, drawn evenly, with more of the small clusters,")
    )
    noise = " Grey is noise." if sketch.of == "rows" else ""
    ids = " Numbers are the ids of the largest clusters; colours repeat." if len(sketch.sizes) else ""
    return f"{some} {axes}.{noise}{ids}"


def _drawn(drawing: Drawing, title: str, description: str, name: str) -> Element:
    return el(
        "svg",
        el("title", title, id=f"{name}-title"),
        el("desc", description, id=f"{name}-desc"),
        drawing.group,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {drawing.width:.0f} {drawing.height:.0f}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def _figures(sketch: Sketch, palette: Palette) -> Iterable[Element]:
    told = describe_drawing(sketch)
    if sketch.of == "cores":
        told += " This card was made from the artifact, which holds no noise and no borders of clusters."
    plot = _drawn(draw_clusters(sketch, palette, _WIDTH), "Clusters", told, "clusters")
    yield el(
        "section", el("h2", "Clusters"), el("figure", el("div", plot, class_="scroll wide"), el("figcaption", told))
    )
    what = "core samples" if sketch.of == "cores" else "rows"
    sizes = _drawn(
        draw_sizes(sketch, palette, _HALF),
        "Sizes of the clusters",
        f"{what} of the largest clusters and of noise",
        "sizes",
    )
    left = el("section", el("h2", f"Sizes, in {what}"), el("figure", sizes))
    curve = draw_curve(sketch, _HALF, 260.0)
    if curve is None:
        why = "made from the artifact alone" if sketch.of == "cores" else "too many rows, or none that differ"
        right: Element = el("section", el("h2", "k-distance curve"), el("p", f"Not drawn: {why}.", class_="quiet"))
    else:
        neighbour = sketch.curve.neighbour if sketch.curve else 0
        unit = " in kilometres," if sketch.metric == "haversine" else ""
        words = (
            f"Distance to the {_ordinal(neighbour)} nearest row, itself included,{unit} of sampled rows. Above the "
            + ("dashed line rows are no cores." if sketch.eps is not None else "band they belong to no cluster.")
        )
        drawing = _drawn(curve, "k-distance curve", words, "curve")
        right = el("section", el("h2", "k-distance curve"), el("figure", drawing, el("figcaption", words)))
    yield el("div", left, right, class_="pair")


def _validation(facts: Facts) -> Element:
    rows = []
    for test in sorted(facts.tests, key=lambda test: _ORDER[test.verdict]):
        figures = " · ".join(f"{name} {value}" for name, value in test.figures)
        rows.append(
            el(
                "tr",
                el("th", test.name, scope="row"),
                el(
                    "td",
                    el(
                        "span",
                        _MARKS[test.verdict] + (" (dry run)" if test.dry_run else ""),
                        class_=f"verdict {'warn' if test.dry_run and test.verdict == 'fail' else test.verdict}",
                    ),
                ),
                el("td", test.message, el("small", figures) if figures else None),
            )
        )
    body: Child = (
        _table(("Test", "Verdict", "What was found"), rows) if rows else el("p", "No test is recorded.", class_="quiet")
    )
    warnings = el("ul", *(el("li", each) for each in facts.warnings)) if facts.warnings else None
    return el(
        "section",
        el("h2", "Validation"),
        body,
        el("h3", "Warnings") if facts.warnings else None,
        warnings,
        class_="tables",
    )


def _identity(facts: Facts) -> Element | None:
    if not facts.identity:
        return None
    heading = el("h2", "Clusters over versions")
    if facts.previous is None:
        return el("section", heading, el("p", "There is no earlier version to continue: every cluster is new."))
    if facts.identity_problem:
        told = f"Version {facts.previous} could not be continued, so all ids are new: {facts.identity_problem}"
        return el("section", heading, el("p", told))
    tiles = el("dl", *(el("div", el("dt", name), el("dd", value)) for name, value in facts.identity), class_="tiles")
    parts: list[Child] = [heading, el("p", f"Compared with version {facts.previous}, on the same rows."), tiles]
    if facts.events:
        rows = [
            el("tr", el("th", event.kind, scope="row"), el("td", event.text), el("td", event.rows, class_="number"))
            for event in facts.events
        ]
        parts.append(_table(("Change", "What became of it", "Share of the rows"), rows, numbers=1))
    return el("section", *parts, class_="tables")


def _parameters(facts: Facts, sketch: Sketch) -> Element:
    shown = [("Algorithm", facts.kind), *facts.parameters]
    if sketch.radii is not None:
        low, middle, high = (figure(radius) for radius in sketch.radii)
        shown.append(("reach of a cluster", f"{low} to {high}, median {middle}"))
    parts: list[Child] = [el("h2", "Parameters"), _facts(shown)]
    if facts.search:
        parts += [el("h3", "How they were found"), el("p", f"{facts.search}.")]
        if facts.trials:
            names = tuple(dict.fromkeys(name for trial in facts.trials for name, _ in trial))
            rows = [
                el("tr", *(el("td", dict(trial).get(name, ""), class_="number") for name in names))
                for trial in facts.trials
            ]
            parts.append(_table(names, rows, numbers=len(names), caption="The best trials"))
    return el("section", *parts, class_="tables")


def _data(facts: Facts, sketch: Sketch) -> Element:
    measured = any(column.middle is not None or column.distinct is not None for column in sketch.columns)
    ends = ("smallest", "largest") if sketch.shows_points else ("5 % below", "5 % above")
    names = ("Column", "Type", *(("Missing", ends[0], "median", ends[1]) if measured else ()))
    rows = []
    for column in sketch.columns:
        cells = [el("th", column.name, scope="row"), el("td", el("code", column.dtype))]
        if measured:
            cells.append(el("td", count(column.missing), class_="number"))
            if column.distinct is not None:
                cells.append(el("td", plural(column.distinct, "different text"), class_="number", colspan="3"))
            else:
                cells += [
                    el("td", "none" if value is None else figure(value, 5), class_="number")
                    for value in (column.low, column.middle, column.high)
                ]
        rows.append(el("tr", *cells))
    table = _table(names, rows, numbers=len(names) - 2)
    more = f"The first {MOST_COLUMNS_TOLD} columns." if len(sketch.columns) == MOST_COLUMNS_TOLD else None
    parts: list[Child] = [el("h2", "Data"), table, el("p", more, class_="quiet") if more else None]
    parts.append(el("h3", "Preprocessing"))
    if facts.steps:
        steps = (el("li", el("strong", name), f": {told}" if told else None) for name, told in facts.steps)
        parts.append(el("ol", *steps))
    else:
        parts.append(el("p", "None is recorded: the columns are clustered as they are.", class_="quiet"))
    if facts.features:
        parts += [el("h3", "Clustered columns"), el("p", ", ".join(facts.features))]
    return el("section", *parts, class_="tables")


def _lineage(facts: Facts) -> Element:
    earlier = ("Earlier version", "none" if facts.previous is None else f"version {facts.previous}")
    shown = [
        (name, el("code", value) if name in ("Source", "Artifact", "Training") else value)
        for name, value in (*facts.lineage, earlier)
    ]
    libraries = ", ".join(f"{name} {value}" for name, value in facts.frameworks)
    return el("section", el("h2", "Lineage"), _facts([*shown, ("Made with", libraries or "not recorded")]))


def _footer(sketch: Sketch) -> Element:
    if not sketch.shows_points:
        told = "No row of the training data is on this card: counts, quantiles and distances stand for them."
    elif sketch.of == "cores":
        shown = plural(len(sketch.labels), "core sample")
        told = f"{shown} of the model, which are rows of its training data, are on this card."
    else:
        told = (
            f"{plural(len(sketch.labels), 'row')} of the training data are on this card, as positions in the plot, and "
            "the extremes of its columns. spec.card.points: false leaves them out."
        )
    return el("footer", el("p", told))


def _facts(pairs: Iterable[tuple[str, Child]]) -> Element:
    return el("dl", *(part for name, value in pairs for part in (el("dt", name), el("dd", value))), class_="facts")


def _table(names: tuple[str, ...], rows: list[Element], *, numbers: int = 0, caption: str = "") -> Element:
    """A table whose last `numbers` columns are numbers."""
    first = len(names) - numbers
    heads = (
        el("th", name, scope="col", class_="number" if place >= first else None) for place, name in enumerate(names)
    )
    return el(
        "div",
        el("table", el("caption", caption) if caption else None, el("thead", el("tr", *heads)), el("tbody", *rows)),
        class_="scroll",
    )


def _ordinal(number: int) -> str:
    """Write a place in a row.

    >>> [_ordinal(number) for number in (1, 2, 3, 5, 11, 22)]
    ['1st', '2nd', '3rd', '5th', '11th', '22nd']
    """
    last = number % 10 if number % 100 not in (11, 12, 13) else 0
    ending = {1: "st", 2: "nd", 3: "rd"}.get(last, "th")
    return f"{number}{ending}"
