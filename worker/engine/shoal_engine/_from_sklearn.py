"""Fitted clusterings of other libraries, taken over with their labels so that they can predict and be served.

Called by users. Nothing is fitted anew; no other library is imported: what an estimator is shows in its attributes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_engine import _engine
from shoal_engine._adaptive import AdaptiveDBSCAN, Radii
from shoal_engine._dbscan import DBSCAN
from shoal_engine._estimator import Rows, not_fitted
from shoal_engine._parameters import METRICS
from shoal_engine._validation import as_matrix

_SAME_METRICS = {
    "l1": "manhattan",
    "cityblock": "manhattan",
    "l2": "euclidean",
    **{name: name for name in METRICS},
}
_MINKOWSKI = {1.0: "manhattan", 2.0: "euclidean", np.inf: "chebyshev"}


def from_sklearn(estimator: Any, X: object = None) -> DBSCAN | AdaptiveDBSCAN:  # noqa: N803
    """Take over a fitted `DBSCAN` or `HDBSCAN` (or one with its attributes): same labels, and `predict`.

    The metric may be any that is known here, under any of scikit-learn's names for it, minkowski with p of 1, 2 or
    infinity included. Raises ValueError for other metrics, callable and precomputed ones among them, and for
    attributes that do not belong together; TypeError for estimators of another kind; NotFittedError before `fit`.

    An HDBSCAN (scikit-learn's or the package hdbscan's) keeps no rows, so X must be those that it was fitted on. It
    becomes an AdaptiveDBSCAN whose cores are all rows of clusters. A cluster reaches as far from them as the largest
    core distance among its rows (distance to the min_samples-th neighbour), so that each row is within reach of those
    that made it a member; its densest radius is the smallest. It has no `tree_`, and `outlier_scores_` only if the
    estimator has them.
    """
    name = type(estimator).__name__
    if all(hasattr(estimator, parameter) for parameter in ("min_cluster_size", "min_samples", "metric")):
        return _from_hdbscan(estimator, X, name)
    if not all(hasattr(estimator, parameter) for parameter in ("eps", "min_samples", "metric")):
        raise TypeError(
            f"from_sklearn takes a fitted DBSCAN or HDBSCAN. Got {name}, which has no eps (or min_cluster_size), "
            "min_samples and metric."
        )
    if not all(hasattr(estimator, attribute) for attribute in ("labels_", "core_sample_indices_", "components_")):
        raise not_fitted(name)
    model = DBSCAN(
        estimator.eps,
        min_samples=estimator.min_samples,
        metric=_metric(estimator, name),
        n_jobs=getattr(estimator, "n_jobs", None),
    )
    labels: NDArray[np.int64] = np.array(estimator.labels_, dtype=np.int64)
    cores: NDArray[np.int64] = np.array(estimator.core_sample_indices_, dtype=np.int64)
    _check_cores(labels, cores, np.shape(estimator.components_), name)
    names = getattr(estimator, "feature_names_in_", None)
    model._learn(Rows(_components(estimator.components_), names), labels[cores], labels, cores)
    return model


def _from_hdbscan(estimator: Any, X: object, name: str) -> AdaptiveDBSCAN:  # noqa: N803
    if not all(hasattr(estimator, attribute) for attribute in ("labels_", "probabilities_")):
        raise not_fitted(name)
    if X is None:
        raise ValueError(f"{name} keeps no rows: pass the X that it was fitted on, from_sklearn(estimator, X).")
    min_samples = int(estimator.min_samples or estimator.min_cluster_size)
    model = AdaptiveDBSCAN(
        min_samples=min_samples, min_cluster_size=int(estimator.min_cluster_size), metric=_metric(estimator, name)
    )
    rows = model._rows_to_fit(X)
    n = rows.matrix.shape[0]
    # Below -1 scikit-learn tells rows of missing and of infinite values, which no X here has.
    labels = np.maximum(np.array(estimator.labels_, dtype=np.int64), -1)
    probabilities = np.array(estimator.probabilities_, dtype=np.float64)
    if labels.shape != (n,) or probabilities.shape != (n,) or not 1 <= min_samples <= n:
        raise ValueError(f"This {name} was fitted on {labels.size} rows, and X has {n}: pass the X of its fit.")
    cores = np.flatnonzero(labels >= 0)
    distances = _engine.core_distances(rows.matrix, cores, min_samples, model.metric, None)
    clusters = int(labels.max(initial=-1)) + 1
    widest, densest = np.zeros(clusters), np.full(clusters, np.inf)
    np.maximum.at(widest, labels[cores], distances)
    np.minimum.at(densest, labels[cores], distances)
    # Clusters of equal rows have no extent, and a radius must be above zero.
    smallest = np.finfo(np.float64).tiny ** 0.5
    radii = Radii(np.maximum(widest, smallest), np.maximum(densest, smallest))
    model._learn(rows, labels, cores, probabilities, radii)
    if hasattr(estimator, "outlier_scores_"):
        model.outlier_scores_ = np.array(estimator.outlier_scores_, dtype=np.float64)
    return model


def _metric(estimator: Any, name: str) -> str:
    metric, parameters = estimator.metric, dict(getattr(estimator, "metric_params", None) or {})
    if metric == "precomputed":
        raise ValueError(
            f"This {name} was fitted on distances (metric='precomputed'), and a prediction needs rows: "
            "fit shoal_engine.DBSCAN on the rows themselves."
        )
    found = _SAME_METRICS.get(metric) if isinstance(metric, str) else None
    if metric == "minkowski":
        power = parameters.pop("p", None) or getattr(estimator, "p", None) or 2
        found = _MINKOWSKI.get(float(power))
        metric = f"{metric} with p={power}"
    if found is None or parameters:
        shown = f" with {parameters}" if parameters else ""
        raise ValueError(
            f"The metric {metric!r}{shown} of this {name} is none of {{{', '.join(map(repr, METRICS))}}} or a name of "
            "scikit-learn's for one of them: fit it with one of these."
        )
    return found


def _check_cores(labels: NDArray[np.int64], cores: NDArray[np.int64], shape: tuple[int, ...], name: str) -> None:
    belongs = (
        labels.ndim == cores.ndim == 1
        and len(shape) == 2
        and shape[0] == cores.size
        and bool(((cores >= 0) & (cores < labels.size)).all())
        and bool((labels[cores] >= 0).all())
    )
    if not belongs:
        raise ValueError(
            f"labels_, core_sample_indices_ and components_ of this {name} do not belong together: every core sample "
            "needs a row of components_ and a label >= 0. Fit it again."
        )


def _components(components: Any) -> NDArray[Any]:
    # A model without clusters has no core sample, which no fit may be asked for.
    if np.shape(components)[0] == 0:
        return np.empty(np.shape(components))
    return as_matrix(components, "from_sklearn", keep_float32=True).copy()
