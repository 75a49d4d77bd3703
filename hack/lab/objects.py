"""The manifests that the demo and the end-to-end tests apply, as a user would write them, with a few things to vary."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Object = dict[str, Any]
API_VERSION = "shoal.dev/v1alpha1"


def build_model(
    name: str,
    uri: str,
    *,
    columns: list[str],
    preprocessing: Sequence[Object] = (),
    algorithm: str = "dbscan",
    **parameters: Any,
) -> Object:
    """Return a ClusteringModel that reads `uri` with the Secret store-credentials; keywords are the algorithm's."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ClusteringModel",
        "metadata": {"name": name},
        "spec": {
            "source": {"uri": uri, "columns": columns, "secretRef": {"name": "store-credentials"}},
            "preprocessing": list(preprocessing),
            "algorithm": {algorithm: parameters},
        },
    }


def build_deployment(name: str, model: str, *, strategy: Object, version: str = "latest", **spec: Any) -> Object:
    """Return a ClusteringDeployment; further keywords are fields of its spec."""
    worker = {
        "replicas": 2,
        "drainGraceSeconds": 10,
        "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}},
        **({} if "ingestion" in spec else {"drainDelaySeconds": 5, "maxConnectionAgeSeconds": 10}),
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "ClusteringDeployment",
        "metadata": {"name": name},
        "spec": {
            "modelRef": {"name": model, "version": version},
            "strategy": strategy,
            **spec,
            "worker": {**worker, **spec.get("worker", {})},
        },
    }


def build_batch(name: str, *, source: str, output: str, **spec: Any) -> Object:
    """Return a ClusteringBatch that reads and writes with the Secret store-credentials; keywords are of its spec."""
    secret = {"secretRef": {"name": "store-credentials"}}
    return {
        "apiVersion": API_VERSION,
        "kind": "ClusteringBatch",
        "metadata": {"name": name},
        "spec": {
            "source": {"uri": source, **secret},
            "output": {"uri": output, **secret, "columns": spec.pop("columns", [])},
            "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}},
            **spec,
        },
    }


def build_gateway(name: str, gateway_class: str = "eg") -> Object:
    """Return a Gateway with one plain HTTP/2 listener for gRPC."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name},
        "spec": {
            "gatewayClassName": gateway_class,
            "listeners": [{"name": "grpc", "port": 8080, "protocol": "HTTP"}],
        },
    }


def build_load(
    name: str, script: str, *, image: str, arguments: Sequence[str], points: NDArray[np.float64] | None = None
) -> tuple[Object, Object]:
    """Return the ConfigMap and the Pod of a load generator inside the cluster, with the arguments of its script.

    It draws its rows from `points`, if there are any.
    """
    labels = {"app.kubernetes.io/name": "shoal-load"}
    command = ["python3", "/lab/load.py", *arguments]
    files: Object = {"data": {"load.py": script}}
    if points is not None:
        written = io.BytesIO()
        np.save(written, points.astype(np.float64))
        files["binaryData"] = {"points.npy": base64.b64encode(written.getvalue()).decode()}
        command += ["--points", "/lab/points.npy"]
    return (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **files},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 15,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "load",
                        "image": image,
                        "command": command,
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "volumeMounts": [{"name": "lab", "mountPath": "/lab"}],
                    }
                ],
                "volumes": [{"name": "lab", "configMap": {"name": name}}],
            },
        },
    )
