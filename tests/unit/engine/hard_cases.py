"""Data on which exact clustering goes wrong first, and its clusters by brute force.

Cell edges and pairs at exactly eps, rows far beyond the rest, huge, tiny and shifted scales, half of all rows equal, 1
to 64 columns, float32, weights of either sign. Hypothesis draws the kind of a case, so that it can shrink it; a seed
draws the numbers. The tests of fits hold every index against these.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from tests.unit.engine.reference import METRICS, SHAPES, Points, draw_points, ranks

# `make exactness` asks for more of them than a test run does.
EXAMPLES = int(os.environ.get("SHOAL_EXACTNESS_CASES", "600"))
HARD_SHAPES = (*SHAPES, "cell edges", "far rows", "two sites", "ring")
# Squares of these, and of sums over 64 columns of them, stay within a double.
SCALES = (1.0, 1.0, 1.0, 1e-3, 1e6, 2.0**-40, 1e100, 1e-100)
OFFSETS = (0.0, 0.0, 0.0, 1.0, -1e3, 1e9)


@dataclass(frozen=True, slots=True)
class HardCase:
    points: NDArray[Any]
    metric: str
    eps: float
    min_samples: int
    weights: NDArray[np.float64] | None

    def parameters(self) -> dict[str, Any]:
        return {"eps": self.eps, "min_samples": self.min_samples, "metric": self.metric}

    def expected(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        wide = self.points.astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            found, bound = ranks(self.metric, wide, wide, self.eps)
        near = found <= bound
        np.fill_diagonal(near, True)
        return cluster_neighbours(near, self.weights, self.min_samples)


def cluster_neighbours(
    near: NDArray[np.bool_], weights: NDArray[np.float64] | None, min_samples: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and core rows from who is whose neighbour."""
    n = len(near)
    counts = near @ (np.ones(n) if weights is None else weights)
    cores = np.flatnonzero(counts >= min_samples)
    labels = np.full(n, n, dtype=np.int64)
    if cores.size:
        _, parts = connected_components(csr_array(near[np.ix_(cores, cores)]), directed=False)
        _, first, part = np.unique(parts, return_index=True, return_inverse=True)
        labels[cores] = np.argsort(np.argsort(first))[part]
        borders = np.setdiff1d(np.arange(n), cores)
        labels[borders] = np.where(near[np.ix_(borders, cores)], labels[cores], n).min(axis=1, initial=n)
    return np.where(labels == n, -1, labels), cores


def hard_points(rng: np.random.Generator, shape: str, n: int, d: int, eps: float) -> Points:
    match shape:
        case "cell edges":
            # The grid's cells have the side eps / sqrt(d); a step of one ulp is on the other side of an edge.
            points = rng.integers(-4, 5, size=(n, d)) * (eps / np.sqrt(d))
            return np.nextafter(points, points + rng.integers(-1, 2, size=(n, d)))
        case "far rows":
            points = rng.normal(size=(n, d))
            points[rng.random(n) < 0.1] *= 10.0 ** rng.integers(3, 19)
            return points
        case "two sites":
            return rng.normal(size=(2, d))[rng.integers(0, 2, n)]
        case "ring":
            angles = rng.random(n) * 2 * np.pi
            circle = np.column_stack([np.cos(angles), np.sin(angles)])
            return np.tile(circle, d)[:, :d] * rng.integers(1, 3, size=(n, 1))
        case _:
            return draw_points(rng, shape, n, d)


def _distances(metric: str, points: Points) -> Points:
    found, _ = ranks(metric, points, points, 1.0)
    match metric:
        case "euclidean":
            return np.sqrt(found)
        case "haversine":
            return 2.0 * np.arcsin(np.sqrt(found.clip(0.0, 1.0)))
    return found


def _off_every_pair(case: HardCase) -> HardCase:
    """Move a haversine eps off the ties that sines of two libraries would decide differently."""
    wide = case.points.astype(np.float64)
    eps = case.eps
    while True:
        found, bound = ranks(case.metric, wide, wide, eps)
        if not (np.abs(found - bound) < 1e-13 * bound).any():
            return HardCase(case.points, case.metric, eps, case.min_samples, case.weights)
        eps *= 1.0 + 1e-9


@st.composite
def hard_cases(draw: st.DrawFn, metrics: tuple[str, ...] = METRICS, most_rows: int = 300) -> HardCase:
    metric = draw(st.sampled_from(metrics))
    seed = draw(st.integers(0, 2**32 - 1))
    n = draw(st.integers(1, 30) | st.integers(1, most_rows))
    # Up to three columns are the grid's, more the tree's.
    d = 2 if metric == "haversine" else draw(st.integers(1, 3) | st.integers(1, 64))
    shape = draw(st.sampled_from(HARD_SHAPES))
    kind = draw(st.sampled_from(["pair", "quantile", "quarters"]))
    scale = draw(st.sampled_from(SCALES))
    offset = draw(st.sampled_from(OFFSETS))
    single = draw(st.booleans())
    weighing = draw(st.sampled_from(["none", "none", "counts", "quarters", "negative"]))
    min_samples = draw(st.sampled_from([1, 2, 3, 5, 10, n, n + 1, 2**31]))
    rng = np.random.default_rng(seed)
    eps = float(rng.integers(1, 9) * 0.25)
    points = hard_points(rng, shape, n, d, eps)
    if metric == "haversine":
        points = points % 7.0 * draw(st.sampled_from([1.0, 0.1, 1e-4]))
    else:
        points, eps = points * scale + offset, eps * scale
    if single and abs(np.log10(scale)) < 30:
        points = points.astype(np.float32)
    wide = points.astype(np.float64)
    if kind == "pair":
        eps = float(_distances(metric, wide)[rng.integers(n), rng.integers(n)]) or eps
    elif kind == "quantile":
        eps = float(np.quantile(_distances(metric, wide), rng.random() * 0.3)) or eps
    case = HardCase(points, metric, eps, min_samples, draw_weights(rng, weighing, n))
    return _off_every_pair(case) if metric == "haversine" else case


def draw_weights(rng: np.random.Generator, kind: str, n: int) -> NDArray[np.float64] | None:
    """Weights whose sums are exact in any order."""
    match kind:
        case "none":
            return None
        case "counts":
            weights = rng.integers(0, 5, n).astype(np.float64)
        case "quarters":
            weights = rng.integers(0, 17, n) / 4
        case _:
            weights = rng.integers(-8, 17, n) / 4
    weights[0] = 1.0
    return weights
