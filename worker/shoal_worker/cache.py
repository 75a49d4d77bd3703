"""Bring an artifact from the store into memory through a local copy; used by `model` at start.

Invariant: what is returned was verified as the bytes in memory, whether they came from the store or from the disk; a
copy that fails is dropped and fetched anew. The copy is an aid only: a full or read-only disk never stops a worker.
"""

import os
import tempfile
from pathlib import Path

import structlog

from shoal_worker.artifact import Artifact, ArtifactFiles, directory_name, verify_artifact
from shoal_worker.errors import ArtifactInvalid, ObjectMissing
from shoal_worker.manifest import MANIFEST_LIMIT, MANIFEST_NAME, MODEL_NAME, parse_manifest
from shoal_worker.store import Location, Store

_log = structlog.get_logger(__name__)


def fetch_artifact(store: Store, location: Location, digest: str, limit: int) -> ArtifactFiles:
    """Read an artifact from the store; nothing larger than `limit` is read, whatever the manifest says."""
    try:
        manifest_bytes = store.read(location.child(MANIFEST_NAME), MANIFEST_LIMIT)
        manifest = parse_manifest(manifest_bytes, digest)
        if manifest.files.model.bytes > limit:
            raise ArtifactInvalid(
                f"the model has {manifest.files.model.bytes} bytes, more than the limit of {limit}",
                field=MODEL_NAME,
                remedy="Raise SHOAL_MAX_ARTIFACT_BYTES or train a smaller model",
            )
        return ArtifactFiles(manifest_bytes, store.read(location.child(MODEL_NAME), limit))
    except ObjectMissing as error:
        raise ArtifactInvalid(
            "the artifact is not in the store",
            reason="ArtifactMissing",
            field="artifact.uri",
            value=error.value,
            remedy="Check the artifact's URI; restore it or train the model again",
        ) from None


def load_artifact(store: Store, location: Location, digest: str, *, cache_dir: Path, limit: int) -> Artifact:
    """Return the verified artifact, from the local copy if there is a good one, else from the store."""
    directory = cache_dir / directory_name(digest)
    if cached := _read_copy(directory, limit):
        try:
            return verify_artifact(cached, digest)
        except ArtifactInvalid as error:
            _log.warning("cached copy refused", directory=str(directory), reason=error.reason, message=str(error))
    files = fetch_artifact(store, location, digest, limit)
    artifact = verify_artifact(files, digest)
    try:
        _write_copy(directory, files)
    except OSError as error:
        _log.warning("artifact not cached", directory=str(directory), message=str(error))
    return artifact


def _read_copy(directory: Path, limit: int) -> ArtifactFiles | None:
    manifest, model = directory / MANIFEST_NAME, directory / MODEL_NAME
    try:
        if manifest.stat().st_size > MANIFEST_LIMIT or model.stat().st_size > limit:
            return None
        return ArtifactFiles(manifest.read_bytes(), model.read_bytes())
    except OSError:
        return None


def _write_copy(directory: Path, files: ArtifactFiles) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in ((MODEL_NAME, files.model), (MANIFEST_NAME, files.manifest)):
        # A unique name and a rename: a crash, or another worker on the same directory, never leaves half a file.
        handle, scratch = tempfile.mkstemp(dir=directory)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(scratch).replace(directory / name)
        except OSError:
            Path(scratch).unlink(missing_ok=True)
            raise
