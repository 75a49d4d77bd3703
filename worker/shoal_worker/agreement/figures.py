"""The figures of a comparison: how far two models agree on the same rows, with intervals; called by `comparing`.

What two figures differ by is resampled as a difference, of the same requests; the matching of labels is that of all
rows throughout.

Invariant: nothing but counts, shares and indices comes out, whatever rows went in, and equal input gives equal figures.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shoal_worker.agreement.resampling import RESAMPLES, Estimate, Resamples
from shoal_worker.agreement.separation import separate
from shoal_worker.agreement.tables import adjusted_mutual_information, adjusted_rand, count_table, find_cells
from shoal_worker.artifact.manifest import Metric
from shoal_worker.identity.matching import Overlaps, count_overlaps, match_clusters

MOST_MATCHES = 16
_NOISE = -1
_UNMATCHED = -2
_TABLES_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Compared:
    """Rows with the labels of both models; at least one row of each of two requests.

    requests: for each row the number of its request, from 0. points: as the stable model prepares them. stable_outside,
    candidate_outside: rows beyond each model's training data; None where one does not know.
    """

    requests: np.ndarray
    stable: np.ndarray
    candidate: np.ndarray
    points: np.ndarray
    metric: Metric
    stable_outside: np.ndarray | None = None
    candidate_outside: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Paired:
    """A figure of each model, and candidate minus stable."""

    stable: float
    candidate: float
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Silhouettes:
    """Mean silhouettes of the same points; coverage: the share of all rows that neither model calls noise."""

    stable: float
    candidate: float
    difference: Estimate
    coverage: float


@dataclass(frozen=True, slots=True)
class Clusters:
    """How many clusters each model finds among the rows."""

    stable: int
    candidate: int


@dataclass(frozen=True, slots=True)
class Match:
    """A label of each model that stand for the same cluster, the rows that have both, and these by all with either."""

    stable: int
    candidate: int
    rows: int
    jaccard: float


@dataclass(frozen=True, slots=True)
class Figures:
    """All that is told of a comparison."""

    ari: Estimate
    ami: Estimate
    noise_agreement: Estimate
    label_agreement: Estimate
    noise: Paired
    silhouette: Silhouettes | None
    out_of_reach: Paired | None
    clusters: Clusters
    matches: tuple[Match, ...]


def measure_figures(compared: Compared, pause: Callable[[], None]) -> Figures:
    """Compare; `pause` is called every millisecond or so and may raise to end the work."""
    stable, candidate = compared.stable, compared.candidate
    resamples = Resamples(compared.requests)
    ari, ami = _indices(compared, resamples, pause)
    (stable_names, stable_numbers), (candidate_names, candidate_numbers) = _number(stable), _number(candidate)
    overlaps = count_overlaps(
        stable_numbers, candidate_numbers, np.ones(len(stable)), len(stable_names), len(candidate_names)
    )
    pause()
    old, new = match_clusters(overlaps)
    partner = np.full(len(stable_names) + 1, _UNMATCHED)
    partner[old] = new
    partner[-1] = _NOISE
    noisy = stable == _NOISE, candidate == _NOISE
    outside = compared.stable_outside, compared.candidate_outside
    return Figures(
        ari=ari,
        ami=ami,
        noise_agreement=resamples.share(noisy[0] == noisy[1]),
        label_agreement=resamples.share(partner[stable_numbers] == candidate_numbers),
        noise=_paired(resamples, *noisy),
        silhouette=_separation(compared, resamples, pause),
        out_of_reach=None if outside[0] is None or outside[1] is None else _paired(resamples, outside[0], outside[1]),
        clusters=Clusters(len(stable_names), len(candidate_names)),
        matches=_told(overlaps, old, new, stable_names, candidate_names),
    )


def _paired(resamples: Resamples, stable: np.ndarray, candidate: np.ndarray) -> Paired:
    shares = float(stable.mean()), float(candidate.mean())
    drawn = resamples.means(candidate) - resamples.means(stable)
    return Paired(*shares, resamples.estimate(shares[1] - shares[0], drawn))


def _indices(compared: Compared, resamples: Resamples, pause: Callable[[], None]) -> tuple[Estimate, Estimate]:
    cells = find_cells(compared.stable, compared.candidate)
    whole = count_table(cells, slice(None))
    drawn = np.empty((RESAMPLES, 2))
    for resample in range(RESAMPLES):
        table = count_table(cells, resamples.rows(resample))
        drawn[resample] = adjusted_rand(table), adjusted_mutual_information(table)
        if resample % _TABLES_AT_ONCE == 0:
            pause()
    return (
        resamples.estimate(adjusted_rand(whole), drawn[:, 0]),
        resamples.estimate(adjusted_mutual_information(whole), drawn[:, 1]),
    )


def _separation(compared: Compared, resamples: Resamples, pause: Callable[[], None]) -> Silhouettes | None:
    found = separate(compared.points, compared.stable, compared.candidate, compared.metric, pause)
    if found is None:
        return None
    means = float(found.left.mean()), float(found.right.mean())
    drawn = resamples.means(found.right - found.left, found.rows)
    covered = (compared.stable != _NOISE) & (compared.candidate != _NOISE)
    return Silhouettes(
        stable=means[0],
        candidate=means[1],
        difference=resamples.estimate(means[1] - means[0], drawn, within=(-2.0, 2.0)),
        coverage=float(covered.mean()),
    )


def _number(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The clusters' labels, and for each row the place of its own among them, or -1: labels may be any numbers."""
    names, numbers = np.unique(labels, return_inverse=True)
    noise = int(names[0] == _NOISE)
    return names[noise:], numbers - noise


def _told(
    overlaps: Overlaps, old: np.ndarray, new: np.ndarray, stable: np.ndarray, candidate: np.ndarray
) -> tuple[Match, ...]:
    facts = {
        (left, right): (int(rows), float(jaccard))
        for left, right, rows, jaccard in zip(
            overlaps.old.tolist(), overlaps.new.tolist(), overlaps.rows.tolist(), overlaps.jaccard.tolist(), strict=True
        )
    }
    matches = [
        Match(int(stable[left]), int(candidate[right]), *facts[left, right])
        for left, right in zip(old.tolist(), new.tolist(), strict=True)
    ]
    return tuple(sorted(matches, key=lambda match: -match.rows)[:MOST_MATCHES])
