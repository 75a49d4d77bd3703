"""What the engine's answers are held against: brute force over every pair, and the data sets on which it is tried.

The ranks are each metric's own reduced distance, summed coordinate by coordinate as documented: they decide ties at
exactly eps.
"""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN as Peer
from sklearn.metrics import pairwise_distances

METRICS = ("euclidean", "manhattan", "chebyshev", "haversine", "cosine")
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    """One data set with parameters; the seed also draws the rows to predict."""

    seed: int
    metric: str
    points: Points
    eps: float
    min_samples: int


def draw_points(rng: np.random.Generator, shape: str, n: int, d: int) -> Points:
    match shape:
        case "normal":
            points = rng.normal(size=(n, d))
        case "lattice":
            points = rng.integers(-3, 4, size=(n, d)) * 0.25
        case "line":
            points = np.outer(rng.integers(0, 50, size=n) * 0.25, rng.integers(-2, 3, size=d))
        case "constant columns":
            points = rng.normal(size=(n, d))
            points[:, rng.random(d) < 0.5] = 1.25
        case "duplicates":
            points = rng.normal(size=(n // 8 + 1, d))[rng.integers(0, n // 8 + 1, n)]
        case _:
            points = rng.integers(0, 4, size=(n, 1)) * 4 + rng.normal(size=(n, d)) * 0.5
    return np.ascontiguousarray(points, dtype=np.float64)


SHAPES = ("normal", "lattice", "line", "constant columns", "duplicates", "blobs")


@st.composite
def cases(draw: st.DrawFn, metrics: tuple[str, ...] = METRICS, shapes: tuple[str, ...] = SHAPES) -> Case:
    """Small data of every shape; eps is often exactly the distance of some pair."""
    metric = draw(st.sampled_from(metrics))
    seed = draw(st.integers(0, 2**32 - 1))
    n = draw(st.integers(1, 40) | st.integers(1, 400))
    d = 2 if metric == "haversine" else draw(st.integers(1, 16))
    rng = np.random.default_rng(seed)
    points = draw_points(rng, draw(st.sampled_from(shapes)), n, d)
    if metric == "haversine":
        points *= draw(st.sampled_from([1.0, 0.1, 1e-4]))
    distances = pairwise_distances(points, metric=metric)
    kind = draw(st.sampled_from(["pair", "quantile", "quarters"]))
    if kind == "pair":
        eps = float(distances[rng.integers(n), rng.integers(n)])
    elif kind == "quantile":
        eps = float(np.quantile(distances, rng.random() * 0.3))
    else:
        eps = float(rng.integers(1, 9) * 0.25)
    return Case(seed, metric, points, eps if eps > 0.0 else 0.5, draw(st.sampled_from([1, 2, 3, 5, 10, n])))


def ranks(metric: str, a: Points, b: Points, eps: float) -> tuple[Points, float]:
    """The reduced distance of every pair, and the bound that eps is in it."""
    differences = (a[:, None, axis] - b[None, :, axis] for axis in range(a.shape[1]))
    zero = np.zeros((len(a), len(b)))
    match metric:
        case "euclidean":
            return sum((x * x for x in differences), zero), eps * eps
        case "manhattan":
            return sum((np.abs(x) for x in differences), zero), eps
        case "chebyshev":
            return np.abs(a[:, None] - b[None]).max(axis=-1), eps
        case "haversine":
            latitude, longitude = (np.sin(0.5 * x) for x in differences)
            products = np.cos(a[:, None, 0]) * np.cos(b[None, :, 0])
            square = latitude * latitude + products * longitude * longitude
            return square, np.inf if eps >= np.pi else float(np.sin(0.5 * eps) ** 2)
    a, b = normalised(a), normalised(b)
    cosines = sum((a[:, None, axis] * b[None, :, axis] for axis in range(a.shape[1])), zero)
    return np.clip(1.0 - cosines, 0.0, 2.0), eps


def normalised(points: Points) -> Points:
    squares = sum((points[:, axis] ** 2 for axis in range(points.shape[1])), np.zeros(len(points)))
    # Rows whose squares leave the range of a double are first divided by their largest coordinate.
    outside = ~((squares >= np.finfo(np.float64).tiny) & (squares < np.inf)) & points.any(axis=1)
    if outside.any():
        points = points.copy()
        points[outside] /= np.abs(points[outside]).max(axis=1, keepdims=True)
        return normalised(points)
    return points / np.where(squares == 0.0, 1.0, np.sqrt(squares))[:, None]


def cluster_by_brute_force(case: Case) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and core rows, by scikit-learn from a finished matrix of who is whose neighbour."""
    found, bound = ranks(case.metric, case.points, case.points, case.eps)
    near = found <= bound
    np.fill_diagonal(near, True)
    peer = Peer(eps=1.0, min_samples=case.min_samples, metric="precomputed").fit(np.where(near, 0.5, 2.0))
    return peer.labels_, peer.core_sample_indices_


def predict_by_brute_force(
    metric: str, eps: float, cores: Points, labels: NDArray[np.int64], rows: Points
) -> NDArray[np.int64]:
    """The lowest label among the nearest cores, if they are within eps."""
    if len(cores) == 0:
        return np.full(len(rows), -1)
    found, bound = ranks(metric, rows, cores, eps)
    nearest = found.min(axis=1, keepdims=True)
    lowest = np.where(found == nearest, labels[None, :], np.iinfo(np.int64).max).min(axis=1)
    return np.where(nearest[:, 0] <= bound, lowest, -1)
