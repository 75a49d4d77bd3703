"""The files of versions in the store: written, verified, copied to the archive and back; used by `store`.

    <store>/artifacts/sha256-<hex>/{manifest.json, model.safetensors}           by content, for all models
    <store>/artifacts/sha256-<hex>/<namespace>.<name>-v<number>.card.{html,png}   the cards of the versions that have it
    <store>/archive/<namespace>/<name>/<number>/...                             one version's own copy, its card with it

Invariant: an artifact's manifest is written last and removed first, so a folder with a manifest is complete. A copy is
read back and verified before anyone may rely on it.
"""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from shoal_worker.artifact.files import ArtifactFiles, directory_name
from shoal_worker.artifact.manifest import MANIFEST_LIMIT, MANIFEST_NAME, MODEL_NAME, parse_manifest
from shoal_worker.errors import ArtifactInvalid, ObjectMissing
from shoal_worker.models.manifests import label_value
from shoal_worker.models.record import ModelKey
from shoal_worker.store.objects import Location, Store

CARD_NAMES = ("card.html", "card.png")
"""A version's card: derived files beside its artifact, and no part of its digest."""
_CARD_LIMIT = 64 << 20


class Owner(NamedTuple):
    """The version that a card is of; several may have one artifact."""

    key: ModelKey
    number: int

    def file_name(self, name: str) -> str:
        """The name of a file of its card in the artifact's folder.

        >>> Owner(ModelKey("demo", "towns"), 3).file_name("card.html")
        'demo.towns-v3.card.html'
        """
        return f"{self.key.namespace}.{label_value(self.key.name)}-v{self.number}.{name}"


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

    def write(self, files: ArtifactFiles) -> None:
        """Write all files to their place; those that are there already become the same again."""
        folder = self.place(files.digest)
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

    def write_card(self, folder: Location, owner: Owner, card: Mapping[str, bytes]) -> None:
        """Write the files of a version's card, by the names in CARD_NAMES."""
        for name in CARD_NAMES:
            self._store.write(folder.child(owner.file_name(name)), card[name])

    def read_card(self, folder: Location, owner: Owner) -> dict[str, bytes]:
        """Read the files of a version's card that are there."""
        there = frozenset(self._store.list_names(folder))
        wanted = {name: owner.file_name(name) for name in CARD_NAMES}
        return {
            name: self._store.read(folder.child(stored), _CARD_LIMIT)
            for name, stored in wanted.items()
            if stored in there
        }

    def remove_card(self, folder: Location, owner: Owner) -> None:
        """Remove a version's card."""
        for name in CARD_NAMES:
            self._store.delete(folder.child(owner.file_name(name)))

    def copy(self, source: Location, target: Location, digest: str, owner: Owner | None) -> None:
        """Copy an artifact and its owner's card, and verify the copy; one that is there and sound is left alone."""
        if owner is not None and (card := self.read_card(source, owner)):
            for name, content in card.items():
                self._store.write(target.child(owner.file_name(name)), content)
        try:
            self.verify(target, digest)
        except ArtifactInvalid:
            self.verify(source, digest)
            for name in (MODEL_NAME, MANIFEST_NAME):
                self._store.copy(source.child(name), target.child(name))
            self.verify(target, digest)

    def remove(self, folder: Location) -> None:
        """Remove an artifact's files."""
        for name in (MANIFEST_NAME, MODEL_NAME):
            self._store.delete(folder.child(name))


def _missing(error: ObjectMissing) -> ArtifactInvalid:
    return ArtifactInvalid(
        "the artifact is not in the store",
        reason="ArtifactMissing",
        field="artifact",
        value=error.value,
        remedy="Restore it from a backup, or train the model again",
    )
