"""The router with exact weights: one Service for each revision and a GRPCRoute between them.

Asked through core.rollout. Invariants: both weights are always explicit and add up to 100; a Service enters the route,
as backend or for copies, after it is seen and leaves the route before it goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shoal_operator.api.meta import Reason
from shoal_operator.core import names
from shoal_operator.core.conditions import Problem
from shoal_operator.core.facts import (
    condition_of,
    generation_of,
    items_at,
    mapping_at,
    name_of,
    namespace_of,
    number_at,
    printable,
    text_at,
)
from shoal_operator.core.manifests.route import build_backend, build_header_rule, build_route, build_rule
from shoal_operator.core.manifests.service import build_service
from shoal_operator.core.manifests.workload import pool_selector
from shoal_operator.core.observed_route import copies_of, read_rules, services_of, weights_of
from shoal_operator.core.plan import Action, Apply, Manifest
from shoal_operator.core.routing import Arrangement, Question
from shoal_operator.core.snapshot import DeploymentSnapshot, RawObject


def arrange(question: Question) -> Arrangement:
    """Answer with the revisions' Services and the route between them."""
    snapshot = question.snapshot
    deployment = snapshot.deployment
    revisions = [question.stable, *([question.candidate] if question.candidate else [])]
    pools = {item.revision: names.pool(name_of(deployment), item.revision) for item in revisions}
    services: list[Action] = [
        Apply(build_service(deployment, pool, pool_selector(deployment, revision))) for revision, pool in pools.items()
    ]
    observed = _observed_route(snapshot)
    problem = _gateway_problem(question) or _route_problem(observed)
    if not snapshot.gateway_api_installed:
        return Arrangement(tuple(services), False, 0, frozenset(), problem)
    seen = {name_of(service) for service in snapshot.services}
    stable = pools[question.stable.revision]
    rules = [build_rule([build_backend(stable, 100)])]
    candidate = pools[question.candidate.revision] if question.candidate else ""
    if candidate in seen:
        backends = [build_backend(stable, 100 - question.weight), build_backend(candidate, question.weight)]
        by_header = [build_header_rule(candidate, question.header)] if question.header else []
        rules = [build_rule(backends, candidate, question.mirror), *by_header]
    route = build_route(deployment, question.spec.traffic, rules)
    present = read_rules(observed)
    weights = weights_of(present)
    entire = not candidate or candidate in seen
    return Arrangement(
        actions=(*services, Apply(route)),
        settled=entire
        and present == read_rules(route)
        and _same_target(observed, route)
        and problem is None
        and _accepted(observed),
        actual_weight=_share(weights, candidate),
        routed=frozenset(_revisions(snapshot, services_of(present))),
        problem=problem,
        mirror=copies_of(present).get(candidate, 0),
    )


def _observed_route(snapshot: DeploymentSnapshot) -> RawObject | None:
    name = names.router(name_of(snapshot.deployment))
    return next((route for route in snapshot.routes if name_of(route) == name), None)


def _share(weights: dict[str, int], pool: str) -> int:
    total = sum(weights.values())
    share = round(100 * weights.get(pool, 0) / total) if total > 0 else 0
    return min(100, max(0, share))


def _revisions(snapshot: DeploymentSnapshot, services: Iterable[str]) -> list[str]:
    prefix = {
        names.pool(name_of(snapshot.deployment), revision): revision
        for workload in (*snapshot.workloads, *snapshot.services)
        if (revision := _revision_of(workload))
    }
    return [prefix[pool] for pool in services if pool in prefix]


def _revision_of(raw: RawObject) -> str:
    return text_at(raw, "metadata", "labels", names.REVISION) or text_at(raw, "spec", "selector", names.REVISION)


def _same_target(observed: RawObject | None, route: Manifest) -> bool:
    """Tell whether an observed route hangs on the wanted Gateway under the wanted host names."""
    parents = [
        (text_at(parent, "name"), text_at(parent, "sectionName")) for parent in items_at(observed, "spec", "parentRefs")
    ]
    wanted = [(parent["name"], parent.get("sectionName", "")) for parent in route["spec"]["parentRefs"]]
    hostnames: Any = mapping_at(observed, "spec").get("hostnames") or []
    return parents == wanted and list(hostnames) == route["spec"].get("hostnames", [])


def _accepted(route: RawObject | None) -> bool:
    """Tell whether every parent has taken over this very generation of the route."""
    parents = items_at(route, "status", "parents")
    return bool(parents) and all(
        _holds(parent, kind, generation_of(route or {})) for parent in parents for kind in ("Accepted", "ResolvedRefs")
    )


def _holds(parent: RawObject, kind: str, generation: int) -> bool:
    condition = condition_of({"status": parent}, kind)
    return (
        condition is not None
        and condition.get("status") == "True"
        and number_at(condition, "observedGeneration") >= generation
    )


def _route_problem(route: RawObject | None) -> Problem | None:
    """Return what a parent holds against the route; a condition of an older generation is old news."""
    for parent in items_at(route, "status", "parents"):
        for kind in ("Accepted", "ResolvedRefs"):
            condition = condition_of({"status": parent}, kind)
            current = number_at(condition, "observedGeneration") >= generation_of(route or {})
            if condition is not None and condition.get("status") == "False" and current:
                told = printable(text_at(condition, "message"), 300)
                return Problem(
                    Reason.ROUTE_REJECTED,
                    f"the Gateway refuses GRPCRoute {name_of(route or {})} ({kind}, {text_at(condition, 'reason')}): "
                    f"{told} Check spec.traffic and the Gateway's listeners.",
                )
    return None


def _gateway_problem(question: Question) -> Problem | None:
    snapshot = question.snapshot
    if not snapshot.gateway_api_installed:
        return Problem(
            Reason.GATEWAY_NOT_READY,
            "spec.traffic.router is Gateway, but the cluster has no Gateway API. Install its CRDs and a gateway "
            "controller, or set spec.traffic.router to Service.",
        )
    reference = question.spec.traffic.gateway
    wanted = reference.name if reference else ""
    if snapshot.gateway is None:
        return Problem(
            Reason.GATEWAY_NOT_READY,
            f"spec.traffic.gateway.name: Gateway {wanted} does not exist in namespace "
            f"{namespace_of(snapshot.deployment)}. Create it, or correct the name.",
        )
    programmed = condition_of(snapshot.gateway, "Programmed")
    if programmed is not None and programmed.get("status") == "False":
        told = printable(text_at(programmed, "message"), 300)
        return Problem(Reason.GATEWAY_NOT_READY, f"Gateway {wanted} is not programmed: {told}")
    return None
