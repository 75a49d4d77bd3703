"""What scikit-learn fits, as plain arrays; called by `fitting`.

Invariant: equal data gives equal numbers, however many threads there are. scikit-learn is imported here only, and late:
it takes a second, which a training without these steps does not need.
"""

from typing import assert_never

import numpy as np

from shoal_worker.preprocessing.steps import Floats
from shoal_worker.spec.preprocessing import ScaleMethod

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
_EPS = np.finfo(np.float64).eps


def fit_fills(columns: Floats, strategy: str) -> Floats:
    """The mean or median of each column, missing values left out."""
    from sklearn.impute import SimpleImputer

    fills: Floats = SimpleImputer(strategy=strategy).fit(columns).statistics_
    return fills


def find_categories(column: np.ndarray) -> np.ndarray:
    """The different texts or numbers of a column, sorted; a missing value is none of them."""
    from sklearn.preprocessing import OneHotEncoder

    found: np.ndarray = OneHotEncoder().fit(column[:, None]).categories_[0]
    if found.dtype == object:
        known: np.ndarray = found[[text is not None for text in found.tolist()]]
        return known
    return np.asarray(found[~np.isnan(found)])


def fit_scaling(columns: Floats, method: ScaleMethod) -> tuple[Floats, Floats, Mask]:
    """The two numbers of each column that `Scale` takes, and which columns are constant as far as the method sees."""
    from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

    match method:
        case "standard":
            standard = StandardScaler().fit(columns)
            # Where it finds a column constant, it divides by 1 instead of the deviation.
            return standard.mean_, standard.scale_, standard.scale_ != np.sqrt(standard.var_)
        case "robust":
            robust = RobustScaler().fit(columns)
            low, high = np.nanpercentile(columns, (25.0, 75.0), axis=0)
            return robust.center_, robust.scale_, (robust.scale_ == 1) & (high - low != 1)
        case "minmax":
            minmax = MinMaxScaler().fit(columns)
            return minmax.scale_, minmax.min_, minmax.data_range_ < 10 * _EPS
        case _:
            assert_never(method)


def fit_components(columns: Floats, wanted: float) -> tuple[Floats, Floats, Floats]:
    """Means, principal components row by row, their deviations; wanted: how many, or the share of the variance."""
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    # Exact solvers only; the first needs no copy of the data. One thread, so that every machine sums alike.
    solver = "covariance_eigh" if len(columns) >= 10 * columns.shape[1] else "full"
    with threadpool_limits(1):
        fitted = PCA(wanted, svd_solver=solver).fit(columns)
    return fitted.mean_, fitted.components_, np.maximum(np.sqrt(fitted.explained_variance_), _EPS)
