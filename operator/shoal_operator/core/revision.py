"""Chooses the revision that a deployment should serve: one immutable bundle of version, artifact, image and settings.

Called by core.rollout. Invariant: equal bundles have equal hashes, and the number of replicas is no part of a bundle,
so that scaling never looks like a new revision.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from shoal_operator.api.deployment import ClusteringDeploymentSpec, Revision, WorkerSettings
from shoal_operator.api.meta import Reason
from shoal_operator.core.conditions import Problem
from shoal_operator.core.facts import namespace_of, printable, text_at
from shoal_operator.core.progress import Progress
from shoal_operator.core.snapshot import DeploymentSnapshot
from shoal_operator.core.versions import KnownVersion, activate_command, known_versions


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
    if not known:
        return Selection(_no_version(spec, snapshot))
    mine = {(item.version, item.digest) for item in (progress.stable, progress.candidate) if item}
    eligible = [item for item in known if item.servable or (item.held and (item.number, item.digest) in mine)]
    if spec.model_ref.version == "latest":
        if spec.model_ref.policy == "Manual" and progress.stable is not None:
            return _select_approved(spec, snapshot, eligible, progress, progress.stable)
        return Selection(_select_latest(spec, snapshot, known, eligible))
    return Selection(_select_pinned(spec, snapshot, known, eligible))


def _select_latest(
    spec: ClusteringDeploymentSpec,
    snapshot: DeploymentSnapshot,
    known: tuple[KnownVersion, ...],
    eligible: list[KnownVersion],
) -> Revision | Problem:
    if eligible:
        return build_revision(spec, eligible[-1], snapshot.defaults.worker_image)
    newest = known[-1]
    return Problem(
        Reason.VERSION_NOT_READY,
        f"no version of ClusteringModel {spec.model_ref.name} can be served; the newest, {newest.number}, is "
        f"{newest.state}{f': {newest.refusal}' if newest.refusal else ''}. Change the model's parameters or limits, "
        "or bring a retired version back.",
    )


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


def _select_pinned(
    spec: ClusteringDeploymentSpec,
    snapshot: DeploymentSnapshot,
    known: tuple[KnownVersion, ...],
    eligible: list[KnownVersion],
) -> Revision | Problem:
    name, pin = spec.model_ref.name, spec.model_ref.version

    def is_meant(version: KnownVersion) -> bool:
        return version.digest == pin if pin.startswith("sha256:") else version.number == int(pin)

    chosen = next(filter(is_meant, reversed(eligible)), None)
    if chosen is not None:
        return build_revision(spec, chosen, snapshot.defaults.worker_image)
    found = next(filter(is_meant, reversed(known)), None)
    if found is None:
        return Problem(
            Reason.VERSION_NOT_FOUND,
            f"spec.modelRef.version: ClusteringModel {name} has no version {pin}. {_choice(known)}",
        )
    told = f"spec.modelRef.version: version {found.number} of ClusteringModel {name} is {found.state}"
    if found.passed:
        archived = found.state == "Archived"
        command = activate_command(found.name, namespace_of(snapshot.deployment))
        return Problem(
            Reason.VERSION_ARCHIVED if archived else Reason.VERSION_RETIRED,
            f"{told}, so it is not offered. Run `{command}` to bring it back.",
        )
    why = f": {found.refusal}" if found.refusal else ""
    return Problem(Reason.VERSION_REJECTED, f"{told}{why}. {_choice(known)}")


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
    canonical = json.dumps(bundle, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Revision(
        revision=hashlib.sha256(canonical.encode()).hexdigest()[:8],
        version=version.number,
        digest=version.digest,
        uri=version.uri,
        image=image,
        settings=settings,
    )


def _no_version(spec: ClusteringDeploymentSpec, snapshot: DeploymentSnapshot) -> Problem:
    name = spec.model_ref.name
    if snapshot.model is None:
        return Problem(
            Reason.MODEL_NOT_FOUND,
            f"spec.modelRef.name: ClusteringModel {name} does not exist in namespace "
            f"{namespace_of(snapshot.deployment)}. Create it, or correct the name.",
        )
    told = printable(text_at(snapshot.model, "status", "message"), 400) or "its training has not begun"
    if spec.model_ref.version == "latest":
        return Problem(
            Reason.VERSION_NOT_READY,
            f"ClusteringModel {name} has no version yet: {told} Serving begins by itself once it has one.",
        )
    return Problem(
        Reason.VERSION_NOT_FOUND,
        f"spec.modelRef.version: ClusteringModel {name} has no version {spec.model_ref.version}, nor any other yet: "
        f"{told}",
    )


def _choice(known: tuple[KnownVersion, ...]) -> str:
    servable = [str(version.number) for version in known if version.servable][-10:]
    if not servable:
        return "No version can be served yet."
    return f"Set it to latest or to one of: {', '.join(servable)}."
