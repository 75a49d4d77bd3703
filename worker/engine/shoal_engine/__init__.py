"""Exact, parallel DBSCAN with predictions, for scikit-learn users.

`DBSCAN` is the estimator, `Predictor` the immutable index that a server holds, `silhouette` a sampled quality figure.
"""

from shoal_engine._dbscan import DBSCAN
from shoal_engine._engine import Predictor
from shoal_engine._estimator import NotFittedError
from shoal_engine._silhouette import silhouette

__all__ = ["DBSCAN", "NotFittedError", "Predictor", "silhouette"]
__version__ = "0.1.0"
