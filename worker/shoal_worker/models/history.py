"""What a model's log says: a pure fold over its changes, and the decisions that follow from it; used by `log`, `store`.

Invariant: a history is a function of the log's entries up to `position`. No I/O, no clock.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from shoal_worker.artifact.manifest import MAX_ID
from shoal_worker.errors import VersionRefused
from shoal_worker.models.record import (
    SOURCE_LIMIT,
    Change,
    Draft,
    LabelChange,
    State,
    StateChange,
    StoredVersion,
    VersionRecord,
)

_USER = re.compile(r"//[^/@]*@")
"""User and password of a URI, which a record must not hold."""

_NEXT: Mapping[State, frozenset[State]] = {
    "Active": frozenset({"Retired", "Archived", "Deleted"}),
    "Rejected": frozenset({"Archived", "Deleted"}),
    "Retired": frozenset({"Active", "Archived", "Deleted"}),
    "Archived": frozenset({"Active", "Rejected", "Retired", "Deleted"}),
    "Deleted": frozenset(),
}


@dataclass(frozen=True, slots=True)
class History:
    """The versions of one model by number, after the log's entry at `position`."""

    position: int = 0
    versions: Mapping[int, StoredVersion] = field(default_factory=lambda: MappingProxyType({}))
    unreadable: tuple[int, ...] = ()
    """Positions of entries that could not be read."""

    def find(self, number: int) -> StoredVersion:
        """Return a version, or say that there is none."""
        found = self.versions.get(number)
        if found is None:
            raise VersionRefused(
                "the store has no such version",
                reason="VersionMissing",
                field="version",
                value=number,
                remedy="`shoal models list` tells those there are",
            )
        return found

    def first_free_id(self, besides: tuple[str, str] = ("", "")) -> int:
        """Return what is above the ids of all clusters that a version ever had that passed its validation.

        besides: training hash and model's uid of a training that is repeated; its own version does not count.
        """
        others = (
            each for each in self.versions.values() if each.passed and (each.training_hash, each.model_uid) != besides
        )
        return max((each.next_id for each in others), default=0)

    def latest(self) -> StoredVersion | None:
        """Return the newest version that can be served."""
        return max(
            (each for each in self.versions.values() if each.state == "Active"),
            key=lambda each: each.number,
            default=None,
        )


def fold(history: History, entries: Mapping[int, Change | None]) -> History:
    """Take in the entries behind the history's position; None stands for one that could not be read."""
    versions, unreadable = dict(history.versions), list(history.unreadable)
    position = history.position
    for position, change in sorted(entries.items()):
        if change is None:
            unreadable.append(position)
        elif (record := change.version) is not None:
            # A number is given once; a second record of it could only be a forgery.
            versions.setdefault(record.number, _summary(record, position))
        elif (moved := change.state) is not None and (known := versions.get(moved.number)):
            versions[moved.number] = known.model_copy(update={"state": moved.to, "since": moved.at})
        elif (marked := change.labels) is not None and (known := versions.get(marked.number)):
            versions[marked.number] = known.model_copy(update={"labels": marked.labels})
    return replace(history, position=position, versions=versions, unreadable=tuple(unreadable))


def decide_version(history: History, draft: Draft, now: str, size: int) -> StoredVersion | VersionRecord:
    """Return the version that this training made already, or the record of a new one with the next number.

    A number is not given again, though its version was deleted; an entry that cannot be read may hold one too.
    """
    highest = max(history.versions, default=0)
    last = history.versions[highest].position if highest else 0
    lost = sum(position > last for position in history.unreadable)
    for known in history.versions.values():
        same = (known.training_hash, known.model_uid) == (draft.training_hash, draft.model_uid)
        if same and known.number > draft.after and known.state != "Deleted":
            return known
    number = max(draft.after, highest + lost) + 1
    return VersionRecord(
        number=number,
        training_hash=draft.training_hash,
        model_uid=draft.model_uid,
        created=now,
        digest=draft.digest,
        bytes=size,
        passed=draft.report.get("validation", {}).get("verdict") == "pass",
        labels=draft.labels,
        report={**draft.report, "version": number},
        source=_USER.sub("//", draft.source)[:SOURCE_LIMIT],
        card_points=draft.card_points,
    )


def decide_state(history: History, number: int, to: State, now: str) -> StateChange | None:
    """Return the change that brings a version to a state; None where it is there already."""
    known = history.find(number)
    if known.state == to:
        return None
    if to == "Active" and not known.passed:
        raise VersionRefused(
            f"version {number} failed its validation and is never served",
            field="state",
            value=to,
            remedy="Train the model with other parameters or limits",
        )
    if to == "Rejected" and known.passed:
        raise VersionRefused(f"version {number} passed its validation", field="state", value=to, remedy="Retire it")
    if to not in _NEXT[known.state]:
        raise VersionRefused(
            f"version {number} is {known.state}",
            field="state",
            value=to,
            remedy=f"From there it can become {', '.join(sorted(_NEXT[known.state])) or 'nothing else'}",
        )
    return StateChange(number=number, to=to, at=now)


def decide_labels(history: History, number: int, changes: Mapping[str, str | None]) -> LabelChange | None:
    """Return the change that sets and, where None, removes labels; None where they are so already."""
    known = history.find(number)
    labels = {name: value for name, value in {**known.labels, **changes}.items() if value is not None}
    return None if labels == known.labels else LabelChange(number=number, labels=labels)


def _summary(record: VersionRecord, position: int) -> StoredVersion:
    metrics = record.report.get("metrics")
    figures = metrics if isinstance(metrics, dict) else {}

    def count(name: str) -> int | None:
        return value if isinstance(value := figures.get(name), int) else None

    noise = figures.get("noiseRatio")
    identity = record.report.get("identity")
    next_id = identity.get("nextId") if isinstance(identity, dict) else None
    return StoredVersion(
        number=record.number,
        training_hash=record.training_hash,
        model_uid=record.model_uid,
        created=record.created,
        digest=record.digest,
        bytes=record.bytes,
        passed=record.passed,
        labels=record.labels,
        state="Active" if record.passed else "Rejected",
        since=record.created,
        position=position,
        rows=count("rows"),
        clusters=count("clusters"),
        noise_ratio=noise if isinstance(noise, int | float) else None,
        next_id=next_id if isinstance(next_id, int) and 0 <= next_id <= MAX_ID else 0,
    )
