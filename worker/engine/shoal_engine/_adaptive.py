"""The AdaptiveDBSCAN estimator: clusters of varying density, without an eps to choose.

Users and the training job call it. It never needs scikit-learn.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from shoal_engine import _engine
from shoal_engine._estimator import Estimator, Rows
from shoal_engine._lazy_predictor import LazyPredictor
from shoal_engine._parameters import BOOLEAN, CALLABLE, METRICS, NONE, Rules, integer, one_of

_TREE = np.dtype(
    [
        ("child", np.int64),
        ("parent", np.int64),
        ("appears", np.float64),
        ("ends", np.float64),
        ("size", np.int64),
        ("stability", np.float64),
        ("selected", np.bool_),
        ("label", np.int64),
    ]
)


@dataclass(frozen=True, slots=True)
class Radii:
    """By label: how far a cluster reaches from its cores, and the radius of its densest part."""

    widest: NDArray[np.float64]
    densest: NDArray[np.float64]


class AdaptiveDBSCAN(Estimator):
    """Density-based clustering for data whose density varies: every cluster gets a radius of its own.

    DBSCAN* runs at 32 radii, quantiles of the core distances; its clusters nest into a tree, of which the most stable
    ones are chosen (excess of mass, as in HDBSCAN*). A cluster that is hardly denser than where it ends is chance, and
    its rows are noise: mean density over density at the end below 1 + 0.7 / sqrt(min_samples). A cluster within noise,
    or within a wider cluster, ends where it is twice as dense as that. O(n) memory; the result never depends on the
    number of threads.

    Parameters
    ----------
    min_samples : neighbours, itself included, that define a row's core distance; larger values smooth the density.
    min_cluster_size : fewest core rows of a cluster; None means max(min_samples, sqrt(n) / 2).
    metric : euclidean, manhattan, chebyshev, haversine ([latitude, longitude] in radians) or cosine. Under cosine zero
        rows are noise; distances around 1e-16, between rows of one direction or place, are rounding.
    allow_single_cluster : whether all rows together may be one cluster.
    n_jobs : threads; None and -1 mean all available cores.
    progress : called with the stage and its done share, 0 to 1, about ten times a second; what it raises stops the fit.

    Attributes
    ----------
    labels_ : cluster of every row, -1 for noise. Clusters are numbered by their first core row. A row that is core in
        no cluster joins the nearest core whose cluster's radius covers it: as `predict` decides.
    probabilities_ : strength of every row's membership, in [0, 1]; 1 in the densest part of a cluster, 0 for noise.
    outlier_scores_ : in [0, 1]; how much sparser a row lies than the densest part of the cluster around it (GLOSH,
        Campello, Moulavi, Zimek and Sander, 2015, on the levels).
    core_sample_indices_, components_ : the core rows of clusters and their values.
    cluster_eps_ : radius of every cluster, by label: the widest at which it stands apart, and out of its background.
    tree_ : the level tree, a structured array with a row per cluster of any level: `child` its number, `parent` that of
        the cluster it becomes part of (-1: none), `appears` and `ends` the radii between which it stands apart, `size`
        its core rows at `ends`, `stability`, `selected`, and `label` (-1 unless selected). A selected one's radius
        lies between `appears` and `ends`. Children come before parents.
    n_features_in_ : columns seen by `fit`.
    feature_names_in_ : their names, if X had a name for every column.
    """

    labels_: NDArray[np.int64]
    probabilities_: NDArray[np.float64]
    outlier_scores_: NDArray[np.float64]
    core_sample_indices_: NDArray[np.int64]
    components_: NDArray[Any]
    cluster_eps_: NDArray[np.float64]
    tree_: NDArray[np.void]
    _rules: ClassVar[Rules] = {
        "min_samples": (integer(1),),
        "min_cluster_size": (integer(2), NONE),
        "metric": (one_of(*METRICS),),
        "allow_single_cluster": (BOOLEAN,),
        "n_jobs": (integer(), NONE),
        "progress": (CALLABLE, NONE),
    }

    def __init__(
        self,
        *,
        min_samples: int = 10,
        min_cluster_size: int | None = None,
        metric: str = "euclidean",
        allow_single_cluster: bool = False,
        n_jobs: int | None = None,
        progress: Callable[[str, float], object] | None = None,
    ) -> None:
        self.min_samples = min_samples
        self.min_cluster_size = min_cluster_size
        self.metric = metric
        self.allow_single_cluster = allow_single_cluster
        self.n_jobs = n_jobs
        self.progress = progress

    def fit(self, X: object, y: object = None) -> Self:  # noqa: ARG002, N803
        """Cluster the rows of X: an array, a list, a data frame or an Arrow table; y is ignored."""
        self._check_parameters()
        rows = self._rows_to_fit(X)
        n = rows.matrix.shape[0]
        if n == 1:
            raise ValueError("n_samples=1 while AdaptiveDBSCAN requires more than one sample")
        if self.min_samples > n:
            raise ValueError(
                f"min_samples ({self.min_samples}) must be at most the number of samples in X ({n}); "
                "lower min_samples or pass more rows."
            )
        size = (
            max(self.min_samples, round(math.sqrt(n) / 2)) if self.min_cluster_size is None else self.min_cluster_size
        )
        found = _engine.adaptive(
            rows.matrix,
            int(self.min_samples),
            min(int(size), n + 1),
            self.metric,
            self._bounded_jobs(),
            allow_single_cluster=bool(self.allow_single_cluster),
            progress=self.progress,
        )
        self.outlier_scores_ = found["outlier_scores"]
        self.tree_ = _as_tree(found["tree"])
        self._learn(
            rows, found["labels"], found["core_rows"], found["probabilities"], Radii(found["radii"], found["peaks"])
        )
        return self

    def _learn(
        self,
        rows: Rows,
        labels: NDArray[np.int64],
        core_rows: NDArray[np.int64],
        probabilities: NDArray[np.float64],
        radii: Radii,
    ) -> None:
        """Set what a fit of these rows found, here or, for `from_sklearn`, elsewhere."""
        self.labels_ = labels
        self.probabilities_ = probabilities
        self.core_sample_indices_ = core_rows
        self.components_ = rows.matrix[core_rows]
        self.cluster_eps_ = radii.widest
        self._peaks = radii.densest
        self._remember_columns(rows)
        # Without a cluster no radius matters, but rows to predict are checked all the same.
        reach = radii.widest if radii.widest.size else 1.0
        self._predictor = LazyPredictor(self.components_, labels[core_rows], reach, self.metric, self._bounded_jobs())

    def fit_predict(self, X: object, y: object = None) -> NDArray[np.int64]:  # noqa: N803
        """Cluster the rows of X and return their labels."""
        return self.fit(X, y).labels_

    def predict(self, X: object) -> NDArray[np.int64]:  # noqa: N803
        """Label of the nearest core sample whose cluster's radius covers the row, else -1; of equal ones the lowest."""
        matrix = self._rows_like_fitted(X)
        return self._predictor.get().predict(matrix).astype(np.int64)

    def predict_with_strength(self, X: object) -> tuple[NDArray[np.int64], NDArray[np.float64]]:  # noqa: N803
        """Labels as of `predict`, and how firmly each row belongs to its cluster: on rows of the fit `probabilities_`.

        A strength is the cluster's densest radius over the radius at which the row would join, at most 1; 0 for noise.
        """
        matrix = self._rows_like_fitted(X)
        strengths = np.zeros(matrix.shape[0])
        found, distances, cores = self._predictor.get().nearest(matrix)
        labels = found.astype(np.int64)
        member = labels >= 0
        peaks = self._peaks[labels[member]]
        of_core = self.probabilities_[self.core_sample_indices_[cores[member]]]
        strengths[member] = np.minimum(of_core, peaks / np.maximum(peaks, distances[member]))
        return labels, strengths


def _as_tree(columns: "_engine.AdaptiveTree") -> NDArray[np.void]:
    tree = np.empty(columns["parent"].size, dtype=_TREE)
    tree["child"] = np.arange(tree.size)
    tree["parent"] = columns["parent"]
    tree["appears"] = columns["appears"]
    tree["ends"] = columns["ends"]
    tree["size"] = columns["size"]
    tree["stability"] = columns["stability"]
    tree["selected"] = columns["label"] >= 0
    tree["label"] = columns["label"]
    return tree
