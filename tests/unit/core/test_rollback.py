"""Going back to a version that served before: by command and by spec, at once or by steps, and what ends it."""

from __future__ import annotations

from typing import Any

import pytest

from shoal_operator.core import names
from shoal_operator.core.rollout import plan_deployment
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import CANARY, GATEWAY, served, trying

BLUE_GREEN: dict[str, Any] = {"blueGreen": {"steps": 2, "intervalSeconds": 60}}


def replaced(upto: int = 2, **spec: Any) -> FakeCluster:
    """Return a cluster in which the versions up to one were promoted one after the other, the last just now."""
    cluster = served(**{"strategy": BLUE_GREEN, **spec})
    for number in range(2, upto + 1):
        cluster.wait(100)
        cluster.versions.append(objects.version(number))
        cluster.settle()
        cluster.command("promote-full")
        cluster.settle()
        assert cluster.status["stable"]["version"] == number
    return cluster


def routed(cluster: FakeCluster) -> set[str | None]:
    """Return the revisions that get calls."""
    if ("GRPCRoute", "cities") in cluster.objects:
        return {name.removeprefix("cities-") for name, weight in cluster.backends().items() if weight}
    return {pod.revision for pod in cluster.endpoints()}


def versions(items: list[dict[str, Any]]) -> list[int]:
    return [item["version"] for item in items]


def told(cluster: FakeCluster, reason: str) -> str:
    return next(event.message for event in reversed(cluster.events) if event.reason == reason)


@pytest.mark.parametrize("router", [{}, GATEWAY], ids=["Service", "Gateway"])
class TestCommand:
    def test_moves_all_traffic_in_the_very_pass_that_sees_it(self, router: dict[str, Any]) -> None:
        cluster = replaced(traffic=router)
        new, pods = cluster.revision("stable"), set(cluster.pods)
        (old,) = (item["revision"] for item in cluster.status["previous"])
        assert routed(cluster) == {new}
        cluster.command("rollback", "yes")
        cluster.reconcile()
        assert routed(cluster) == {old}
        assert cluster.status["rollback"] == {"by": "Command", "atOnce": True}
        assert "as soon as its pods are ready" in told(cluster, "RollingBack")
        cluster.settle()
        assert cluster.revision("stable") == old
        assert set(cluster.pods) == pods, "nothing restarts"
        assert "rollback" not in cluster.status
        assert told(cluster, "RolledBack") == "Version 1 serves again instead of version 2."
        assert cluster.condition("Ready")["status"] == "True"
        cluster.wait(31)
        cluster.settle()
        assert {pod.revision for pod in cluster.pods.values()} == {old}

    def test_blocks_what_is_left_until_retry(self, router: dict[str, Any]) -> None:
        cluster = replaced(traffic=router)
        left = cluster.revision("stable")
        cluster.command("rollback", "1")
        cluster.settle()
        assert [(item["revision"], item["reason"]) for item in cluster.status["blockedVersions"]] == [
            (left, "RolledBack")
        ]
        assert cluster.status["previous"] == []
        for version in ("latest", "2"):
            cluster.change(modelRef={"name": "cities", "version": version})
            cluster.settle()
            assert cluster.status["stable"]["version"] == 1
            assert cluster.condition("Degraded")["reason"] == "RolledBack"
            assert "led back to version 1" in cluster.condition("Degraded")["message"]
        cluster.change(modelRef={"name": "cities", "version": "1"})
        cluster.settle()
        assert cluster.status["phase"] == "Healthy"
        cluster.change(modelRef={"name": "cities", "version": "latest"})
        cluster.command("retry")
        cluster.settle()
        assert (cluster.revision("candidate"), cluster.status["weight"]) == (left, 50), "by steps, as if it were new"
        assert "rollback" not in cluster.status

    def test_abort_wins_and_stays_with_what_was_being_left(self, router: dict[str, Any]) -> None:
        cluster = replaced(traffic=router)
        new = cluster.revision("stable")
        cluster.command("rollback", "yes")
        cluster.reconcile()
        assert routed(cluster) != {new}
        cluster.command("abort")
        cluster.reconcile()
        assert routed(cluster) == {new}
        cluster.settle()
        assert cluster.revision("stable") == new
        assert versions(cluster.status["blockedVersions"]) == [1]
        assert cluster.status["phase"] == "Healthy"

    def test_beside_abort_it_has_no_effect(self, router: dict[str, Any]) -> None:
        cluster = replaced(traffic=router)
        cluster.command("abort")
        cluster.command("rollback", "yes")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2

    def test_takes_a_trial_back_and_blocks_it(self, router: dict[str, Any]) -> None:
        cluster = trying(traffic=router)
        old, new = cluster.revision("stable"), cluster.revision("candidate")
        cluster.command("rollback", "yes")
        cluster.reconcile()
        assert routed(cluster) == {old}
        cluster.settle()
        assert [(item["revision"], item["reason"]) for item in cluster.status["blockedVersions"]] == [
            (new, "RolledBack")
        ]

    def test_out_of_a_trial_to_a_version_before_stable_leaves_both(self, router: dict[str, Any]) -> None:
        cluster = replaced(traffic=router)
        cluster.versions.append(objects.version(3))
        cluster.settle()
        assert cluster.status["weight"] == 50
        cluster.command("rollback", "1")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 1
        assert sorted(versions(cluster.status["blockedVersions"])) == [2, 3]
        cluster.wait(1000)
        cluster.settle()
        assert "candidate" not in cluster.status

    def test_again_and_again_leads_further_back_and_never_forth(self, router: dict[str, Any]) -> None:
        cluster = replaced(upto=4, traffic=router, strategy={"blueGreen": {"steps": 2, "standby": {"revisions": 3}}})
        for number in (3, 2, 1):
            cluster.command("rollback", "yes")
            cluster.settle()
            assert cluster.status["stable"]["version"] == number
        cluster.command("rollback", "yes")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 1
        assert "no version that served before can be served" in told(cluster, "RollbackRefused")

    def test_given_twice_leads_back_once(self, router: dict[str, Any]) -> None:
        cluster = replaced(upto=3, traffic=router, strategy={"blueGreen": {"steps": 2, "standby": {"revisions": 2}}})
        cluster.command("rollback", "yes")
        cluster.reconcile()
        cluster.command("rollback", "true")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert "going back to version 2 already" in told(cluster, "RollbackRefused")


