"""Builds one revision's pool: the Deployment whose pods serve it.

Called by core.rollout. Invariant: the pod template depends on the revision's bundle and the operator's store settings
only, never on the rollout: a promotion restarts nothing.
"""

from __future__ import annotations

from math import ceil

from shoal_operator.api.deployment import Revision, WorkerSettings
from shoal_operator.core import names
from shoal_operator.core.facts import name_of
from shoal_operator.core.manifests import metadata
from shoal_operator.core.manifests.consumer import build_mounts, build_probes, build_variables, writes_files
from shoal_operator.core.manifests.preview import preview_url
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import Defaults, RawObject

CONTAINER = "worker"
_CACHE = "/var/cache/shoal"
_SPARE_SECONDS = 5
"""What a pod gets beyond its drain to end by itself before it is killed."""
_AGE_JITTER = 1.1
"""gRPC ends a connection at its greatest age, ten percent earlier or later."""
_LONGEST_DEPARTURE_SECONDS = 300
"""However old connections may get, no stopping pod waits longer for its clients."""


def build_workload(
    deployment: RawObject,
    revision: Revision,
    replicas: int,
    model: str,
    progress_deadline_seconds: int,
    defaults: Defaults,
) -> Manifest:
    """Build the Deployment of a revision with this many pods."""
    name = names.pool(name_of(deployment), revision.revision)
    selector = pool_selector(deployment, revision.revision)
    labels = {
        **metadata.common_labels(deployment),
        **selector,
        names.MODEL: names.label_value(model),
        names.VERSION: str(revision.version),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata.build_metadata(deployment, "ClusteringDeployment", name, labels),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 0,
            "progressDeadlineSeconds": progress_deadline_seconds,
            # The template changes only with the operator's own settings; then no pod goes before its successor is up.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": labels}, "spec": _pod(deployment, revision, selector, defaults)},
        },
    }


def pool_selector(deployment: RawObject, revision: str) -> dict[str, str]:
    """Return the labels that pick a revision's pods."""
    return {names.DEPLOYMENT: names.label_value(name_of(deployment)), names.REVISION: revision}


def _departure_seconds(settings: WorkerSettings) -> int:
    """Return how long clients take to leave a pod that no route leads to any more."""
    return min(ceil(settings.max_connection_age_seconds * _AGE_JITTER) + 1, _LONGEST_DEPARTURE_SECONDS)


def _pod(deployment: RawObject, revision: Revision, selector: dict[str, str], defaults: Defaults) -> Manifest:
    settings = revision.settings
    mounted = [metadata.scratch("tmp", "/tmp"), metadata.scratch("cache", _CACHE)]  # noqa: S108
    variables = {
        "SHOAL_MODEL_NAME": name_of(deployment),
        "SHOAL_MODEL_VERSION": str(revision.version),
        "SHOAL_ARTIFACT_URI": revision.uri,
        "SHOAL_ARTIFACT_DIGEST": revision.digest,
        "SHOAL_METRICS_PORT": str(names.METRICS_PORT),
        "SHOAL_INTERNAL_PORT": str(names.INTERNAL_PORT),
        "SHOAL_COMPARE_URL": preview_url(deployment),
        "SHOAL_CACHE_DIR": _CACHE,
        "SHOAL_DRAIN_GRACE_SECONDS": str(settings.drain_grace_seconds),
    }
    if revision.ingestion is None:
        variables |= _calls_variables(settings)
    else:
        variables |= build_variables(deployment, revision.ingestion)
        mounted += build_mounts(revision.ingestion)
    if defaults.store_secret_name:
        mounted.append(metadata.secret("store-secret", metadata.STORE_SECRET_MOUNT, defaults.store_secret_name))
        variables["SHOAL_STORE_SECRET_DIR"] = metadata.STORE_SECRET_MOUNT
    if defaults.store_claim_name:
        read_only = revision.ingestion is None or not writes_files(revision.ingestion)
        mounted.append(metadata.claim(defaults.store_claim_name, read_only=read_only))
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _drain_seconds(revision) + _SPARE_SECONDS,
        "securityContext": metadata.pod_security(),
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector},
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        "containers": [
            {
                "name": CONTAINER,
                "image": revision.image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["serve" if revision.ingestion is None else "consume"],
                "env": metadata.environment(variables),
                "ports": _ports(revision),
                "resources": settings.resources.to_wire(),
                "securityContext": metadata.container_security(),
                **(_calls_probes() if revision.ingestion is None else build_probes()),
                "livenessProbe": {
                    "httpGet": {"path": "/livez", "port": names.METRICS_PORT},
                    "periodSeconds": 10,
                    "timeoutSeconds": 5,
                    "failureThreshold": 6,
                },
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "volumeMounts": [mount for _, mount in mounted],
            }
        ],
        "volumes": [volume for volume, _ in mounted],
    }


def _calls_variables(settings: WorkerSettings) -> dict[str, str]:
    """Return what only a pod that serves calls is configured by."""
    return {
        "SHOAL_GRPC_PORT": str(names.GRPC_PORT),
        "SHOAL_HEALTH_PORT": str(names.HEALTH_PORT),
        "SHOAL_MAX_IN_FLIGHT": str(settings.max_in_flight),
        "SHOAL_DRAIN_DELAY_SECONDS": str(settings.drain_delay_seconds),
        "SHOAL_DRAIN_CONNECTIONS_SECONDS": str(_departure_seconds(settings)),
        "SHOAL_MAX_CONNECTION_AGE_SECONDS": str(settings.max_connection_age_seconds),
    }


def _calls_probes() -> Manifest:
    probe = {"grpc": {"port": names.HEALTH_PORT}}
    return {
        # Ten minutes to fetch and check a large artifact before the kubelet gives up on the start.
        "startupProbe": {**probe, "periodSeconds": 1, "failureThreshold": 600},
        "readinessProbe": {**probe, "periodSeconds": 3, "timeoutSeconds": 2, "failureThreshold": 2},
    }


def _ports(revision: Revision) -> list[Manifest]:
    ports = {"metrics": names.METRICS_PORT, "internal": names.INTERNAL_PORT}
    if revision.ingestion is None:
        ports = {"grpc": names.GRPC_PORT, **ports, "health": names.HEALTH_PORT}
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()]


def _drain_seconds(revision: Revision) -> int:
    """Return how long a pod drains: one that consumes has no routes that must forget it, and no clients."""
    settings = revision.settings
    if revision.ingestion is not None:
        return settings.drain_grace_seconds
    return settings.drain_delay_seconds + _departure_seconds(settings) + settings.drain_grace_seconds
