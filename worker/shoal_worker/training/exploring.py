"""Looks for the best place in a box of parameters: a coarse grid first, then ever smaller ones around the best.

Called by `search`. Invariant: pure and deterministic; every place lies within the bounds, none is tried twice, and
there are at most as many as allowed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np

Place = tuple[float, ...]
_FIRST_SHARE = 0.5
_FINEST = 1e-4
_LEAST_SIDE = 3
"""Places along each axis of a grid, so that one lies on either side of the best."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The values that one parameter may have, spread by ratio: as many between 1 and 10 as between 10 and 100."""

    name: str
    low: float
    high: float
    whole: bool = False

    def at(self, fraction: float) -> float:
        """The value at a fraction of the way from low to high.

        >>> Axis("eps", 0.1, 10.0).at(0.5)
        1.0
        """
        value = self.low * (self.high / self.low) ** fraction
        rounded: float = round(value) if self.whole else float(f"{value:.6g}")
        return min(max(rounded, self.low), self.high)


def explore(axes: tuple[Axis, ...], trials: int, score: Callable[[Place], float | None]) -> None:
    """Score places until `trials` of them are; None stands for one that must not win."""
    scores: dict[Place, float | None] = {}
    best: Place | None = None
    centre, reach = (0.5,) * len(axes), (0.5,) * len(axes)
    while len(scores) < trials:
        known = len(scores)
        left = trials - known
        # Without any good place yet, the whole box is looked at ever more finely.
        count = ceil(left * _FIRST_SHARE) if best is not None or not known else known + left
        sides = _sides(axes, max(count, _LEAST_SIDE ** len(axes)))
        for fractions in _grid(centre, reach, sides):
            place = tuple(axis.at(fraction) for axis, fraction in zip(axes, fractions, strict=True))
            if place in scores or len(scores) == trials:
                continue
            scores[place] = found = score(place)
            if found is not None and (best is None or found > (scores[best] or 0.0)):
                best, centre = place, fractions
        if len(scores) == known and (best is None or max(reach) < _FINEST):
            return
        if best is not None:
            reach = tuple(width / max(side - 1, 2) for width, side in zip(reach, sides, strict=True))


def _sides(axes: tuple[Axis, ...], count: int) -> tuple[int, ...]:
    """How many values of each parameter a grid of about so many places has; whole numbers have no more than there are.

    >>> _sides((Axis("eps", 0.1, 1.0), Axis("min_samples", 3, 5, whole=True)), 20)
    (6, 3)
    """
    even = max(1, int(count ** (1 / len(axes)) + 1e-9))
    capped = [min(even, int(axis.high - axis.low) + 1) if axis.whole else even for axis in axes]
    for position, axis in enumerate(axes):
        others = 1
        for other, side in enumerate(capped):
            others *= side if other != position else 1
        room = max(1, count // others)
        capped[position] = min(room, int(axis.high - axis.low) + 1) if axis.whole else room
    return tuple(capped)


def _grid(centre: Place, reach: Place, sides: tuple[int, ...]) -> Iterator[Place]:
    """Fractions of the places of a grid, within 0 and 1."""
    random = np.random.default_rng(0)
    lines = [
        [middle]
        if side == 1
        else [min(max(middle + width * (2 * step / (side - 1) - 1), 0.0), 1.0) for step in range(side)]
        for middle, width, side in zip(centre, reach, sides, strict=True)
    ]
    # In no order: where trials or time run out, those that were made lie all over the box.
    places = list(product(*lines))
    yield from (places[number] for number in random.permutation(len(places)))
