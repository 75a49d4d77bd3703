"""Fitted clusterings of other libraries, taken over with their labels so that they can predict and be served.

Called by users. Nothing is fitted anew; no other library is imported: what an estimator is shows in its attributes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def from_sklearn(estimator: Any) -> DBSCAN:
    """Take over a fitted `sklearn.cluster.DBSCAN` (or one with its attributes): same labels, and `predict`.

    The metric may be any that `DBSCAN` here knows, under any of scikit-learn's names for it, minkowski with p of 1, 2
    or infinity included. Raises ValueError for other metrics, callable and precomputed ones among them, and for
    attributes that do not belong together; TypeError for estimators of another kind; NotFittedError before `fit`.
    """
    name = type(estimator).__name__
    if not all(hasattr(estimator, parameter) for parameter in ("eps", "min_samples", "metric")):
        raise TypeError(f"from_sklearn takes a fitted DBSCAN. Got {name}, which has no eps, min_samples and metric.")
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
    model._learn(Rows(_components(estimator.components_), names), labels, cores)
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
