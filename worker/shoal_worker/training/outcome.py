"""Preprocess, measure, validate and package a fit: from raw rows to an artifact with its verdict; called by `train`.

Invariant: equal data and parameters give an equal artifact; time appears in the outcome only. No I/O.
A fit outside the validation's limits is an outcome with the verdict "fail", not an error: the record is worth keeping.
"""

import time
from dataclasses import dataclass
from importlib.metadata import version
from math import inf

import numpy as np

from shoal_engine import Plan
from shoal_worker.artifact.files import (
    Artifact,
    ArtifactFiles,
    FloatArray,
    LabelArray,
    ModelTensors,
    build_artifact,
    verify_artifact,
)
from shoal_worker.artifact.manifest import MAX_DIMENSIONS, Metric, ModelMetrics, SearchRecord
from shoal_worker.artifact.ranges import Ranges, measure_ranges
from shoal_worker.data.frame import Frame
from shoal_worker.errors import SettingsInvalid
from shoal_worker.identity.continuity import Identity
from shoal_worker.identity.naming import name_clusters
from shoal_worker.model import build_model
from shoal_worker.planning import plan_training
from shoal_worker.preprocessing.fitting import fit_preprocessor
from shoal_worker.preprocessing.preprocessor import Preprocessor
from shoal_worker.resources import Machine, resident_bytes
from shoal_worker.spec.algorithm import AlgorithmSpec
from shoal_worker.spec.training import TrainingSpec
from shoal_worker.training.baseline import Baseline, BaselineLost
from shoal_worker.training.fit import Fitted, Means, Progress, fit
from shoal_worker.training.measuring import measure
from shoal_worker.training.search import SearchTime, search
from shoal_worker.validation.judgement import Judgements
from shoal_worker.validation.run import validate
from shoal_worker.validation.subject import Refit, Subject, draw_rows

PROBES = 64
_FRAMEWORKS = ("shoal-engine", "shoal-worker", "numpy", "pyarrow", "safetensors", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome of a training."""

    files: ArtifactFiles
    artifact: Artifact
    points: FloatArray
    """The rows, preprocessed."""
    fitted: Fitted
    preprocessor: Preprocessor
    plan: Plan
    metrics: ModelMetrics
    fit_seconds: float
    algorithm: AlgorithmSpec
    """The parameters that were used."""
    search: SearchRecord | None
    identity: Identity
    validation: Judgements
    framework_versions: dict[str, str]


def train_model(
    frame: Frame,
    spec: TrainingSpec,
    machine: Machine,
    baseline: Baseline | BaselineLost | None,
    progress: Progress,
    *,
    fitted: Fitted | None = None,
    first_free_id: int = 0,
) -> Trained:
    """Preprocess and fit the rows, package the result and test the very bytes of it.

    fitted: a fit of these rows that was made elsewhere, to be packaged and tested as it is. first_free_id: above the
    ids of all clusters that the model ever had.
    """
    preprocessor = fit_preprocessor(frame, spec.preprocessing)
    points = preprocessor.apply(frame)
    metric = spec.algorithm.chosen.metric
    check_points(points, preprocessor.features, metric, preprocessed=bool(spec.preprocessing))
    planned = plan_training(len(points), points.shape[1], spec, machine)
    time_for_search = SearchTime(planned.threads, spec.deadline_seconds)
    algorithm, searched = search(points, spec.algorithm, spec.validation, time_for_search)

    def fit_with(points: FloatArray, threads: int) -> Fitted:
        return fit(points, algorithm, Means(threads, spec.plan.index, spec.deadline_seconds), progress)

    # Of a fit that was made elsewhere nobody knows what it took; to repeat it is taken for dear.
    dear = fitted is not None
    started = time.perf_counter()
    fitted = fitted or fit_with(points, planned.threads)
    fit_seconds = time.perf_counter() - started
    metrics = measure(points, fitted, metric)
    identity = name_clusters(frame, fitted.labels, metrics.clusters, baseline, first_free_id)
    ranges = Ranges.build(measure_ranges(points))
    frameworks = {name: version(name) for name in _FRAMEWORKS}

    def package(fitted: Fitted) -> ArtifactFiles:
        probes = _probe_rows(fitted.labels)
        return build_artifact(
            ModelTensors(
                fitted.predictor.to_arrays(),
                frame.select(probes),
                fitted.predictor.predict(points[probes]),
                identity.ids,
                ranges,
                fitted.densities,
            ),
            preprocessor=preprocessor,
            parameters=fitted.parameters,
            metrics=metrics,
            next_id=identity.next_id,
            search=searched,
            framework_versions=frameworks,
        )

    files = package(fitted)
    artifact = verify_artifact(files, files.digest)
    subject = Subject(
        files=files,
        artifact=artifact,
        model=build_model(artifact, name=spec.name, version="candidate", machine=machine),
        frame=frame,
        points=points,
        fitted=fitted,
        algorithm=algorithm,
        refit=Refit(fit_with, package, inf if dear else fit_seconds, planned.threads, planned.fit_bytes // len(points)),
        sample=draw_rows(len(points)),
        free_bytes=lambda: machine.memory - resident_bytes(),
        estimated_bytes=planned.index_bytes,
        deadline_seconds=spec.deadline_seconds,
    )
    judged = validate(subject, spec.validation, baseline)
    return Trained(
        files,
        artifact,
        points,
        fitted,
        preprocessor,
        planned,
        metrics,
        fit_seconds,
        algorithm,
        searched,
        identity,
        judged,
        frameworks,
    )


def check_points(points: FloatArray, features: tuple[str, ...], metric: Metric, *, preprocessed: bool) -> None:
    """Refuse points that cannot go with the metric."""
    field = "spec.preprocessing" if preprocessed else "spec.source.columns"
    if len(features) > MAX_DIMENSIONS:
        raise SettingsInvalid(
            f"there are more than {MAX_DIMENSIONS} columns",
            field=field,
            value=len(features),
            remedy="Choose fewer columns",
        )
    if metric != "haversine":
        return
    if len(features) != 2:
        raise SettingsInvalid(
            f"haversine takes two columns, latitude and longitude, and there are {len(features)}",
            field=field,
            value=", ".join(features[:8]),
            remedy="Name the latitude and the longitude column, in this order",
        )
    largest = np.abs(points).max(axis=0)
    if largest[0] > np.pi / 2 + 1e-9 or largest[1] > 2 * np.pi + 1e-9:
        raise SettingsInvalid(
            "haversine takes radians, and these columns reach beyond them",
            reason="DataInvalid",
            field=field,
            value=f"|{features[0]}| <= {largest[0]:.6g}, |{features[1]}| <= {largest[1]:.6g}",
            remedy="Put latitude before longitude, and convert degrees by the preprocessing step toRadians; eps is in "
            "radians too",
        )


def _probe_rows(labels: LabelArray) -> np.ndarray:
    """Rows for the self-test, spread over the data, half of them noise where there is enough: cheap and repeatable."""
    noise, clustered = np.flatnonzero(labels == -1), np.flatnonzero(labels != -1)
    chosen = [_spread(rows, PROBES // 2) for rows in (noise, clustered)]
    return np.concatenate(chosen)


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))] if len(rows) else rows
