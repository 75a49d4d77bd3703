"""Decides what becomes of each version of a model: by the user's annotation, else by spec.retention.

Called by core.maintenance. Invariant: what somebody uses is neither archived nor deleted, and the newest version is
never deleted.

    annotation shoal.dev/state   retention                       becomes
    Active                       -                               Active, whatever spec.retention says
    Retired                      -                               Retired
    Archived                     not used                        Archived
    Archived                     used                            Retired, until nobody uses it
    none                         among the newest `keep`         Active
    none                         older, used                     Active
    none                         older, not used                 Retired, or Archived with archiveRetired
    not Active                   since deleteAfterDays, unused   Deleted
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shoal_operator.api.lifecycle import Retention
from shoal_operator.api.meta import Reason
from shoal_operator.core import names
from shoal_operator.core.facts import annotation_of, instant, printable, timestamp
from shoal_operator.core.lifecycle import Lifecycle, LifeState, read_lifecycle
from shoal_operator.core.snapshot import RawObject
from shoal_operator.core.versions import KnownVersion

_WISHES: tuple[LifeState, ...] = ("Active", "Retired", "Archived")


@dataclass(frozen=True, slots=True)
class Aging:
    """One version, what it is to become, and when time alone changes that."""

    version: KnownVersion
    raw: RawObject
    before: Lifecycle
    after: Lifecycle
    due: datetime | None = None


def age_versions(
    versions: Mapping[int, RawObject],
    known: tuple[KnownVersion, ...],
    uses: Mapping[int, str],
    retention: Retention,
    now: datetime,
) -> tuple[Aging, ...]:
    """Return what each version is to become; `known` is ordered by number, `versions` holds their raw objects."""
    ageing: list[Aging] = []
    kept = {True: 0, False: 0}
    for version in reversed(known):
        raw = versions[version.number]
        before = read_lifecycle(raw)
        newer = kept[version.passed]
        after = _choose(raw, before, version, uses.get(version.number), newer, retention)
        if after.wanted == "Active":
            kept[version.passed] += 1
            after = after.model_copy(update={"since": ""})
        elif not before.since:
            after = after.model_copy(update={"since": timestamp(now)})
        after, due = _expire(after, uses.get(version.number), retention, now, newest=version is known[-1])
        ageing.append(Aging(version, raw, before, after, due))
    return tuple(reversed(ageing))


def _choose(
    raw: RawObject, before: Lifecycle, version: KnownVersion, user: str | None, newer: int, retention: Retention
) -> Lifecycle:
    wish = annotation_of(raw, names.STATE)
    if wish == "Active":
        return Lifecycle(stored=before.stored)
    if wish in ("Retired", "Archived"):
        told = f"{wish} by the annotation {names.STATE}."
        return _leave(before, "Retired" if wish == "Retired" else "Archived", Reason.RETIRED_BY_USER, told, user)
    retired_before = before.reason == Reason.RETIRED_BY_RETENTION and before.wanted != "Active"
    if retired_before or (newer >= retention.keep and user is None):
        kind = "" if version.passed else "Rejected "
        told = f"Retired by spec.retention: {retention.keep} newer {kind}versions are kept."
        wanted: LifeState = "Archived" if retention.archive_retired else "Retired"
        return _leave(before, wanted, Reason.RETIRED_BY_RETENTION, told, user)
    if wish:
        choice = ", ".join(_WISHES)
        told = f"The annotation {names.STATE} is {printable(wish, 40)!r}; set it to one of: {choice}."
        return Lifecycle(stored=before.stored, problem=Reason.INVALID_SPEC, message=told)
    return Lifecycle(stored=before.stored)


def _leave(before: Lifecycle, wanted: LifeState, reason: Reason, told: str, user: str | None) -> Lifecycle:
    """Return the record of a version that is offered no more; who uses it goes on using it."""
    after = before.model_copy(update={"wanted": wanted, "reason": reason, "message": told, "problem": ""})
    if wanted == "Archived" and before.stored != "Archived" and user is not None:
        return _refuse(
            after.model_copy(update={"wanted": "Retired"}), f"{user} uses it: it is archived once nobody does"
        )
    return after


def _refuse(after: Lifecycle, why: str) -> Lifecycle:
    told = f"{after.message.rstrip('.')}, but {why}."
    return after.model_copy(update={"problem": Reason.VERSION_IN_USE, "message": told})


def _expire(
    after: Lifecycle, user: str | None, retention: Retention, now: datetime, *, newest: bool
) -> tuple[Lifecycle, datetime | None]:
    """Return the record of a version whose time may be over, and when that is."""
    since = instant(after.since)
    if after.wanted == "Active" or retention.delete_after_days is None or since is None or newest:
        return after, None
    due = since + timedelta(days=retention.delete_after_days)
    if now < due:
        return after, due
    if user is not None:
        days = retention.delete_after_days
        return _refuse(after, f"{user} uses it: it is deleted ({days} days have passed) once nobody does"), None
    told = f"Deleted {retention.delete_after_days} days after it was retired (spec.retention.deleteAfterDays)."
    return after.model_copy(update={"wanted": "Deleted", "message": told}), None
