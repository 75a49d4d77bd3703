"""The maintenance Job: versions are retired, archived, brought back or deleted in the store; run by `__main__`.

Invariant: a change that was made stays made, and is reported as made when the Job runs again. The first change that
cannot be made ends the Job; those before it are told in its log.
"""

from typing import Any

import structlog

from shoal_worker.job import run_job
from shoal_worker.models.record import State, model_key
from shoal_worker.models.store import ModelStore
from shoal_worker.settings import MaintainSettings
from shoal_worker.spec.maintenance import VersionChange, parse_maintenance
from shoal_worker.store.objects import open_store

_log = structlog.get_logger(__name__)


def maintain(settings: MaintainSettings) -> int:
    """Make the changes and return the exit code."""
    return run_job("maintenance", settings, lambda: _run(settings))


def _run(settings: MaintainSettings) -> dict[str, Any]:
    spec = parse_maintenance(settings.maintenance_spec)
    key = model_key(spec.namespace, spec.name)
    store, base = open_store(
        spec.store_uri, field="storeUri", secret_dir=settings.store_secret_dir, file_root=settings.file_root
    )
    store.check_reachable()
    models = ModelStore(store, base, limit=settings.max_artifact_bytes)
    made = []
    for change in spec.changes:
        to = _state(change, passed=models.find(key, change.version).passed)
        version = models.change(key, change.version, to, digest=change.digest, in_use=spec.in_use)
        _log.info("version changed", model=str(key), version=version.number, state=version.state)
        made.append({"version": version.number, "to": change.to})
    return {"outcome": "Succeeded", "changes": made}


def _state(change: VersionChange, *, passed: bool) -> State:
    """A version that failed its validation comes back from the archive as what it was: rejected."""
    return "Rejected" if change.to == "Active" and not passed else change.to
