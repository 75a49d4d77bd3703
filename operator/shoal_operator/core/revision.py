"""Chooses the revision that a deployment should serve: one immutable bundle of version, artifact, image and settings.

Called by core.rollout. Invariant: equal bundles have equal hashes, and the number of replicas is no part of a bundle,
so that scaling never looks like a new revision.
"""

from __future__ import annotations

import hashlib
import json

from shoal_operator.api.deployment import ClusteringDeploymentSpec, Revision, WorkerSettings
from shoal_operator.api.meta import Reason
from shoal_operator.core.conditions import Problem
from shoal_operator.core.facts import namespace_of, printable, text_at
from shoal_operator.core.snapshot import DeploymentSnapshot
from shoal_operator.core.versions import KnownVersion, known_versions


def select_revision(spec: ClusteringDeploymentSpec, snapshot: DeploymentSnapshot) -> Revision | Problem:
    """Return the revision that the spec asks for, or why there is none and what to do."""
    known = known_versions(snapshot.versions)
    wanted = spec.model_ref.version
    name = spec.model_ref.name
    if not known:
        return _no_version(spec, snapshot)
    if wanted == "latest":
        servable = [version for version in known if version.servable]
        if servable:
            return build_revision(spec, servable[-1], snapshot.defaults.worker_image)
        newest = known[-1]
        return Problem(
            Reason.VERSION_NOT_READY,
            f"no version of ClusteringModel {name} can be served; the newest, {newest.number}, is {newest.state}"
            f"{f': {newest.refusal}' if newest.refusal else ''}. Change the model's parameters or limits.",
        )
    version = next((version for version in known if version.number == int(wanted)), None)
    if version is None:
        return Problem(
            Reason.VERSION_NOT_FOUND,
            f"spec.modelRef.version: ClusteringModel {name} has no version {wanted}. {_choice(known)}",
        )
    if not version.servable:
        why = f": {version.refusal}" if version.refusal else ""
        return Problem(
            Reason.VERSION_REJECTED if version.state == "Rejected" else Reason.VERSION_NOT_READY,
            f"spec.modelRef.version: version {wanted} of ClusteringModel {name} is {version.state}{why}. "
            f"{_choice(known)}",
        )
    return build_revision(spec, version, snapshot.defaults.worker_image)


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
