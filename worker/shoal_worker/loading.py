"""Loads and verifies a version for a verb that ends: beside a training, or to label a batch; called by both.

Invariant: what is returned was verified by its digest and passed its self-test.
"""

from shoal_worker.artifact.files import Artifact
from shoal_worker.model import Model, build_model
from shoal_worker.resources import Machine
from shoal_worker.settings import JobSettings
from shoal_worker.store.cache import load_artifact
from shoal_worker.store.objects import open_store


def load_version(
    uri: str, digest: str, *, name: str, version: int, field: str, settings: JobSettings, machine: Machine
) -> tuple[Artifact, Model]:
    """Load a version from the model store; raise StoreError or ArtifactInvalid.

    field: whose uri it is, for the messages.
    """
    store, location = open_store(uri, field=field, secret_dir=settings.store_secret_dir, file_root=settings.file_root)
    artifact = load_artifact(
        store,
        location,
        digest,
        cache_dir=settings.cache_dir,
        cache_limit=settings.cache_bytes,
        limit=settings.max_artifact_bytes,
        machine=machine,
    )
    return artifact, build_model(artifact, name=name, version=str(version), machine=machine)
