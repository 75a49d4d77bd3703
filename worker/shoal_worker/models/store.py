"""The model store: versions saved, listed, retired, archived, deleted and verified; used by the verbs and the CLI.

Invariant: a version is there when its entry in the model's log is, which is created after all its files; each change
of a version is one more entry. So a process may die after any write: what it began is either not there or complete,
and doing it again finishes it. Nothing but the store is needed to tell all of this.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from shoal_worker.artifact.files import Artifact, ArtifactFiles, verify_artifact
from shoal_worker.errors import ArtifactInvalid, SettingsInvalid, VersionRefused
from shoal_worker.models.artifacts import Artifacts, Owner
from shoal_worker.models.history import History, decide_labels, decide_state, decide_version
from shoal_worker.models.log import ModelLog
from shoal_worker.models.record import (
    SHOWN,
    Change,
    Draft,
    ModelKey,
    Problem,
    State,
    StoredVersion,
    VersionRecord,
    model_key,
)
from shoal_worker.store.objects import Location, Store

Clock = Callable[[], datetime]
_SERVABLE: frozenset[State] = frozenset({"Active", "Rejected", "Retired"})
"""States in which a version's files lie where workers load them."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Versions of one model, oldest first, and what of the store could not be read."""

    key: ModelKey
    versions: tuple[StoredVersion, ...]
    problems: tuple[Problem, ...]


