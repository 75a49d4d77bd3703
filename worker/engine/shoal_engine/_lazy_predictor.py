"""The index behind an estimator's `predict`, built when it is first asked.

Estimators make one at the end of `fit`. What it answers stays with that fit, whatever happens to the estimator's
parameters later; pickles carry its data, not the index.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_engine._engine import Predictor


@dataclass(slots=True, eq=False)
class LazyPredictor:
    """Core samples with a label each, and how far a label reaches; see `Predictor`."""

    core_points: NDArray[Any]
    core_labels: NDArray[np.integer[Any]]
    eps: float | NDArray[np.float64]
    metric: str
    n_jobs: int | None
    _built: Predictor | None = field(default=None, init=False)

    def get(self) -> Predictor:
        """Return the index; two threads that ask at once may both build it, to the same effect."""
        if self._built is None:
            points = self.core_points.astype(np.float64, copy=False)
            labels = self.core_labels.astype(np.int32, copy=False)
            self._built = Predictor(points, labels, self.eps, self.metric, n_jobs=self.n_jobs)
        return self._built

    def __reduce__(self) -> tuple[type["LazyPredictor"], tuple[Any, ...]]:
        return LazyPredictor, (self.core_points, self.core_labels, self.eps, self.metric, self.n_jobs)
