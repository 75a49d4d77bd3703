"""The DBSCAN estimator: scikit-learn's conventions around the native engine.

Users and the training job call it. It never needs scikit-learn.
"""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from shoal_engine import _engine
from shoal_engine._estimator import Estimator
from shoal_engine._lazy_predictor import LazyPredictor
from shoal_engine._parameters import NONE, Rules, integer, one_of, positive_float

METRICS = ("chebyshev", "cosine", "euclidean", "haversine", "manhattan")
_MAX_JOBS = 2**31


class DBSCAN(Estimator):
    """Density-based clustering whose labels equal scikit-learn's.

    Parameters
    ----------
    eps : largest distance between two neighbours (in radians for haversine).
    min_samples : neighbours, itself included, that make a row a core sample.
    metric : euclidean, manhattan, chebyshev, haversine ([latitude, longitude] in radians) or cosine.
    n_jobs : threads; None and -1 mean all available cores. The labels never depend on it.

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
    }

    def __init__(
        self, eps: float = 0.5, *, min_samples: int = 5, metric: str = "euclidean", n_jobs: int | None = None
    ) -> None:
        self.eps = eps
        self.min_samples = min_samples
        self.metric = metric
        self.n_jobs = n_jobs

    def fit(self, X: object, y: object = None) -> Self:  # noqa: ARG002, N803
        """Cluster the rows of X: an array, a list, a data frame or an Arrow table; y is ignored."""
        self._check_parameters()
        rows = self._rows_to_fit(X)
        matrix = rows.matrix.astype(np.float64, copy=False)
        # A count above the number of rows asks for the same as any other such count.
        min_samples = min(int(self.min_samples), matrix.shape[0] + 1)
        # The engine starts far fewer threads than this; it only keeps the number within 64 bits.
        threads = None if self.n_jobs is None else max(-_MAX_JOBS, min(int(self.n_jobs), _MAX_JOBS))
        labels, cores = _engine.dbscan(matrix, float(self.eps), min_samples, self.metric, threads)
        self.labels_ = labels
        self.core_sample_indices_ = cores
        self.components_ = rows.matrix[cores]
        self._remember_columns(rows)
        self._predictor = LazyPredictor(self.components_, labels[cores], float(self.eps), self.metric, threads)
        return self

    def fit_predict(self, X: object, y: object = None) -> NDArray[np.int64]:  # noqa: N803
        """Cluster the rows of X and return their labels."""
        return self.fit(X, y).labels_

    def predict(self, X: object) -> NDArray[np.int64]:  # noqa: N803
        """Label of the nearest core sample within eps, else -1; at equal distances the lowest label."""
        matrix = self._rows_like_fitted(X)
        return self._predictor.get().predict(matrix).astype(np.int64)
