"""Measure, validate and package a fit: from a matrix to an artifact with its verdict; called by `train`.

Invariant: equal data and parameters give an equal artifact; time appears in the outcome only. No I/O.
A fit outside the validation's limits is an outcome with the verdict "fail", not an error: the record is worth keeping.
"""

import time
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from shoal_engine import Plan, silhouette
from shoal_worker.artifact.files import (
    ArtifactFiles,
    FloatArray,
    LabelArray,
    ModelTensors,
    build_artifact,
    verify_artifact,
)
from shoal_worker.artifact.manifest import MAX_DIMENSIONS, Column, Metric, ModelMetrics, SearchRecord
from shoal_worker.data.frame import Frame
from shoal_worker.data.source import Table
from shoal_worker.errors import SettingsInvalid
from shoal_worker.model import build_model
from shoal_worker.planning import plan_training
from shoal_worker.resources import Machine
from shoal_worker.spec.algorithm import AlgorithmSpec
from shoal_worker.spec.training import TrainingSpec
from shoal_worker.training.baseline import Baseline, BaselineLost
from shoal_worker.training.fit import Fitted, Means, Progress, fit
from shoal_worker.training.search import SearchTime, search
from shoal_worker.validation.dbcv import dbcv
from shoal_worker.validation.judgement import Judgements
from shoal_worker.validation.run import validate
from shoal_worker.validation.subject import Refit, Subject, draw_rows

PROBES = 64
SILHOUETTE_SAMPLE = 2000
_SEED = 0
_FRAMEWORKS = ("shoal-engine", "shoal-worker", "numpy", "pyarrow", "safetensors")


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome of a training."""

    files: ArtifactFiles
    columns: tuple[Column, ...]
    plan: Plan
    metrics: ModelMetrics
    fit_seconds: float
    algorithm: AlgorithmSpec
    """The parameters that were used."""
    search: SearchRecord | None
    validation: Judgements
    framework_versions: dict[str, str]


def train_model(
    table: Table,
    spec: TrainingSpec,
    machine: Machine,
    baseline: Baseline | BaselineLost | None,
    progress: Progress,
) -> Trained:
    """Fit the table, package the result and test the very bytes of it."""
    check_table(table, spec.algorithm.chosen.metric)
    planned = plan_training(len(table.points), len(table.columns), spec, machine)
    time_for_search = SearchTime(planned.threads, spec.deadline_seconds)
    algorithm, searched = search(table.points, spec.algorithm, spec.validation, time_for_search)

    def fit_with(points: FloatArray, threads: int) -> Fitted:
        return fit(points, algorithm, Means(threads, spec.plan.index, spec.deadline_seconds), progress)

    started = time.perf_counter()
    fitted = fit_with(table.points, planned.threads)
    fit_seconds = time.perf_counter() - started
    metrics = _measure(table.points, fitted, algorithm.chosen.metric)
    frameworks = {name: version(name) for name in _FRAMEWORKS}

    def package(fitted: Fitted) -> ArtifactFiles:
        probes = table.points[_probe_rows(fitted.labels)]
        return build_artifact(
            ModelTensors(fitted.predictor.to_arrays(), probes, fitted.predictor.predict(probes), fitted.densities),
            parameters=fitted.parameters,
            columns=table.columns,
            metrics=metrics,
            search=searched,
            framework_versions=frameworks,
        )

    files = package(fitted)
    artifact = verify_artifact(files, files.digest)
    subject = Subject(
        files=files,
        artifact=artifact,
        model=build_model(artifact, name=spec.name, version="candidate", machine=machine),
        points=table.points,
        fitted=fitted,
        algorithm=algorithm,
        refit=Refit(fit_with, package, fit_seconds, planned.threads, planned.fit_bytes // len(table.points)),
        sample=draw_rows(len(table.points)),
        memory=machine.memory,
        estimated_bytes=planned.index_bytes,
        deadline_seconds=spec.deadline_seconds,
    )
    judged = validate(subject, Frame(table.columns, table.points, {}), spec.validation, baseline)
    return Trained(files, table.columns, planned, metrics, fit_seconds, algorithm, searched, judged, frameworks)


def check_table(table: Table, metric: Metric) -> None:
    """Refuse a table that cannot go with the metric."""
    width = len(table.columns)
    if width > MAX_DIMENSIONS:
        raise SettingsInvalid(
            f"there are more than {MAX_DIMENSIONS} columns",
            field="spec.source.columns",
            value=width,
            remedy="Choose fewer columns",
        )
    if metric != "haversine":
        return
    if width != 2:
        raise SettingsInvalid(
            f"haversine takes two columns, latitude and longitude, and there are {width}",
            field="spec.source.columns",
            value=", ".join(column.name for column in table.columns[:8]),
            remedy="Name the latitude and the longitude column, in this order",
        )
    largest = np.abs(table.points).max(axis=0)
    if largest[0] > np.pi / 2 + 1e-9 or largest[1] > 2 * np.pi + 1e-9:
        raise SettingsInvalid(
            "haversine takes radians, and these columns reach beyond them",
            reason="DataInvalid",
            field="spec.source.columns",
            value=f"|{table.columns[0].name}| <= {largest[0]:.6g}, |{table.columns[1].name}| <= {largest[1]:.6g}",
            remedy="Put latitude before longitude, and convert degrees to radians (x * pi / 180), eps too",
        )


def _measure(points: FloatArray, fitted: Fitted, metric: Metric) -> ModelMetrics:
    labels = fitted.labels
    clusters = int(labels.max(initial=-1)) + 1
    value = None
    if clusters >= 2:
        found = silhouette(points, labels, metric=metric, sample_size=SILHOUETTE_SAMPLE, seed=_SEED)
        value = found if found is not None and np.isfinite(found) else None
    return ModelMetrics(
        rows=len(labels),
        clusters=clusters,
        noise_ratio=float(np.count_nonzero(labels == -1)) / len(labels),
        core_samples=len(fitted.core_rows),
        silhouette=value,
        dbcv=dbcv(points, labels, metric, seed=_SEED),
    )


def _probe_rows(labels: LabelArray) -> np.ndarray:
    """Rows for the self-test, spread over the data, half of them noise where there is enough: cheap and repeatable."""
    noise, clustered = np.flatnonzero(labels == -1), np.flatnonzero(labels != -1)
    chosen = [_spread(rows, PROBES // 2) for rows in (noise, clustered)]
    return np.concatenate(chosen)


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))] if len(rows) else rows
