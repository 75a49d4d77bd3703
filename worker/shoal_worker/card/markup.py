"""Elements of HTML and SVG, and how figures are written; used by all that draws a card.

Invariant: whatever text goes in is bounded, printable and escaped, for only the serializer makes markup of it.
"""

from math import floor, isfinite, log10
from xml.etree.ElementTree import Element, tostring  # it writes only; nothing is parsed

from shoal_worker.errors import shorten

TEXT_LIMIT = 1000
EARTH_RADIUS_KM = 6371.0
ROUND = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Steps of an axis, times a power of ten,"""
DEGREES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0, 1e300)
"""and of one of degrees."""

Child = Element | str | None


def el(tag: str, *children: Child, **attributes: str | float | None) -> Element:
    """Make an element; `class_` is class, `stroke_width` is stroke-width, None is left out.

    >>> markup(el("p", "1 < 2 & ", el("b", "bold"), class_="x"))
    '<p class="x">1 &lt; 2 &amp; <b>bold</b></p>'
    """
    written = {
        name.rstrip("_").replace("_", "-"): coordinate(value) if isinstance(value, float) else shorten(value, 100_000)
        for name, value in attributes.items()
        if value is not None
    }
    made = Element(tag, written)
    for child in children:
        if child is None:
            continue
        if isinstance(child, Element):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + shorten(child, TEXT_LIMIT)
        else:
            made.text = (made.text or "") + shorten(child, TEXT_LIMIT)
    return made


def markup(element: Element, *, xml: bool = False) -> str:
    """Serialize an element as HTML, or as XML."""
    return tostring(element, encoding="unicode", method="xml" if xml else "html")


def coordinate(value: float) -> str:
    """Write a length of a drawing: a tenth of a pixel is enough.

    >>> coordinate(12.0), coordinate(0.25), coordinate(-0.01)
    ('12', '0.2', '0')
    """
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def count(value: int) -> str:
    """Write a count.

    >>> count(34006)
    '34,006'
    """
    return f"{value:,}"


def figure(value: float, digits: int = 4) -> str:
    """Write a measured value with so many digits, as short as it goes.

    >>> figure(0.12345), figure(1234567.0), figure(3.0), figure(-2e-9), figure(float("inf"))
    ('0.1235', '1,234,567', '3', '−2e-09', '∞')
    """
    if not isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "none"
    size = abs(value)
    text = f"{size:,.0f}" if digits <= len(str(int(size))) <= 9 else f"{size:.{digits}g}"
    return f"−{text}" if value < 0 else text


def share(value: float) -> str:
    """Write a share of 0 to 1 in percent.

    >>> share(0.443), share(0.0), share(0.0004), share(1.0)
    ('44.3 %', '0 %', '< 0.1 %', '100 %')
    """
    if 0 < value < 0.001:
        return "< 0.1 %"
    return f"{100 * value:.1f}".removesuffix(".0") + " %"


def plural(number: int, word: str) -> str:
    """Count things.

    >>> plural(1, "cluster"), plural(2000, "row")
    ('1 cluster', '2,000 rows')
    """
    return f"{count(number)} {word}{'' if number == 1 else 's'}"


def ticks(low: float, high: float, most: int = 6, rounds: tuple[float, ...] = ROUND) -> list[float]:
    """At most about so many multiples of a round step between low and high.

    >>> ticks(0.0, 9.7), ticks(-0.13, 0.12), ticks(-180.0, 180.0, 8, DEGREES)
    ([0.0, 2.0, 4.0, 6.0, 8.0], [-0.1, -0.05, 0.0, 0.05, 0.1], [-180.0, -120.0, -60.0, 0.0, 60.0, 120.0, 180.0])
    """
    span = high - low
    if not (isfinite(span) and span > 0):
        return []
    unit = 10.0 ** (floor(log10(span / most)) - 1)
    step = next(step for factor in rounds if (step := factor * unit if rounds is ROUND else factor) * most >= span)
    found = [number * step for number in range(floor(low / step), floor(high / step) + 1)]
    return [float(f"{value:.12g}") for value in found if low <= value <= high]
