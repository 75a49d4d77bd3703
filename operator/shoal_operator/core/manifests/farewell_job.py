"""Builds the Job that deletes the consumer of a ClusteringDeployment that is being deleted.

Called by core.farewell. Invariant: nothing owns it, for a deletion in the foreground would delete it before it has run;
it deletes itself.
"""

from __future__ import annotations

from shoal_operator.api.ingestion import Ingestion
from shoal_operator.core import names
from shoal_operator.core.facts import name_of, namespace_of, uid_of
from shoal_operator.core.manifests import metadata
from shoal_operator.core.manifests.consumer import build_nats_mounts, build_nats_variables
from shoal_operator.core.manifests.job_pod import build_job_pod
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import Defaults, RawObject

DEADLINE_SECONDS = 60
_KEPT_SECONDS = 600
_RETRIES = 2
_VERB = "forget-consumer"
_RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}


def build_farewell_job(deployment: RawObject, ingestion: Ingestion, defaults: Defaults) -> Manifest:
    """Build the Job."""
    labels = {**metadata.common_labels(deployment), names.TASK_OF: names.label_value(name_of(deployment))}
    mounted = [metadata.scratch("tmp", "/tmp"), *build_nats_mounts(ingestion)]  # noqa: S108
    variables = build_nats_variables(deployment, ingestion)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.farewell_job(name_of(deployment), uid_of(deployment)),
            "namespace": namespace_of(deployment),
            "labels": labels,
        },
        "spec": {
            "backoffLimit": _RETRIES,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {
                "metadata": {"labels": labels},
                "spec": build_job_pod(_VERB, defaults.worker_image, variables, _RESOURCES, mounted),
            },
        },
    }
