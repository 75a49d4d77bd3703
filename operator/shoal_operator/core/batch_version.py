"""Finds the version that a batch labels its data with: that of a reference to a model, or a deployment's stable one.

Called by core.batch once for each identity of a batch; what is found is pinned in status. Invariant: a version that may
not be served is never found.
"""

from __future__ import annotations

from shoal_operator.api.batch import ClusteringBatchSpec, PinnedVersion
from shoal_operator.api.meta import Reason
from shoal_operator.core.choosing import choose_version
from shoal_operator.core.conditions import Problem
from shoal_operator.core.facts import mapping_at, namespace_of, printable, text_at
from shoal_operator.core.progress import read_status
from shoal_operator.core.snapshot import BatchSnapshot
from shoal_operator.core.versions import known_versions


def find_version(spec: ClusteringBatchSpec, snapshot: BatchSnapshot) -> PinnedVersion | Problem:
    """Return the version, or why there is none and what to do."""
    if spec.deployment_ref is not None:
        return _find_stable(spec.deployment_ref.name, snapshot)
    if spec.model_ref is None:
        raise AssertionError("the spec validates that it has one of the two references")
    known = known_versions(snapshot.versions)
    eligible = [version for version in known if version.servable]
    name, namespace = spec.model_ref.name, namespace_of(snapshot.batch)
    found = choose_version(name, spec.model_ref.version, known, eligible, snapshot.model, namespace)
    if isinstance(found, Problem):
        return found
    return PinnedVersion(model=name, version=found.number, digest=found.digest, uri=found.uri)


def _find_stable(name: str, snapshot: BatchSnapshot) -> PinnedVersion | Problem:
    """Return the version that all of a deployment's traffic, or all but the trial's, gets now."""
    deployment = snapshot.deployment
    if deployment is None:
        return Problem(
            Reason.DEPLOYMENT_NOT_FOUND,
            f"spec.deploymentRef.name: ClusteringDeployment {name} does not exist in namespace "
            f"{namespace_of(snapshot.batch)}. Create it, or correct the name.",
        )
    stable = read_status(deployment).stable
    model = text_at(mapping_at(deployment, "spec", "modelRef"), "name")
    if stable is None or not model:
        told = printable(text_at(deployment, "status", "message"), 400) or "its rollout has not begun"
        return Problem(
            Reason.VERSION_NOT_READY,
            f"ClusteringDeployment {name} has no stable version yet: {told} This begins by itself once it has one.",
        )
    return PinnedVersion(model=model, version=stable.version, digest=stable.digest, uri=stable.uri)
