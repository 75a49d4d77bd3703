"""The training Job: environment in, artifact and report out, exit code; run by `__main__`.

Invariant: a cut run leaves no version, a repeated one makes no second version.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import structlog

from shoal_worker.errors import StoreUnavailable
from shoal_worker.job import run_job
from shoal_worker.models.record import Draft, model_key
from shoal_worker.models.store import ModelStore
from shoal_worker.preprocessing.preprocessor import Preprocessor
from shoal_worker.resources import this_machine
from shoal_worker.settings import TrainSettings
from shoal_worker.spec.preprocessing import text_columns
from shoal_worker.spec.source import SourceSpec
from shoal_worker.spec.training import parse_spec
from shoal_worker.store.objects import open_store

if TYPE_CHECKING:
    from shoal_worker.card.sketch import Sketch

_SILENT_SECONDS = 2.0
_PERIOD_SECONDS = 10.0

_log = structlog.get_logger(__name__)


class ProgressLog:
    """Logs how far a fit is: after two seconds, then every ten."""

    def __init__(self) -> None:
        self._due = time.monotonic() + _SILENT_SECONDS

    def __call__(self, stage: str, fraction: float) -> None:
        """Hear of the progress; the engine calls it often."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _PERIOD_SECONDS
            _log.info("fitting", stage=stage, percent=round(100 * fraction))


def train(settings: TrainSettings) -> int:
    """Run one training and return the exit code."""
    return run_job("training", settings, lambda: _run(settings))


def _run(settings: TrainSettings) -> dict[str, Any]:
    spec = parse_spec(settings.training_spec)
    target, base = open_store(
        spec.store_uri,
        field="storeUri",
        secret_dir=settings.store_secret_dir,
        file_root=settings.file_root,
    )
    _check_source(settings, spec.source)
    key = model_key(spec.namespace, spec.name)
    # Before the fit: an hour of work should not end at a store that was never there.
    target.check_reachable()
    # Imported late, so that an unreachable store is told without the time that these libraries take to load.
    from shoal_worker.data.dataset import Access
    from shoal_worker.data.reading import Bounds, read_training_data
    from shoal_worker.planning import as_record
    from shoal_worker.training.baseline import Baseline, load_baseline
    from shoal_worker.training.outcome import train_model

    machine = this_machine()
    data = read_training_data(
        spec.source,
        Access(settings.source_secret_dir, settings.file_root),
        # The rows, what preprocessing makes of them, and the fit itself must fit together.
        Bounds(settings.max_rows, min(settings.max_source_bytes, machine.memory // 3)),
        text_columns(spec.preprocessing),
    )
    frame = data.frame
    baseline = load_baseline(spec.baseline, spec.name, settings, machine)
    _log.info("training", rows=frame.rows, columns=len(frame.columns), cpus=machine.cpus, memory=machine.memory)
    models = ModelStore(target, base, limit=settings.max_artifact_bytes)
    training_hash = spec.training_hash or hashlib.sha256(settings.training_spec.encode()).hexdigest()[:8]
    first_free_id = models.first_free_id(key, besides=(training_hash, spec.model_uid))
    trained = train_model(frame, spec, machine, baseline, ProgressLog(), first_free_id=first_free_id)
    if shortage := trained.plan.reasons.get("memory"):
        _log.warning("memory is short", estimate=shortage)
    report: dict[str, Any] = {
        "outcome": "Succeeded",
        "artifact": {
            "uri": models.artifact_uri(trained.files.digest),
            "digest": trained.files.digest,
            "bytes": trained.files.size,
        },
        "schema": _schema(trained.preprocessor),
        "data": data.profile.model_dump(by_alias=True, exclude_none=True),
        "preprocessing": [step.model_dump(by_alias=True, exclude_unset=True) for step in spec.preprocessing],
        "metrics": {**trained.metrics.model_dump(by_alias=True), "fitSeconds": round(trained.fit_seconds, 3)},
        "algorithm": trained.algorithm.model_dump(by_alias=True, exclude_none=True),
        "validation": trained.validation.as_record(),
        **({"search": trained.search.model_dump(by_alias=True, exclude_none=True)} if trained.search else {}),
        "identity": trained.identity.record.model_dump(by_alias=True, exclude_none=True, mode="json"),
        "plan": as_record(trained.plan),
        "frameworkVersions": trained.framework_versions,
    }
    repeats = spec.baseline is not None and isinstance(baseline, Baseline) and trained.validation.verdict == "pass"
    if repeats and spec.baseline is not None and trained.files.digest == spec.baseline.digest:
        # The data gave the last good version once more: nothing new is numbered or stored.
        _log.info("nothing changed", version=spec.baseline.version)
        return {**report, "version": spec.baseline.version}
    draft = Draft(
        training_hash=training_hash,
        digest=trained.files.digest,
        report=report,
        model_uid=spec.model_uid,
        after=spec.after,
        labels=spec.labels,
        source=spec.source.uri,
        card_points=spec.card.points,
    )
    # What is reported is what is stored: a training that is repeated reports the version that it made before.
    record = models.save(key, draft, trained.files)
    from shoal_worker.card.making import keep_card
    from shoal_worker.card.sketch import sketch_training

    def sketch() -> Sketch:
        labels = trained.fitted.labels
        return sketch_training(frame, trained.points, labels, trained.artifact, show_points=spec.card.points)

    return keep_card(models, key, record, sketch)


def _schema(preprocessor: Preprocessor) -> dict[str, Any]:
    columns = {"columns": [column.model_dump(by_alias=True) for column in preprocessor.columns]}
    if not preprocessor.records:
        return columns
    return {**columns, "features": list(preprocessor.features), "featureCount": len(preprocessor.features)}


def _check_source(settings: TrainSettings, source: SourceSpec) -> None:
    """Ask a store one small question, before the libraries that read data are loaded."""
    if source.sql is not None:
        return
    try:
        store, _ = open_store(
            source.uri, field="spec.source.uri", secret_dir=settings.source_secret_dir, file_root=settings.file_root
        )
        store.check_reachable()
    except StoreUnavailable as error:
        error.reason = "SourceUnreadable"
        raise
