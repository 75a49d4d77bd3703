"""The version under test, and what it was made from; built by `train`, handed to every test.

Invariant: `model` was built from the very bytes of `files`, as a worker would; the tests change none of it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shoal_worker.artifact.files import Artifact, ArtifactFiles, FloatArray, LabelArray
from shoal_worker.data.frame import Frame
from shoal_worker.model import Model
from shoal_worker.spec.algorithm import AlgorithmSpec
from shoal_worker.training.fit import Fitted

SAMPLE_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Refit:
    """How the fit can be done again: `fit` with so many threads, `package` to the artifact's bytes."""

    fit: Callable[[FloatArray, int], Fitted]
    package: Callable[[Fitted], ArtifactFiles]
    seconds: float
    """What the first fit took."""
    threads: int
    bytes_per_row: int
    """Memory that a fit needs for each row."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model as a worker serves it, and raw rows to ask it with; all that an imported version has."""

    artifact: Artifact
    model: Model
    rows: Frame
    estimated_bytes: int
    """What the index was planned to take."""
    clock: Callable[[], float] = time.perf_counter

    def ask(self, rows: Frame) -> LabelArray:
        """Label raw rows, as a worker answers a request."""
        return self.model.predict(self.model.prepare(rows), lambda: False)


@dataclass(frozen=True, slots=True)
class Subject:
    """A version under test."""

    files: ArtifactFiles
    artifact: Artifact
    model: Model
    frame: Frame
    """All rows, raw, as requests send them."""
    points: FloatArray
    """The same rows, preprocessed, as the index knows them."""
    fitted: Fitted
    algorithm: AlgorithmSpec
    refit: Refit
    sample: np.ndarray
    """Some of the rows, in order; see `draw_rows`."""
    free_bytes: Callable[[], int]
    """Memory that this process may still take."""
    estimated_bytes: int
    """What the training planned for the model's index."""
    deadline_seconds: float | None = None
    clock: Callable[[], float] = time.perf_counter

    @property
    def served(self) -> Served:
        """The model as a worker serves it, with the sample to ask it with."""
        return Served(self.artifact, self.model, self.frame.select(self.sample), self.estimated_bytes, self.clock)

    def predict(self, points: np.ndarray) -> LabelArray:
        """Label preprocessed rows."""
        return self.model.predict(points, lambda: False)

    @property
    def sampled_points(self) -> FloatArray:
        """The rows of the sample."""
        sampled: FloatArray = self.points[self.sample]
        return sampled

    @property
    def widest_radius(self) -> float:
        """The distance from a core sample beyond which every row is noise; 0 without clusters."""
        densities = self.artifact.tensors.densities
        if densities is not None:
            return float(densities.radii.max(initial=0.0))
        return float(self.algorithm.dbscan.eps or 0) if self.algorithm.dbscan else 0.0


def draw_rows(count: int, most: int = SAMPLE_ROWS, seed: int = 0) -> np.ndarray:
    """At most `most` of `count` rows, in order; the same for the same numbers."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size=most, replace=False))
