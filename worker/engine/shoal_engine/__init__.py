"""Exact, parallel DBSCAN with predictions, for scikit-learn users.

`DBSCAN` is the estimator and `AdaptiveDBSCAN` the one for data whose density varies, `Predictor` the immutable index
that a server holds, `core_samples` what is in it, `silhouette` a sampled quality figure, `suggest_eps` a search for
DBSCAN's radius, `plan` the choice of index, threads and batches.
"""

from shoal_engine._adaptive import AdaptiveDBSCAN
from shoal_engine._cores import core_samples
from shoal_engine._dbscan import DBSCAN
from shoal_engine._engine import COORDINATES_A_SECOND, Predictor, WorkBudgetError
from shoal_engine._estimator import NotFittedError
from shoal_engine._from_sklearn import from_sklearn
from shoal_engine._plan import Plan, plan
from shoal_engine._silhouette import silhouette
from shoal_engine._suggest import EpsSuggestion, suggest_eps

__all__ = [
    "COORDINATES_A_SECOND",
    "DBSCAN",
    "AdaptiveDBSCAN",
    "EpsSuggestion",
    "NotFittedError",
    "Plan",
    "Predictor",
    "WorkBudgetError",
    "core_samples",
    "from_sklearn",
    "plan",
    "silhouette",
    "suggest_eps",
]
__version__ = "0.1.0"
