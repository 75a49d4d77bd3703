"""Builds the Job that trains one version.

Called by core.training. Invariant: the pod is restricted, holds no service account token, and ends by itself.
"""

from __future__ import annotations

import json

from shoal_operator.api.model import ClusteringModelSpec
from shoal_operator.core import names
from shoal_operator.core.facts import name_of, namespace_of
from shoal_operator.core.manifests import metadata
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import Defaults, RawObject
from shoal_operator.core.versions import KnownVersion

CONTAINER = "train"
_PERMANENT_FAILURE = 1
"""Exit code of a training that would fail again in the same way."""


def build_job(
    model: RawObject,
    spec: ClusteringModelSpec,
    training_hash: str,
    known: tuple[KnownVersion, ...],
    defaults: Defaults,
) -> Manifest:
    """Build the Job; its name holds the training's identity, so that one identity has one Job."""
    name = name_of(model)
    labels = {
        **metadata.common_labels(model),
        names.MODEL: names.label_value(name),
        names.TRAINING_HASH: training_hash,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata.build_metadata(model, "ClusteringModel", names.training_job(name, training_hash), labels),
        "spec": {
            "backoffLimit": spec.training.retries,
            "activeDeadlineSeconds": spec.training.active_deadline_seconds,
            "completions": 1,
            "parallelism": 1,
            "podFailurePolicy": {
                "rules": [
                    # A pod that a drain or a preemption took away has not failed.
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": CONTAINER,
                            "operator": "In",
                            "values": [_PERMANENT_FAILURE],
                        },
                    },
                ]
            },
            "template": {"metadata": {"labels": labels}, "spec": _pod(model, spec, known, defaults)},
        },
    }


def training_input(
    model: RawObject, spec: ClusteringModelSpec, known: tuple[KnownVersion, ...], defaults: Defaults
) -> Manifest:
    """Return what the training is told, without where its credentials come from.

    The baseline is the version that would be served now: what relative limits and cluster ids refer to.
    """
    baseline = next((version for version in reversed(known) if version.servable), None)
    return {
        "name": name_of(model),
        "namespace": namespace_of(model),
        "source": spec.source.model_copy(update={"secret_ref": None}).to_wire(),
        "preprocessing": [step.to_wire() for step in spec.preprocessing],
        "algorithm": spec.algorithm.to_wire(),
        "validation": spec.validation.to_wire(),
        "plan": spec.training.plan.to_wire(),
        "baseline": baseline and {"version": baseline.number, "uri": baseline.uri, "digest": baseline.digest},
        "deadlineSeconds": spec.training.active_deadline_seconds,
        "storeUri": defaults.store_uri,
    }


def _pod(model: RawObject, spec: ClusteringModelSpec, known: tuple[KnownVersion, ...], defaults: Defaults) -> Manifest:
    mounted = [metadata.scratch("tmp", "/tmp"), metadata.scratch("cache", "/var/cache/shoal")]  # noqa: S108
    variables = {
        "SHOAL_TRAINING_SPEC": json.dumps(training_input(model, spec, known, defaults), sort_keys=True),
        "SHOAL_CACHE_DIR": "/var/cache/shoal",
    }
    if defaults.store_secret_name:
        mounted.append(metadata.secret("store-secret", metadata.STORE_SECRET_MOUNT, defaults.store_secret_name))
        variables["SHOAL_STORE_SECRET_DIR"] = metadata.STORE_SECRET_MOUNT
    if spec.source.secret_ref:
        mounted.append(metadata.secret("source-secret", metadata.SOURCE_SECRET_MOUNT, spec.source.secret_ref.name))
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
                "name": CONTAINER,
                "image": defaults.worker_image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["train"],
                "env": metadata.environment(variables),
                "resources": spec.training.resources.to_wire(),
                "securityContext": metadata.container_security(),
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "volumeMounts": [mount for _, mount in mounted],
            }
        ],
        "volumes": [volume for volume, _ in mounted],
    }
