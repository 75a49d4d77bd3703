"""Chooses the revision that a deployment should serve: one immutable bundle of version, artifact, image and settings.

Called by core.rollout. Invariant: equal bundles have equal hashes, and the number of replicas is no part of a bundle,
so that scaling never looks like a new revision.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from shoal_operator.api.deployment import ClusteringDeploymentSpec, Revision, WorkerSettings
from shoal_operator.core.choosing import choose_version
from shoal_operator.core.conditions import Problem
from shoal_operator.core.facts import namespace_of
from shoal_operator.core.progress import Progress
from shoal_operator.core.snapshot import DeploymentSnapshot
from shoal_operator.core.versions import KnownVersion, known_versions


@dataclass(frozen=True, slots=True)
class Selection:
    """What a deployment should serve, and what it could serve but for its policy."""

    wanted: Revision | Problem
    pending: int | None = None
    """Newer version that waits for approval."""


def select_revision(spec: ClusteringDeploymentSpec, snapshot: DeploymentSnapshot, progress: Progress) -> Selection:
    """Return the revision that the spec asks for, or why there is none and what to do.

    A version that was retired is offered to no new rollout, but whoever serves or tries it already goes on.
    """
    known = known_versions(snapshot.versions)
    mine = {(item.version, item.digest) for item in (progress.stable, progress.candidate) if item}
    eligible = [item for item in known if item.servable or (item.held and (item.number, item.digest) in mine)]
    reference = spec.model_ref
    if known and reference.version == "latest" and reference.policy == "Manual" and progress.stable is not None:
        return _select_approved(spec, snapshot, eligible, progress, progress.stable)
    namespace = namespace_of(snapshot.deployment)
    found = choose_version(reference.name, reference.version, known, eligible, snapshot.model, namespace)
    if isinstance(found, Problem):
        return Selection(found)
    return Selection(build_revision(spec, found, snapshot.defaults.worker_image))


def _select_approved(
    spec: ClusteringDeploymentSpec,
    snapshot: DeploymentSnapshot,
    eligible: list[KnownVersion],
    progress: Progress,
    stable: Revision,
) -> Selection:
    """Return the approved version, else what is on trial, else what serves; anything newer waits."""
    by_number = {version.number: version for version in eligible}
    held = progress.candidate or stable
    number = progress.approved if progress.approved in by_number else held.version
    newest = eligible[-1].number if eligible else 0
    blocked = {item.version for item in progress.blocked}
    pending = newest if newest > number and newest not in blocked else None
    version = by_number.get(number)
    # What serves may have no record any more; it is served on as it is.
    wanted = held if version is None else build_revision(spec, version, snapshot.defaults.worker_image)
    return Selection(wanted, pending)


def build_revision(spec: ClusteringDeploymentSpec, version: KnownVersion, default_image: str) -> Revision:
    """Bundle a version with the image and settings of its pods, and name the bundle by its hash."""
    settings = WorkerSettings(**{name: getattr(spec.worker, name) for name in WorkerSettings.model_fields})
    image = spec.worker.image or default_image
    bundle = {
        "version": version.number,
        "digest": version.digest,
        "uri": version.uri,
        "image": image,
        # Without defaults, so that a release that adds a setting does not roll every deployment out anew.
        "settings": settings.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }
    if spec.ingestion is not None:
        bundle["ingestion"] = spec.ingestion.model_dump(
            mode="json", by_alias=True, exclude_defaults=True, exclude={"consumer_at_deletion"}
        )
    canonical = json.dumps(bundle, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Revision(
        revision=hashlib.sha256(canonical.encode()).hexdigest()[:8],
        version=version.number,
        digest=version.digest,
        uri=version.uri,
        image=image,
        settings=settings,
        ingestion=spec.ingestion,
    )
