"""Bring an artifact from the store to where it can be used: a local copy, mapped or read as planned, or memory alone;
called by `server`.

Invariant: what is returned was verified as the very bytes that will be used: those of the mapped copy, or those in
memory. A copy takes its name only after it was verified, and is never written to again, only replaced. The copy is an
aid: a full or read-only disk costs memory, never the worker.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

import structlog

from shoal_worker.artifact.files import Artifact, ArtifactFiles, directory_name, verify_artifact
from shoal_worker.artifact.manifest import MANIFEST_LIMIT, MANIFEST_NAME, MODEL_NAME, Manifest, parse_manifest
from shoal_worker.artifact.safetensors_view import Buffer
from shoal_worker.errors import ArtifactInvalid, ObjectMissing
from shoal_worker.planning import plan_serving
from shoal_worker.resources import Machine
from shoal_worker.store.eviction import evict
from shoal_worker.store.objects import Location, Store

CACHE_LIMIT = 16 << 30
"""Bytes of all local copies, unless told otherwise."""

_log = structlog.get_logger(__name__)


def load_artifact(
    store: Store,
    location: Location,
    digest: str,
    *,
    cache_dir: Path,
    limit: int,
    machine: Machine,
    cache_limit: int = CACHE_LIMIT,
) -> Artifact:
    """Return the verified artifact, from the local copy if there is a good one, else from the store.

    Nothing larger than `limit` bytes is read, whatever the manifest says. Other copies go, the longest unused first,
    where all together are larger than `cache_limit`.
    """
    directory = cache_dir / directory_name(digest)
    try:
        if (copy := _open_copy(directory, digest, limit, machine)) is not None:
            artifact = verify_artifact(copy, digest)
            _mark_used(directory)
            return artifact
    except ArtifactInvalid as error:
        _log.warning("cached copy refused", directory=str(directory), reason=error.reason, message=str(error))
    with _missing_told():
        content = store.read(location.child(MANIFEST_NAME), MANIFEST_LIMIT)
        manifest = parse_manifest(content, digest)
        _check_size(manifest, limit)
        model = location.child(MODEL_NAME)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with _scratch(directory, MODEL_NAME) as stream:
                for chunk in store.read_chunks(model, limit):
                    stream.write(chunk)
                artifact = verify_artifact(ArtifactFiles(content, _take_up(stream, manifest, machine)), digest)
            with _scratch(directory, MANIFEST_NAME) as stream:
                stream.write(content)
            if gone := evict(cache_dir, directory.name, cache_limit):
                _log.info("unused copies removed", directories=gone)
            return artifact
        except OSError as error:
            _log.warning("artifact not cached, served from memory", directory=str(directory), message=str(error))
        return verify_artifact(ArtifactFiles(content, store.read(model, limit)), digest)


def _mark_used(directory: Path) -> None:
    """Let the copy be the last to go; who may not write there leaves that to others."""
    with suppress(OSError):
        os.utime(directory / MANIFEST_NAME)


def _check_size(manifest: Manifest, limit: int) -> None:
    size = manifest.files.model.bytes
    if size > limit:
        raise ArtifactInvalid(
            f"the model has {size} bytes, more than the limit of {limit}",
            field=MODEL_NAME,
            remedy="Raise SHOAL_MAX_ARTIFACT_BYTES or train a smaller model",
        )


def _open_copy(directory: Path, digest: str, limit: int, machine: Machine) -> ArtifactFiles | None:
    manifest, model = directory / MANIFEST_NAME, directory / MODEL_NAME
    try:
        if manifest.stat().st_size > MANIFEST_LIMIT or model.stat().st_size > limit:
            return None
        content = manifest.read_bytes()
        with model.open("rb") as stream:
            return ArtifactFiles(content, _take_up(stream, parse_manifest(content, digest), machine))
    except OSError:
        return None


def _take_up(stream: BinaryIO, manifest: Manifest, machine: Machine) -> Buffer:
    """Map or read a whole file, as planned; a mapping outlives the stream and the file's name."""
    stream.flush()
    if plan_serving(manifest, machine).memory_map and os.fstat(stream.fileno()).st_size:
        return mmap(stream.fileno(), 0, access=ACCESS_READ)
    stream.seek(0)
    return stream.read()


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
