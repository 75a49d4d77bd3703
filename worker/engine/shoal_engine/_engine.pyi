"""The native module: typed doors into the Rust engine."""

from collections.abc import Callable
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

class WorkBudgetError(ValueError):
    """The fit would cost more distance computations than `work_budget` allows."""

def dbscan(
    points: NDArray[np.floating[Any]],
    eps: float,
    min_samples: int,
    metric: str,
    n_jobs: int | None,
    *,
    sample_weight: NDArray[np.float64] | None = None,
    progress: Callable[[str, float], object] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels of every row and the rows that are core samples; points are C-contiguous float64 or float32.

    `progress` gets the stage and its done share, 0 to 1, about ten times a second; what it raises stops the fit.
    """

def silhouette_of(points: NDArray[np.float64], labels: NDArray[np.int64], clusters: int, metric: str) -> float:
    """Mean silhouette of rows labelled 0 to clusters - 1."""

@final
class Predictor:
    """Answers the label of the nearest core sample within eps, else -1. Immutable and safe to share between threads."""

    @property
    def n_features(self) -> int:
        """Columns that rows must have."""
    @property
    def n_cores(self) -> int:
        """Core samples in the index."""
    @property
    def eps(self) -> float:
        """Largest distance from a core sample to a row of its cluster."""
    @property
    def metric(self) -> str:
        """Name of the metric."""
    def __new__(
        cls,
        core_points: NDArray[np.float64],
        core_labels: NDArray[np.int32],
        eps: float,
        metric: str = "euclidean",
        *,
        n_jobs: int | None = None,
    ) -> Predictor: ...
    def predict(self, X: NDArray[np.floating[Any]], /) -> NDArray[np.int32]:  # noqa: N803
        """int32 labels of the rows of a C-contiguous float64 or float32 array of shape (n, n_features)."""
