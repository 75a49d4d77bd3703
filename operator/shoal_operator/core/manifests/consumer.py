"""What a pod that consumes a stream has in place of the ports and settings of one that serves calls.

Called by core.manifests.workload. Invariant: the share of the leases reaches the pod as a file that follows its
annotation, so that it changes without a restart.
"""

from __future__ import annotations

from shoal_operator.api.ingestion import Ingestion, Output
from shoal_operator.core import names
from shoal_operator.core.facts import name_of, namespace_of
from shoal_operator.core.manifests import metadata
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import RawObject

_NATS_SECRET_MOUNT = "/var/run/shoal/nats"  # noqa: S105, a path
_FILES_HELD = 2
"""One is written while the next one is gathered."""
_POD_MOUNT = "/var/run/shoal/pod"
_SHARE_FILE = "share"


def consumer_of(deployment: RawObject, ingestion: Ingestion) -> str:
    """Return the durable consumer that a deployment's pods lease from."""
    return ingestion.consumer or names.consumer(namespace_of(deployment), name_of(deployment))


def build_nats_variables(deployment: RawObject, ingestion: Ingestion) -> dict[str, str]:
    """Build what a pod finds the stream and the consumer by."""
    return {
        "SHOAL_NATS_URL": ingestion.nats.url,
        "SHOAL_NATS_SECRET_DIR": _NATS_SECRET_MOUNT,
        "SHOAL_INPUT_STREAM": ingestion.stream,
        "SHOAL_INPUT_SUBJECT": ingestion.subject,
        "SHOAL_CONSUMER": consumer_of(deployment, ingestion),
    }


def build_nats_mounts(ingestion: Ingestion) -> list[tuple[Manifest, Manifest]]:
    """Build the volume with the credentials, if there are any, and its mount."""
    secret = ingestion.nats.secret_ref
    return [metadata.secret("nats-secret", _NATS_SECRET_MOUNT, secret.name)] if secret is not None else []


def build_variables(deployment: RawObject, ingestion: Ingestion) -> dict[str, str]:
    """Build what only a consuming pod is configured by."""
    store = ingestion.output.store
    held = ingestion.max_in_flight if store is None else max(ingestion.max_in_flight, _FILES_HELD * store.roll_messages)
    return {
        **build_nats_variables(deployment, ingestion),
        "SHOAL_DELIVER": ingestion.deliver,
        **_output(deployment, ingestion.output),
        "SHOAL_DEAD_LETTER_SUBJECT": ingestion.dead_letter_subject,
        "SHOAL_MAX_IN_FLIGHT": str(held),
        "SHOAL_BATCH_ROWS": str(ingestion.batch_rows),
        "SHOAL_ACK_WAIT_SECONDS": str(ingestion.ack_wait_seconds),
        "SHOAL_MAX_DELIVERIES": str(ingestion.max_deliveries),
        "SHOAL_SHARE_FILE": f"{_POD_MOUNT}/{_SHARE_FILE}",
    }


def writes_files(ingestion: Ingestion) -> bool:
    """Tell whether labels go into the volume that holds a file:// store."""
    store = ingestion.output.store
    return store is not None and store.uri.startswith("file:")


def _output(deployment: RawObject, output: Output) -> dict[str, str]:
    if output.store is None:
        return {"SHOAL_OUTPUT_SUBJECT": output.subject or ""}
    return {
        "SHOAL_NAMESPACE": namespace_of(deployment),
        "SHOAL_OUTPUT_URI": output.store.uri,
        "SHOAL_OUTPUT_SECRET_DIR": metadata.OUTPUT_SECRET_MOUNT,
        "SHOAL_OUTPUT_ROLL_MESSAGES": str(output.store.roll_messages),
        "SHOAL_OUTPUT_ROLL_SECONDS": str(output.store.roll_seconds),
    }


def build_mounts(ingestion: Ingestion) -> list[tuple[Manifest, Manifest]]:
    """Build the volumes that only a consuming pod has, each with its mount."""
    field = {"fieldPath": f"metadata.annotations['{names.SHARE}']"}
    share = {"name": "pod", "downwardAPI": {"items": [{"path": _SHARE_FILE, "fieldRef": field}]}}
    mounts = [(share, {"name": "pod", "mountPath": _POD_MOUNT, "readOnly": True}), *build_nats_mounts(ingestion)]
    store = ingestion.output.store
    if store is not None and store.secret_ref is not None:
        mounts.append(metadata.secret("output-secret", metadata.OUTPUT_SECRET_MOUNT, store.secret_ref.name))
    return mounts


def build_probes() -> Manifest:
    """Build the probes: without its stream a pod is not ready, and is not restarted for it."""
    ready = {"path": "/readyz", "port": names.METRICS_PORT}
    return {
        "startupProbe": {
            "httpGet": {"path": "/livez", "port": names.METRICS_PORT},
            "periodSeconds": 1,
            "failureThreshold": 60,
        },
        "readinessProbe": {"httpGet": ready, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 2},
    }
