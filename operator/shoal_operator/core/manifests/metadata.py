"""Metadata, pod security and secret volumes that the manifests have in common.

Called by the builders beside it. Invariant: every object names its owner, so that deleting the owner cleans up.
"""

from __future__ import annotations

from typing import Any

from shoal_operator.api.meta import API_VERSION
from shoal_operator.core import names
from shoal_operator.core.facts import name_of, namespace_of, uid_of
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import RawObject

STORE_MOUNT = "/var/lib/shoal/store"
STORE_SECRET_MOUNT = "/var/run/shoal/store"  # noqa: S105, a path
SOURCE_SECRET_MOUNT = "/var/run/shoal/source"  # noqa: S105, a path
OUTPUT_SECRET_MOUNT = "/var/run/shoal/output"  # noqa: S105, a path
SINK_SECRET_MOUNT = "/var/run/shoal/sink"  # noqa: S105, a path
_USER = 65532


def build_metadata(owner: RawObject, kind: str, name: str, labels: dict[str, str]) -> Manifest:
    """Build the metadata of an object that a Shoal object owns."""
    return {
        "name": name,
        "namespace": namespace_of(owner),
        "labels": labels,
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": kind,
                "name": name_of(owner),
                "uid": uid_of(owner),
                "controller": True,
            }
        ],
    }


def common_labels(owner: RawObject) -> dict[str, str]:
    """Return the labels that every object of an owner carries."""
    return {
        names.MANAGED_BY: names.MANAGER,
        "app.kubernetes.io/name": "shoal-worker",
        "app.kubernetes.io/instance": names.label_value(name_of(owner)),
    }


def pod_security() -> Manifest:
    """Return the security context of a pod under the restricted Pod Security Standard.

    The group owns the volumes, so that a claim can be written to by a user who is not root.
    """
    return {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "fsGroup": _USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """Return the security context of a container under the restricted Pod Security Standard."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def scratch(name: str, path: str) -> tuple[Manifest, Manifest]:
    """Return an empty volume and its mount."""
    return {"name": name, "emptyDir": {}}, {"name": name, "mountPath": path}


def secret(name: str, path: str, secret_name: str) -> tuple[Manifest, Manifest]:
    """Return a Secret's volume and its mount.

    Optional, for a Secret that is deleted later must not keep pods from starting without a word: the worker says
    what it cannot read.
    """
    volume = {"name": name, "secret": {"secretName": secret_name, "optional": True, "defaultMode": 0o440}}
    return volume, {"name": name, "mountPath": path, "readOnly": True}


def claim(claim_name: str, *, read_only: bool) -> tuple[Manifest, Manifest]:
    """Return the volume of the claim that holds a file:// store, and its mount."""
    volume = {"name": "model-store", "persistentVolumeClaim": {"claimName": claim_name}}
    return volume, {"name": "model-store", "mountPath": STORE_MOUNT, "readOnly": read_only}


def environment(values: dict[str, str]) -> list[dict[str, Any]]:
    """Return variables in the form of a container."""
    return [{"name": name, "value": value} for name, value in values.items()]
