"""Builds the Job that brings the store in line with what a model's versions are to become.

Called by core.maintenance. Invariant: equal changes make the same Job, so that one pass repeated starts nothing twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from shoal_operator.api.meta import ResourceRequirements
from shoal_operator.core import names
from shoal_operator.core.facts import name_of, namespace_of
from shoal_operator.core.manifests.store_job import StoreJob, build_store_job
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import Defaults, RawObject

_DEADLINE_SECONDS = 900
_RETRIES = 2
_MOST_IN_USE = 1000
_RESOURCES = ResourceRequirements(requests={"cpu": "50m", "memory": "128Mi"}, limits={"memory": "512Mi"})


def build_maintenance_job(
    model: RawObject, changes: Iterable[Manifest], in_use: Iterable[str], defaults: Defaults
) -> Manifest:
    """Build the Job; each change has a version, its digest and the state to bring it `to`.

    `in_use` are the digests that somebody uses: the store refuses to archive or delete these, whatever the changes say.
    """
    wanted = list(changes)
    identity = hash_changes(wanted)
    told = {
        "name": name_of(model),
        "namespace": namespace_of(model),
        "storeUri": defaults.store_uri,
        "changes": wanted,
        "inUse": sorted(in_use)[:_MOST_IN_USE],
    }
    job = StoreJob(
        name=names.maintenance_job(name_of(model), identity),
        verb="maintain",
        labels={names.MAINTENANCE: identity},
        variable="SHOAL_MAINTENANCE_SPEC",
        told=told,
        deadline_seconds=_DEADLINE_SECONDS,
        retries=_RETRIES,
        resources=_RESOURCES,
    )
    return build_store_job(model, job, defaults)


def hash_changes(changes: Iterable[Manifest]) -> str:
    """Return the identity of some changes."""
    canonical = json.dumps(list(changes), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]
