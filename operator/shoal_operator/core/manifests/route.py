"""Builds the GRPCRoute that shares calls between two revisions by weight, by metadata and by copies.

Called by core.gateway_router. Invariants: in each rule every backend's weight is written out, and they add up to 100;
the first rule takes every call that no other matches. It never moves: gateways name what they route to by a rule's
place in the list (envoyproxy/gateway#9029), and calls that meet such a renaming fail. The API ranks rules by how much
they match, not by their order. The defaults that the API server would fill in are written out too.
"""

from __future__ import annotations

from shoal_operator.api.canary import HeaderMatch
from shoal_operator.api.traffic import Traffic
from shoal_operator.core import names
from shoal_operator.core.facts import mapping_at, name_of
from shoal_operator.core.manifests import metadata
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import RawObject


def build_route(deployment: RawObject, traffic: Traffic, rules: list[Manifest]) -> Manifest:
    """Build the route with these rules."""
    parent: Manifest = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
    if traffic.gateway is not None:
        parent["name"] = traffic.gateway.name
        if traffic.gateway.section_name:
            parent["sectionName"] = traffic.gateway.section_name
    spec: Manifest = {"parentRefs": [parent], "rules": rules}
    if traffic.hostnames:
        spec["hostnames"] = list(traffic.hostnames)
    return _route(deployment, spec)


def redirect_route(deployment: RawObject, route: RawObject, service: str) -> Manifest:
    """Build an observed route anew, where it is and under its host names, but all calls to one Service."""
    observed = mapping_at(route, "spec")
    kept = {field: observed[field] for field in ("parentRefs", "hostnames") if observed.get(field)}
    return _route(deployment, {**kept, "rules": [build_rule([build_backend(service, 100)])]})


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
    """Build one backend of a rule."""
    return {**_service(service), "weight": weight}


def build_rule(backends: list[Manifest], copied_to: str = "", percent: int = 0) -> Manifest:
    """Build the rule that takes every call; that percentage of its calls is copied to a Service, answers dropped."""
    if not percent:
        return {"backendRefs": backends}
    mirror = {"backendRef": _service(copied_to), "percent": percent}
    return {"filters": [{"type": "RequestMirror", "requestMirror": mirror}], "backendRefs": backends}


def build_header_rule(service: str, header: HeaderMatch) -> Manifest:
    """Build the rule that sends the calls with a metadata entry to one Service."""
    match = {"headers": [{"type": "Exact", "name": header.name, "value": header.value}]}
    return {"matches": [match], "backendRefs": [build_backend(service, 100)]}


def _service(name: str) -> Manifest:
    return {"group": "", "kind": "Service", "name": name, "port": names.GRPC_PORT}
