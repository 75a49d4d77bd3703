"""Which cluster of one labelling is which of another one: overlaps, and the best one-to-one matching; pure.

Of the same rows, let a(i) be those in old cluster i, b(j) those in new cluster j and o(i, j) those in both. The
Jaccard index is J(i, j) = o / (a + b - o). Chosen are the pairs, none sharing a cluster, with the largest sum of J;
pairs below MIN_JACCARD are no candidates, so that no cluster inherits an id by a chance overlap.

Called by `continuity`. Invariant: renaming clusters on either side renames the matching (but for ties of equal sums).
"""

from dataclasses import dataclass

import numpy as np

MIN_JACCARD = 0.2
"""Any cluster then has at most five candidates, which keeps the matching small however many clusters there are."""

Counts = np.ndarray[tuple[int], np.dtype[np.float64]]
Places = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Rows by old and by new cluster, noise last; of each pair that has any: old, new (-1 is noise), rows in both."""

    old_rows: Counts
    new_rows: Counts
    old: Places
    new: Places
    rows: Counts

    @property
    def jaccard(self) -> Counts:
        """The index of each pair; 0 where one side is noise."""
        both = (self.old >= 0) & (self.new >= 0)
        union = self.old_rows[self.old] + self.new_rows[self.new] - self.rows
        return np.divide(self.rows, union, out=np.zeros(len(self.rows)), where=both & (union > 0))


def count_overlaps(
    old: np.ndarray, new: np.ndarray, weights: np.ndarray, old_clusters: int, new_clusters: int
) -> Overlaps:
    """Count rows, each by its weight, of two labellings of the same rows; -1 is noise."""
    width = new_clusters + 1
    codes = (old.astype(np.int64) + 1) * width + (new.astype(np.int64) + 1)
    cells, inverse = np.unique(codes, return_inverse=True)
    return Overlaps(
        old_rows=_sum(old, weights, old_clusters),
        new_rows=_sum(new, weights, new_clusters),
        old=cells // width - 1,
        new=cells % width - 1,
        rows=np.bincount(inverse.ravel(), weights=weights, minlength=len(cells)).astype(np.float64),
    )


def _sum(labels: np.ndarray, weights: np.ndarray, clusters: int) -> Counts:
    return np.roll(np.bincount(labels + 1, weights=weights, minlength=clusters + 1).astype(np.float64), -1)


def match_clusters(overlaps: Overlaps) -> tuple[Places, Places]:
    """Return the matched clusters as two arrays, old and new."""
    index = overlaps.jaccard
    chosen = index >= MIN_JACCARD
    old, new, index = overlaps.old[chosen], overlaps.new[chosen], index[chosen]
    rivals = np.bincount(old)[old] + np.bincount(new)[new] > 2 if len(old) else np.zeros(0, dtype=bool)
    contested = _match_contested(old[rivals], new[rivals], index[rivals]) if rivals.any() else rivals.nonzero()[0]
    places = np.concatenate([np.flatnonzero(~rivals), np.flatnonzero(rivals)[contested]])
    return old[places], new[places]


def _match_contested(old: Places, new: Places, index: Counts) -> np.ndarray:
    """Places of the chosen pairs."""
    # Late, because it takes a second and most trainings find no two clusters that contend for one.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    left_names, left = np.unique(old, return_inverse=True)
    right_names, right = np.unique(new, return_inverse=True)
    # Every old cluster may also stay alone, by a partner of its own: then there is always a full matching. Costs are
    # those of J taken from 2, since a sparse matrix cannot hold a 0.
    alone = np.arange(len(left_names))
    costs = coo_array(
        (
            np.concatenate([2.0 - index, np.full(len(alone), 2.0)]),
            (np.concatenate([left, alone]), np.concatenate([right, len(right_names) + alone])),
        )
    ).tocsr()
    rows, columns = min_weight_full_bipartite_matching(costs)
    partner = np.full(len(left_names), -1)
    partner[rows] = columns
    return np.flatnonzero(partner[left] == right)
