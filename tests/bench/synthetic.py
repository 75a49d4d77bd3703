"""Synthetic points of any size, drawn again alike from the same arguments.

Every generator returns (points float64 of shape (n, d), truth int64 of shape (n,)): truth is the cluster that a point
was drawn for, -1 for noise.
"""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Truth = NDArray[np.int64]

SPACE = 1e5
"""Side of the seed spreader's cube."""
RESET = 100
"""Points that the spreader leaves at one place before it moves on."""


def blobs(
    n: int,
    d: int,
    *,
    centres: int = 20,
    spread: tuple[float, float] = (1.0, 1.0),
    noise: float = 0.0,
    seed: int = 1,
) -> tuple[Points, Truth]:
    """Gaussian clusters in a cube of side 40, each with a standard deviation drawn from `spread`.

    `noise` is the share of points that are uniform in the box of all others instead.
    """
    rng = np.random.default_rng([seed, n, d, centres])
    places = rng.uniform(-20.0, 20.0, (centres, d))
    deviations = rng.uniform(*spread, centres)
    truth = rng.integers(centres, size=n)
    points = rng.standard_normal((n, d))
    points *= deviations[truth, None]
    points += places[truth]
    strays = round(n * noise)
    if strays:
        points[:strays] = rng.uniform(points.min(axis=0), points.max(axis=0), (strays, d))
        truth[:strays] = -1
    return points, truth


def spreader(
    n: int, d: int, *, restarts: int = 10, noise: float = 1e-4, varied: bool = False, seed: int = 1
) -> tuple[Points, Truth]:
    """Points dropped along random walks: the generator of Gan & Tao, "DBSCAN Revisited" (SIGMOD 2015), section 5.1.

    A spreader drops points uniformly in a ball around its place, shifts its place every `RESET` points and now and then
    starts anew elsewhere, which begins another cluster. `varied` widens ball and shift with every start, tenfold at
    most, so that densities differ by a factor of 10 ** d. `noise` is the share of points that are uniform in the cube.
    """
    rng = np.random.default_rng([seed, n, d, restarts, varied])
    n_noise = round(n * noise)
    walked = n - n_noise
    begins = np.union1d(0, np.flatnonzero(rng.random(walked) < restarts / walked))
    lengths = np.diff(begins, append=walked)
    points = np.empty((n, d))
    for walk, (begin, length) in enumerate(zip(begins, lengths, strict=True)):
        radius = 100.0 * (walk % 10 + 1) if varied else 100.0
        shift = radius * d / 2 if varied else 50.0 * d
        stops = -(-length // RESET)
        path = rng.uniform(0.0, SPACE, d) + np.cumsum(_directions(rng, stops, d) * shift, axis=0)
        # A walk that reaches a wall turns back.
        path = np.abs((path + SPACE) % (2 * SPACE) - SPACE)
        inside = _directions(rng, length, d) * (radius * rng.random((length, 1)) ** (1 / d))
        points[begin : begin + length] = np.repeat(path, RESET, axis=0)[:length] + inside
    points[walked:] = rng.uniform(0.0, SPACE, (n_noise, d))
    truth = np.concatenate([np.repeat(np.arange(len(begins)), lengths), np.full(n_noise, -1)])
    order = rng.permutation(n)
    return points[order], truth[order]


def _directions(rng: np.random.Generator, n: int, d: int) -> Points:
    """Directions drawn uniformly: rows of length 1."""
    drawn = rng.standard_normal((n, d))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
