"""Builds a Job whose pod runs one verb of the worker against the model store.

Called by the builders of the training, import, maintenance and batch Jobs. Invariant: the pod is restricted, holds no
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
from shoal_operator.core.manifests.job_pod import build_job_pod
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import Defaults, RawObject

_PERMANENT_FAILURE = 1
"""Exit code of a verb that would fail again in the same way."""


@dataclass(frozen=True, slots=True)
class Indexes:
    """An Indexed Job: a pod for each index, and each index with its own retries."""

    count: int
    parallelism: int
    stop_at_failure: bool
    """Whether the first index that fails for good ends the others."""


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
    output_secret_name: str | None = None
    sink_secret_name: str | None = None
    indexes: Indexes | None = None


def build_store_job(owner: RawObject, job: StoreJob, defaults: Defaults, kind: str = "ClusteringModel") -> Manifest:
    """Build the Job of a ClusteringModel or a ClusteringBatch."""
    relation = names.MODEL if kind == "ClusteringModel" else names.BATCH
    labels = {**metadata.common_labels(owner), relation: names.label_value(name_of(owner)), **job.labels}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata.build_metadata(owner, kind, job.name, labels),
        "spec": {
            **_pace(job),
            "activeDeadlineSeconds": job.deadline_seconds,
            "podFailurePolicy": {
                "rules": [
                    # A pod that a drain or a preemption took away has not failed.
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob" if job.indexes is None else "FailIndex",
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


def _pace(job: StoreJob) -> Manifest:
    indexes = job.indexes
    if indexes is None:
        return {"backoffLimit": job.retries, "completions": 1, "parallelism": 1}
    return {
        "completionMode": "Indexed",
        "completions": indexes.count,
        "parallelism": min(indexes.count, indexes.parallelism),
        "backoffLimitPerIndex": job.retries,
        **({"maxFailedIndexes": 0} if indexes.stop_at_failure else {}),
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
    if job.output_secret_name:
        mounted.append(metadata.secret("output-secret", metadata.OUTPUT_SECRET_MOUNT, job.output_secret_name))
        variables["SHOAL_OUTPUT_SECRET_DIR"] = metadata.OUTPUT_SECRET_MOUNT
    if job.sink_secret_name:
        mounted.append(metadata.secret("sink-secret", metadata.SINK_SECRET_MOUNT, job.sink_secret_name))
        variables["SHOAL_SINK_SECRET_DIR"] = metadata.SINK_SECRET_MOUNT
    if defaults.store_claim_name:
        mounted.append(metadata.claim(defaults.store_claim_name, read_only=False))
    return build_job_pod(job.verb, defaults.worker_image, variables, job.resources.to_wire(), mounted)