class TestHow:
    def test_a_pool_that_was_scaled_up_since_is_completed_first(self) -> None:
        cluster = replaced(worker={"replicas": 2})
        new = cluster.revision("stable")
        (old,) = (item["revision"] for item in cluster.status["previous"])
        cluster.change(worker={"replicas": 6})
        cluster.broken.add(old)
        cluster.command("rollback", "yes")
        for _ in range(5):
            cluster.reconcile()
            cluster.run_controllers()
            cluster.make_ready()
        assert routed(cluster) == {new}
        assert cluster.condition("Progressing")["reason"] == "WaitingForPods"
        assert "goes back from version 2, without steps" in cluster.condition("Progressing")["message"]
        cluster.broken.clear()
        cluster.settle()
        assert cluster.revision("stable") == old
        assert len(cluster.endpoints()) == 6

    def test_pods_that_never_get_ready_leave_everything_as_it_is(self) -> None:
        cluster = replaced(progressDeadlineSeconds=60, strategy={"blueGreen": {"rollbackWindow": {"revisions": 1}}})
        cluster.wait(31)
        cluster.settle()
        (old,) = (item["revision"] for item in cluster.status["previous"])
        assert cluster.pool(old) == []
        cluster.broken.add(old)
        cluster.command("rollback", "yes")
        cluster.settle()
        cluster.wait(61)
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert versions(cluster.status["blockedVersions"]) == [1]
        assert "rollback" not in cluster.status

    @pytest.mark.parametrize(
        ("window", "number", "at_once"), [(None, 2, False), (1, 2, True), (1, 1, False), (2, 1, True)]
    )
    def test_without_pods_the_window_skips_the_steps(self, window: int | None, number: int, at_once: bool) -> None:
        end = {"rollbackWindow": {"revisions": window}} if window else {}
        cluster = replaced(upto=3, strategy={"blueGreen": {"steps": 2, "intervalSeconds": 60, **end}})
        cluster.wait(31)
        cluster.settle()
        assert {pod.revision for pod in cluster.pods.values()} == {cluster.revision("stable")}
        cluster.command("rollback", str(number))
        cluster.reconcile()
        assert cluster.status["weight"] == 0, "pods come first"
        cluster.settle()
        if at_once:
            assert cluster.status["stable"]["version"] == number
            return
        assert (cluster.status["candidate"]["version"], cluster.status["weight"]) == (number, 50)
        assert cluster.status["rollback"] == {"by": "Command", "atOnce": False}
        assert "neither stands by nor is in rollbackWindow" in told(cluster, "RollingBack")
        cluster.versions.append(objects.version(4))
        cluster.settle()
        assert cluster.status["candidate"]["version"] == number, "the command holds against the spec"
        cluster.command("promote")
        cluster.settle()
        assert versions(cluster.status["blockedVersions"]) == [3]
        assert cluster.status["candidate"]["version"] == 4, "what is newer than what was left begins its own rollout"

    def test_a_version_that_is_not_remembered_goes_by_the_steps(self) -> None:
        cluster = served(strategy=BLUE_GREEN, modelRef={"name": "cities", "version": "1"})
        cluster.versions.append(objects.version(2))
        cluster.change(modelRef={"name": "cities", "version": "2"})
        cluster.settle()
        cluster.command("promote-full")
        cluster.settle()
        del cluster.status["previous"]
        cluster.command("rollback", "yes")
        cluster.settle()
        assert cluster.status["rollback"] == {"by": "Command", "atOnce": False}
        assert "not among those that served last" in told(cluster, "RollingBack")

    def test_the_whole_bundle_goes_back(self) -> None:
        cluster = served(strategy=BLUE_GREEN)
        cluster.change(worker={"replicas": 4, "image": "other:1"})
        cluster.settle()
        cluster.command("promote-full")
        cluster.settle()
        assert cluster.status["stable"]["image"] == "other:1"
        cluster.command("rollback", "yes")
        cluster.settle()
        assert cluster.status["stable"]["image"] == objects.DEFAULTS.worker_image
        assert (cluster.status["stable"]["version"], versions(cluster.status["blockedVersions"])) == (1, [1])
        assert cluster.condition("Degraded")["reason"] == "RolledBack"

    def test_what_is_left_is_left_with_whatever_settings(self) -> None:
        cluster = replaced()
        cluster.command("rollback", "yes")
        cluster.settle()
        cluster.change(worker={"replicas": 4, "maxInFlight": 7})
        cluster.settle()
        assert cluster.condition("Degraded")["reason"] == "RolledBack"
        assert "candidate" not in cluster.status
        cluster.command("retry")
        cluster.settle()
        assert cluster.status["candidate"]["version"] == 2

    def test_what_was_left_for_its_settings_may_be_tried_with_others(self) -> None:
        cluster = served(strategy=BLUE_GREEN)
        for limit in (7, 9):
            cluster.change(worker={"replicas": 4, "maxInFlight": limit})
            cluster.settle()
            assert cluster.status["candidate"]["settings"]["maxInFlight"] == limit
            cluster.command("promote-full")
            cluster.settle()
            cluster.command("rollback", "yes")
            cluster.settle()
            assert "candidate" not in cluster.status

    @pytest.mark.parametrize("hold", ["command", "spec"])
    def test_no_pause_holds_a_way_back_that_is_open(self, hold: str) -> None:
        cluster = replaced()
        if hold == "command":
            cluster.command("pause")
        else:
            cluster.change(paused=True)
        cluster.settle()
        cluster.command("rollback", "yes")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 1

    def test_a_changed_strategy_does_not_send_it_back_to_the_first_step(self) -> None:
        cluster = replaced(traffic=GATEWAY)
        cluster.accepts_routes = False
        cluster.command("rollback", "yes")
        cluster.settle()
        cluster.change(strategy={"blueGreen": {"steps": 5}})
        cluster.settle()
        assert (cluster.status["step"], cluster.status["weight"]) == (4, 100)
        cluster.accepts_routes = True
        cluster.settle()
        assert cluster.status["stable"]["version"] == 1

    def test_a_retired_version_that_stands_by_can_be_gone_back_to(self) -> None:
        cluster = replaced()
        cluster.versions[0] = objects.version(1, state="Retired")
        cluster.command("rollback", "yes")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 1

    def test_a_command_that_is_cut_off_before_the_status_takes_effect_once(self) -> None:
        cluster = replaced(upto=3, strategy={"blueGreen": {"steps": 2, "standby": {"revisions": 2}}})
        cluster.command("rollback", "yes")
        for _ in range(3):
            for action in plan_deployment(cluster.snapshot(), cluster.now).actions:
                cluster.act(action)
        cluster.reconcile()
        assert (cluster.status["stable"]["version"], cluster.status["weight"]) == (3, 100), "begins in one pass"
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert versions(cluster.status["blockedVersions"]) == [3]


