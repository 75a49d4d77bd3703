"""The rollout through a Gateway: exact weights, and what its route's conditions hold back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shoal_operator.core.rollout import plan_deployment
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import CANARY, GATEWAY, served, trying

NOT_PROGRAMMED = {"type": "Programmed", "status": "False", "reason": "NoResources", "message": "no address left"}


class TestGateway:
    def test_weights_are_explicit_and_a_backend_leaves_before_it_goes(self) -> None:
        cluster = trying(traffic=GATEWAY)
        old, new = cluster.revision("stable"), cluster.revision("candidate")
        assert cluster.backends() == {f"cities-{old}": 75, f"cities-{new}": 25}
        cluster.command("promote-full")
        cluster.settle()
        assert cluster.revision("stable") == new
        assert cluster.backends() == {f"cities-{new}": 100}
        assert ("Service", f"cities-{old}") in cluster.objects
        cluster.wait(31)
        cluster.settle()
        assert {name for kind, name in cluster.objects if kind == "Service"} == {f"cities-{new}"}

    def test_weight_falls_with_the_pods_that_bear_it(self) -> None:
        cluster = trying(traffic=GATEWAY)
        cluster.command("promote")
        cluster.settle()
        new = cluster.revision("candidate")
        assert cluster.backends()[f"cities-{new}"] == 50
        first, *_ = cluster.pool(new)
        cluster.pods[first.name] = replace(first, ready=False)
        cluster.reconcile()
        assert cluster.backends()[f"cities-{new}"] == 25
        for pod in cluster.pool(new):
            cluster.pods[pod.name] = replace(pod, ready=False)
        cluster.reconcile()
        assert cluster.backends()[f"cities-{new}"] == 0
        cluster.settle()
        assert cluster.backends()[f"cities-{new}"] == 50

    def test_a_backend_stays_a_pass_longer_than_its_place_in_the_route(self) -> None:
        cluster = trying(traffic=GATEWAY, strategy={"canary": {**CANARY["canary"], "scaleDownDelaySeconds": 0}})
        new = cluster.revision("candidate")
        cluster.command("abort")
        cluster.reconcile()
        assert f"cities-{new}" not in cluster.backends()
        assert ("Service", f"cities-{new}") in cluster.objects
        assert cluster.pool(new)
        cluster.settle()
        assert ("Service", f"cities-{new}") not in cluster.objects
        assert not cluster.pool(new)

    def test_what_a_lost_status_had_routed_stays_until_the_route_leaves_it(self) -> None:
        cluster = trying(traffic=GATEWAY)
        new = cluster.revision("candidate")
        cluster.deployment["status"] = {}
        cluster.change(modelRef={"name": "cities", "version": "1"})
        cluster.reconcile()
        assert f"cities-{new}" not in cluster.backends()
        assert {kind for kind, name in cluster.objects if name == f"cities-{new}"} == {"Service", "Deployment"}
        cluster.settle()
        assert not [name for _, name in cluster.objects if name == f"cities-{new}"]

    def test_a_backend_enters_the_route_after_its_service_is_seen(self) -> None:
        cluster = served(traffic=GATEWAY)
        cluster.versions.append(objects.version(2))
        cluster.reconcile()
        assert list(cluster.backends().values()) == [100]
        cluster.reconcile()
        assert sorted(cluster.backends().values()) == [0, 100]

    def test_a_step_waits_for_the_route(self) -> None:
        cluster = served(traffic=GATEWAY)
        cluster.accepts_routes = False
        cluster.versions.append(objects.version(2))
        cluster.settle()
        assert "stepStartedAt" not in cluster.status
        assert cluster.condition("Progressing")["reason"] == "WaitingForRoute"
        cluster.accepts_routes = True
        cluster.settle()
        assert cluster.status["step"] == 1

    def test_changing_the_router_keeps_the_old_one_until_the_new_is_in_force(self) -> None:
        cluster = served()
        cluster.accepts_routes = False
        cluster.change(traffic=GATEWAY)
        cluster.settle()
        assert ("Service", "cities") in cluster.objects
        cluster.accepts_routes = True
        cluster.settle()
        assert ("Service", "cities") not in cluster.objects
        cluster.change(traffic={})
        cluster.settle()
        assert {(kind, name) for kind, name in cluster.objects if kind in ("Service", "GRPCRoute")} == {
            ("Service", "cities")
        }

    def test_a_route_left_in_mid_rollout_sends_all_to_stable_at_once(self) -> None:
        cluster = trying(traffic=GATEWAY)
        assert sorted(cluster.backends().values()) == [25, 75]
        cluster.change(traffic={})
        cluster.reconcile()
        assert cluster.backends() == {f"cities-{cluster.revision('stable')}": 100}

    def test_a_missing_gateway_api_is_told_and_no_route_is_applied(self) -> None:
        cluster = FakeCluster(objects.deployment({"traffic": GATEWAY}), [objects.version(1)])
        plan = plan_deployment(replace(cluster.snapshot(), gateway_api_installed=False), objects.NOW)
        kinds = {action.manifest["kind"] for action in plan.actions if hasattr(action, "manifest")}
        assert "GRPCRoute" not in kinds
        assert plan.status is not None
        degraded = next(item for item in plan.status.status["conditions"] if item["type"] == "Degraded")
        assert degraded["reason"] in ("GatewayNotReady",)

    @pytest.mark.parametrize(
        ("gateway", "told"),
        [
            (None, "does not exist"),
            ({"metadata": objects.metadata("gateway"), "status": {"conditions": [NOT_PROGRAMMED]}}, "no address left"),
        ],
        ids=["deleted", "not programmed"],
    )
    def test_a_gateway_that_is_lost_in_mid_rollout_is_told_and_moves_no_weight(
        self, gateway: dict[str, Any] | None, told: str
    ) -> None:
        cluster = trying(traffic=GATEWAY)
        before = cluster.backends()
        plan = plan_deployment(replace(cluster.snapshot(), gateway=gateway), cluster.now)
        cluster.execute(plan, cluster.version)
        assert plan.status is not None
        reasons = {item["reason"]: item["message"] for item in plan.status.status["conditions"]}
        assert told in reasons["GatewayNotReady"]
        assert cluster.backends() == before
        assert not cluster.status.get("blockedVersions")
        cluster.settle()
        assert "GatewayNotReady" not in [item["reason"] for item in cluster.status["conditions"]]
