"""The fit itself: from a matrix to labels and the index that is served; called by `training`.

Invariant: whatever the engine refuses is told with the field that the user wrote, its value and a remedy. The result
depends on data and parameters only: threads, index and budget change how long it takes, or whether it is begun at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from shoal_engine import DBSCAN, Predictor
from shoal_worker.artifact import FloatArray, LabelArray, RadiiArray
from shoal_worker.errors import SettingsInvalid, TrainingFailed
from shoal_worker.manifest import DbscanParameters, Parameters
from shoal_worker.spec import AdaptiveDbscanSpec, AlgorithmSpec, DbscanSpec

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Means:
    """What a fit may use: threads, an index (auto: the engine's choice), distance computations (None: any number)."""

    threads: int
    index: str = "auto"
    work_budget: int | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A clustering: its parameters, labels by row, core rows, and the predictor of new rows.

    radii: how far each cluster of an adaptive model reaches, by label; else None.
    """

    parameters: Parameters
    labels: LabelArray
    core_rows: np.ndarray
    predictor: Predictor
    index: Mapping[str, np.ndarray]
    radii: RadiiArray | None = None


def fit(points: FloatArray, algorithm: AlgorithmSpec, means: Means, progress: Progress) -> Fitted:
    """Fit the algorithm that is set; an exception of `progress` ends the fit and is passed on."""
    chosen = algorithm.chosen
    try:
        match chosen:
            case DbscanSpec():
                return _fit_dbscan(points, chosen, means, progress)
            case AdaptiveDbscanSpec():
                raise SettingsInvalid("this worker cannot train it yet", field=algorithm.field, remedy="Use dbscan")
            case _:
                assert_never(chosen)
    except ValueError as error:
        raise SettingsInvalid(str(error), field=algorithm.field, remedy="Correct the parameters") from None
    except (MemoryError, RuntimeError) as error:
        raise TrainingFailed(
            str(error), field="spec.source.uri", remedy="Give the training more memory, or fewer rows"
        ) from None


def _fit_dbscan(points: FloatArray, spec: DbscanSpec, means: Means, progress: Progress) -> Fitted:
    fitted = DBSCAN(
        spec.eps, min_samples=spec.min_samples, metric=spec.metric, n_jobs=means.threads, progress=progress
    ).fit(points)
    labels: LabelArray = fitted.labels_.astype(np.int32)
    core_labels = labels[fitted.core_sample_indices_]
    predictor = Predictor(fitted.components_, core_labels, spec.eps, spec.metric, n_jobs=means.threads)
    return Fitted(
        parameters=DbscanParameters(eps=spec.eps, min_samples=spec.min_samples, metric=spec.metric),
        labels=labels,
        core_rows=fitted.core_sample_indices_,
        predictor=predictor,
        index={"core_points": fitted.components_, "core_labels": core_labels},
    )