class TestRefused:
    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ("again", "neither yes nor the number of a version"),
            ("9" * 40, "neither yes nor the number of a version"),
            ("2", "version 2 serves already"),
            ("3", "version 3 did not serve before; versions to go back to: 1"),
            ("7", "version 7 did not serve before; versions to go back to: 1"),
        ],
    )
    def test_says_why(self, value: str, reason: str) -> None:
        cluster = replaced()
        cluster.change(modelRef={"name": "cities", "version": "2"})
        cluster.versions.append(objects.version(3))
        cluster.command("rollback", value)
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert reason in told(cluster, "RollbackRefused")
        assert names.command_annotation("rollback") not in cluster.deployment["metadata"]["annotations"]

    def test_a_blocked_version_needs_retry_first(self) -> None:
        cluster = replaced()
        cluster.command("rollback", "yes")
        cluster.settle()
        cluster.command("rollback", "2")
        cluster.settle()
        assert "blocked (RolledBack); set shoal.dev/retry first" in told(cluster, "RollbackRefused")

    def test_an_archived_version_is_not_offered(self) -> None:
        cluster = replaced(strategy={"blueGreen": {"rollbackWindow": {"revisions": 3}}})
        cluster.wait(31)
        cluster.settle()
        cluster.versions[0] = objects.version(1, state="Archived")
        cluster.command("rollback", "yes")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2

    def test_nothing_serves_yet(self) -> None:
        cluster = FakeCluster(objects.deployment({"strategy": CANARY}), [objects.version(1)])
        cluster.command("rollback", "yes")
        cluster.settle()
        assert "nothing serves yet" in told(cluster, "RollbackRefused")
        assert cluster.status["stable"]["version"] == 1


