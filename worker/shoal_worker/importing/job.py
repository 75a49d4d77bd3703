"""The import Job: an artifact that was fitted elsewhere becomes a version; run by `__main__`.

Invariant: what is stored was verified against the digest that the user gave, passed its own probes on this machine,
and was judged by the limits that its manifest's figures can answer. The report is that of a training.
"""

import hashlib
from typing import Any

from shoal_worker.artifact.files import verify_artifact
from shoal_worker.card.making import keep_card
from shoal_worker.card.sketch import sketch_artifact
from shoal_worker.errors import ArtifactInvalid, ObjectMissing, StoreUnavailable, WorkerError
from shoal_worker.importing.sources import fetch_artifact
from shoal_worker.job import run_job
from shoal_worker.models.record import Draft, model_key
from shoal_worker.models.reporting import judge_imported, report_of
from shoal_worker.models.store import ModelStore
from shoal_worker.resources import this_machine
from shoal_worker.settings import ImportSettings
from shoal_worker.spec.imports import ImportSpec, parse_import
from shoal_worker.store.objects import open_store


def import_version(settings: ImportSettings) -> int:
    """Import one version and return the exit code."""
    return run_job("import", settings, lambda: _run(settings))


def _run(settings: ImportSettings) -> dict[str, Any]:
    spec = parse_import(settings.import_spec)
    key = model_key(spec.namespace, spec.name)
    store, base = open_store(
        spec.store_uri, field="storeUri", secret_dir=settings.store_secret_dir, file_root=settings.file_root
    )
    store.check_reachable()
    try:
        files = fetch_artifact(
            spec.artifact.uri,
            allowed_hosts=spec.allowed_hosts,
            secret_dir=settings.source_secret_dir,
            file_root=settings.file_root,
            limit=settings.max_artifact_bytes,
        )
        artifact = verify_artifact(files, spec.artifact.digest)
    except WorkerError as error:
        _tell_as_source(error)
        raise
    models = ModelStore(store, base, limit=settings.max_artifact_bytes)
    judged = judge_imported(artifact, spec.validation, this_machine())
    report = report_of(files, artifact.manifest, judged, models.artifact_uri(files.digest))
    draft = Draft(
        training_hash=spec.training_hash or _identity(spec),
        digest=files.digest,
        report=report,
        model_uid=spec.model_uid,
        after=spec.after,
        labels=spec.labels,
        source=spec.artifact.uri,
        card_points=spec.card.points,
    )
    record = models.save(key, draft, files)
    return keep_card(models, key, record, lambda: sketch_artifact(artifact, show_points=record.card_points))


def _tell_as_source(error: WorkerError) -> None:
    """Let the reason say that what was to be imported is at fault, not the model store."""
    if isinstance(error, ArtifactInvalid):
        error.reason = "ArtifactRefused"
    elif isinstance(error, ObjectMissing | StoreUnavailable):
        error.reason = "SourceUnreadable"
        error.field = "spec.artifact.uri"


def _identity(spec: ImportSpec) -> str:
    return hashlib.sha256(f"{spec.artifact.digest} {spec.validation.model_dump_json()}".encode()).hexdigest()[:8]
