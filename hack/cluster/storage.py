"""The node's default storage class: a few ready-made volumes on this machine's disk. Called by node.py.

There is no provisioner: a claim takes a free volume, and every `up` empties and returns the ones whose claims are gone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hack.cluster.layout import Layout
from hack.cluster.process import run
from hack.cluster.progress import Steps

CLASS = "shoal-local"
COUNT = 8
CAPACITY = "10Gi"
# Any user of any pod may write: folders of this kind know no owner.
MODE = 0o777


def storage_class() -> dict[str, Any]:
    """The default class; it waits for a pod, so that unused claims hold no volume."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Retain",
    }


def volume(name: str, folder: Path) -> dict[str, Any]:
    """One volume on a folder of this machine."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": CLASS,
            "capacity": {"storage": CAPACITY},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }


def to_renew(volumes: Iterable[dict[str, Any]], wanted: Iterable[str]) -> tuple[list[str], list[str]]:
    """Split the wanted volumes into those to delete first (their claim is gone) and those to make."""
    phases = {entry["metadata"]["name"]: entry.get("status", {}).get("phase") for entry in volumes}
    names = list(wanted)
    released = [name for name in names if phases.get(name) in ("Released", "Failed")]
    return released, [name for name in names if name not in phases or name in released]


def prepare(layout: Layout, steps: Steps) -> None:
    """Bring the class and all volumes to the wanted state."""
    kubectl: list[str | Path] = [layout.bin / "kubectl", "--kubeconfig", layout.kubeconfig]
    listed = json.loads(run([*kubectl, "get", "persistentvolumes", "--output", "json"]))["items"]
    released, missing = to_renew(listed, (f"shoal-{number:02d}" for number in range(1, COUNT + 1)))
    if released:
        run([*kubectl, "delete", "persistentvolume", *released])
    if not missing:
        return
    objects = [storage_class()]
    for name in missing:
        folder = layout.volumes / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        folder.chmod(MODE)
        objects.append(volume(name, folder))
    document = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    run([*kubectl, "apply", "--server-side", "--filename", "-"], stdin=document)
    steps.say(f"made {len(missing)} persistent volumes of class {CLASS}")
