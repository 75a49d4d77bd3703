"""The served model, knowing nothing of any transport: load, self-test, predict; used by `server` and `inference`.

Invariant: a Model exists only if its artifact was verified and its own predictions of the probes gave their labels.
Predicting changes nothing, so any number of threads may share one Model.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoal_engine import Predictor
from shoal_worker.artifact import Artifact, LabelArray
from shoal_worker.errors import ArtifactInvalid, DeadlinePassed

PointArray = np.ndarray[tuple[int, int], np.dtype[np.floating[Any]]]
# Rows between two looks at whether the answer is still wanted: a few milliseconds of work.
CHUNK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Model:
    """A model that passed its self-test."""

    name: str
    version: str
    digest: str
    columns: tuple[str, ...]
    clusters: int
    predictor: Predictor
    seconds_per_row: float
    """What a row of the self-test took; tells which calls are too short to be worth a thread."""

    def predict(self, points: PointArray, cancelled: Callable[[], bool]) -> LabelArray:
        """Label each point, -1 for noise; stop with DeadlinePassed soon after `cancelled()` turns true."""
        rows = len(points)
        if rows <= CHUNK_ROWS:
            if cancelled():
                raise _abandoned()
            return self.predictor.predict(points)
        labels = np.empty(rows, dtype=np.int32)
        for start in range(0, rows, CHUNK_ROWS):
            if cancelled():
                raise _abandoned()
            labels[start : start + CHUNK_ROWS] = self.predictor.predict(points[start : start + CHUNK_ROWS])
        return labels


def build_model(artifact: Artifact, *, name: str, version: str) -> Model:
    """Index the core samples and prove on the probes that this machine computes what the training machine did."""
    parameters, tensors = artifact.manifest.parameters, artifact.tensors
    try:
        predictor = Predictor(tensors.core_points, tensors.core_labels, parameters.eps, parameters.metric)
    except ValueError as error:
        raise ArtifactInvalid(
            f"the engine refuses the model: {error}", field="parameters", remedy="Train the model again"
        ) from None
    started = time.perf_counter()
    found = predictor.predict(tensors.probe_points)
    seconds_per_row = (time.perf_counter() - started) / len(found)
    wrong = int(np.count_nonzero(found != tensors.probe_labels))
    if wrong:
        raise ArtifactInvalid(
            f"the self-test failed: {wrong} of {len(tensors.probe_labels)} probes got another label",
            reason="SelfTestFailed",
            field="probe_labels",
            remedy="Train the model again with this worker's version",
        )
    return Model(
        name=name,
        version=version,
        digest=artifact.digest,
        columns=tuple(column.name for column in artifact.manifest.schema_.columns),
        clusters=artifact.manifest.metrics.clusters,
        predictor=predictor,
        seconds_per_row=seconds_per_row,
    )


def _abandoned() -> DeadlinePassed:
    return DeadlinePassed("the call was cancelled or its deadline passed", remedy="Allow more time or send fewer rows")
