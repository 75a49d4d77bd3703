"""The served model, knowing nothing of any transport: load, self-test, predict; used by `server` and `inference`.

Invariant: a Model exists only if its artifact was verified and its own predictions of the probes gave their labels.
Predicting changes nothing, so any number of threads may share one Model.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from shoal_engine import Plan, Predictor
from shoal_worker.artifact.densities import Densities
from shoal_worker.artifact.files import Artifact, IdArray, LabelArray
from shoal_worker.artifact.manifest import Column, DbscanManifest, Kind, Metric
from shoal_worker.artifact.ranges import Ranges
from shoal_worker.data.frame import Frame
from shoal_worker.errors import ArtifactInvalid, DeadlinePassed, RowsRefused
from shoal_worker.planning import plan_serving
from shoal_worker.preprocessing.preprocessor import Preprocessor
from shoal_worker.resources import Machine

PointArray = np.ndarray[tuple[int, int], np.dtype[np.floating[Any]]]
StrengthArray = np.ndarray[tuple[int], np.dtype[np.float64]]
Cancelled = Callable[[], bool]

# A cancelled call has ended within a tenth of a second, on a machine half as fast as it seemed too.
_LOOK_SECONDS = 0.05
_MEASURED_ROWS, _MEASURED_ROUNDS, _MEASURING_SECONDS = 4096, 5, 0.1
_HARD_ROWS = 16
# What the event loop may be held up by one call, should its rows be hard ones.
_LOOP_SECONDS = 0.002
# From one batch to the next.
_MOST_GROWTH = 4


@dataclass(frozen=True, slots=True)
class Located:
    """All that a model tells of rows; label and id are -1 and the distance to the nearest core infinite for noise."""

    labels: LabelArray
    ids: IdArray
    distances: StrengthArray
    strengths: StrengthArray | None


@dataclass(frozen=True, slots=True)
class Model:
    """A model that passed its self-test."""

    name: str
    version: str
    digest: str
    kind: Kind
    metric: Metric
    preprocessor: Preprocessor
    clusters: int
    predictor: Predictor
    densities: Densities | None
    ranges: Ranges | None
    """How far the training data reach; None where the artifact does not tell."""
    ids_by_label: IdArray
    """The public id of each label, and behind them -1, where the label -1 of noise finds it."""
    plan: Plan
    """How it is served."""
    seconds_per_row: float
    """What a row takes at least; tells which calls are too short to be worth a thread, and which are too long."""
    batch_rows: int
    """Rows after which a call looks whether its answer is still wanted, at most."""
    first_rows: int
    """The same for a call that has just begun, as its rows may be hard ones."""
    loop_rows: int
    """More rows are not labelled on the event loop, which hard ones would hold up."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The raw columns that a request carries."""
        return self.preprocessor.columns

    def prepare(self, rows: Frame, first_row: int = 0) -> PointArray:
        """Make of raw rows the points that `predict` takes; RowsRefused where one cannot be taken.

        first_row: number of the first of them, for the refusal.
        """
        return self.preprocessor.apply(rows, first_row)

    def public_ids(self, labels: LabelArray) -> IdArray:
        """The clusters' ids, which stay the same over versions; -1 for noise."""
        ids: IdArray = self.ids_by_label[labels]
        return ids

    def predict(self, points: PointArray, cancelled: Cancelled) -> LabelArray:
        """Label each point, -1 for noise; stop with DeadlinePassed soon after `cancelled()` turns true."""
        if len(points) <= self.first_rows:
            _check_wanted(cancelled)
            return self.predictor.predict(points)
        labels = np.empty(len(points), dtype=np.int32)
        for batch in self._batches(len(points), cancelled):
            labels[batch] = self.predictor.predict(points[batch])
        return labels

    def predict_with_strengths(self, points: PointArray, cancelled: Cancelled) -> tuple[LabelArray, StrengthArray]:
        """Label each point and tell how firmly it belongs to its cluster, 0 to 1; only where there are densities."""
        if self.densities is None:
            raise TypeError(f"a model of {self.kind} has no strengths")
        labels, strengths = np.empty(len(points), dtype=np.int32), np.empty(len(points))
        for batch in self._batches(len(points), cancelled):
            nearest = self.predictor.nearest(points[batch])
            labels[batch], strengths[batch] = nearest[0], self.densities.strengths(*nearest)
        return labels, strengths

    def locate(self, points: PointArray) -> Located:
        """Label each point as `predict` does, and tell how near it lies, and how firmly where there are densities."""
        labels, distances, cores = self.predictor.nearest(points)
        strengths = self.densities.strengths(labels, distances, cores) if self.densities is not None else None
        return Located(labels, self.public_ids(labels), distances, strengths)

    def _batches(self, rows: int, cancelled: Cancelled) -> Iterator[slice]:
        """Cut rows into batches that take about as long as may pass between two looks, by what the last one took."""
        start, size = 0, self.first_rows
        while start < rows:
            _check_wanted(cancelled)
            began = time.perf_counter()
            yield slice(start, start + size)
            took = time.perf_counter() - began
            start += size
            wanted = size * min(_LOOK_SECONDS / max(took, 1e-9), _MOST_GROWTH)
            size = max(min(int(wanted), self.batch_rows), 1)


