"""Bring an artifact from the store to where it can be used: mapped from a local copy, or in memory; used by `model`'s
loader in `server`.

Invariant: what is returned was verified as the very bytes that will be used: those of the mapped copy, or those in
memory. A copy takes its name only after it was verified, and is never written to again, only replaced. The copy is an
aid: a full or read-only disk costs memory, never the worker.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

import structlog

from shoal_worker.artifact import Artifact, ArtifactFiles, directory_name, verify_artifact
from shoal_worker.errors import ArtifactInvalid, ObjectMissing
from shoal_worker.manifest import MANIFEST_LIMIT, MANIFEST_NAME, MODEL_NAME, parse_manifest
from shoal_worker.store import Location, Store

_log = structlog.get_logger(__name__)


def load_artifact(store: Store, location: Location, digest: str, *, cache_dir: Path, limit: int) -> Artifact:
    """Return the verified artifact, from the local copy if there is a good one, else from the store.

    Nothing larger than `limit` bytes is read, whatever the manifest says.
    """
    directory = cache_dir / directory_name(digest)
    if copy := _open_copy(directory, limit):
        try:
            return verify_artifact(copy, digest)
        except ArtifactInvalid as error:
            _log.warning("cached copy refused", directory=str(directory), reason=error.reason, message=str(error))
    with _missing_told():
        manifest = store.read(location.child(MANIFEST_NAME), MANIFEST_LIMIT)
        _check_size(manifest, digest, limit)
        try:
            return _fetch_to_disk(store, location.child(MODEL_NAME), manifest, digest, directory, limit)
        except OSError as error:
            _log.warning("artifact not cached, served from memory", directory=str(directory), message=str(error))
        return verify_artifact(ArtifactFiles(manifest, store.read(location.child(MODEL_NAME), limit)), digest)


def _check_size(manifest: bytes, digest: str, limit: int) -> None:
    size = parse_manifest(manifest, digest).files.model.bytes
    if size > limit:
        raise ArtifactInvalid(
            f"the model has {size} bytes, more than the limit of {limit}",
            field=MODEL_NAME,
            remedy="Raise SHOAL_MAX_ARTIFACT_BYTES or train a smaller model",
        )


def _fetch_to_disk(
    store: Store, location: Location, manifest: bytes, digest: str, directory: Path, limit: int
) -> Artifact:
    directory.mkdir(parents=True, exist_ok=True)
    with _scratch(directory, MODEL_NAME) as stream:
        for chunk in store.read_chunks(location, limit):
            stream.write(chunk)
        artifact = verify_artifact(ArtifactFiles(manifest, _map(stream)), digest)
    with _scratch(directory, MANIFEST_NAME) as stream:
        stream.write(manifest)
    return artifact


def _open_copy(directory: Path, limit: int) -> ArtifactFiles | None:
    manifest, model = directory / MANIFEST_NAME, directory / MODEL_NAME
    try:
        if manifest.stat().st_size > MANIFEST_LIMIT or not 0 < model.stat().st_size <= limit:
            return None
        with model.open("rb") as stream:
            return ArtifactFiles(manifest.read_bytes(), _map(stream))
    except OSError:
        return None


def _map(stream: BinaryIO) -> mmap | bytes:
    """Map a whole file; the mapping outlives the stream and the file's name. An empty file cannot be mapped."""
    stream.flush()
    return mmap(stream.fileno(), 0, access=ACCESS_READ) if os.fstat(stream.fileno()).st_size else b""


@contextmanager
def _scratch(directory: Path, name: str) -> Iterator[BinaryIO]:
    """A file that takes its name when the block ends well, and is gone otherwise.

    A crash, or another worker on the same directory, never leaves half a file.
    """
    handle, scratch = tempfile.mkstemp(dir=directory)
    try:
        with os.fdopen(handle, "w+b") as stream:
            yield stream
        Path(scratch).replace(directory / name)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


@contextmanager
def _missing_told() -> Iterator[None]:
    try:
        yield
    except ObjectMissing as error:
        raise ArtifactInvalid(
            "the artifact is not in the store",
            reason="ArtifactMissing",
            field="artifact.uri",
            value=error.value,
            remedy="Check the artifact's URI; restore it or train the model again",
        ) from None
