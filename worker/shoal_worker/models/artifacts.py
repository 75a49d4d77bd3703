"""The files of versions in the store: written, verified, copied to the archive and back; used by `store`.

    <store>/artifacts/sha256-<hex>/{manifest.json, model.safetensors, card.html, ...}     by content, for all models
    <store>/archive/<namespace>/<name>/<number>/...                                       one version's own copy

Invariant: an artifact's manifest is written last and removed first, so a folder with a manifest is complete. A copy is
read back and verified before anyone may rely on it.
"""

import hashlib
from collections.abc import Mapping

from shoal_worker.artifact.files import ArtifactFiles, directory_name
from shoal_worker.artifact.manifest import MANIFEST_LIMIT, MANIFEST_NAME, MODEL_NAME, parse_manifest
from shoal_worker.errors import ArtifactInvalid, ObjectMissing
from shoal_worker.models.record import ModelKey
from shoal_worker.store.objects import Location, Store

EXTRAS = frozenset({"card.html", "card.png"})
"""Files beside an artifact that are derived from it, and no part of its digest."""
_EXTRA_LIMIT = 64 << 20


class Artifacts:
    """All artifacts of one store, each by the folder that it lies in."""

    def __init__(self, store: Store, base: Location, limit: int) -> None:
        self._store = store
        self._base = base
        self._limit = limit

    def place(self, digest: str) -> Location:
        """Where an artifact lies while it can be served."""
        return self._base.child("artifacts").child(directory_name(digest))

    def archive_place(self, key: ModelKey, number: int) -> Location:
        """Where a version's files lie while it is archived."""
        return self._base.child("archive").child(key.namespace).child(key.name).child(str(number))

    def write(self, files: ArtifactFiles, extras: Mapping[str, bytes]) -> None:
        """Write all files to their place; those that are there already become the same again."""
        folder = self.place(files.digest)
        for name, content in extras.items():
            if name not in EXTRAS:
                raise ValueError(f"{name} is none of {sorted(EXTRAS)}")
            self._store.write(folder.child(name), content)
        self._store.write(folder.child(MODEL_NAME), memoryview(files.model))
        self._store.write(folder.child(MANIFEST_NAME), files.manifest)

    def is_there(self, folder: Location) -> bool:
        """Tell whether there is an artifact, without reading it."""
        return self._store.has(folder.child(MANIFEST_NAME)) and self._store.has(folder.child(MODEL_NAME))

    def verify(self, folder: Location, digest: str) -> int:
        """Read an artifact and return its bytes, or raise ArtifactInvalid saying what is wrong with it."""
        try:
            manifest = self._store.read(folder.child(MANIFEST_NAME), MANIFEST_LIMIT)
            record = parse_manifest(manifest, digest).files.model
            hasher, size = hashlib.sha256(), 0
            for chunk in self._store.read_chunks(folder.child(MODEL_NAME), self._limit):
                hasher.update(chunk)
                size += len(chunk)
        except ObjectMissing as error:
            raise _missing(error) from None
        if (size, hasher.hexdigest()) != (record.bytes, record.sha256):
            raise ArtifactInvalid(
                f"the file does not match the manifest: expected {record.bytes} bytes with sha256 {record.sha256}",
                reason="DigestMismatch",
                field=MODEL_NAME,
                value=f"{size} bytes, {hasher.hexdigest()}",
                remedy="Restore it from a backup, or train the model again",
            )
        return len(manifest) + size

    def read(self, folder: Location) -> ArtifactFiles:
        """Read an artifact; the caller verifies what it builds of it."""
        try:
            manifest = self._store.read(folder.child(MANIFEST_NAME), MANIFEST_LIMIT)
            return ArtifactFiles(manifest, self._store.read(folder.child(MODEL_NAME), self._limit))
        except ObjectMissing as error:
            raise _missing(error) from None

    def read_extras(self, folder: Location) -> dict[str, bytes]:
        """Read the files beside an artifact."""
        names = EXTRAS.intersection(self._store.list_names(folder))
        return {name: self._store.read(folder.child(name), _EXTRA_LIMIT) for name in sorted(names)}

    def copy(self, source: Location, target: Location, digest: str) -> None:
        """Copy an artifact and verify the copy; one that is there and sound is left alone."""
        try:
            self.verify(target, digest)
        except ArtifactInvalid:
            self.verify(source, digest)
            names = EXTRAS.intersection(self._store.list_names(source))
            for name in (*sorted(names), MODEL_NAME, MANIFEST_NAME):
                self._store.copy(source.child(name), target.child(name))
            self.verify(target, digest)

    def remove(self, folder: Location) -> None:
        """Remove an artifact's files."""
        for name in (MANIFEST_NAME, MODEL_NAME, *sorted(EXTRAS)):
            self._store.delete(folder.child(name))


def _missing(error: ObjectMissing) -> ArtifactInvalid:
    return ArtifactInvalid(
        "the artifact is not in the store",
        reason="ArtifactMissing",
        field="artifact",
        value=error.value,
        remedy="Restore it from a backup, or train the model again",
    )