def build_model(artifact: Artifact, *, name: str, version: str, machine: Machine) -> Model:
    """Take up the index and prove on the probes that this machine computes what the training machine did."""
    manifest, tensors = artifact.manifest, artifact.tensors
    plan = plan_serving(manifest, machine)
    try:
        predictor = _take_up(artifact, plan.threads)
        probes = artifact.preprocessor.apply(tensors.probes)
        found = predictor.predict(probes)
    except ValueError as error:
        raise ArtifactInvalid(
            f"the engine refuses the model: {error}", field="parameters", remedy="Train the model again"
        ) from None
    except RowsRefused as error:
        raise ArtifactInvalid(
            f"the preprocessing refuses the probes: {error.message}",
            field="probe_points",
            remedy="Train the model again",
        ) from None
    wrong = int(np.count_nonzero(found != tensors.probe_labels))
    if wrong:
        raise ArtifactInvalid(
            f"the self-test failed: {wrong} of {len(tensors.probe_labels)} probes got another label",
            reason="SelfTestFailed",
            field="probe_labels",
            remedy="Train the model again with this worker's version",
        )
    seconds_per_row = _measure(predictor, artifact.preprocessor, tensors.probes)
    hard_seconds = max(_measure_hard(predictor, probes), seconds_per_row)
    batch_rows = min(plan.batch_rows, max(int(_LOOK_SECONDS / seconds_per_row), 1))
    return Model(
        name=name,
        version=version,
        digest=artifact.digest,
        kind=manifest.kind,
        metric=manifest.parameters.metric,
        preprocessor=artifact.preprocessor,
        clusters=manifest.metrics.clusters,
        predictor=predictor,
        densities=tensors.densities,
        ranges=tensors.ranges,
        ids_by_label=np.append(tensors.cluster_ids, -1),
        plan=plan,
        seconds_per_row=seconds_per_row,
        batch_rows=batch_rows,
        first_rows=min(batch_rows, max(int(_LOOK_SECONDS / hard_seconds), 1)),
        loop_rows=max(int(_LOOP_SECONDS / hard_seconds), 1),
    )


def _measure(predictor: Predictor, preprocessor: Preprocessor, probes: Frame) -> float:
    """The least seconds that a row took in a few rounds of many: an idle machine's, which no call can beat."""
    rows = probes.select(np.arange(_MEASURED_ROWS) % probes.rows)
    return _least_seconds(lambda: predictor.predict(preprocessor.apply(rows))) / rows.rows


def _measure_hard(predictor: Predictor, probes: PointArray) -> float:
    """Seconds that a row takes which lies among the data and on none of them, as the search for it ends late."""
    random = np.random.default_rng(0)
    shuffled = random.permuted(probes, axis=0)
    slowest = 0.0
    for rows in (shuffled, probes / 2 + shuffled / 2):
        asked = rows[random.integers(0, len(rows), _HARD_ROWS)]
        slowest = max(slowest, _least_seconds(partial(predictor.predict, asked)) / _HARD_ROWS)
    return slowest


def _least_seconds(work: Callable[[], object]) -> float:
    """How long the fastest of a few rounds took."""
    least, begun = math.inf, time.perf_counter()
    for _ in range(_MEASURED_ROUNDS):
        started = time.perf_counter()
        work()
        ended = time.perf_counter()
        least = min(least, ended - started)
        if ended - begun > _MEASURING_SECONDS:
            break
    return least


def _take_up(artifact: Artifact, threads: int) -> Predictor:
    """Hand the arrays to the engine, which checks them; ValueError where they cannot be an index."""
    manifest, tensors = artifact.manifest, artifact.tensors
    if isinstance(manifest, DbscanManifest):
        eps: float | np.ndarray = manifest.parameters.eps
    else:
        assert tensors.densities is not None, "verification lets no adaptive model through without"  # noqa: S101
        tensors.densities.check()
        eps = tensors.densities.radii
    predictor = Predictor.from_arrays(dict(tensors.index), eps, manifest.parameters.metric, n_jobs=threads)
    known = (manifest.metrics.core_samples, len(manifest.features))
    if (predictor.n_cores, predictor.n_features) != known:
        raise ValueError(f"the index is of {predictor.n_cores} cores and {predictor.n_features} columns, not {known}")
    return predictor


def _check_wanted(cancelled: Cancelled) -> None:
    if cancelled():
        raise DeadlinePassed(
            "the call was cancelled or its deadline passed", remedy="Allow more time or send fewer rows"
        )
