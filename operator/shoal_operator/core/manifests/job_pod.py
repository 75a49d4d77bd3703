"""Builds the pod of a Job that runs one verb of the worker's image. Called by store_job and farewell_job."""

from __future__ import annotations

from collections.abc import Sequence

from shoal_operator.core.manifests import metadata
from shoal_operator.core.plan import Manifest


def build_job_pod(
    verb: str,
    image: str,
    variables: dict[str, str],
    resources: Manifest,
    mounted: Sequence[tuple[Manifest, Manifest]],
) -> Manifest:
    """Build the pod's spec; `mounted` are its volumes, each with its mount."""
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": metadata.pod_security(),
        "containers": [
            {
                "name": verb,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "args": [verb],
                "env": metadata.environment(variables),
                "resources": resources,
                "securityContext": metadata.container_security(),
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "volumeMounts": [mount for _, mount in mounted],
            }
        ],
        "volumes": [volume for volume, _ in mounted],
    }
