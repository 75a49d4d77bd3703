"""Tells which versions of a model somebody uses: no used version is archived or deleted.

Called by core.maintenance. Invariant: what is served, on trial, standing by, recorded as stable or pinned counts; so
does every other version with the same artifact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from shoal_operator.core.facts import name_of, text_at
from shoal_operator.core.progress import read_record, read_status
from shoal_operator.core.snapshot import RawObject
from shoal_operator.core.versions import KnownVersion

_DIGEST = "sha256:"


def find_uses(deployments: Iterable[RawObject], known: Iterable[KnownVersion]) -> Mapping[int, str]:
    """Return version -> who uses it, in words."""
    versions = tuple(known)
    digests = {version.number: version.digest for version in versions}
    users: dict[str, str] = {}
    uses: dict[int, str] = {}
    for deployment in deployments:
        for number, digest, role in _used_by(deployment):
            who = f"ClusteringDeployment {name_of(deployment)} ({role})"
            uses.setdefault(number, who)
            users.setdefault(digest, who)
            users.setdefault(digests.get(number, ""), who)
    users.pop("", None)
    uses.update({version.number: users[version.digest] for version in versions if version.digest in users})
    return uses


def _used_by(deployment: RawObject) -> Iterator[tuple[int, str, str]]:
    """Yield number (0 where unknown), digest (empty where unknown) and role."""
    status = read_status(deployment)
    for role, revision in (("stable", status.stable), ("candidate", status.candidate)):
        if revision is not None:
            yield revision.version, revision.digest, role
    for item in status.retiring:
        yield item.version, item.digest, "standing by"
    record = read_record(deployment)
    if record is not None:
        yield record.version, record.digest, "recorded as stable"
    pinned = text_at(deployment, "spec", "modelRef", "version")
    if pinned.startswith(_DIGEST):
        yield 0, pinned, "pinned"
    elif pinned.isdecimal():
        yield int(pinned), "", "pinned"
