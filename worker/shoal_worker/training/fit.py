"""The fit itself: from a matrix to labels and the index that is served; called by `training`.

Invariant: whatever the engine refuses is told with the field that the user wrote, its value and a remedy. The result
depends on data and parameters only: threads and index change how long it takes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from shoal_engine import COORDINATES_A_SECOND, DBSCAN, AdaptiveDBSCAN, Predictor, WorkBudgetError
from shoal_worker.artifact.densities import Densities, find_peaks
from shoal_worker.artifact.files import FloatArray, LabelArray
from shoal_worker.artifact.manifest import AdaptiveParameters, DbscanParameters, Parameters
from shoal_worker.errors import SettingsInvalid, TrainingFailed
from shoal_worker.spec.algorithm import AdaptiveDbscanSpec, AlgorithmSpec, DbscanSpec

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Means:
    """What a fit may use: threads, an index (auto: the engine's choice), and seconds (None: as many as it takes)."""

    threads: int
    index: str = "auto"
    seconds: float | None = None

    def work_budget(self, columns: int) -> float | None:
        """Distance computations that these threads can do in these seconds, on rows of so many columns."""
        return None if self.seconds is None else self.seconds * self.threads * COORDINATES_A_SECOND / columns


@dataclass(frozen=True, slots=True)
class Fitted:
    """A clustering: its parameters, labels by row, core rows, and the predictor of new rows.

    densities: of an adaptive model; else None.
    """

    parameters: Parameters
    labels: LabelArray
    core_rows: np.ndarray
    predictor: Predictor
    densities: Densities | None = None


def fit(points: FloatArray, algorithm: AlgorithmSpec, means: Means, progress: Progress) -> Fitted:
    """Fit the algorithm that is set; an exception of `progress` ends the fit and is passed on."""
    chosen = algorithm.chosen
    try:
        match chosen:
            case DbscanSpec():
                return _fit_dbscan(points, chosen, means, progress)
            case AdaptiveDbscanSpec():
                return _fit_adaptive(points, chosen, means, progress)
            case _:
                assert_never(chosen)
    except WorkBudgetError as error:
        raise SettingsInvalid(
            str(error),
            field=f"{algorithm.field}.eps",
            remedy="Correct it, or give the training more time by spec.training.activeDeadlineSeconds",
        ) from None
    except ValueError as error:
        # The engine names an index that cannot go with the data first; all else is about the algorithm's parameters.
        field = "spec.training.plan.index" if str(error).startswith("index=") else algorithm.field
        raise SettingsInvalid(str(error), field=field, remedy="Correct it") from None
    except (MemoryError, RuntimeError) as error:
        raise TrainingFailed(
            str(error), field="spec.source.uri", remedy="Give the training more memory, or fewer rows"
        ) from None


def _fit_dbscan(points: FloatArray, spec: DbscanSpec, means: Means, progress: Progress) -> Fitted:
    assert spec.eps is not None, "where the user gave none, the search did"  # noqa: S101, for the type checker
    fitted = DBSCAN(
        spec.eps,
        min_samples=spec.min_samples,
        metric=spec.metric,
        n_jobs=means.threads,
        index=means.index,
        work_budget=means.work_budget(points.shape[1]),
        progress=progress,
    ).fit(points)
    return fitted_of(fitted, means.threads)


def _fit_adaptive(points: FloatArray, spec: AdaptiveDbscanSpec, means: Means, progress: Progress) -> Fitted:
    fitted = AdaptiveDBSCAN(
        min_samples=spec.min_samples,
        min_cluster_size=spec.min_cluster_size,
        metric=spec.metric,
        n_jobs=means.threads,
        progress=progress,
    ).fit(points)
    return fitted_of(fitted, means.threads)


def fitted_of(estimator: DBSCAN | AdaptiveDBSCAN, threads: int) -> Fitted:
    """Take over what a fitted estimator found."""
    labels: LabelArray = estimator.labels_.astype(np.int32)
    cores = estimator.core_sample_indices_
    known = {"min_samples": estimator.min_samples, "metric": estimator.metric}
    if isinstance(estimator, DBSCAN):
        eps = float(estimator.eps)
        return Fitted(
            parameters=DbscanParameters.model_validate({**known, "eps": eps}),
            labels=labels,
            core_rows=cores,
            predictor=Predictor(estimator.components_, labels[cores], eps, estimator.metric, n_jobs=threads),
        )
    densities = Densities(estimator.cluster_eps_, find_peaks(estimator.tree_), estimator.probabilities_[cores])
    return Fitted(
        parameters=AdaptiveParameters.model_validate({**known, "min_cluster_size": estimator.min_cluster_size}),
        labels=labels,
        core_rows=cores,
        predictor=Predictor(estimator.components_, labels[cores], densities.radii, estimator.metric, n_jobs=threads),
        densities=densities,
    )
