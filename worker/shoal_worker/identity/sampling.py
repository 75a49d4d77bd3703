"""A bounded sample of rows in which no cluster is missing, with the weights that undo its bias; called by `continuity`.

Invariant: the weights of a cluster's sampled rows add up to its rows, and equal labels give equal samples.
"""

from dataclasses import dataclass

import numpy as np

from shoal_worker.artifact.files import LabelArray

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows, in order, and for how many rows of its cluster each of them stands."""

    rows: np.ndarray
    weights: Floats


def draw_by_cluster(labels: LabelArray, most: int, seed: int = 0) -> Sample:
    """Draw at most `most` rows, but one of each cluster: all of the small clusters, equally many of the others.

    Noise is taken for a cluster. A uniform draw would lose the clusters that are small among many rows.
    """
    if len(labels) <= most:
        return Sample(np.arange(len(labels)), np.ones(len(labels)))
    # In a random order, stably sorted by cluster: the first rows of each cluster are a draw from it.
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels + 1)
    quota = find_quota(sizes, most)
    starts = np.cumsum(sizes) - sizes
    places = np.arange(len(labels)) - np.repeat(starts, sizes)
    rows = np.sort(order[places < quota])
    sampled = np.minimum(sizes, quota)
    weights = np.divide(sizes, sampled, out=np.zeros(len(sizes)), where=sampled > 0)
    return Sample(rows, weights[labels[rows] + 1])


def find_quota(sizes: np.ndarray, most: int) -> int:
    """The largest number, 1 at least, for which min(size, number) adds up to at most `most`.

    >>> find_quota(np.array([10, 100, 100]), 70)
    30
    """
    ascending = np.sort(sizes[sizes > 0])
    left = most
    for place, size in enumerate(ascending.tolist()):
        share = left // (len(ascending) - place)
        if size > share:
            return max(share, 1)
        left -= size
    return int(ascending.max(initial=1))
