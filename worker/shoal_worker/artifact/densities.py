"""What an adaptive model knows beyond labels: how far each cluster reaches, and how firmly a row belongs to it.

Used by `fit`, `artifact` (as tensors) and `model`. Invariant: a training row that is predicted into its own cluster
gets its `probabilities_` of the fit.
"""

from dataclasses import dataclass

import numpy as np

from shoal_worker.artifact.manifest import CORE_STRENGTHS, PEAKS, RADII

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Densities:
    """By label a cluster's reach (radii) and the radius of its densest part (peaks); by core a strength, 0 to 1."""

    radii: Floats
    peaks: Floats
    core_strengths: Floats

    def named(self) -> dict[str, Floats]:
        """The tensors by name."""
        return {RADII: self.radii, PEAKS: self.peaks, CORE_STRENGTHS: self.core_strengths}

    def check(self) -> None:
        """Raise ValueError unless the values can be what they should."""
        if not (np.isfinite(self.peaks).all() and (self.peaks >= 0).all()):
            raise ValueError("peaks must be finite and at least 0")
        if not ((self.core_strengths >= 0) & (self.core_strengths <= 1)).all():
            raise ValueError("core_strengths must lie between 0 and 1")

    def strengths(self, labels: np.ndarray, distances: np.ndarray, cores: np.ndarray) -> Floats:
        """Strength of each row, 0 to 1: peak / max(distance, peak), at most that of its core; 0 for noise.

        It is the share of the density of the cluster's densest part that is left there, as in `AdaptiveDBSCAN`.

        labels, distances, cores: of each row's nearest core, as `Predictor.nearest` returns them.
        """
        found = labels >= 0
        peaks = self.peaks[labels[found]]
        reach = np.maximum(distances[found], peaks)
        shares = np.divide(peaks, reach, out=np.ones_like(peaks), where=reach > 0)
        strengths: Floats = np.zeros(len(labels))
        strengths[found] = np.minimum(self.core_strengths[cores[found]], shares)
        return strengths


def find_peaks(tree: np.ndarray) -> Floats:
    """By label, the smallest radius at which a part of the cluster appears, from the `tree_` of an AdaptiveDBSCAN."""
    lowest = tree["appears"].copy()
    # Children come before their parents, so each is final when it is passed up.
    for child, parent in enumerate(tree["parent"].tolist()):
        if parent >= 0:
            lowest[parent] = min(lowest[parent], lowest[child])
    chosen = np.flatnonzero(tree["label"] >= 0)
    peaks: Floats = lowest[chosen[np.argsort(tree["label"][chosen])]]
    return peaks
