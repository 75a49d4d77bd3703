"""Builds the Services: the one that clients call (router Service), or one for each revision (router Gateway).

Called by the routers.
"""

from __future__ import annotations

from shoal_operator.core import names
from shoal_operator.core.manifests import metadata
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import RawObject


def build_service(deployment: RawObject, name: str, selector: dict[str, str]) -> Manifest:
    """Build a Service in front of the pods that a selector picks."""
    labels = {**metadata.common_labels(deployment), names.DEPLOYMENT: selector[names.DEPLOYMENT]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata.build_metadata(deployment, "ClusteringDeployment", name, labels),
        "spec": {
            "type": "ClusterIP",
            "selector": selector,
            "ports": [
                {
                    "name": "grpc",
                    "port": names.GRPC_PORT,
                    "targetPort": names.GRPC_PORT,
                    "protocol": "TCP",
                    "appProtocol": "kubernetes.io/h2c",
                }
            ],
        },
    }
