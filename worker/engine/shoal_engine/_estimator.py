"""What every estimator of the package shares: scikit-learn's conventions, without needing scikit-learn.

`DBSCAN` and `AdaptiveDBSCAN` derive from it. The constructor only stores its parameters; `fit` checks them by the
class's rules. What a fit learns is set at its end, so that a fit that fails leaves the estimator as it was.
"""

import inspect
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from shoal_engine._parameters import Rules, check
from shoal_engine._tables import column_names
from shoal_engine._validation import as_matrix

if TYPE_CHECKING:
    from sklearn.utils import Tags

_MAX_JOBS = 2**31


class NotFittedError(ValueError, AttributeError):
    """`predict` was called before `fit`. It is scikit-learn's NotFittedError too wherever scikit-learn is loaded."""

    def __reduce__(self) -> tuple[Callable[[str], "NotFittedError"], tuple[Any, ...]]:
        return _known_to_peers, self.args


def not_fitted(owner: str) -> NotFittedError:
    """Return the error for an estimator of that name."""
    return _known_to_peers(
        f"This {owner} instance is not fitted yet. Call 'fit' with appropriate arguments before using this estimator."
    )


def _known_to_peers(message: str) -> NotFittedError:
    peers = sys.modules.get("sklearn.exceptions")
    if peers is None:
        return NotFittedError(message)
    kind: type[NotFittedError] = type("NotFittedError", (NotFittedError, peers.NotFittedError), {})
    return kind(message)


@dataclass(frozen=True, slots=True)
class Rows:
    """X as the engine takes it, and its column names."""

    matrix: NDArray[Any]
    names: NDArray[np.object_] | None


class Estimator:
    """Parameters by name, checked rows, feature names and scikit-learn's tags."""

    n_jobs: int | None
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    _rules: ClassVar[Rules]

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

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = (f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name].default)
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> "Tags":
        # Only scikit-learn asks for its tags, so it is there.
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(estimator_type="clusterer", target_tags=TargetTags(required=False), input_tags=InputTags())

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return sorted(name for name in inspect.signature(cls.__init__).parameters if name != "self")

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check_parameters(self) -> None:
        check(self._name, self._rules, self.get_params())

    def _bounded_jobs(self) -> int | None:
        """Return n_jobs within what the engine's integers hold; it starts far fewer threads in any case."""
        return None if self.n_jobs is None else max(-_MAX_JOBS, min(int(self.n_jobs), _MAX_JOBS))

    def _rows_to_fit(self, X: object) -> Rows:  # noqa: N803
        names = column_names(X)
        return Rows(as_matrix(X, self._name, keep_float32=True), names)

    def _remember_columns(self, rows: Rows) -> None:
        self.n_features_in_ = rows.matrix.shape[1]
        if rows.names is not None:
            self.feature_names_in_ = rows.names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _rows_like_fitted(self, X: object) -> NDArray[Any]:  # noqa: N803
        """Check that X has the columns of the fit."""
        if not hasattr(self, "n_features_in_"):
            raise not_fitted(self._name)
        self._check_names(column_names(X))
        matrix = as_matrix(X, self._name, keep_float32=True)
        if matrix.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {matrix.shape[1]} features, but {self._name} is expecting "
                f"{self.n_features_in_} features as input."
            )
        return matrix

    def _check_names(self, names: NDArray[np.object_] | None) -> None:
        fitted: NDArray[np.object_] | None = getattr(self, "feature_names_in_", None)
        if names is None and fitted is None:
            return
        if fitted is None:
            warnings.warn(f"X has feature names, but {self._name} was fitted without feature names", stacklevel=4)
        elif names is None:
            warnings.warn(
                f"X does not have valid feature names, but {self._name} was fitted with feature names", stacklevel=4
            )
        elif not np.array_equal(names, fitted):
            raise ValueError(_name_differences(set(names), set(fitted)))


def _name_differences(given: set[str], fitted: set[str]) -> str:
    message = "The feature names should match those that were passed during fit.\n"
    if given == fitted:
        return message + "Feature names must be in the same order as they were in fit.\n"
    for title, names in (
        ("Feature names unseen at fit time", sorted(given - fitted)),
        ("Feature names seen at fit time, yet now missing", sorted(fitted - given)),
    ):
        if names:
            shown = [f"- {name}\n" for name in names[:5]] + ["- ...\n"] * (len(names) > 5)
            message += f"{title}:\n{''.join(shown)}"
    return message