class ModelStore:
    """All models of one store."""

    def __init__(self, store: Store, base: Location, *, limit: int, clock: Clock = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._base = base
        self._artifacts = Artifacts(store, base, limit)
        self._clock = clock

    def save(self, key: ModelKey, draft: Draft, files: ArtifactFiles) -> VersionRecord:
        """Store a version under the next free number and return its record.

        A version that this training saved before is returned as it is recorded: however often a training runs and
        whatever became of its reports, it makes one version.
        """
        if files.digest != draft.digest:
            raise ValueError("the files are not those of the draft")
        self._artifacts.write(files)
        log = self._log(key)
        made: list[StoredVersion | VersionRecord] = []

        def decide(history: History) -> Change | None:
            made[:] = [decide_version(history, draft, self._now(), files.size)]
            return Change(version=made[0]) if isinstance(made[0], VersionRecord) else None

        log.commit(decide)
        # One who deletes looks whether the files are used, and may have looked before the entry was there.
        if not self._artifacts.is_there(self._artifacts.place(draft.digest)):
            self._artifacts.write(files)
        outcome = made[0]
        return outcome if isinstance(outcome, VersionRecord) else self._record(log, key, outcome)

    def models(self) -> tuple[ModelKey, ...]:
        """Return the models that have versions, by namespace and name."""
        top = self._base.child("models")
        return tuple(
            ModelKey(namespace, name)
            for namespace in self._store.list_folders(top)
            for name in self._store.list_folders(top.child(namespace))
            if _is_key(namespace, name)
        )

    def list(
        self,
        key: ModelKey,
        *,
        states: Iterable[State] = SHOWN,
        labels: Mapping[str, str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Listing:
        """Return the versions in these states that have these labels and were created in this time."""
        log = self._log(key)
        history = log.read()
        wanted = frozenset(states)
        earliest, end = _told(since) if since else "", _told(until) if until else "~"
        found = (
            version
            for _, version in sorted(history.versions.items())
            if version.state in wanted
            and earliest <= version.created < end
            and (labels or {}).items() <= version.labels.items()
        )
        return Listing(key, tuple(found), tuple(log.problems))

    def latest(self, key: ModelKey) -> StoredVersion:
        """Return the newest version that can be served."""
        found = self._log(key).read().latest()
        if found is None:
            raise VersionRefused(
                "the model has no version that can be served",
                reason="VersionMissing",
                field="model",
                value=key,
                remedy="`shoal models list` tells its versions and their states",
            )
        return found

    def first_free_id(self, key: ModelKey, *, besides: tuple[str, str]) -> int:
        """Return what is above the ids of all clusters that the model ever had; see `History.first_free_id`."""
        return self._log(key).read().first_free_id(besides)

    def find(self, key: ModelKey, number: int) -> StoredVersion:
        """Return one version, deleted ones among them."""
        return self._log(key).read().find(number)

    def record(self, key: ModelKey, number: int) -> VersionRecord:
        """Return all that was recorded of a version."""
        log = self._log(key)
        return self._record(log, key, log.read().find(number))

    def load(self, key: ModelKey, number: int) -> Artifact:
        """Return a version's verified artifact."""
        version = self.find(key, number)
        return verify_artifact(self._artifacts.read(self._folder(key, version)), version.digest)

    def files(self, key: ModelKey, number: int) -> dict[str, bytes]:
        """Return a version's verified files by name, the derived ones among them."""
        version = self.find(key, number)
        folder = self._folder(key, version)
        found = self._artifacts.read(folder)
        verify_artifact(found, version.digest)
        card = self._artifacts.read_card(folder, Owner(key, number))
        return {"manifest.json": found.manifest, "model.safetensors": bytes(found.model), **card}

    def keep_card(self, key: ModelKey, number: int, card: Mapping[str, bytes]) -> None:
        """Store a version's card, card.html and card.png, where its files lie."""
        self._artifacts.write_card(self._folder(key, self.find(key, number)), Owner(key, number), card)

    def card(self, key: ModelKey, number: int) -> dict[str, bytes]:
        """Return the files of a version's card by name; none where it was stored without."""
        return self._artifacts.read_card(self._folder(key, self.find(key, number)), Owner(key, number))

    def artifact_uri(self, digest: str) -> str:
        """Where the artifact of a version that is not archived lies."""
        return self._artifacts.place(digest).uri

    def verify(self, key: ModelKey, number: int) -> int:
        """Read a version's files and return their bytes, or raise ArtifactInvalid saying what is wrong with them."""
        version = self.find(key, number)
        return self._artifacts.verify(self._folder(key, version), version.digest)

    def change(
        self, key: ModelKey, number: int, to: State, *, digest: str | None = None, in_use: Iterable[str] = ()
    ) -> StoredVersion:
        """Bring a version to a state, its files to where they then belong; doing it again changes nothing.

        digest: refuse a version that has another one. in_use: digests of which the caller knows that they are served;
        such a version is neither archived nor deleted.
        """
        version = self.find(key, number)
        if digest not in (None, version.digest):
            raise VersionRefused(
                f"version {number} has another digest, {version.digest}",
                field="digest",
                value=digest,
                remedy="Look whether this is the store that the version was recorded in",
            )
        if to in ("Archived", "Deleted") and version.digest in frozenset(in_use):
            raise VersionRefused(
                f"version {number} is in use",
                reason="VersionInUse",
                field="state",
                value=to,
                remedy="Let its deployments use another version first",
            )
        place, archive = self._artifacts.place(version.digest), self._artifacts.archive_place(key, number)
        owner = Owner(key, number)
        if to in ("Archived", "Deleted"):
            self._keep_copy(place, archive, version.digest, owner, to)
        elif version.state == "Archived":
            self._artifacts.copy(archive, place, version.digest, owner)
        log = self._log(key)

        def decide(history: History) -> Change | None:
            moved = decide_state(history, number, to, self._now())
            return None if moved is None else Change(state=moved)

        changed = log.commit(decide).find(number)
        if to in ("Archived", "Deleted"):
            self._artifacts.remove_card(place, owner)
            self._remove_unused(version.digest, archive)
        elif version.state == "Archived" and not self._artifacts.is_there(place):
            # One who deletes another version of this digest may have looked before this one needed the files again.
            self._artifacts.copy(archive, place, version.digest, owner)
        if to == "Deleted":
            self._artifacts.remove(archive)
            self._artifacts.remove_card(archive, owner)
        return changed

    def retire(self, key: ModelKey, number: int) -> StoredVersion:
        """Keep a version, but let it be the latest no more."""
        return self.change(key, number, "Retired")

    def archive(self, key: ModelKey, number: int, *, in_use: Iterable[str] = ()) -> StoredVersion:
        """Move a version's files to the archive."""
        return self.change(key, number, "Archived", in_use=in_use)

    def unarchive(self, key: ModelKey, number: int) -> StoredVersion:
        """Bring a version's files back, verified, and let it be served if it passed its validation."""
        return self.change(key, number, "Active" if self.find(key, number).passed else "Rejected")

    def delete(self, key: ModelKey, number: int, *, in_use: Iterable[str] = ()) -> StoredVersion:
        """Delete a version: its files go unless another version has the same; its record and number stay."""
        return self.change(key, number, "Deleted", in_use=in_use)

    def label(self, key: ModelKey, number: int, changes: Mapping[str, str | None]) -> StoredVersion:
        """Set labels of a version, and remove those whose value is None."""
        log = self._log(key)

        def decide(history: History) -> Change | None:
            marked = decide_labels(history, number, changes)
            return None if marked is None else Change(labels=marked)

        return log.commit(decide).find(number)

    def recorded(self, key: ModelKey) -> Iterator[tuple[StoredVersion, VersionRecord]]:
        """Yield each version that is not deleted with its record, from the log alone, and write its catalog anew."""
        log = self._log(key)
        for _, version in sorted(log.read(whole=True).versions.items()):
            if version.state != "Deleted":
                yield version, self._record(log, key, version)

    def _keep_copy(self, place: Location, archive: Location, digest: str, owner: Owner, to: State) -> None:
        """Have a sound copy in the archive before anything goes; what is spoilt or gone can still be deleted."""
        try:
            self._artifacts.copy(place, archive, digest, owner)
        except ArtifactInvalid:
            if to != "Deleted":
                raise

    def _remove_unused(self, digest: str, archive: Location) -> None:
        """Remove an artifact unless a version that may be served has it.

        One may be saved between the look and the removal: so look again, and bring the artifact back.
        """
        if self._is_used(digest):
            return
        self._artifacts.remove(self._artifacts.place(digest))
        if self._is_used(digest):
            self._artifacts.copy(archive, self._artifacts.place(digest), digest, None)

    def _is_used(self, digest: str) -> bool:
        return any(
            version.digest == digest and version.state in _SERVABLE
            for key in self.models()
            for version in self._log(key).read().versions.values()
        )

    def _record(self, log: ModelLog, key: ModelKey, version: StoredVersion) -> VersionRecord:
        change = log.read_entry(version.position)
        if change is None or change.version is None:
            raise ArtifactInvalid(
                f"the record of version {version.number} cannot be read",
                field=str(key),
                value=f"log entry {version.position}",
                remedy="Restore it from a backup, or train the model again",
            )
        return change.version

    def _folder(self, key: ModelKey, version: StoredVersion) -> Location:
        """Where a version's files lie now."""
        if version.state == "Deleted":
            raise VersionRefused(
                f"version {version.number} was deleted on {version.since}",
                reason="VersionMissing",
                field="version",
                value=version.number,
                remedy="Choose another version",
            )
        if version.state == "Archived":
            return self._artifacts.archive_place(key, version.number)
        return self._artifacts.place(version.digest)

    def _log(self, key: ModelKey) -> ModelLog:
        return ModelLog(self._store, self._base, key)

    def _now(self) -> str:
        return _told(self._clock())


def _told(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_key(namespace: str, name: str) -> bool:
    try:
        return bool(model_key(namespace, name))
    except SettingsInvalid:
        return False
