"""What the peers serve: the rule of a DBSCAN model, by scikit-learn. The peers' servers unpickle it.

Invariant: a row gets the label of its nearest core sample within eps, else -1.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors


class NearestCore:
    """An estimator that is fitted already."""

    def __init__(self, cores: NDArray[np.float64], labels: NDArray[np.int32], eps: float) -> None:
        self._neighbors = NearestNeighbors(n_neighbors=1).fit(cores)
        self._labels = labels
        self._eps = eps

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.int32]:
        """Label rows."""
        distances, places = self._neighbors.kneighbors(rows)
        return np.where(distances[:, 0] <= self._eps, self._labels[places[:, 0]], np.int32(-1))
