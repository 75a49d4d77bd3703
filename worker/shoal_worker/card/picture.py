"""The card as one picture, a PNG for chats and READMEs: the page's drawings side by side; called by `making`.

Invariant: equal facts and sketches give equal bytes with the same library. What is drawn is our own SVG, with no
reference to anything outside it.
"""

import re
from collections.abc import Iterator
from importlib.resources import files
from xml.etree.ElementTree import Element

from shoal_worker.card.facts import Facts
from shoal_worker.card.markup import el, markup
from shoal_worker.card.page import describe_drawing, style, tiles_of
from shoal_worker.card.plots import Palette, draw_clusters, draw_curve, draw_sizes
from shoal_worker.card.sketch import Sketch
from shoal_worker.errors import shorten

WIDTH, HEIGHT = 1200, 675
_ZOOM = 4 / 3
_FONT = "Source Sans Pro"
_LEFT, _RIGHT, _SIDE = 36.0, 1164.0, 370.0
_OWN_STYLE = """
text { font-family: 'Source Sans Pro'; }
.title { font-size: 34px; font-weight: 700; fill: var(--ink); }
.version { font-weight: 400; fill: var(--soft); }
.lead { font-size: 17px; fill: var(--soft); }
.label { font-size: 14.5px; fill: var(--soft); }
.value { font-size: 27px; font-weight: 600; fill: var(--ink); }
.heading { font-size: 16px; font-weight: 700; fill: var(--ink); }
.note { font-size: 13px; fill: var(--soft); }
.pill { font-size: 16px; font-weight: 700; }
.tick { font-size: 13px; } text.quiet { font-size: 13px; } text.strong { font-size: 13.5px; } .name { font-size: 15px; }
"""


def render_picture(facts: Facts, sketch: Sketch, palette: Palette) -> bytes:
    """Render the picture as PNG, 1600 by 900 pixels, on white."""
    # Here, because serving and a training without a card have no use for them.
    from resvg_py import svg_to_bytes

    fonts = files("font_source_sans_pro").joinpath("files")
    faces = [str(fonts.joinpath(f"SourceSansPro-{weight}.ttf")) for weight in ("Regular", "Semibold", "Bold")]
    return bytes(
        svg_to_bytes(
            svg_string=render_svg(facts, sketch, palette),
            zoom=_ZOOM,
            skip_system_fonts=True,
            font_files=faces,
            font_family=_FONT,
            sans_serif_family=_FONT,
        )
    )


def render_svg(facts: Facts, sketch: Sketch, palette: Palette) -> str:
    """Render the picture's drawing."""
    name = shorten(facts.model, 46)
    version = el("tspan", f"version {facts.number}", class_="version", dx="12") if facts.number is not None else None
    sheet = el("style")
    sheet.text = _plain_style()
    parts = [
        el("rect", x=0.0, y=0.0, width=float(WIDTH), height=float(HEIGHT), fill="#ffffff"),
        el("text", name, version, class_="title", x=_LEFT, y=58.0),
        el("text", shorten(" · ".join((facts.kind, facts.summary)), 120), class_="lead", x=_LEFT, y=86.0),
        *_pill(facts),
    ]
    tiles = tiles_of(facts, sketch)
    step = (_RIGHT - _LEFT) / len(tiles)
    for place, (title, value) in enumerate(tiles):
        x = _LEFT + place * step
        parts += [el("text", value, class_="value", x=x, y=134.0), el("text", title, class_="label", x=x, y=154.0)]
    plot = draw_clusters(sketch, palette, _RIGHT - _LEFT - _SIDE - 28, 448.0)
    parts.append(_placed(plot.group, _LEFT, 176.0))
    note = describe_drawing(sketch).partition(". ")[0] + "."
    parts.append(el("text", note, class_="note", x=_LEFT, y=648.0))
    side, top = _RIGHT - _SIDE, 176.0
    what = "core samples" if sketch.of == "cores" else "rows"
    sizes = draw_sizes(sketch, palette, _SIDE)
    parts += [
        el("text", f"Sizes, in {what}", class_="heading", x=side, y=top + 12),
        _placed(sizes.group, side - 10, top + 24),
    ]
    top += 24 + sizes.height + 16
    curve = draw_curve(sketch, _SIDE + 14, max(HEIGHT - 40 - top - 16, 120.0))
    if curve is not None:
        parts.append(el("text", "k-distance curve", class_="heading", x=side, y=top + 12))
        parts.append(_placed(curve.group, side - 14, top + 20))
    drawn = el(
        "svg",
        sheet,
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=f"{WIDTH}",
        height=f"{HEIGHT}",
    )
    return markup(drawn, xml=True)


def _pill(facts: Facts) -> Iterator[Element]:
    word, kind = ("passed its validation", "good") if facts.passed else ("rejected by its validation", "bad")
    width = 8.1 * len(word) + 32
    colours = _colours()
    yield el(
        "rect", x=_RIGHT - width, y=32.0, width=width, height=34.0, rx=17.0, style=f"fill: {colours[f'{kind}-back']}"
    )
    at = {"x": _RIGHT - width / 2, "y": 54.5}
    yield el("text", word, class_="pill", text_anchor="middle", style=f"fill: {colours[kind]}", **at)


def _placed(group: Element, x: float, y: float) -> Element:
    return el("g", group, transform=f"translate({x:.1f} {y:.1f})")


def _colours() -> dict[str, str]:
    """The light colours of the page, which come first in its style sheet."""
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", style().partition("@media")[0]))


def _plain_style() -> str:
    """The page's rules for drawings, with colours for variables, which the library does not know."""
    colours = _colours()
    rules = [line for line in style().splitlines() if line.startswith((".", "text"))]
    return re.sub(r"var\(--([a-z0-9-]+)\)", lambda found: colours[found[1]], "\n".join(rules) + _OWN_STYLE)
