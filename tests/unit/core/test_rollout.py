"""The rollout from the first deployment to the promotion, told pass by pass over the fake cluster."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from shoal_operator.core import names
from shoal_operator.core.gates import analysis_window
from shoal_operator.core.rollout import plan_deployment
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster

CANARY: dict[str, Any] = {
    "canary": {
        "steps": [
            {"setWeight": 25},
            {"pause": {"durationSeconds": 60}},
            {"setWeight": 50},
            {"pause": {}},
        ],
        "scaleDownDelaySeconds": 30,
    }
}
BLUE_GREEN: dict[str, Any] = {"blueGreen": {"steps": 2, "intervalSeconds": 60}}
GATEWAY: dict[str, Any] = {"router": "Gateway", "gateway": {"name": "gateway"}}


def served(**spec: Any) -> FakeCluster:
    """Return a cluster in which version 1 serves."""
    base: dict[str, Any] = {"strategy": CANARY, "worker": {"replicas": 4}}
    cluster = FakeCluster(objects.deployment({**base, **spec}), [objects.version(1)])
    cluster.settle()
    assert cluster.status["stable"]["version"] == 1
    assert cluster.status["phase"] == "Healthy"
    return cluster


def trying(**spec: Any) -> FakeCluster:
    """Return a cluster in which version 2 is on trial at the first weight."""
    cluster = served(**spec)
    cluster.versions.append(objects.version(2))
    cluster.settle()
    assert cluster.status["candidate"]["version"] == 2
    return cluster


def good_calls(cluster: FakeCluster) -> None:
    for role in ("stable", "candidate"):
        cluster.figure(cluster.revision(role) or "", calls=500)


def bad_calls(cluster: FakeCluster) -> None:
    cluster.figure(cluster.revision("stable") or "", calls=500)
    cluster.figure(cluster.revision("candidate") or "", calls=500, errors=250)


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

    def test_a_missing_gateway_api_is_told_and_no_route_is_applied(self) -> None:
        cluster = FakeCluster(objects.deployment({"traffic": GATEWAY}), [objects.version(1)])
        plan = plan_deployment(replace(cluster.snapshot(), gateway_api_installed=False), objects.NOW)
        kinds = {action.manifest["kind"] for action in plan.actions if hasattr(action, "manifest")}
        assert "GRPCRoute" not in kinds
        assert plan.status is not None
        degraded = next(item for item in plan.status.status["conditions"] if item["type"] == "Degraded")
        assert degraded["reason"] in ("GatewayNotReady",)


class TestFailure:
    def test_a_failed_gate_rolls_back_at_once_and_blocks_the_revision(self) -> None:
        cluster = trying()
        old, new = cluster.revision("stable"), cluster.revision("candidate")
        bad_calls(cluster)
        cluster.reconcile()
        assert {pod.revision for pod in cluster.endpoints()} == {old}
        cluster.settle()
        entry = cluster.status["blockedVersions"][0]
        assert (entry["revision"], entry["reason"]) == (new, "GateFailed")
        assert "250 of 500 calls failed" in entry["message"]
        assert cluster.condition("Degraded")["reason"] == "RolledBack"
        assert "shoal.dev/retry" in cluster.condition("Degraded")["message"]
        assert cluster.condition("Ready")["status"] == "True"
        cluster.wait(31)
        cluster.settle()
        assert cluster.pool(new) == []
        cluster.windows.clear()
        cluster.command("retry")
        cluster.settle()
        assert cluster.revision("candidate") == new

    def test_pause_holds_and_promote_goes_on_or_abort_rolls_back(self) -> None:
        cluster = trying(onFailure="Pause")
        bad_calls(cluster)
        cluster.settle()
        assert cluster.status["weight"] == 25
        assert cluster.condition("Paused")["reason"] == "PausedByFailure"
        again = copy.deepcopy(cluster)
        cluster.command("promote")
        cluster.reconcile()
        assert "failurePaused" not in cluster.status, "the figures that were overruled do not count again"
        cluster.windows.clear()
        cluster.settle()
        assert cluster.status["weight"] == 50
        again.command("abort")
        again.settle()
        assert again.status["blockedVersions"][0]["reason"] == "Aborted"

    def test_the_progress_deadline_fails_a_candidate_that_never_gets_ready(self) -> None:
        cluster = served(progressDeadlineSeconds=60)
        cluster.versions.append(objects.version(2))
        cluster.reconcile()
        cluster.broken.add(cluster.revision("candidate") or "")
        cluster.settle()
        cluster.wait(59)
        cluster.settle()
        assert cluster.status["candidate"]["version"] == 2
        cluster.wait(1)
        cluster.settle()
        assert cluster.status["blockedVersions"][0]["reason"] == "ProgressDeadlineExceeded"

    def test_a_pause_is_no_lack_of_progress(self) -> None:
        cluster = trying(progressDeadlineSeconds=60)
        cluster.command("pause")
        cluster.settle()
        assert cluster.condition("Paused")["reason"] == "PausedByUser"
        cluster.wait(10_000)
        cluster.settle()
        good_calls(cluster)
        cluster.command("resume")
        cluster.settle()
        assert cluster.status["weight"] == 50

    def test_a_crash_loop_fails_without_waiting(self) -> None:
        cluster = served()
        cluster.versions.append(objects.version(2))
        cluster.reconcile()
        cluster.run_controllers()
        for pod in cluster.pool(cluster.revision("candidate")):
            cluster.pods[pod.name] = replace(pod, status=objects.crash_loop(3))
        cluster.reconcile()
        entry = cluster.status["blockedVersions"][0]
        assert entry["reason"] == "GateFailed"
        assert "restarted 3 times" in entry["message"]


class TestCommands:
    def test_a_command_takes_effect_once_although_its_annotation_stays(self) -> None:
        cluster = trying(strategy={"canary": {"steps": [{"setWeight": 25}, *[{"pause": {}}] * 3]}})
        cluster.command("promote")
        for _ in range(3):
            cluster.execute(plan_deployment(cluster.snapshot(), cluster.now), cluster.version, clean_up=False)
        assert cluster.status["step"] == 2
        assert cluster.status["handledCommands"] == ["promote=true"]
        cluster.settle()
        assert cluster.status["step"] == 2
        cluster.command("promote")
        cluster.settle()
        assert cluster.status["step"] == 3

    def test_a_command_given_again_before_the_first_was_cleared_away_counts(self) -> None:
        cluster = trying(strategy={"canary": {"steps": [{"setWeight": 25}, *[{"pause": {}}] * 3]}})
        cluster.command("promote", "1")
        cluster.execute(plan_deployment(cluster.snapshot(), cluster.now), cluster.version, clean_up=False)
        cluster.command("promote", "2")
        cluster.settle()
        assert cluster.status["step"] == 3

    def test_a_command_without_a_rollout_is_cleared_away(self) -> None:
        cluster = served()
        for command in ("promote", "abort", "resume"):
            cluster.command(command)
        cluster.settle()
        assert set(cluster.deployment["metadata"]["annotations"]) == {names.STABLE_RECORD}
        assert cluster.status["stable"]["version"] == 1

    def test_pause_holds_the_weight_where_it_is(self) -> None:
        cluster = trying()
        good_calls(cluster)
        cluster.command("pause")
        cluster.wait(1000)
        cluster.settle()
        assert (cluster.status["step"], cluster.status["weight"]) == (1, 25)
        cluster.change(paused=True)
        cluster.command("resume")
        cluster.settle()
        assert (cluster.status["step"], cluster.status["weight"]) == (1, 25)
        cluster.change(paused=False)
        cluster.settle()
        assert cluster.status["weight"] == 50


class TestChangeOfMind:
    def test_another_version_restarts_against_the_old_stable(self) -> None:
        cluster = trying()
        old = cluster.revision("stable")
        cluster.versions.append(objects.version(3))
        cluster.reconcile()
        assert {pod.revision for pod in cluster.endpoints()} == {old}
        cluster.settle()
        assert cluster.revision("stable") == old
        assert cluster.status["candidate"]["version"] == 3
        assert [item["version"] for item in cluster.status["retiring"]] == [2]

    def test_back_to_stable_undoes_at_once_without_blocking(self) -> None:
        cluster = trying()
        cluster.change(modelRef={"name": "cities", "version": "1"})
        cluster.reconcile()
        assert {pod.revision for pod in cluster.endpoints()} == {cluster.revision("stable")}
        assert cluster.status["blockedVersions"] == []

    def test_scaling_is_no_new_revision(self) -> None:
        cluster = served()
        stable = cluster.revision("stable")
        cluster.change(worker={"replicas": 7})
        cluster.settle()
        assert cluster.revision("stable") == stable
        assert len(cluster.pool(stable)) == 7

    def test_abort_wins_over_promote(self) -> None:
        cluster = trying()
        cluster.command("promote-full")
        cluster.command("abort")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 1
        assert cluster.status["blockedVersions"][0]["reason"] == "Aborted"
        assert set(cluster.deployment["metadata"]["annotations"]) == {names.STABLE_RECORD}

    def test_a_pool_shrinks_only_after_its_weight_has_fallen(self) -> None:
        cluster = trying()
        cluster.command("promote")
        cluster.settle()
        pool = ("Deployment", f"cities-{cluster.revision('candidate')}")
        assert cluster.objects[pool]["spec"]["replicas"] == 2
        cluster.change(strategy={"canary": {"steps": [{"setWeight": 10}, {"pause": {}}]}})
        cluster.reconcile()
        assert cluster.objects[pool]["spec"]["replicas"] == 2
        cluster.settle()
        assert cluster.objects[pool]["spec"]["replicas"] == 1
        assert (cluster.status["step"], cluster.status["weight"]) == (1, 10)

    def test_a_strategy_change_walks_the_new_steps_from_the_beginning(self) -> None:
        cluster = trying()
        cluster.change(strategy={"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}})
        cluster.settle()
        assert (cluster.status["step"], cluster.status["weight"]) == (1, 50)


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


@pytest.mark.parametrize(
    ("spec", "versions", "reason", "told"),
    [
        ({}, [], "VersionNotReady", "no version yet"),
        ({"modelRef": {"name": "cities", "version": "9"}}, [1, 2], "VersionNotFound", "1, 2"),
        ({"strategy": {"canary": {}, "blueGreen": {}}}, [1], "InvalidSpec", "spec.strategy"),
        ({"worker": {"replicas": -1}}, [1], "InvalidSpec", "spec.worker.replicas"),
        ({"modelRef": {"name": "cities", "version": "newest"}}, [1], "InvalidSpec", "it is 'newest'"),
        (
            {"strategy": {"canary": {"steps": [{"setWeight": 50}, {"setWeight": 10}]}}},
            [1],
            "InvalidSpec",
            "rising order",
        ),
    ],
)
def test_what_cannot_be_served_is_told(spec: dict[str, Any], versions: list[int], reason: str, told: str) -> None:
    cluster = FakeCluster(objects.deployment(spec), [objects.version(number) for number in versions])
    cluster.settle()
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert told in ready["message"]


def test_a_bad_spec_leaves_the_served_version_served() -> None:
    cluster = served()
    objects_before = copy.deepcopy(cluster.objects)
    cluster.change(worker={"replicas": "many"})
    cluster.settle()
    assert cluster.objects == objects_before
    assert cluster.condition("Degraded")["reason"] == "InvalidSpec"
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.status["stable"]["version"] == 1


def test_an_unknown_version_leaves_the_served_version_served() -> None:
    cluster = served()
    cluster.change(modelRef={"name": "cities", "version": "9"})
    cluster.settle()
    assert cluster.condition("Degraded")["reason"] == "VersionNotFound"
    assert len(cluster.endpoints()) == 4


def test_drift_is_repaired() -> None:
    cluster = served()
    for key in tuple(cluster.objects):
        del cluster.objects[key]
    cluster.settle()
    assert len(cluster.endpoints()) == 4
    assert {kind for kind, _ in cluster.objects} == {"Service", "Deployment", "PodDisruptionBudget"}


def test_no_ready_pod_at_all_is_degraded() -> None:
    cluster = served()
    for pod in tuple(cluster.pods.values()):
        cluster.pods[pod.name] = replace(pod, ready=False)
    cluster.reconcile()
    assert cluster.status["phase"] == "Degraded"
    assert cluster.condition("Ready")["reason"] == "NotAvailable"
    first, *_ = cluster.pods.values()
    cluster.pods[first.name] = replace(first, ready=True)
    cluster.reconcile()
    assert cluster.status["phase"] == "Progressing"
    assert cluster.condition("Ready")["status"] == "True"


def test_scaled_to_nothing_is_no_failure() -> None:
    cluster = served()
    cluster.change(worker={"replicas": 0})
    cluster.settle()
    assert cluster.status["phase"] == "Healthy"
    assert "scaled to 0" in cluster.condition("Ready")["message"]
    cluster.versions.append(objects.version(2))
    cluster.wait(10_000)
    cluster.settle()
    cluster.wait(10_000)
    cluster.settle()
    assert cluster.status["stable"]["version"] == 1, "nothing is promoted that no pod has served"
    assert "replicas is 0" in cluster.condition("Paused")["message"]
    cluster.change(worker={"replicas": 4})
    cluster.settle()
    assert cluster.status["candidate"]["version"] == 2
    assert cluster.status["weight"] == 25


def test_a_pass_that_changes_nothing_plans_the_same_status_and_no_clean_up() -> None:
    cluster = trying()
    cluster.wait(1)
    plan = plan_deployment(cluster.snapshot(), cluster.now)
    assert plan.status is not None
    assert plan.status.status == cluster.status
    assert plan.clean_up == ()
    assert plan.requeue_after is not None
    assert plan.requeue_after <= 5


def test_transition_times_move_with_the_status_only() -> None:
    cluster = served()
    before = {item["type"]: item["lastTransitionTime"] for item in cluster.status["conditions"]}
    cluster.wait(100)
    cluster.change(worker={"replicas": 5})
    cluster.reconcile()
    after = {item["type"]: item["lastTransitionTime"] for item in cluster.status["conditions"]}
    assert after["Ready"] == before["Ready"]
    assert after["Progressing"] != before["Progressing"]


def test_a_missing_secret_starts_nothing_and_stops_nothing() -> None:
    cluster = served()
    snapshot = replace(cluster.snapshot(), missing_secrets=frozenset({"store"}))
    plan = plan_deployment(snapshot, cluster.now)
    assert plan.status is not None
    assert plan.status.status["phase"] == "Healthy"
    cluster.versions.append(objects.version(2))
    snapshot = replace(cluster.snapshot(), missing_secrets=frozenset({"store"}))
    plan = plan_deployment(snapshot, cluster.now)
    assert plan.status is not None
    assert "candidate" not in plan.status.status
    degraded = next(item for item in plan.status.status["conditions"] if item["type"] == "Degraded")
    assert degraded["reason"] == "SecretMissing"
    assert "Secret store" in degraded["message"]
