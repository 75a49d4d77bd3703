"""Loads the model of a verb that answers until SIGTERM; called by `server` and by `streaming.process`.

Invariant: what is returned was verified by its digest and passed its self-test. An outage of the store is waited for in
place; whatever else is wrong is reported and raised.
"""

import asyncio

import structlog

from shoal_worker.errors import StoreUnavailable, WorkerError
from shoal_worker.model import Model, build_model
from shoal_worker.report import clear_report, failure_report, write_report
from shoal_worker.resources import this_machine
from shoal_worker.serving.state import ServingState
from shoal_worker.settings import ModelSettings
from shoal_worker.store.cache import load_artifact
from shoal_worker.store.objects import open_store

_FIRST_RETRY_SECONDS = 0.5

_log = structlog.get_logger(__name__)


async def load_model(settings: ModelSettings, state: ServingState) -> Model:
    """Load and verify the model. An outage of the store is waited for as long as it takes."""
    pause = _FIRST_RETRY_SECONDS
    while True:
        try:
            model = await asyncio.to_thread(_load, settings)
            break
        except WorkerError as error:
            state.record_failure(f"{error.reason}: {error}")
            write_report(settings.report_path, failure_report(error))
            _log.error("artifact not loaded", reason=error.reason, message=str(error), transient=error.transient)
            # Only an outage is worth waiting for in place; the rest ends, for the pod's status to tell.
            if not (error.transient and isinstance(error, StoreUnavailable)):
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, settings.load_retry_seconds)
    clear_report(settings.report_path)
    return model


def _load(settings: ModelSettings) -> Model:
    store, location = open_store(
        settings.artifact_uri,
        field="artifact.uri",
        secret_dir=settings.store_secret_dir,
        file_root=settings.file_root,
    )
    machine = this_machine()
    artifact = load_artifact(
        store,
        location,
        settings.artifact_digest,
        cache_dir=settings.cache_dir,
        cache_limit=settings.cache_bytes,
        limit=settings.max_artifact_bytes,
        machine=machine,
    )
    return build_model(artifact, name=settings.model_name, version=settings.model_version, machine=machine)
