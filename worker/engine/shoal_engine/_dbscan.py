"""The DBSCAN estimator: scikit-learn's conventions around the native engine.

Users and the training job call it. The constructor only stores its parameters; `fit` checks them. It never needs
scikit-learn.
"""

import inspect
import sys
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal_engine import _engine
from shoal_engine._validation import as_matrix

METRICS = frozenset({"chebyshev", "cosine", "euclidean", "haversine", "manhattan"})
_MAX_JOBS = 2**31


class NotFittedError(ValueError, AttributeError):
    """`predict` was called before `fit`; the bases are those of scikit-learn's exception of the same name."""


class DBSCAN:
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
    """

    labels_: NDArray[np.int64]
    core_sample_indices_: NDArray[np.int64]
    components_: NDArray[Any]
    n_features_in_: int

    def __init__(
        self, eps: float = 0.5, *, min_samples: int = 5, metric: str = "euclidean", n_jobs: int | None = None
    ) -> None:
        self.eps = eps
        self.min_samples = min_samples
        self.metric = metric
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: ARG002, N803
        """Cluster the rows of X; y is ignored."""
        self._check_parameters()
        matrix = as_matrix(X, "DBSCAN")
        # A count above the number of rows asks for the same as any other such count.
        min_samples = min(int(self.min_samples), matrix.shape[0] + 1)
        # The engine starts far fewer threads than this; it only keeps the number within 64 bits.
        self._threads = None if self.n_jobs is None else max(-_MAX_JOBS, min(int(self.n_jobs), _MAX_JOBS))
        labels, cores = _engine.dbscan(matrix, float(self.eps), min_samples, self.metric, self._threads)
        self.labels_ = labels
        self.core_sample_indices_ = cores
        self.components_ = matrix[cores]
        self.n_features_in_ = matrix.shape[1]
        # What `predict` answers stays with this fit, even if parameters are set anew.
        self._fitted_ball = (float(self.eps), self.metric)
        self._predictor: _engine.Predictor | None = None
        return self

    def fit_predict(self, X: ArrayLike, y: object = None) -> NDArray[np.int64]:  # noqa: N803
        """Cluster the rows of X and return their labels."""
        return self.fit(X, y).labels_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:  # noqa: N803
        """Label of the nearest core sample within eps, else -1; at equal distances the lowest label."""
        if not hasattr(self, "_fitted_ball"):
            raise NotFittedError(
                "This DBSCAN instance is not fitted yet. "
                "Call 'fit' with appropriate arguments before using this estimator."
            )
        matrix = as_matrix(X, "DBSCAN")
        if matrix.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {matrix.shape[1]} features, but DBSCAN is expecting {self.n_features_in_} features as input."
            )
        if self._predictor is None:
            eps, metric = self._fitted_ball
            labels = self.labels_[self.core_sample_indices_].astype(np.int32)
            self._predictor = _engine.Predictor(self.components_, labels, eps, metric, n_jobs=self._threads)
        return self._predictor.predict(matrix).astype(np.int64)

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return the constructor's parameters; nothing here is nested, so deep changes nothing."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Set constructor parameters by name."""
        names = self._parameter_names()
        for name, value in params.items():
            if name not in names:
                raise ValueError(f"Invalid parameter {name!r} for estimator {self!r}. Valid parameters are: {names!r}.")
            setattr(self, name, value)
        return self

    def __getstate__(self) -> dict[str, Any]:
        # The index is rebuilt by the next `predict`; a copy carries the data only.
        state = vars(self).copy()
        if "_predictor" in state:
            state["_predictor"] = None
        return state

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = (f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name].default)
        return f"{type(self).__name__}({', '.join(changed)})"

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return sorted(name for name in inspect.signature(cls.__init__).parameters if name != "self")

    def _check_parameters(self) -> None:
        wrong = "The {name!r} parameter of DBSCAN must be {wanted}. Got {value!r} instead."
        if not _is_number(self.eps, Real) or not 0.0 < self.eps <= sys.float_info.max:
            raise ValueError(wrong.format(name="eps", wanted="a float in the range (0.0, inf)", value=self.eps))
        if not _is_number(self.min_samples, Integral) or self.min_samples < 1:
            wanted = "an int in the range [1, inf)"
            raise ValueError(wrong.format(name="min_samples", wanted=wanted, value=self.min_samples))
        if not isinstance(self.metric, str) or self.metric not in METRICS:
            wanted = f"a str among {{{', '.join(map(repr, sorted(METRICS)))}}}"
            raise ValueError(wrong.format(name="metric", wanted=wanted, value=self.metric))
        if self.n_jobs is not None and not _is_number(self.n_jobs, Integral):
            raise ValueError(wrong.format(name="n_jobs", wanted="an int or None", value=self.n_jobs))


def _is_number(value: object, kind: type[Real] | type[Integral]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool | np.bool_)
