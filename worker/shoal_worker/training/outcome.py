"""Measure, validate and package a fit: from a matrix to an artifact with its verdict; called by `train`.

Invariant: equal data and parameters give an equal artifact; time appears in the outcome only. No I/O.
A fit outside the validation's limits is an outcome with the verdict "fail", not an error: the record is worth keeping.
"""

import time
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from shoal_engine import Plan, silhouette
from shoal_worker.artifact.files import ArtifactFiles, FloatArray, LabelArray, ModelTensors, build_artifact
from shoal_worker.artifact.manifest import MAX_DIMENSIONS, Column, Metric, ModelMetrics
from shoal_worker.data.source import Table
from shoal_worker.errors import SettingsInvalid
from shoal_worker.planning import plan_training
from shoal_worker.resources import Machine
from shoal_worker.spec.algorithm import AlgorithmSpec
from shoal_worker.spec.training import TrainingSpec
from shoal_worker.training.fit import Fitted, Means, Progress, fit
from shoal_worker.validation.judgement import Judgement, Judgements, Verdict
from shoal_worker.validation.limits import judge_limits

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
    validation: Judgements
    framework_versions: dict[str, str]


def train_model(table: Table, spec: TrainingSpec, machine: Machine, progress: Progress) -> Trained:
    """Fit the table and package the result."""
    metric = spec.algorithm.chosen.metric
    check_table(table, metric)
    planned = plan_training(len(table.points), len(table.columns), spec, machine)
    means = Means(planned.threads, spec.plan.index, spec.deadline_seconds)
    started = time.perf_counter()
    fitted = fit(table.points, spec.algorithm, means, progress)
    fit_seconds = time.perf_counter() - started
    metrics = _measure(table.points, fitted, metric)
    probes = table.points[_probe_rows(fitted.labels)]
    frameworks = {name: version(name) for name in _FRAMEWORKS}
    files = build_artifact(
        ModelTensors(fitted.predictor.to_arrays(), probes, fitted.predictor.predict(probes), fitted.densities),
        parameters=fitted.parameters,
        columns=table.columns,
        metrics=metrics,
        framework_versions=frameworks,
    )
    tests = (*judge_limits(metrics, spec.validation), _judge_reproduction(table.points, fitted))
    return Trained(files, table.columns, planned, metrics, fit_seconds, spec.algorithm, Judgements(tests), frameworks)


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


def _judge_reproduction(points: FloatArray, fitted: Fitted) -> Judgement:
    rows = fitted.core_rows
    reproduced = int(np.count_nonzero(fitted.predictor.predict(points[rows]) == fitted.labels[rows]))
    verdict: Verdict = "pass" if reproduced == len(rows) else "fail"
    return Judgement(
        "reproducibility", verdict, f"the predictor gave {reproduced} of {len(rows)} core samples their own label"
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
    )


def _probe_rows(labels: LabelArray) -> np.ndarray:
    """Rows for the self-test, spread over the data, half of them noise where there is enough: cheap and repeatable."""
    noise, clustered = np.flatnonzero(labels == -1), np.flatnonzero(labels != -1)
    chosen = [_spread(rows, PROBES // 2) for rows in (noise, clustered)]
    return np.concatenate(chosen)


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))] if len(rows) else rows
