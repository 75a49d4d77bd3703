"""Builds a Job whose pod runs one verb of the worker against the model store.

Called by the builders of the training, import and maintenance Jobs. Invariant: the pod is restricted, holds no
service account token, and ends by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoal_operator.api.meta import ResourceRequirements
from shoal_operator.core import names
from shoal_operator.core.facts import name_of
from shoal_operator.core.manifests import metadata
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import Defaults, RawObject

_PERMANENT_FAILURE = 1
"""Exit code of a verb that would fail again in the same way."""


@dataclass(frozen=True, slots=True)
class StoreJob:
    """What one such Job does."""

    name: str
    verb: str
    labels: Mapping[str, str]
    variable: str
    """Environment variable that carries `told`, as JSON."""
    told: Mapping[str, Any]
    deadline_seconds: int
    retries: int
    resources: ResourceRequirements
    source_secret_name: str | None = None


def build_store_job(model: RawObject, job: StoreJob, defaults: Defaults) -> Manifest:
    """Build the Job of a ClusteringModel."""
    labels = {**metadata.common_labels(model), names.MODEL: names.label_value(name_of(model)), **job.labels}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata.build_metadata(model, "ClusteringModel", job.name, labels),
        "spec": {
            "backoffLimit": job.retries,
            "activeDeadlineSeconds": job.deadline_seconds,
            "completions": 1,
            "parallelism": 1,
            "podFailurePolicy": {
                "rules": [
                    # A pod that a drain or a preemption took away has not failed.
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": job.verb,
                            "operator": "In",
                            "values": [_PERMANENT_FAILURE],
                        },
                    },
                ]
            },
            "template": {"metadata": {"labels": labels}, "spec": _pod(job, defaults)},
        },
    }


def _pod(job: StoreJob, defaults: Defaults) -> Manifest:
    mounted = [metadata.scratch("tmp", "/tmp"), metadata.scratch("cache", "/var/cache/shoal")]  # noqa: S108
    variables = {job.variable: json.dumps(job.told, sort_keys=True), "SHOAL_CACHE_DIR": "/var/cache/shoal"}
    if defaults.store_secret_name:
        mounted.append(metadata.secret("store-secret", metadata.STORE_SECRET_MOUNT, defaults.store_secret_name))
        variables["SHOAL_STORE_SECRET_DIR"] = metadata.STORE_SECRET_MOUNT
    if job.source_secret_name:
        mounted.append(metadata.secret("source-secret", metadata.SOURCE_SECRET_MOUNT, job.source_secret_name))
        variables["SHOAL_SOURCE_SECRET_DIR"] = metadata.SOURCE_SECRET_MOUNT
    if defaults.store_claim_name:
        mounted.append(metadata.claim(defaults.store_claim_name, read_only=False))
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": metadata.pod_security(),
        "containers": [
            {
                "name": job.verb,
                "image": defaults.worker_image,
                "imagePullPolicy": "IfNotPresent",
                "args": [job.verb],
                "env": metadata.environment(variables),
                "resources": job.resources.to_wire(),
                "securityContext": metadata.container_security(),
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "volumeMounts": [mount for _, mount in mounted],
            }
        ],
        "volumes": [volume for volume, _ in mounted],
    }
