"""The measure of the capacity rule itself: it refuses what it is there to refuse, on actions and on watched changes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.core.plan import Action, Apply, Delete, Label
from shoal_operator.core.rollout import plan_deployment
from tests.e2e.timeline import Change, Timeline
from tests.unit.core import capacity, objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import CANARY, GATEWAY, trying


def try_out(cluster: FakeCluster, action: Action) -> None:
    before = capacity.measure(cluster)
    cluster.act(action)
    capacity.check(cluster, before, capacity.measure(cluster), action)


def changed(cluster: FakeCluster, kind: str, name: str, **spec: Any) -> Apply:
    """Return the action that changes some of an object's spec."""
    manifest = copy.deepcopy(cluster.objects[kind, name])
    manifest["spec"].update(spec)
    return Apply(manifest)


class TestActions:
    def test_a_pool_does_not_shrink_under_its_weight(self) -> None:
        cluster = trying(traffic=GATEWAY)
        for role in ("stable", "candidate"):
            pool = f"cities-{cluster.revision(role)}"
            with pytest.raises(AssertionError, match="overloads"):
                try_out(copy.deepcopy(cluster), changed(cluster, "Deployment", pool, replicas=0))

    def test_a_weight_does_not_rise_beyond_its_pods(self) -> None:
        cluster = trying(traffic=GATEWAY)
        (rule,) = cluster.objects["GRPCRoute", "cities"]["spec"]["rules"]
        stable, candidate = rule["backendRefs"]
        backends = [{**stable, "weight": 70}, {**candidate, "weight": 30}]
        with pytest.raises(AssertionError, match="by 5%"):
            try_out(cluster, changed(cluster, "GRPCRoute", "cities", rules=[{"backendRefs": backends}]))

    def test_copies_need_pods_too(self) -> None:
        cluster = trying(traffic=GATEWAY)
        (rule,) = copy.deepcopy(cluster.objects["GRPCRoute", "cities"]["spec"]["rules"])
        mirror = {"backendRef": {"name": rule["backendRefs"][1]["name"]}, "percent": 10}
        rule["filters"] = [{"type": "RequestMirror", "requestMirror": mirror}]
        with pytest.raises(AssertionError, match="by 10%"):
            try_out(cluster, changed(cluster, "GRPCRoute", "cities", rules=[rule]))

    def test_no_service_goes_from_under_the_route(self) -> None:
        cluster = trying(traffic=GATEWAY)
        name = f"cities-{cluster.revision('candidate')}"
        service = cluster.objects["Service", name]
        with pytest.raises(AssertionError, match="the route names"):
            try_out(cluster, Delete(key_of("Service", name), service["metadata"]["uid"]))

    def test_no_routed_pod_is_left_out_without_another(self) -> None:
        cluster = trying()
        pod = cluster.endpoints()[0]
        with pytest.raises(AssertionError, match="leaves 3 ready pods routed, of 4"):
            try_out(cluster, Label(key_of("Pod", pod.name), pod.uid, {names.ROUTED: None}))


def key_of(kind: str, name: str) -> ObjectKey:
    return ObjectKey(kind, objects.NAMESPACE, name)


def watched(cluster: FakeCluster, timeline: Timeline) -> None:
    """Add what changed since the last look, as a watch of each kind tells it."""
    known = {(item.kind, item.object["metadata"]["name"]): item for item in timeline.changes}
    present: dict[tuple[str, str], Any] = {("ClusteringDeployment", "cities"): copy.deepcopy(cluster.deployment)}
    for (kind, name), thing in cluster.objects.items():
        if kind != "PodDisruptionBudget":
            present[kind, name] = copy.deepcopy(thing)
    for pod in cluster.pods.values():
        labels = {
            names.DEPLOYMENT: "cities",
            names.REVISION: pod.revision,
            **({names.ROUTED: "true"} if pod.routed else {}),
        }
        metadata = {**objects.metadata(pod.name), "labels": labels, "creationTimestamp": pod.created}
        holds = [{"type": "Ready", "status": "True" if pod.ready else "False"}]
        present["Pod", pod.name] = {"metadata": metadata, "status": {"conditions": holds}}
    for key, thing in present.items():
        add(timeline, "MODIFIED", key[0], thing, known.pop(key, None))
    for (kind, _), gone in known.items():
        if gone.what != "DELETED":
            add(timeline, "DELETED", kind, gone.object, None)


def add(timeline: Timeline, what: str, kind: str, thing: Any, before: Change | None) -> None:
    metadata = {**thing["metadata"], "resourceVersion": "0"}
    if before and {**before.object, "metadata": {**before.object["metadata"], "resourceVersion": "0"}} == {
        **thing,
        "metadata": metadata,
    }:
        return
    metadata["resourceVersion"] = str(len(timeline.changes) + 1)
    timeline.changes.append(Change(kind, what, float(len(timeline.changes)), {**thing, "metadata": metadata}))


def recorded(router: dict[str, Any]) -> tuple[FakeCluster, Timeline]:
    """Return a cluster in which version 2 has its first weight, and all that happened from the beginning."""
    spec = {"strategy": CANARY, "traffic": router, "worker": {"replicas": 4}}
    cluster, timeline = FakeCluster(objects.deployment(spec)), Timeline("cities")
    for number in (1, 2):
        cluster.versions.append(objects.version(number))
        for _ in range(10):
            plan_and_watch(cluster, timeline)
    assert cluster.status["actualWeight"] == 25
    return cluster, timeline


class TestTimeline:
    @pytest.mark.parametrize("router", [{}, GATEWAY], ids=["Service", "Gateway"])
    def test_a_promotion_and_an_abort_keep_the_rule(self, router: dict[str, Any]) -> None:
        cluster, timeline = recorded(router)
        for command in ("promote", "promote-full", "", "abort", ""):
            if command:
                cluster.command(command)
            else:
                cluster.versions.append(objects.version(len(cluster.versions) + 1))
            for _ in range(10):
                plan_and_watch(cluster, timeline)
            cluster.wait(40)
        told = timeline.check()
        assert cluster.status["stable"]["version"] == 2
        assert min(told[kind] for kind in ("Deployment", "Pod", "Service")) > 5, told

    def test_a_pool_that_goes_before_its_weight_is_found(self) -> None:
        cluster, timeline = recorded(GATEWAY)
        cluster.objects["Deployment", f"cities-{cluster.revision('candidate')}"]["spec"]["replicas"] = 0
        watched(cluster, timeline)
        with pytest.raises(AssertionError, match="overloads"):
            timeline.check()


def plan_and_watch(cluster: FakeCluster, timeline: Timeline) -> None:
    """Run a pass and look after each of its actions, then let the cluster's controllers work."""
    plan = plan_deployment(cluster.snapshot(), cluster.now)
    for action in plan.actions:
        cluster.act(action)
        watched(cluster, timeline)
    cluster.execute(plan, cluster.version)
    cluster.run_controllers()
    cluster.make_ready()
    watched(cluster, timeline)
