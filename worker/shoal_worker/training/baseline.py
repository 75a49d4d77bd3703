"""The last good version, loaded beside a training: what relative limits and cluster ids refer to; called by `train`.

Invariant: a Baseline was verified like any model that is served. One that is gone or corrupt never stops a training;
its loss is told. A store that may come back does, so that the training is tried again.
"""

from dataclasses import dataclass

import structlog

from shoal_worker.artifact.files import Artifact, LabelArray
from shoal_worker.data.frame import Frame
from shoal_worker.errors import RowsRefused, SourceInvalid, WorkerError
from shoal_worker.loading import load_version
from shoal_worker.model import Model
from shoal_worker.resources import Machine
from shoal_worker.settings import TrainSettings
from shoal_worker.spec.training import BaselineSpec

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The last good version, ready to predict."""

    version: int
    artifact: Artifact
    model: Model

    def labels_of(self, frame: Frame) -> LabelArray:
        """Label raw rows as this version does; SourceInvalid where it cannot take them."""
        there = [column.name for column in frame.columns]
        missing = [column.name for column in self.model.columns if column.name not in there]
        if missing:
            raise SourceInvalid(
                f"the raw columns differ: version {self.version} was trained with {', '.join(missing[:8])}",
                field="spec.source.columns",
                value=", ".join(there[:8]),
                remedy="Versions with other columns cannot be compared",
            )
        try:
            points = self.model.prepare(frame)
        except RowsRefused as error:
            raise SourceInvalid(
                f"version {self.version} cannot take these rows: {error.message}",
                field=error.field,
                value=error.value,
                remedy="Versions that take other rows cannot be compared",
            ) from None
        return self.model.predict(points, lambda: False)


@dataclass(frozen=True, slots=True)
class BaselineLost:
    """Why the last good version cannot be referred to."""

    version: int
    problem: str


def load_baseline(
    spec: BaselineSpec | None, name: str, settings: TrainSettings, machine: Machine
) -> "Baseline | BaselineLost | None":
    """Load and verify the last good version; None where there is none yet."""
    if spec is None:
        return None
    try:
        artifact, model = load_version(
            spec.uri,
            spec.digest,
            name=name,
            version=spec.version,
            field="baseline.uri",
            settings=settings,
            machine=machine,
        )
    except WorkerError as error:
        if error.transient:
            raise
        _log.warning("the last good version cannot be loaded", version=spec.version, reason=error.reason)
        return BaselineLost(spec.version, str(error))
    return Baseline(spec.version, artifact, model)
