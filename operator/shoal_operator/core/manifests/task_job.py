"""Builds the Job of a task: what a gate or a hook runs, made of a CronJob as `kubectl create job --from` makes it.

Called by core.tasks. Invariants: what runs is what the CronJob says, with the facts as further variables that it cannot
forge; the pods carry no label by which a Service of Shoal's selects.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal_operator.api.meta import GROUP
from shoal_operator.core import names
from shoal_operator.core.facts import at, items_at, mapping_at, name_of, number_at
from shoal_operator.core.manifests import metadata
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import RawObject

_NOT_TAKEN = ("suspend", "ttlSecondsAfterFinished", "selector", "manualSelector")
"""A suspended Job would never run, one that deletes itself would run again, and pods are never taken over."""


@dataclass(frozen=True, slots=True)
class Task:
    """One run of a CronJob's Job."""

    job: str
    """Name of the Job, which is the task's identity."""
    cron_job: str
    path: str
    """Path in the spec of where the CronJob is named, for messages."""
    timeout_seconds: int
    variables: Mapping[str, str] = field(default_factory=dict)
    """What every container is told."""


def build_task_job(deployment: RawObject, cron_job: RawObject, task: Task) -> Manifest:
    """Build the Job; Kubernetes stops it after the task's timeout."""
    template = mapping_at(cron_job, "spec", "jobTemplate")
    spec: Manifest = copy.deepcopy(dict(mapping_at(template, "spec")))
    for name in _NOT_TAKEN:
        spec.pop(name, None)
    own = number_at(template, "spec", "activeDeadlineSeconds") or task.timeout_seconds
    spec["activeDeadlineSeconds"] = min(own, task.timeout_seconds)
    ours = {names.MANAGED_BY: names.MANAGER, names.TASK_OF: names.label_value(name_of(deployment))}
    pod = dict(mapping_at(spec, "template", "spec"))
    for kind in ("initContainers", "containers"):
        if kind in pod:
            pod[kind] = [_tell(container, task.variables) for container in items_at(pod, kind)]
    pod_metadata = mapping_at(spec, "template", "metadata")
    labels = {**_foreign(pod_metadata, "labels"), **ours}
    spec["template"] = {"metadata": {**pod_metadata, "labels": labels}, "spec": pod}
    described = metadata.build_metadata(
        deployment, "ClusteringDeployment", task.job, {**_foreign(mapping_at(template, "metadata"), "labels"), **ours}
    )
    annotations = {**_foreign(mapping_at(template, "metadata"), "annotations"), f"{GROUP}/cron-job": task.cron_job}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**described, "annotations": annotations},
        "spec": spec,
    }


def _tell(container: RawObject, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return a container that knows the facts: they stand last, and take the place of its own of the same name."""
    kept = [item for item in items_at(container, "env") if item.get("name") not in variables]
    return {**container, "env": [*kept, *metadata.environment(dict(variables))]}


def _foreign(described: RawObject, part: str) -> dict[str, str]:
    """Return the labels or annotations that are not Shoal's."""
    found = at(described, part)
    kept = found.items() if isinstance(found, Mapping) else ()
    return {name: value for name, value in kept if not name.startswith(f"{GROUP}/") and name != names.MANAGED_BY}
