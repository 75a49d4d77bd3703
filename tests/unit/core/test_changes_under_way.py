"""What is no new version takes effect in the next pass of a rollout; what is one is told, and replaces the trial."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import BLUE_GREEN, GATEWAY, bad_calls, good_calls, served, trying


def pool_size(cluster: FakeCluster, role: str) -> int:
    size: int = cluster.objects["Deployment", f"cities-{cluster.revision(role)}"]["spec"]["replicas"]
    return size


def canary(weight: int = 25, seconds: int = 60) -> dict[str, Any]:
    steps = [{"setWeight": weight}, {"pause": {"durationSeconds": seconds}}, {"setWeight": 50}, {"pause": {}}]
    return {"canary": {"steps": steps}}


class TestScale:
    @pytest.mark.parametrize("router", [{}, GATEWAY], ids=["Service", "Gateway"])
    @pytest.mark.parametrize(
        ("strategy", "replicas", "candidate"),
        [(canary(), 8, 2), (canary(), 2, 1), (BLUE_GREEN, 8, 8), (BLUE_GREEN, 2, 2)],
    )
    def test_both_pools_follow_in_the_same_pass(
        self, strategy: dict[str, Any], replicas: int, candidate: int, router: dict[str, Any]
    ) -> None:
        cluster = trying(strategy=strategy, traffic=router)
        trial, step = cluster.revision("candidate"), cluster.status["step"]
        cluster.change(worker={"replicas": replicas})
        cluster.reconcile()
        assert pool_size(cluster, "stable") == replicas
        cluster.settle()
        assert pool_size(cluster, "candidate") == candidate
        assert (cluster.revision("candidate"), cluster.status["step"]) == (trial, step), "the rollout goes on"
        assert cluster.status["readyReplicas"] == replicas

    def test_the_share_falls_until_the_pods_for_it_are_there(self) -> None:
        cluster = trying(traffic=GATEWAY)
        cluster.change(worker={"replicas": 12})
        cluster.reconcile()
        assert cluster.backends()[f"cities-{cluster.revision('candidate')}"] == 8, "one ready pod of twelve"
        cluster.settle()
        assert cluster.backends()[f"cities-{cluster.revision('candidate')}"] == 25

    def test_budgets_follow(self) -> None:
        cluster = trying(strategy=BLUE_GREEN)
        cluster.change(worker={"replicas": 1})
        cluster.settle()
        assert not [name for kind, name in cluster.objects if kind == "PodDisruptionBudget"]


class TestSettings:
    def test_a_longer_or_shorter_hold(self) -> None:
        cluster = trying()
        good_calls(cluster)
        cluster.wait(30)
        cluster.change(strategy=canary(seconds=20))
        cluster.settle()
        assert cluster.status["weight"] == 50
        again = trying()
        good_calls(again)
        again.change(strategy=canary(seconds=600))
        again.wait(500)
        again.settle()
        assert again.status["weight"] == 25

    @pytest.mark.parametrize("weight", [10, 40])
    def test_the_weight_of_the_present_step(self, weight: int) -> None:
        cluster = trying(traffic=GATEWAY)
        trial = cluster.revision("candidate")
        cluster.change(strategy=canary(weight=weight))
        cluster.settle()
        assert cluster.backends()[f"cities-{trial}"] == weight

    def test_a_gate_that_is_switched_off_holds_no_more(self) -> None:
        cluster = trying()
        cluster.wait(61)
        cluster.settle()
        assert cluster.condition("Paused")["reason"] == "GateInconclusive"
        cluster.change(analysis={"errorRate": {"enabled": False}, "latency": {"enabled": False}})
        cluster.settle()
        assert cluster.status["weight"] == 50

    def test_a_gate_that_is_no_dry_run_any_more_decides(self) -> None:
        cluster = trying(analysis={"errorRate": {"dryRun": True}, "latency": {"enabled": False}})
        bad_calls(cluster)
        cluster.settle()
        assert cluster.status["candidate"]["version"] == 2
        cluster.change(analysis={"latency": {"enabled": False}})
        cluster.reconcile()
        assert cluster.status["blockedVersions"][0]["reason"] == "GateFailed"

    def test_on_inconclusive(self) -> None:
        cluster = trying()
        cluster.wait(61)
        cluster.settle()
        assert cluster.status["weight"] == 25
        cluster.change(analysis={"onInconclusive": "Proceed"})
        cluster.settle()
        assert cluster.status["weight"] == 50

    def test_the_progress_deadline(self) -> None:
        cluster = served(progressDeadlineSeconds=600)
        cluster.versions.append(objects.version(2))
        cluster.reconcile()
        cluster.broken.add(cluster.revision("candidate") or "")
        cluster.settle()
        cluster.wait(61)
        cluster.change(progressDeadlineSeconds=60)
        cluster.reconcile()
        assert cluster.status["blockedVersions"][0]["reason"] == "ProgressDeadlineExceeded"

    def test_on_failure(self) -> None:
        cluster = trying(onFailure="Rollback")
        cluster.change(onFailure="Pause")
        bad_calls(cluster)
        cluster.settle()
        assert cluster.condition("Paused")["reason"] == "PausedByFailure"

    def test_the_router(self) -> None:
        cluster = trying()
        trial = cluster.revision("candidate")
        cluster.change(traffic=GATEWAY)
        cluster.settle()
        assert cluster.backends()[f"cities-{trial}"] == 25
        cluster.change(traffic={})
        cluster.settle()
        assert cluster.status["actualWeight"] == 25
        assert ("GRPCRoute", "cities") not in cluster.objects

    def test_other_steps_begin_again_and_say_so(self) -> None:
        cluster = trying()
        cluster.change(strategy={"canary": {"steps": [{"setWeight": 30}, {"pause": {}}]}})
        cluster.settle()
        told = [event.message for event in cluster.events if "other steps" in event.message]
        assert told == ["The strategy has other steps now: version 2 begins again at the first of 2."]


class TestThirdVersion:
    @pytest.mark.parametrize("router", [{}, GATEWAY], ids=["Service", "Gateway"])
    def test_replaces_the_trial_beside_the_same_stable_and_both_are_told(self, router: dict[str, Any]) -> None:
        cluster = trying(traffic=router)
        stable = cluster.revision("stable")
        cluster.versions.append(objects.version(3))
        cluster.reconcile()
        assert cluster.revision("stable") == stable
        event = cluster.events[-1]
        assert event.reason == "RollingOut"
        assert "replaces version 2 on trial: it begins at the first step, beside the same version 1" in event.message
        cluster.settle()
        assert cluster.status["candidate"]["version"] == 3
        assert "It replaced version 2, which was on trial" in cluster.status["message"]
        assert cluster.status["blockedVersions"] == []
        cluster.wait(31)
        cluster.settle()
        assert "It replaced" not in cluster.status["message"]

    def test_in_mid_return_waits_until_the_deployment_is_back(self) -> None:
        cluster = trying(strategy=BLUE_GREEN, traffic=GATEWAY)
        cluster.command("promote-full")
        cluster.settle()
        cluster.accepts_routes = False
        cluster.command("rollback", "yes")
        cluster.settle()
        cluster.versions.append(objects.version(3))
        cluster.settle()
        assert cluster.status["candidate"]["version"] == 1
        cluster.accepts_routes = True
        cluster.settle()
        assert cluster.status["stable"]["version"] == 1
        assert (cluster.status["candidate"]["version"], cluster.status["weight"]) == (3, 50)
