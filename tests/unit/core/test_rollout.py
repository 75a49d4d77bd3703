"""The rollout from the first deployment to the promotion, told pass by pass over the fake cluster."""

from __future__ import annotations

import json

from shoal_operator.core import names
from shoal_operator.core.gates import analysis_window
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import BLUE_GREEN, CANARY, good_calls, served, trying


class TestFirst:
    def test_serves_without_steps_once_all_pods_are_ready(self) -> None:
        cluster = FakeCluster(objects.deployment({"strategy": CANARY}), [objects.version(1)])
        cluster.reconcile()
        assert cluster.status["phase"] == "Pending"
        assert cluster.status["candidate"]["version"] == 1
        cluster.run_controllers()
        cluster.reconcile()
        assert "stable" not in cluster.status
        cluster.settle()
        assert cluster.status["stable"]["version"] == 1
        assert "candidate" not in cluster.status
        record = json.loads(cluster.deployment["metadata"]["annotations"][names.STABLE_RECORD])
        assert record["revision"] == cluster.revision("stable")
        assert cluster.status["readyReplicas"] == 2
        assert len(cluster.endpoints()) == 2

    def test_is_replaced_straight_when_the_wanted_revision_changes(self) -> None:
        cluster = FakeCluster(objects.deployment({"strategy": CANARY}), [objects.version(1)])
        cluster.reconcile()
        cluster.versions.append(objects.version(2))
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert len(cluster._of_kind("Deployment")) == 1

    def test_a_restored_object_without_status_starts_from_its_record(self) -> None:
        cluster = served()
        old = cluster.revision("stable")
        cluster.deployment["status"] = {}
        cluster.versions.append(objects.version(2))
        cluster.settle()
        assert cluster.revision("stable") == old
        assert cluster.status["candidate"]["version"] == 2
        assert cluster.status["weight"] == 25

    def test_a_record_of_a_version_that_is_gone_is_not_trusted(self) -> None:
        cluster = served()
        cluster.deployment["status"] = {}
        cluster.versions = [objects.version(2)]
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2

    def test_what_a_lost_status_and_record_served_goes_on_until_there_is_another(self) -> None:
        cluster = served()
        old = cluster.revision("stable")
        cluster.deployment["status"] = {}
        cluster.deployment["metadata"]["annotations"] = {}
        cluster.versions.append(objects.version(2))
        cluster.reconcile()
        cluster.run_controllers()
        cluster.reconcile()
        assert {pod.revision for pod in cluster.endpoints()} == {old}
        assert len(cluster.pool(old)) == 4
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert cluster.pool(old) == []

    def test_garbage_status_counts_as_absent(self) -> None:
        cluster = served()
        stable = cluster.revision("stable")
        cluster.deployment["status"] = {"weight": 4000, "candidate": "x", "stable": {"revision": "../../x"}}
        cluster.settle()
        assert cluster.revision("stable") == stable


