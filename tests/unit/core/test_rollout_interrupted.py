"""Rollouts that end otherwise than planned: a failed gate, a command, a change of mind."""

from __future__ import annotations

import copy
from dataclasses import replace

from shoal_operator.core import names
from shoal_operator.core.rollout import plan_deployment
from tests.unit.core import objects
from tests.unit.core.trials import bad_calls, good_calls, served, trying


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
