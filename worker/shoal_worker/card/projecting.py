"""Where a row lies on the card: a plane as it is, a map of degrees, or the two widest directions; called by `sketch`.

Invariant: pure and repeatable. Positions are finite, whatever the rows are.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from shoal_worker.artifact.files import FloatArray
from shoal_worker.artifact.manifest import Metric

_FARTHEST = 1e150
"""Values beyond are drawn here, so that differences and squares stay numbers."""

Kind = Literal["map", "plane", "line", "projection"]
Positions = np.ndarray[tuple[int, int], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class View:
    """What the two axes are; `shares`: of a projection, the part of the variance that each axis holds."""

    kind: Kind
    axes: tuple[str, str]
    shares: tuple[float, float] = (0.0, 0.0)


def project(points: FloatArray, features: tuple[str, ...], metric: Metric) -> tuple[View, Positions]:
    """Place preprocessed rows, of shape (n, d), on a plane.

    haversine: longitude and latitude in degrees. One column: its values, spread by chance across them. Two: as they
    are. More: the first two principal components (Pearson 1901), in units of the largest value; of rows brought to
    length 1 under cosine.
    """
    points = np.clip(points, -_FARTHEST, _FARTHEST)
    if metric == "haversine":
        degrees = np.degrees(points)
        return View("map", ("longitude", "latitude")), np.column_stack(
            [(degrees[:, 1] + 180) % 360 - 180, degrees[:, 0]]
        )
    if points.shape[1] == 1:
        spread = np.random.default_rng(0).uniform(-1, 1, len(points))
        return View("line", (features[0], "")), np.column_stack([points[:, 0], spread])
    if metric == "cosine":
        lengths = np.linalg.norm(points, axis=1, keepdims=True)
        points = np.divide(points, lengths, out=np.zeros_like(points), where=lengths > 0)
    if points.shape[1] == 2:
        return View("plane", (features[0], features[1])), points
    return _project_widest(points)


def _project_widest(points: FloatArray) -> tuple[View, Positions]:
    # Columns near the end of the range of numbers have squares beyond it.
    scale = float(np.abs(points).max(initial=0.0)) or 1.0
    scaled = points / scale
    scaled = scaled - scaled.mean(axis=0, keepdims=True) if len(points) else scaled
    variances, directions = np.linalg.eigh(scaled.T @ scaled)
    widest = directions[:, ::-1][:, :2]
    # A direction and its opposite are the same; the larger part points up.
    largest = widest[np.abs(widest).argmax(axis=0), np.arange(2)]
    widest = widest * np.where(largest < 0, -1.0, 1.0)
    total = float(variances.sum())
    first, second = (max(float(found) / total, 0.0) if total > 0 else 0.0 for found in variances[::-1][:2])
    names = ("1st principal component", "2nd principal component")
    return View("projection", names, (first, second)), scaled @ widest
