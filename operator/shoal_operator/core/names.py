"""Every child's name, label and selector, computed in one place.

Read by the builders, the snapshot and the runtime's indices. Invariant: a name is a pure function of its owner's name
and of a hash, is a valid RFC 1123 label, and is at most 63 characters long whatever the owner's name.
"""

from __future__ import annotations

import hashlib

from shoal_operator.api.meta import GROUP

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "shoal"
MODEL = f"{GROUP}/model"
DEPLOYMENT = f"{GROUP}/deployment"
REVISION = f"{GROUP}/revision"
VERSION = f"{GROUP}/version"
ROUTED = f"{GROUP}/routed"
SHARE = f"{GROUP}/share"
"""On a pod that consumes a stream: the most of all leases that it takes, in percent."""
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
TRAINING_HASH = f"{GROUP}/training-hash"
MAINTENANCE = f"{GROUP}/maintenance"
BATCH = f"{GROUP}/batch"
BATCH_HASH = f"{GROUP}/batch-hash"
BATCH_STEP = f"{GROUP}/batch-step"
TASK_OF = f"{GROUP}/task-of"
"""On the Jobs that gates and hooks start and on their pods: the deployment. No Service selects by it."""
STARTABLE = f"{GROUP}/startable"
"""On a CronJob: its owner lets gates and hooks start its Job."""

STABLE_RECORD = f"{GROUP}/stable"
RETRAIN = f"{GROUP}/retrain"
RERUN = f"{GROUP}/rerun"
SCHEDULED = f"{GROUP}/scheduled"
STATE = f"{GROUP}/state"
LIFECYCLE = f"{GROUP}/lifecycle"
COMMANDS = ("abort", "promote", "promote-full", "pause", "resume", "retry", "approve", "rollback")

GRPC_PORT = 8001
METRICS_PORT = 8002
INTERNAL_PORT = 8003
"""Where workers answer the operator and each other about comparisons; in no Service that clients call."""
HEALTH_PORT = 8004
"""Where workers tell the kubelet how they are, whatever becomes of calls; in no Service."""

CONSUMER_FINALIZER = f"{GROUP}/consumer"
"""On a ClusteringDeployment whose consumer is to be deleted before it is gone."""

_LONGEST_LABEL = 63
_LONGEST_INDEX = len("-1999")


def command_annotation(command: str) -> str:
    """Return the annotation that carries a user's command, for example shoal.dev/promote."""
    return f"{GROUP}/{command}"


def bounded(name: str, suffix: str, limit: int = _LONGEST_LABEL) -> str:
    """Join an owner's name and a suffix; too long a name is cut and told apart by a hash.

    >>> bounded("cities", "1a2b3c4d")
    'cities-1a2b3c4d'
    """
    whole = f"{name}-{suffix}"
    if len(whole) <= limit:
        return whole
    tag = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{name[: limit - len(suffix) - 8].rstrip('-.')}-{tag}-{suffix}"


def label_value(name: str) -> str:
    """Return an owner's name as a label value: itself, or cut and told apart by a hash when longer than 63."""
    if len(name) <= _LONGEST_LABEL:
        return name
    tag = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_LABEL - 9].rstrip('-.')}-{tag}"


def training_job(model: str, training_hash: str) -> str:
    """Name of the Job that trains a model's spec with this hash."""
    return bounded(model, f"train-{training_hash}")


def maintenance_job(model: str, changes_hash: str) -> str:
    """Name of the Job that makes these changes to a model's versions in the store."""
    return bounded(model, f"maintain-{changes_hash}")


def batch_job(batch: str, step: str, batch_hash: str) -> str:
    """Name of the Job of one step of a batch; an indexed one appends its pods' index, for which there must be room."""
    return bounded(batch, f"{step}-{batch_hash}", _LONGEST_LABEL - _LONGEST_INDEX)


def task_job(deployment: str, identity: str) -> str:
    """Name of the Job that a gate or a hook of a deployment starts."""
    return bounded(deployment, f"task-{identity}")


def model_version(model: str, version: int) -> str:
    """Name of a ClusteringModelVersion; kept readable, so not cut: object names may be 253 long."""
    return f"{model}-v{version}"


def pool(deployment: str, revision: str) -> str:
    """Name of one revision's Deployment, PodDisruptionBudget and (Gateway router) Service."""
    return bounded(deployment, revision)


def preview(deployment: str) -> str:
    """Name of the Service that selects the candidate's pods, and nothing else, while there is a candidate."""
    return bounded(deployment, "preview")


def decision(deployment: str, uid: str, number: int) -> str:
    """Name of a ClusteringDecision; names sort by number, and differ from those of a deleted namesake.

    >>> decision("towns", "8f0c", 12)
    'towns-892b-00012'
    """
    tag = hashlib.sha256(uid.encode()).hexdigest()[:4]
    return bounded(deployment, f"{tag}-{number:05d}")


def farewell_job(deployment: str, uid: str) -> str:
    """Name of the Job that deletes a deployment's consumer; that of a deleted namesake has another name.

    >>> farewell_job("towns", "8f0c")
    'towns-farewell-892bd172'
    """
    return bounded(deployment, f"farewell-{hashlib.sha256(uid.encode()).hexdigest()[:8]}")


def consumer(namespace: str, deployment: str) -> str:
    """Name of the durable consumer that the pods of a deployment lease from; dots have a meaning in NATS."""
    return bounded(f"shoal-{namespace}", label_value(deployment).replace(".", "_"), 255)


def router(deployment: str) -> str:
    """Name of the Service or GRPCRoute that clients call."""
    return deployment
