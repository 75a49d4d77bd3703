"""A deployment whose consumer is to be deleted with it: after its pods, by a Job, and in bounded time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shoal_operator.core import names
from shoal_operator.core.facts import timestamp
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.test_rollout_streams import INGESTION
from tests.unit.core.trials import CANARY

FORGETFUL = {**INGESTION, "consumerAtDeletion": "Delete"}


def serving(ingestion: dict[str, Any] | None = None) -> FakeCluster:
    spec = {"ingestion": FORGETFUL if ingestion is None else ingestion, "strategy": CANARY, "worker": {"replicas": 2}}
    cluster = FakeCluster(objects.deployment(spec), [objects.version(1)])
    cluster.settle()
    return cluster


def finalizers(cluster: FakeCluster) -> list[str]:
    return list(cluster.deployment["metadata"].get("finalizers", []))


def delete(cluster: FakeCluster) -> None:
    cluster.deployment["metadata"]["deletionTimestamp"] = timestamp(cluster.now)


def without_pods(cluster: FakeCluster) -> dict[str, Any]:
    """Let it go on until the Job is there, and return that."""
    cluster.reconcile()
    cluster.run_controllers()
    assert not cluster.pods
    cluster.reconcile()
    [job] = cluster._of_kind("Job")
    return dict(job)


def end(cluster: FakeCluster, condition: str) -> None:
    [job] = cluster._of_kind("Job")
    job["status"] = {"conditions": [{"type": condition, "status": "True"}]}


def test_only_who_asks_for_it_is_held_and_no_pod_is_made_anew_for_it() -> None:
    cluster = serving(INGESTION)
    assert finalizers(cluster) == []
    pods = set(cluster.pods)
    cluster.deployment["metadata"]["finalizers"] = ["theirs"]
    cluster.change(ingestion=FORGETFUL)
    cluster.settle()
    assert finalizers(cluster) == ["theirs", names.CONSUMER_FINALIZER]
    cluster.change(ingestion=INGESTION)
    cluster.settle()
    assert finalizers(cluster) == ["theirs"]
    assert set(cluster.pods) == pods


def test_the_consumer_goes_after_the_pods_by_a_job_that_nothing_owns() -> None:
    cluster = serving()
    delete(cluster)
    cluster.reconcile()
    assert cluster._of_kind("Deployment") == cluster.jobs() == []
    cluster.reconcile()
    assert cluster.jobs() == [], "a pod would create the consumer anew"
    job = without_pods(cluster)
    assert "ownerReferences" not in job["metadata"]
    assert job["spec"]["ttlSecondsAfterFinished"] > 0
    [container] = job["spec"]["template"]["spec"]["containers"]
    variables = {item["name"]: item["value"] for item in container["env"]}
    assert container["args"] == ["forget-consumer"]
    assert (variables["SHOAL_INPUT_STREAM"], variables["SHOAL_CONSUMER"]) == ("readings", "shoal-fish-cities")
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert variables["SHOAL_NATS_SECRET_DIR"] == mounts["nats-secret"]
    cluster.reconcile()
    assert finalizers(cluster) == [names.CONSUMER_FINALIZER]
    end(cluster, "Complete")
    cluster.reconcile()
    assert finalizers(cluster) == []
    assert [event.reason for event in cluster.events][-1] == "ConsumerDeleted"
    assert cluster.reconcile().actions == ()


def test_a_job_that_fails_lets_it_go_and_tells_the_command() -> None:
    cluster = serving()
    delete(cluster)
    without_pods(cluster)
    end(cluster, "Failed")
    cluster.reconcile()
    assert finalizers(cluster) == []
    event = cluster.events[-1]
    assert (event.type, event.reason) == ("Warning", "ConsumerLeft")
    assert "`nats consumer rm readings shoal-fish-cities --force`" in event.message


@pytest.mark.parametrize("job", [True, False], ids=["a job that hangs", "pods that stay"])
def test_it_is_held_for_minutes_at_most(job: bool) -> None:
    cluster = serving()
    delete(cluster)
    if job:
        without_pods(cluster)
    cluster.now += timedelta(minutes=4)
    cluster.reconcile()
    assert finalizers(cluster) == []
    assert cluster.events[-1].reason == "ConsumerLeft"


def test_pods_that_do_not_end_are_not_waited_for_for_ever() -> None:
    cluster = serving()
    delete(cluster)
    cluster.reconcile()
    cluster.now += timedelta(seconds=100)
    cluster.reconcile()
    assert len(cluster.pods) == 2
    assert len(cluster.jobs()) == 1


def test_a_spec_that_was_spoilt_holds_nothing() -> None:
    cluster = serving()
    cluster.deployment["spec"]["ingestion"]["output"] = {}
    delete(cluster)
    cluster.reconcile()
    assert finalizers(cluster) == []
