"""A deployment outside rollouts: specs that cannot be served, drift, lost pods, passes that change nothing."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from shoal_operator.core.rollout import plan_deployment
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import served, trying


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
