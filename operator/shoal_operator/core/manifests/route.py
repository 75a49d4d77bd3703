"""Builds the GRPCRoute that shares calls between two revisions by weight.

Called by core.gateway_router. Invariant: every backend's weight is written out, and they add up to 100.
"""

from __future__ import annotations

from shoal_operator.api.deployment import Traffic
from shoal_operator.core import names
from shoal_operator.core.facts import mapping_at, name_of
from shoal_operator.core.manifests import metadata
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import RawObject


def build_route(deployment: RawObject, traffic: Traffic, backends: list[Manifest]) -> Manifest:
    """Build the route to these backends."""
    parent: Manifest = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
    if traffic.gateway is not None:
        parent["name"] = traffic.gateway.name
        if traffic.gateway.section_name:
            parent["sectionName"] = traffic.gateway.section_name
    spec: Manifest = {"parentRefs": [parent], "rules": [{"backendRefs": backends}]}
    if traffic.hostnames:
        spec["hostnames"] = list(traffic.hostnames)
    return _route(deployment, spec)


def redirect_route(deployment: RawObject, route: RawObject, backends: list[Manifest]) -> Manifest:
    """Build an observed route anew, where it is and under its host names, but to these backends."""
    observed = mapping_at(route, "spec")
    kept = {field: observed[field] for field in ("parentRefs", "hostnames") if observed.get(field)}
    return _route(deployment, {**kept, "rules": [{"backendRefs": backends}]})


def _route(deployment: RawObject, spec: Manifest) -> Manifest:
    name = name_of(deployment)
    labels = {**metadata.common_labels(deployment), names.DEPLOYMENT: names.label_value(name)}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GRPCRoute",
        "metadata": metadata.build_metadata(deployment, "ClusteringDeployment", names.router(name), labels),
        "spec": spec,
    }


def build_backend(service: str, weight: int) -> Manifest:
    """Build one backend of the route, with the defaults that the API server would fill in."""
    return {"group": "", "kind": "Service", "name": service, "port": names.GRPC_PORT, "weight": weight}
