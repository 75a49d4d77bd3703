"""A rollout that is disturbed at any of its steps: people edit and delete, gateways fail, pods do not come.

What it does then is stated in conditions, and traffic stays where it was or goes to stable.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shoal_operator.core.plan import Apply, Plan
from shoal_operator.core.rollout import plan_deployment
from shoal_operator.core.snapshot import DeploymentSnapshot
from tests.unit.core import capacity, objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import GATEWAY, served, trying

HELD: dict[str, Any] = {"pause": {}}
STEPS: dict[str, Any] = {
    "canary": {
        "steps": [
            {"setWeight": 0},
            HELD,
            {"setWeight": 25},
            HELD,
            {"setScale": {"percent": 100}},
            HELD,
            {"setWeight": 75},
            HELD,
        ]
    }
}
ROUTERS: list[dict[str, Any]] = [{}, GATEWAY]
PLACES = range(4)
"""The holds of STEPS: at 0 %, at 25 %, there with a full pool, at 75 %."""


def held_at(place: int, router: dict[str, Any], **spec: Any) -> FakeCluster:
    """Return a cluster whose rollout holds at the place-th pause."""
    cluster = trying(strategy=STEPS, traffic=router, **spec)
    for _ in range(place):
        cluster.command("promote")
        cluster.settle()
    assert cluster.status["step"] == 2 * place + 1
    return cluster


def settle(cluster: FakeCluster) -> None:
    """Settle, and hold every action against the capacity rule."""
    for _ in range(10):
        plan = plan_deployment(cluster.snapshot(), cluster.now)
        for action in plan.actions:
            load = capacity.measure(cluster)
            cluster.act(action)
            capacity.check(cluster, load, capacity.measure(cluster), action)
        cluster.execute(replace(plan, actions=()), cluster.version)
        cluster.run_controllers()
        cluster.make_ready()
    cluster.settle()


def goes_on(cluster: FakeCluster, step: int) -> None:
    """The same candidate, at the same step."""
    assert cluster.status["candidate"]["version"] == 2
    assert cluster.status["step"] == step


def starts_again(cluster: FakeCluster, step: int) -> None:
    """The same candidate, at the first hold."""
    assert cluster.status["candidate"]["version"] == 2
    assert cluster.status["step"] == 1


def is_undone(cluster: FakeCluster, step: int) -> None:
    """Stable alone, and nothing is blocked."""
    assert "candidate" not in cluster.status
    assert cluster.status["blockedVersions"] == []


def is_another(cluster: FakeCluster, step: int) -> None:
    """Another revision, from the first step."""
    assert cluster.status["candidate"]["image"] == "other:1"
    assert cluster.status["step"] == 1


EDITS: list[tuple[dict[str, Any], Callable[[FakeCluster, int], None]]] = [
    ({"worker": {"replicas": 7}}, goes_on),
    ({"worker": {"replicas": 1}}, goes_on),
    ({"onFailure": "Pause", "progressDeadlineSeconds": 9}, goes_on),
    ({"analysis": {"errorRate": {"enabled": False}}}, goes_on),
    ({"paused": True}, goes_on),
    ({"strategy": {"canary": {"steps": [{"setWeight": 5}, HELD]}}}, starts_again),
    ({"strategy": {"blueGreen": {"steps": 3, "autoPromotion": False}}}, starts_again),
    ({"modelRef": {"name": "cities", "version": "1"}}, is_undone),
    ({"worker": {"replicas": 4, "image": "other:1"}}, is_another),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("router", ROUTERS, ids=["Service", "Gateway"])
@pytest.mark.parametrize(
    ("edit", "expected"), EDITS, ids=[f"{'-'.join(edit)}-{n}" for n, (edit, _) in enumerate(EDITS)]
)
def test_an_edit_takes_effect_at_any_step_and_stable_serves_on(
    place: int, router: dict[str, Any], edit: dict[str, Any], expected: Callable[[FakeCluster, int], None]
) -> None:
    cluster = held_at(place, router)
    stable, step = cluster.revision("stable"), cluster.status["step"]
    if "strategy" in edit and "blueGreen" in edit["strategy"]:
        step = 0
    cluster.change(**edit)
    settle(cluster)
    assert cluster.revision("stable") == stable
    if "blueGreen" in edit.get("strategy", {}):
        assert (cluster.status["step"], cluster.condition("Paused")["reason"]) == (0, "AwaitingPromotion")
    else:
        expected(cluster, step)
    assert len(cluster.pool(stable)) == cluster.deployment["spec"]["worker"]["replicas"], "scaled at once"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("edit", [{"traffic": {}}, {"traffic": GATEWAY}], ids=["Service", "Gateway"])
def test_a_change_of_the_router_keeps_the_share(place: int, edit: dict[str, Any]) -> None:
    cluster = held_at(place, GATEWAY if edit["traffic"] == {} else {})
    share = cluster.status["weight"]
    cluster.change(**edit)
    settle(cluster)
    assert (cluster.status["weight"], cluster.status["actualWeight"], cluster.status["step"]) == (
        share,
        share,
        2 * place + 1,
    )
    kinds = {kind for kind, name in cluster.objects if name == "cities" and kind in ("Service", "GRPCRoute")}
    assert kinds == {"Service" if edit["traffic"] == {} else "GRPCRoute"}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("router", ROUTERS, ids=["Service", "Gateway"])
def test_whatever_is_deleted_comes_back_with_the_same_share(place: int, router: dict[str, Any]) -> None:
    known = held_at(place, router)
    # Records of decisions are written once; who deletes one has deleted it.
    for key in sorted(key for key in known.objects if key[0] != "ClusteringDecision"):
        cluster = copy.deepcopy(known)
        share, step = cluster.status["weight"], cluster.status["step"]
        del cluster.objects[key]
        cluster.reconcile()
        assert key in cluster.objects, "made anew in the next pass"
        settle(cluster)
        assert (cluster.status["actualWeight"], cluster.status["step"]) == (share, step)
        assert cluster.objects.keys() == known.objects.keys()
        assert cluster.status["blockedVersions"] == []


@pytest.mark.parametrize("router", ROUTERS, ids=["Service", "Gateway"])
def test_deleted_routing_is_made_anew_with_the_share_that_it_had(router: dict[str, Any]) -> None:
    """In the very next pass: the Service with its selector, the route with its weights."""
    cluster = held_at(1, router)
    key = ("GRPCRoute" if router else "Service", "cities")
    before = cluster.objects.pop(key)
    cluster.reconcile()
    assert cluster.objects[key]["spec"] == before["spec"]


def without_gateway(snapshot: DeploymentSnapshot) -> DeploymentSnapshot:
    return replace(snapshot, gateway=None)


def without_gateway_api(snapshot: DeploymentSnapshot) -> DeploymentSnapshot:
    return replace(snapshot, gateway=None, gateway_api_installed=False, routes=())


def gateway_not_programmed(snapshot: DeploymentSnapshot) -> DeploymentSnapshot:
    holds = [{"type": "Programmed", "status": "False", "message": "no address"}]
    return replace(snapshot, gateway={"metadata": objects.metadata("gateway"), "status": {"conditions": holds}})


def route_refused(snapshot: DeploymentSnapshot) -> DeploymentSnapshot:
    (route,) = snapshot.routes
    held = {"status": "False", "observedGeneration": route["metadata"]["generation"], "reason": "UnsupportedValue"}
    refused = [{"conditions": [{"type": "Accepted", "message": "percent is not supported", **held}]}]
    return replace(snapshot, routes=({**route, "status": {"parents": refused}},))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("disturb", "reason", "told"),
    [
        (without_gateway, "GatewayNotReady", "Gateway gateway does not exist in namespace fish"),
        (without_gateway_api, "GatewayNotReady", "no Gateway API"),
        (gateway_not_programmed, "GatewayNotReady", "not programmed: no address"),
        (route_refused, "RouteRejected", "percent is not supported"),
    ],
)
def test_a_gateway_that_fails_is_told_and_moves_no_traffic(
    place: int, disturb: Callable[[DeploymentSnapshot], DeploymentSnapshot], reason: str, told: str
) -> None:
    cluster = held_at(place, GATEWAY)
    held = copy.deepcopy(cluster)
    route = cluster.objects["GRPCRoute", "cities"]["spec"]
    cluster.command("promote")  # even where the next weight is asked for
    plan = plan_deployment(disturb(cluster.snapshot()), cluster.now)
    again = plan_deployment(disturb(replace(cluster.snapshot(), deployment=held.deployment)), cluster.now)
    for each in (plan, again):
        assert each.status is not None
        conditions = {item["type"]: item for item in each.status.status["conditions"]}
        assert conditions["Degraded"]["status"] == "True"
        assert conditions["Degraded"]["reason"] == reason
        assert told in conditions["Degraded"]["message"]
        assert each.status.status["blockedVersions"] == []
        assert each.status.status["candidate"]["version"] == 2
    assert routes(again) in ([route], []), "the weights stay"
    assert not {kind for kind in removed(plan) if kind != "PodDisruptionBudget"}, "nothing that calls need is removed"


def routes(plan: Plan) -> list[dict[str, Any]]:
    """Return the routes that a plan applies."""
    applied = [action.manifest for action in plan.actions if isinstance(action, Apply)]
    return [manifest["spec"] for manifest in applied if manifest["kind"] == "GRPCRoute"]


def removed(plan: Plan) -> set[str]:
    """Return the kinds of objects that a plan deletes."""
    return {action.key.kind for action in plan.actions if hasattr(action, "key") and not hasattr(action, "labels")}


@pytest.mark.parametrize(("on_failure", "reason"), [("Rollback", "RolledBack"), ("Pause", "PausedByFailure")])
@pytest.mark.parametrize("phase", ["first weight", "higher weight", "promotion", "gateway"])
def test_the_progress_deadline_bounds_every_wait(phase: str, on_failure: str, reason: str) -> None:
    router = GATEWAY if phase == "gateway" else {}
    cluster = served(strategy=STEPS, traffic=router, onFailure=on_failure, progressDeadlineSeconds=60)
    cluster.versions.append(objects.version(2))
    if phase != "first weight":
        cluster.settle()
    if phase == "gateway":
        cluster.accepts_routes = False
    cluster.reconcile()
    cluster.broken.add(cluster.revision("candidate") or "")
    cluster.command("promote-full" if phase == "promotion" else "promote")
    if phase == "higher weight":
        cluster.settle()
        cluster.command("promote-full")
    cluster.settle()
    old, weight = cluster.revision("stable"), cluster.status["weight"]
    cluster.wait(59)
    cluster.settle()
    assert cluster.status["candidate"]["version"] == 2
    assert cluster.condition("Degraded")["status"] == "False"
    cluster.wait(2)
    cluster.settle()
    assert cluster.revision("stable") == old
    assert cluster.condition("Degraded")["reason"] == reason
    assert "o progress for 60 s (spec.progressDeadlineSeconds)" in cluster.condition("Degraded")["message"]
    if on_failure == "Pause":
        assert cluster.status["weight"] == weight, "traffic flows on"
    else:
        assert (cluster.status["weight"], "candidate" in cluster.status) == (0, False)
