"""Public ids for the clusters of a new version, and what became of those of the earlier one; called by `training`.

Invariant: a cluster gets the id of the one earlier cluster that it is matched with, or an id that no cluster ever had.
Without an earlier version the ids are the labels. Pure.
"""

from dataclasses import dataclass

import numpy as np

from shoal_worker.errors import shorten
from shoal_worker.identity.matching import Overlaps, count_overlaps, match_clusters
from shoal_worker.identity.record import MOST_EVENTS, MOST_PARTS, ClusterEvent, EventKind, IdentityRecord, Portion

MIN_SHARE = 0.1
"""A part of a cluster that counts in a split or a merger is at least that share of it,"""
MOSTLY = 0.5
"""and comes from it, or went to it, by more than half."""

Ids = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Earlier:
    """The earlier version: its number, its public ids by label, and its labels of the compared rows."""

    version: int
    ids: Ids
    labels: np.ndarray


@dataclass(frozen=True, slots=True)
class Identity:
    """Public ids by label, all below next_id, and the record."""

    ids: Ids
    next_id: int
    record: IdentityRecord


def begin_identity(clusters: int, first_free: int = 0, *, version: int | None = None, problem: str = "") -> Identity:
    """Ids for clusters that continue none: the labels, or above all that were ever used.

    version, problem: the earlier version that could not be asked, and why.
    """
    ids: Ids = np.arange(first_free, first_free + clusters, dtype=np.int64)
    next_id = first_free + clusters
    record = IdentityRecord(
        baseline=version,
        kept=0,
        born=clusters,
        died=0,
        split=0,
        merged=0,
        next_id=next_id,
        problem=shorten(problem, 500),
    )
    return Identity(ids, next_id, record)


def continue_identity(
    labels: np.ndarray, weights: np.ndarray, clusters: int, earlier: Earlier, next_id: int, first_free: int
) -> Identity:
    """Continue the earlier version's ids.

    labels, weights: of the compared rows, which stand for all. clusters: number of the new clusters. next_id: of the
    earlier version; it stays where no cluster is born. first_free: above all ids that were ever used, those of
    versions among them that came after the earlier one.
    """
    overlaps = count_overlaps(earlier.labels, labels, weights, len(earlier.ids), clusters)
    old, new = match_clusters(overlaps)
    ids: Ids = np.full(clusters, -1, dtype=np.int64)
    ids[new] = earlier.ids[old]
    born = np.flatnonzero(ids < 0)
    if len(born):
        start = max(next_id, first_free)
        ids[born] = start + np.arange(len(born))
        next_id = start + len(born)
    died = np.setdiff1d(np.arange(len(earlier.ids)), old)
    total = float(weights.sum())
    by_old = _View(overlaps.old, overlaps.new, overlaps.rows, overlaps.old_rows, earlier.ids, ids, total)
    by_new = _View(overlaps.new, overlaps.old, overlaps.rows, overlaps.new_rows, ids, earlier.ids, total)
    split, merged = _find_divided(overlaps, by="old"), _find_divided(overlaps, by="new")
    told: tuple[tuple[EventKind, _View, np.ndarray], ...] = (
        ("Split", by_old, split),
        ("Merged", by_new, merged),
        ("Born", by_new, born),
        ("Died", by_old, died),
    )
    events = [view.event(kind, int(cluster)) for kind, view, found in told for cluster in view.largest(found)]
    record = IdentityRecord(
        baseline=earlier.version,
        kept=len(old),
        born=len(born),
        died=len(died),
        split=len(split),
        merged=len(merged),
        next_id=next_id,
        rows=len(labels),
        events=tuple(sorted(events, key=lambda event: -event.rows)[:MOST_EVENTS]),
    )
    return Identity(ids, next_id, record)


def _find_divided(overlaps: Overlaps, *, by: str) -> np.ndarray:
    """Old clusters of which several new ones are parts, or new clusters that are made of several old ones."""
    both = (overlaps.old >= 0) & (overlaps.new >= 0)
    whole, part = (overlaps.old, overlaps.new) if by == "old" else (overlaps.new, overlaps.old)
    of_whole, of_part = (
        (overlaps.old_rows, overlaps.new_rows) if by == "old" else (overlaps.new_rows, overlaps.old_rows)
    )
    whole, part, rows = whole[both], part[both], overlaps.rows[both]
    counts = (rows >= MIN_SHARE * of_whole[whole]) & (rows > MOSTLY * of_part[part])
    return np.flatnonzero(np.bincount(whole[counts], minlength=1) > 1)


@dataclass(frozen=True, slots=True)
class _View:
    """The overlaps seen from one side: its clusters, those of the other side, and the public ids of both."""

    mine: np.ndarray
    other: np.ndarray
    rows: np.ndarray
    sizes: np.ndarray
    ids: Ids
    other_ids: Ids
    total: float

    def largest(self, clusters: np.ndarray) -> np.ndarray:
        """The largest of these clusters, no more than can be told."""
        return clusters[np.argsort(-self.sizes[clusters], kind="stable")][:MOST_EVENTS]

    def event(self, kind: EventKind, cluster: int) -> ClusterEvent:
        found = np.flatnonzero(self.mine == cluster)
        found = found[np.argsort(-self.rows[found], kind="stable")][:MOST_PARTS]
        size = float(self.sizes[cluster])
        names = np.append(self.other_ids, -1)[self.other[found]]
        return ClusterEvent(
            kind=kind,
            cluster=int(self.ids[cluster]),
            rows=_share(size, self.total),
            portions=tuple(
                Portion(cluster=int(name), share=_share(float(rows), size))
                for name, rows in zip(names, self.rows[found], strict=True)
            ),
        )


def _share(part: float, whole: float) -> float:
    """Four digits are enough, and rounding must not leave 0 to 1."""
    return round(min(part / whole, 1.0), 4) if whole > 0 else 0.0
