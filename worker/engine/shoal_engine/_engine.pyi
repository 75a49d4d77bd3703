"""The native module: typed doors into the Rust engine."""

from collections.abc import Callable
from typing import Any, Final, TypedDict, final

import numpy as np
from numpy.typing import NDArray

COORDINATES_A_SECOND: Final[float]

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
    index: str = "auto",
    work_budget: float | None = None,
    progress: Callable[[str, float], object] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any], NDArray[np.int32]]:
    """Labels of every row, the rows that are core samples, and the values and the labels of these.

    Points are C-contiguous float64 or float32; the values have their type.

    `work_budget` is the most distance computations that the fit may cost, estimated from a few rows before it begins;
    above it a WorkBudgetError says by how much. One core does about 1e10 / d of them in a second.

    `progress` gets the stage and its done share, 0 to 1, about ten times a second; what it raises stops the fit.
    """

class AdaptiveTree(TypedDict):
    """Columns of the level tree, a place per cluster of any level."""

    parent: NDArray[np.int64]
    size: NDArray[np.int64]
    label: NDArray[np.int64]
    appears: NDArray[np.float64]
    ends: NDArray[np.float64]
    stability: NDArray[np.float64]

class AdaptiveClustering(TypedDict):
    """What `adaptive` found: by row, by label (radii, peaks) and by cluster of the tree."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    outlier_scores: NDArray[np.float64]
    core_rows: NDArray[np.int64]
    radii: NDArray[np.float64]
    peaks: NDArray[np.float64]
    tree: AdaptiveTree

def adaptive(
    points: NDArray[np.floating[Any]],
    min_samples: int,
    min_cluster_size: int,
    metric: str,
    n_jobs: int | None,
    *,
    allow_single_cluster: bool = False,
    progress: Callable[[str, float], object] | None = None,
) -> AdaptiveClustering:
    """Clusters of varying density; points are C-contiguous float64 or float32. `progress` is as for `dbscan`."""

def core_distances(
    points: NDArray[np.floating[Any]], rows: NDArray[np.int64], min_samples: int, metric: str, n_jobs: int | None
) -> NDArray[np.float64]:
    """Distance from each of these rows to its min_samples-th nearest row, itself included; infinite if none."""

def silhouette_of(points: NDArray[np.float64], labels: NDArray[np.int64], clusters: int, metric: str) -> float:
    """Mean silhouette of rows labelled 0 to clusters - 1."""

@final
class Predictor:
    """Answers the label of the nearest core sample whose radius covers a row, else -1.

    Immutable and safe to share between threads. `eps` is one radius for all, or a float64 array of the radius of every
    label: a core sample then covers the rows within the radius of its own label. At equal distances the lowest label
    wins. Build it once; `to_arrays` and `from_arrays` carry it into other processes without building it again.
    """

    @property
    def n_features(self) -> int:
        """Columns that rows must have."""
    @property
    def n_cores(self) -> int:
        """Core samples in the index."""
    @property
    def eps(self) -> float | NDArray[np.float64]:
        """Largest distance from a core sample to a row of its cluster; an array by label if they differ."""
    @property
    def metric(self) -> str:
        """Name of the metric."""
    def __new__(
        cls,
        core_points: NDArray[np.float64],
        core_labels: NDArray[np.int32],
        eps: float | NDArray[np.float64],
        metric: str = "euclidean",
        *,
        n_jobs: int | None = None,
    ) -> Predictor: ...
    def predict(self, X: NDArray[np.floating[Any]], /) -> NDArray[np.int32]:  # noqa: N803
        """int32 labels of the rows of a C-contiguous float64 or float32 array of shape (n, n_features)."""
    def nearest(
        self,
        X: NDArray[np.floating[Any]],  # noqa: N803
        /,
    ) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int64]]:
        """Labels, distances and numbers of the core samples that label the rows; -1, inf and -1 for noise.

        Distances are the metric's own; a core sample's number is its row in `core_points`.
        """
    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the whole index as read-only arrays of one dimension, to be stored and given to `from_arrays`.

        Little-endian in files. With n core samples of e columns (3 for haversine, else n_features) in b blocks of 16
        under 2b - 1 nodes:

        ========  =======  ====================  ==========================================================
        meta      uint64   8                     format, metric and counts
        frame     float64  5                     scale and corner of the map, largest angle
        points    float64  16 b e                core samples, by block, then column
        angles    float64  2 n for haversine     latitude and longitude; else empty
        labels    int32    n                     label by slot
        rows      uint32   n                     row in `core_points` by slot
        boxes     float32  2 e (2b - 1)          bounds of every node
        reaches   float64  2b - 1 or 0           largest radius below every node; empty for one radius
        alone     int32    2b - 1                label of nodes with no other label near, else -1
        map       uint64   4 per slot, may be 0  cells whose answer is known without a search
        ========  =======  ====================  ==========================================================
        """
    @staticmethod
    def from_arrays(
        arrays: dict[str, NDArray[Any]],
        eps: float | NDArray[np.float64],
        metric: str = "euclidean",
        *,
        n_jobs: int | None = None,
    ) -> Predictor:
        """Return the index that `to_arrays` gave, in milliseconds: the arrays are kept, not copied.

        They may be read-only views of a mapped file and must not change afterwards. Other names are ignored. Arrays
        that do not fit each other raise a ValueError that names one; contents that lie give wrong answers at worst.
        """
