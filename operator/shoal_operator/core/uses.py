"""Tells which versions of a model somebody uses: no used version is archived or deleted.

Called by core.maintenance. Invariant: what is served, on trial, standing by, in a rollback window, recorded as stable,
pinned or labels a batch counts; so does every other version with the same artifact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from shoal_operator.core.facts import mapping_at, name_of, number_at, text_at
from shoal_operator.core.progress import read_record, read_status
from shoal_operator.core.snapshot import RawObject
from shoal_operator.core.versions import KnownVersion

_DIGEST = "sha256:"


def find_uses(
    deployments: Iterable[RawObject], batches: Iterable[RawObject], known: Iterable[KnownVersion]
) -> Mapping[int, str]:
    """Return version -> who uses it, in words."""
    versions = tuple(known)
    digests = {version.number: version.digest for version in versions}
    users: dict[str, str] = {}
    uses: dict[int, str] = {}
    for who, number, digest in chain(_served(deployments), _labelling(batches)):
        uses.setdefault(number, who)
        users.setdefault(digest, who)
        users.setdefault(digests.get(number, ""), who)
    users.pop("", None)
    uses.update({version.number: users[version.digest] for version in versions if version.digest in users})
    return uses


def _served(deployments: Iterable[RawObject]) -> Iterator[tuple[str, int, str]]:
    """Yield who uses a version, its number (0 where unknown) and its digest (empty where unknown)."""
    for deployment in deployments:
        who = f"ClusteringDeployment {name_of(deployment)}"
        status, pinned = read_status(deployment), text_at(deployment, "spec", "modelRef", "version")
        roles = [("stable", status.stable), ("candidate", status.candidate)]
        roles += [("standing by", item) for item in status.retiring]
        window = max(
            number_at(deployment, "spec", "strategy", kind, "rollbackWindow", "revisions")
            for kind in ("blueGreen", "canary")
        )
        roles += [("rollback window", item) for item in (status.previous[-window:] if window > 0 else ())]
        roles.append(("recorded as stable", read_record(deployment)))
        for role, revision in roles:
            if revision is not None:
                yield f"{who} ({role})", revision.version, revision.digest
        if pinned.startswith(_DIGEST):
            yield f"{who} (pinned)", 0, pinned
        elif pinned.isdecimal():
            yield f"{who} (pinned)", int(pinned), ""


def _labelling(batches: Iterable[RawObject]) -> Iterator[tuple[str, int, str]]:
    """Yield the same of the batches that have not ended: each labels all of its data with one version."""
    for batch in batches:
        pinned = mapping_at(batch, "status", "pinned")
        if pinned and not text_at(batch, "status", "completedAt"):
            yield f"ClusteringBatch {name_of(batch)}", number_at(pinned, "version"), text_at(pinned, "digest")
