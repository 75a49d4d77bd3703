"""Which version a deployment follows: latest, a number or a digest, at once or by approval; retired ones are held."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from shoal_operator.api.deployment import ModelVersionReference
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import served

MANUAL = {"name": "cities", "version": "latest", "policy": "Manual"}


def waiting() -> FakeCluster:
    """Return a cluster in which version 1 serves and version 2 waits for approval."""
    cluster = served(modelRef=MANUAL)
    cluster.versions.append(objects.version(2))
    cluster.settle()
    return cluster


def pin(cluster: FakeCluster, version: str) -> None:
    cluster.change(modelRef={"name": "cities", "version": version})
    cluster.settle()


class TestManual:
    def test_the_first_version_does_not_wait(self) -> None:
        cluster = served(modelRef=MANUAL)
        assert cluster.condition("Pending")["status"] == "False"
        assert "pendingVersion" not in cluster.status

    def test_a_newer_version_waits_and_says_how_to_go_on(self) -> None:
        cluster = waiting()
        assert (cluster.status["stable"]["version"], cluster.status["pendingVersion"]) == (1, 2)
        assert "candidate" not in cluster.status
        assert cluster.status["phase"] == "Healthy"
        pending = cluster.condition("Pending")
        assert (pending["status"], pending["reason"]) == ("True", "AwaitingApproval")
        assert "kubectl annotate cdep cities shoal.dev/approve=2 --overwrite --namespace fish" in pending["message"]
        assert pending["message"] in cluster.status["message"]
        assert [event.reason for event in cluster.events].count("AwaitingApproval") == 1

    @pytest.mark.parametrize("value", ["true", "2"])
    def test_approved_it_is_rolled_out_by_the_strategy(self, value: str) -> None:
        cluster = waiting()
        cluster.command("approve", value)
        cluster.settle()
        assert cluster.status["candidate"]["version"] == 2
        assert cluster.status["weight"] == 25
        assert cluster.condition("Pending")["status"] == "False"
        cluster.command("promote-full")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert "approvedVersion" not in cluster.status

    @pytest.mark.parametrize("value", ["7", "1", "-2", "2.0", "latest", "x" * 200])
    def test_an_approval_of_what_does_not_wait_is_told_and_has_no_effect(self, value: str) -> None:
        cluster = waiting()
        cluster.command("approve", value)
        cluster.settle()
        assert "candidate" not in cluster.status
        assert any(event.type == "Warning" and "version 2 does" in event.message for event in cluster.events)
        assert "shoal.dev/approve" not in cluster.deployment["metadata"]["annotations"]

    def test_an_approval_is_of_one_version_only(self) -> None:
        cluster = waiting()
        cluster.command("approve", "2")
        cluster.settle()
        cluster.versions.append(objects.version(3))
        cluster.settle()
        assert (cluster.status["candidate"]["version"], cluster.status["pendingVersion"]) == (2, 3)

    def test_abort_beside_approve_wins(self) -> None:
        cluster = waiting()
        cluster.command("approve")
        cluster.command("abort")
        cluster.settle()
        assert "candidate" not in cluster.status
        cluster.command("approve", "again")
        cluster.command("approve", "2")
        cluster.settle()
        cluster.command("abort")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 1
        assert [item["version"] for item in cluster.status["blockedVersions"]] == [2]
        assert "pendingVersion" not in cluster.status, "a version that was rolled back does not ask again"

    def test_a_changed_policy_lets_it_go_on(self) -> None:
        cluster = waiting()
        cluster.change(modelRef={**MANUAL, "policy": "Automatic"})
        cluster.settle()
        assert cluster.status["candidate"]["version"] == 2
        cluster.change(modelRef=MANUAL)
        cluster.settle()
        assert cluster.status["candidate"]["version"] == 2, "what is on trial already is not taken back"

    def test_an_old_approval_never_takes_a_newer_stable_version_back(self) -> None:
        cluster = waiting()
        cluster.command("approve")
        cluster.settle()
        cluster.command("promote-full")
        cluster.settle()
        cluster.change(modelRef={**MANUAL, "policy": "Automatic"})
        cluster.versions.append(objects.version(3))
        cluster.settle()
        cluster.command("promote-full")
        cluster.settle()
        cluster.change(modelRef=MANUAL)
        cluster.settle()
        assert cluster.status["stable"]["version"] == 3
        assert "candidate" not in cluster.status

    def test_a_change_of_the_image_is_no_new_version_and_does_not_wait(self) -> None:
        cluster = waiting()
        cluster.change(worker={"replicas": 4, "image": "other:2"})
        cluster.settle()
        assert (cluster.status["candidate"]["version"], cluster.status["candidate"]["image"]) == (1, "other:2")
        assert cluster.status["pendingVersion"] == 2

    def test_what_serves_goes_on_when_its_record_is_gone(self) -> None:
        cluster = waiting()
        cluster.versions = cluster.versions[1:]
        cluster.settle()
        assert cluster.status["stable"]["version"] == 1
        assert cluster.status["pendingVersion"] == 2

    def test_it_needs_latest(self) -> None:
        with pytest.raises(ValidationError, match="policy Manual has no effect"):
            ModelVersionReference(name="cities", version="2", policy="Manual")


class TestPins:
    def test_a_digest_is_a_version(self) -> None:
        cluster = served()
        cluster.versions.append(objects.version(2))
        cluster.versions.append(objects.version(3))
        pin(cluster, f"sha256:{2:064x}")
        assert cluster.status["candidate"]["version"] == 2

    def test_a_digest_that_no_version_has(self) -> None:
        cluster = served()
        pin(cluster, f"sha256:{9:064x}")
        assert cluster.condition("Degraded")["reason"] == "VersionNotFound"
        assert cluster.status["stable"]["version"] == 1

    @pytest.mark.parametrize(("state", "reason"), [("Archived", "VersionArchived"), ("Retired", "VersionRetired")])
    def test_a_version_that_is_offered_no_more_says_how_to_bring_it_back(self, state: str, reason: str) -> None:
        cluster = served()
        cluster.versions.append(objects.version(2, state=state))
        pin(cluster, "2")
        degraded = cluster.condition("Degraded")
        assert degraded["reason"] == reason
        assert (
            "kubectl annotate cmv cities-v2 shoal.dev/state=Active --overwrite --namespace fish" in degraded["message"]
        )
        assert cluster.status["stable"]["version"] == 1
        cluster.versions[1] = objects.version(2)
        cluster.settle()
        assert cluster.status["candidate"]["version"] == 2


class TestRetired:
    @pytest.mark.parametrize("wanted", ["latest", "1", f"sha256:{1:064x}"])
    def test_what_serves_goes_on_serving(self, wanted: str) -> None:
        cluster = served(modelRef={"name": "cities", "version": wanted})
        stable = cluster.revision("stable")
        cluster.versions[0] = objects.version(1, state="Retired")
        cluster.settle()
        assert (cluster.revision("stable"), cluster.status["phase"]) == (stable, "Healthy")

    def test_an_older_version_does_not_take_over(self) -> None:
        cluster = FakeCluster(
            objects.deployment({"strategy": {"canary": {}}}), [objects.version(1), objects.version(2)]
        )
        cluster.settle()
        cluster.versions[1] = objects.version(2, state="Retired")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2
        assert "candidate" not in cluster.status

    def test_it_is_not_offered_to_others(self) -> None:
        versions = [objects.version(1), objects.version(2, state="Retired"), objects.version(3, state="Archived")]
        cluster = FakeCluster(objects.deployment(), versions)
        cluster.settle()
        assert cluster.status["stable"]["version"] == 1

    def test_a_trial_goes_on_but_does_not_begin_again(self) -> None:
        cluster = served()
        cluster.versions.append(objects.version(2))
        cluster.settle()
        cluster.versions[1] = objects.version(2, state="Retired")
        cluster.settle()
        assert cluster.status["candidate"]["version"] == 2
        cluster.command("abort")
        cluster.settle()
        cluster.command("retry")
        cluster.settle()
        assert "candidate" not in cluster.status


def refused(**more: Any) -> dict[str, Any]:
    """Return the status of a pod whose worker refused its artifact again and again."""
    report = objects.failure_report(
        reason="ArtifactRefused", field="artifact", value="", message="manifest.json is missing", remedy="Train again"
    )
    return objects.terminated(report, restarts=3) | more


def test_a_version_whose_artifact_is_gone_from_the_store_is_rolled_back_and_its_pods_go() -> None:
    cluster = served()
    stable = cluster.revision("stable")
    cluster.versions.append(objects.version(2))
    cluster.reconcile()
    cluster.run_controllers()
    candidate = cluster.revision("candidate")
    for pod in cluster.pool(candidate):
        cluster.pods[pod.name] = replace(pod, status=refused())
    cluster.broken.add(candidate or "")
    cluster.settle()
    assert {pod.revision for pod in cluster.endpoints()} == {stable}
    degraded = cluster.condition("Degraded")
    assert degraded["reason"] == "RolledBack"
    assert "manifest.json is missing" in degraded["message"]
    cluster.wait(31)
    cluster.settle()
    assert cluster.pool(candidate) == []
    assert len(cluster._of_kind("Deployment")) == 1
    assert len(cluster.pool(stable)) == 4
