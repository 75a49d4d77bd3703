"""The DBSCAN estimator: scikit-learn's conventions around the native engine.

Users and the training job call it. It never needs scikit-learn.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from shoal_engine import _engine
from shoal_engine._estimator import Estimator, Rows
from shoal_engine._lazy_predictor import LazyPredictor
from shoal_engine._parameters import CALLABLE, METRICS, NONE, Rules, integer, one_of, positive_float
from shoal_engine._plan import Plan, plan
from shoal_engine._validation import as_weights

# The engine counts with 64 bits.
_MAX_COUNT = 2**63


class DBSCAN(Estimator):
    """Density-based clustering whose labels equal scikit-learn's.

    Parameters
    ----------
    eps : largest distance between two neighbours (in radians for haversine).
    min_samples : neighbours, itself included, that make a row a core sample.
    metric : euclidean, manhattan, chebyshev, haversine ([latitude, longitude] in radians) or cosine.
    n_jobs : threads; -1 means all available cores, None as many of them as `plan` finds worth their start. The labels
        never depend on it.
    index : "auto" takes what `plan` finds best; "grid" and "tree" overrule it, for speed only.
    work_budget : most distance computations that a fit may cost, estimated before it begins; above it
        `fit` raises WorkBudgetError. One core does about COORDINATES_A_SECOND / d of them in a second. None: no limit.
    progress : called about ten times a second with the fit's stage and the share of it that is done, 0 to 1, from the
        thread that called `fit`. An exception that it raises stops the fit.

    Attributes
    ----------
    labels_ : cluster of every row, -1 for noise. Clusters are numbered by their first core row; a row that is not core
        but within eps of several clusters joins the lowest-numbered one.
    core_sample_indices_, components_ : the core rows and their values.
    n_features_in_ : columns seen by `fit`.
    feature_names_in_ : their names, if X had a name for every column.
    """

    labels_: NDArray[np.int64]
    core_sample_indices_: NDArray[np.int64]
    components_: NDArray[Any]
    _rules: ClassVar[Rules] = {
        "eps": (positive_float(),),
        "min_samples": (integer(1),),
        "metric": (one_of(*METRICS),),
        "n_jobs": (integer(), NONE),
        "index": (one_of("auto", "grid", "tree"),),
        "work_budget": (positive_float(), NONE),
        "progress": (CALLABLE, NONE),
    }

    def __init__(
        self,
        eps: float = 0.5,
        *,
        min_samples: int = 5,
        metric: str = "euclidean",
        n_jobs: int | None = None,
        index: str = "auto",
        work_budget: float | None = None,
        progress: Callable[[str, float], object] | None = None,
    ) -> None:
        self.eps = eps
        self.min_samples = min_samples
        self.metric = metric
        self.n_jobs = n_jobs
        self.index = index
        self.work_budget = work_budget
        self.progress = progress

    def fit(self, X: object, y: object = None, sample_weight: object = None) -> Self:  # noqa: ARG002, N803
        """Cluster the rows of X.

        X is an array, a list, a data frame or an Arrow table of shape (n, d); y is ignored. `sample_weight` has a
        number per row (default 1): a row is core if the weights within eps of it, its own included, sum up to
        `min_samples`. Negative weights keep rows around them from being core.
        """
        self._check_parameters()
        rows = self._rows_to_fit(X)
        weights = as_weights(sample_weight, rows.matrix.shape[0])
        jobs = self._bounded_jobs()
        planned = plan(*rows.matrix.shape, metric=self.metric, dtype=rows.matrix.dtype.name)
        labels, cores, values, core_labels = _engine.dbscan(
            rows.matrix,
            float(self.eps),
            min(int(self.min_samples), _MAX_COUNT),
            self.metric,
            planned.threads if jobs is None else jobs,
            sample_weight=weights,
            index=self._chosen_index(planned),
            work_budget=None if self.work_budget is None else float(self.work_budget),
            progress=self.progress,
        )
        self._learn(Rows(values, rows.names), core_labels, labels, cores)
        return self

    def fit_predict(self, X: object, y: object = None, sample_weight: object = None) -> NDArray[np.int64]:  # noqa: N803
        """Cluster the rows of X and return their labels; see `fit`."""
        return self.fit(X, y, sample_weight).labels_

    def predict(self, X: object) -> NDArray[np.int64]:  # noqa: N803
        """Label of the nearest core sample within eps, else -1; at equal distances the lowest label."""
        matrix = self._rows_like_fitted(X)
        return self._predictor.get().predict(matrix).astype(np.int64)

    def _chosen_index(self, planned: Plan) -> str:
        # A planned grid gives way to the tree where rows are too far apart to number its cells; one asked for may not.
        return "tree" if self.index == "auto" and planned.index == "tree" else self.index

    def _learn(
        self,
        cores: Rows,
        core_labels: NDArray[np.integer[Any]],
        labels: NDArray[np.int64],
        core_rows: NDArray[np.int64],
    ) -> None:
        """Set what a fit found, here or, for `from_sklearn`, elsewhere; `cores` are the core rows' values."""
        self.labels_ = labels
        self.core_sample_indices_ = core_rows
        self.components_ = cores.matrix
        self._remember_columns(cores)
        self._predictor = LazyPredictor(cores.matrix, core_labels, float(self.eps), self.metric, self._bounded_jobs())