class TestCanary:
    def test_holds_each_step_and_promotes_at_the_end(self) -> None:
        cluster = trying()
        old, new = cluster.revision("stable"), cluster.revision("candidate")
        assert cluster.status["weight"] == 25
        assert cluster.status["actualWeight"] == 25
        assert cluster.status["step"] == 1
        assert len(cluster.pool(new)) == 1
        assert len(cluster.pool(old)) == 4
        good_calls(cluster)
        cluster.wait(59)
        cluster.settle()
        assert cluster.status["step"] == 1
        cluster.wait(2)
        cluster.settle()
        assert (cluster.status["step"], cluster.status["weight"]) == (3, 50)
        assert cluster.condition("Paused")["reason"] == "PausedByStep"
        assert cluster.status["phase"] == "Paused"
        cluster.wait(10_000)
        cluster.settle()
        assert cluster.status["step"] == 3
        candidates = {pod.name for pod in cluster.pool(new)}
        cluster.command("promote")
        cluster.settle()
        assert cluster.revision("stable") == new
        assert cluster.status["weight"] == 0
        assert candidates <= {pod.name for pod in cluster.pool(new)}, "a promotion restarts nothing"
        assert len(cluster.pool(new)) == 4
        assert {pod.revision for pod in cluster.endpoints()} == {new}
        assert len(cluster.pool(old)) == 4, "the old pool stands by"
        assert names.command_annotation("promote") not in cluster.deployment["metadata"]["annotations"]
        assert cluster.status["handledCommands"] == []
        cluster.wait(31)
        cluster.settle()
        assert cluster.pool(old) == []
        assert cluster.status["retiring"] == []
        assert cluster.status["phase"] == "Healthy"

    def test_weight_waits_for_ready_pods(self) -> None:
        cluster = served()
        cluster.versions.append(objects.version(2))
        for _ in range(5):
            cluster.reconcile()
            cluster.run_controllers()
        assert cluster.status["weight"] == 0
        assert cluster.condition("Progressing")["reason"] == "WaitingForPods"

    def test_the_selector_moves_only_after_the_labels_are_seen(self) -> None:
        cluster = served()
        cluster.versions.append(objects.version(2))
        cluster.reconcile()
        cluster.run_controllers()
        cluster.make_ready()
        cluster.reconcile()
        selector = cluster.objects["Service", "cities"]["spec"]["selector"]
        assert names.ROUTED not in selector
        cluster.reconcile()
        selector = cluster.objects["Service", "cities"]["spec"]["selector"]
        assert selector == {names.DEPLOYMENT: "cities", names.ROUTED: "true"}
        assert sum(pod.routed for pod in cluster.pods.values()) == 4

    def test_inconclusive_gates_hold_and_say_what_lacks(self) -> None:
        cluster = trying()
        cluster.figure(cluster.revision("stable") or "", calls=500)
        cluster.figure(cluster.revision("candidate") or "", calls=3)
        cluster.wait(100)
        cluster.settle()
        assert cluster.status["step"] == 1
        paused = cluster.condition("Paused")
        assert paused["reason"] == "GateInconclusive"
        assert "the candidate has 3 of 50" in paused["message"]
        good_calls(cluster)
        cluster.settle()
        assert cluster.status["step"] == 3

    def test_inconclusive_gates_may_be_passed_over(self) -> None:
        cluster = trying(analysis={"onInconclusive": "Proceed"})
        cluster.wait(100)
        cluster.settle()
        assert cluster.status["step"] == 3

    def test_a_lost_routed_pod_is_replaced(self) -> None:
        cluster = trying()
        victim = next(pod for pod in cluster.endpoints() if pod.revision == cluster.revision("stable"))
        del cluster.pods[victim.name]
        cluster.settle()
        assert len(cluster.endpoints()) == 4
        assert cluster.status["actualWeight"] == 25


class TestRecord:
    def test_comes_before_the_status_that_promotes(self) -> None:
        cluster = trying()
        new = cluster.revision("candidate")
        cluster.command("promote-full")
        seen = []
        for _ in range(12):
            cluster.reconcile()
            cluster.run_controllers()
            cluster.make_ready()
            record = json.loads(cluster.deployment["metadata"]["annotations"][names.STABLE_RECORD])
            seen.append((record["revision"] == new, cluster.revision("stable") == new))
        assert sorted(set(seen)) == [(False, False), (True, False), (True, True)]

    def test_is_put_right_when_somebody_changes_it(self) -> None:
        cluster = served()
        right = cluster.deployment["metadata"]["annotations"][names.STABLE_RECORD]
        cluster.deployment["metadata"]["annotations"][names.STABLE_RECORD] = "gone"
        cluster.settle()
        assert cluster.deployment["metadata"]["annotations"][names.STABLE_RECORD] == right


class TestBlueGreen:
    def test_full_pool_first_then_equal_steps(self) -> None:
        cluster = trying(strategy=BLUE_GREEN)
        new = cluster.revision("candidate")
        assert len(cluster.pool(new)) == 4
        assert cluster.status["weight"] == 50
        good_calls(cluster)
        cluster.wait(61)
        cluster.settle()
        assert cluster.revision("stable") == new

    def test_waits_at_weight_zero_for_the_promote_command(self) -> None:
        cluster = trying(strategy={"blueGreen": {"steps": 2, "autoPromotion": False}})
        assert cluster.status["weight"] == 0
        assert cluster.condition("Paused")["reason"] == "AwaitingPromotion"
        cluster.command("promote")
        cluster.settle()
        assert cluster.status["weight"] == 50


class TestWindow:
    def test_opens_once_the_weight_is_reached_and_anew_with_each_step(self) -> None:
        cluster = served()
        assert analysis_window(cluster.deployment) is None
        cluster.versions.append(objects.version(2))
        cluster.settle()
        first = analysis_window(cluster.deployment)
        assert first is not None
        assert (first.stable, first.candidate) == (cluster.revision("stable"), cluster.revision("candidate"))
        good_calls(cluster)
        cluster.wait(61)
        cluster.settle()
        second = analysis_window(cluster.deployment)
        assert second is not None
        assert second.identity != first.identity