class TestSpec:
    @pytest.mark.parametrize("router", [{}, GATEWAY], ids=["Service", "Gateway"])
    def test_an_older_version_that_stands_by_gets_the_traffic_at_once(self, router: dict[str, Any]) -> None:
        cluster = replaced(traffic=router)
        (old,) = (item["revision"] for item in cluster.status["previous"])
        cluster.change(modelRef={"name": "cities", "version": "1"})
        cluster.reconcile()
        assert routed(cluster) == {old}
        assert cluster.status["rollback"] == {"by": "Spec", "atOnce": True}
        cluster.settle()
        assert cluster.status["phase"] == "Healthy"
        assert cluster.status["blockedVersions"] == [], "the spec may ask for it again"
        cluster.change(modelRef={"name": "cities", "version": "2"})
        cluster.settle()
        assert cluster.status["weight"] == 50, "forth again by steps"

    def test_one_that_is_gone_and_in_no_window_goes_by_the_steps(self) -> None:
        cluster = replaced()
        cluster.wait(31)
        cluster.settle()
        cluster.change(modelRef={"name": "cities", "version": "1"})
        cluster.settle()
        assert cluster.status["weight"] == 50
        assert "rollback" not in cluster.status

    def test_a_pause_holds_it(self) -> None:
        cluster = replaced(paused=False)
        cluster.change(modelRef={"name": "cities", "version": "1"}, paused=True)
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert cluster.condition("Paused")["reason"] == "PausedByUser"

    def test_what_was_only_on_trial_is_never_gone_back_to_without_steps(self) -> None:
        cluster = trying()
        trial = cluster.revision("candidate")
        cluster.change(modelRef={"name": "cities", "version": "1"})
        cluster.settle()
        assert versions(cluster.status["retiring"]) == [2]
        cluster.change(modelRef={"name": "cities", "version": "2"})
        cluster.settle()
        assert (cluster.revision("candidate"), cluster.status["weight"]) == (trial, 25)
