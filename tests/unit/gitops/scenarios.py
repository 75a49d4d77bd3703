"""Objects as the operator's own core leaves them, one for each thing that can be said of them.

The tests of health, actions and healthCheckExprs judge these, so that no status is judged that the operator never
writes. Each scenario is told as the tests of the core tell theirs: over the cluster in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from shoal_operator.core import names
from shoal_operator.core.training import plan_model
from shoal_operator.core.versions import plan_version
from tests.unit.core import objects, test_batch
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.test_training import identity, job, job_pod, snapshot
from tests.unit.core.trials import BLUE_GREEN, CANARY, GATEWAY, bad_calls, good_calls, served, trying

Raw = dict[str, Any]
Health = Literal["Healthy", "Progressing", "Suspended", "Degraded"]
Status = Literal["Current", "InProgress", "Failed"]


class Scenario(NamedTuple):
    """An object, and what each tool is to make of it."""

    name: str
    build: Callable[[], Raw]
    argocd: Health
    flux: Status | None = None
    """By the expressions of docs/gitops.md; None for the operator's own records, which are in no Git."""
    kstatus: Status | None = None
    """Without expressions."""
    cluster: Callable[[], FakeCluster] | None = None
    """The cluster around a deployment."""


APPROVED_BY_HAND = {"modelRef": {"name": "cities", "policy": "Manual"}}


def reconciled(cluster: FakeCluster) -> FakeCluster:
    """Let one pass see what was changed."""
    cluster.reconcile()
    return cluster


def settled(cluster: FakeCluster) -> FakeCluster:
    """Let the cluster come to rest."""
    cluster.settle()
    return cluster


def created(versions: int = 1, **spec: Any) -> FakeCluster:
    """Return a deployment that was just applied."""
    base: Raw = {"strategy": CANARY, "worker": {"replicas": 2}}
    known = [objects.version(number + 1) for number in range(versions)]
    return FakeCluster(objects.deployment({**base, **spec}), known)


def changed(cluster: FakeCluster, **spec: Any) -> FakeCluster:
    cluster.change(**spec)
    return cluster


def commanded(cluster: FakeCluster, command: str, value: str = "true") -> FakeCluster:
    cluster.command(command, value)
    return reconciled(cluster)


def failing(**spec: Any) -> FakeCluster:
    """Return a rollout whose candidate answered half of its calls with errors."""
    cluster = trying(**spec)
    bad_calls(cluster)
    cluster.wait(61)
    return settled(cluster)


def tried_again() -> FakeCluster:
    cluster = failing()
    cluster.windows.clear()
    return settled(commanded(cluster, "retry"))


def without_calls() -> FakeCluster:
    """Return a rollout whose first step is over without any call to judge by."""
    cluster = trying(analysis={"onInconclusive": "Hold"})
    cluster.wait(61)
    return settled(cluster)


def at_the_pause() -> FakeCluster:
    """Return a rollout at the step that waits for a person."""
    cluster = trying()
    for _ in range(3):
        good_calls(cluster)
        cluster.wait(61)
        cluster.settle()
    assert cluster.status["weight"] == 50
    return cluster


def promoted() -> FakeCluster:
    return settled(commanded(trying(), "promote-full"))


def never_ready(seconds: float, status: Raw | None = None) -> FakeCluster:
    """Return a first deployment whose pods are not ready after so many seconds."""
    cluster = created()
    cluster.reconcile()
    cluster.run_controllers()
    for pod in tuple(cluster.pods.values()):
        cluster.pods[pod.name] = replace(pod, status=status or {})
    cluster.reconcile()
    cluster.wait(seconds)
    return reconciled(cluster)


def stuck() -> FakeCluster:
    """Return a rollout whose candidate never became ready before its deadline."""
    cluster = served()
    cluster.versions.append(objects.version(2))
    cluster.reconcile()
    cluster.run_controllers()
    cluster.reconcile()
    cluster.wait(601)
    return reconciled(cluster)


def ailing(pods: int) -> FakeCluster:
    """Return a served deployment of four pods, so many of which crash."""
    cluster = served()
    for pod in list(cluster.pods.values())[:pods]:
        cluster.pods[pod.name] = replace(pod, ready=False, status=objects.crash_loop(5))
    return reconciled(cluster)


def awaiting_approval() -> FakeCluster:
    cluster = served(**APPROVED_BY_HAND)
    cluster.versions.append(objects.version(2))
    return settled(cluster)


def rejected_route() -> FakeCluster:
    cluster = served(traffic=GATEWAY)
    route = cluster.objects["GRPCRoute", "cities"]
    conditions = route["status"]["parents"][0]["conditions"]
    conditions[0] = {**conditions[0], "status": "False", "reason": "NoMatchingListenerHostname"}
    return reconciled(cluster)


def pinned_rejected() -> FakeCluster:
    cluster = served()
    cluster.versions.append(objects.version(2, verdict="fail"))
    return reconciled(changed(cluster, modelRef={"name": "cities", "version": "2"}))


def pinned_missing() -> FakeCluster:
    return reconciled(changed(served(), modelRef={"name": "cities", "version": "9"}))


def deployment(
    name: str, build: Callable[[], FakeCluster], argocd: Health, flux: Status, kstatus: Status = "Current"
) -> Scenario:
    return Scenario(f"deployment: {name}", lambda: build().deployment, argocd, flux, kstatus, build)


BY_HAND = {"blueGreen": {"autoPromotion": False}}
CRASHED = objects.crash_loop(5)

DEPLOYMENTS = (
    deployment("just applied", created, "Progressing", "InProgress", "InProgress"),
    deployment("no model yet", lambda: reconciled(created(0)), "Progressing", "InProgress", "InProgress"),
    deployment("the first pods are coming", lambda: never_ready(0), "Progressing", "InProgress", "InProgress"),
    deployment("the first pods crash", lambda: never_ready(0, CRASHED), "Progressing", "InProgress", "InProgress"),
    deployment("the first pods miss the deadline", lambda: never_ready(601), "Degraded", "Failed", "InProgress"),
    deployment("they crash up to it", lambda: never_ready(601, CRASHED), "Degraded", "Failed", "InProgress"),
    deployment("serves", served, "Healthy", "Current"),
    deployment("at 0 pods, as asked", lambda: settled(changed(served(), worker={"replicas": 0})), "Healthy", "Current"),
    deployment("one of four pods crashes", lambda: ailing(1), "Progressing", "InProgress"),
    deployment("all pods crash", lambda: ailing(4), "Degraded", "InProgress", "InProgress"),
    deployment("the gateway refuses the route", rejected_route, "Degraded", "InProgress", "InProgress"),
    deployment("an unseen change", lambda: changed(served(), paused=True), "Progressing", "InProgress", "InProgress"),
    deployment("a canary walks", trying, "Progressing", "InProgress"),
    deployment("blue-green walks", lambda: trying(strategy=BLUE_GREEN), "Progressing", "InProgress"),
    deployment("at a step's pause", at_the_pause, "Suspended", "InProgress"),
    deployment("paused by its user", lambda: commanded(trying(), "pause"), "Suspended", "InProgress"),
    deployment("paused by its spec", lambda: reconciled(changed(trying(), paused=True)), "Suspended", "InProgress"),
    deployment("no calls to judge by", without_calls, "Suspended", "InProgress"),
    deployment("awaits its promotion", lambda: trying(strategy=BY_HAND), "Suspended", "InProgress"),
    deployment("promoted", promoted, "Healthy", "Current"),
    deployment("rolled back by a gate", failing, "Degraded", "Failed"),
    deployment("rolled back by its user", lambda: settled(commanded(trying(), "abort")), "Degraded", "Failed"),
    deployment("rolled back by the deadline", stuck, "Degraded", "Failed"),
    deployment("paused by a gate", lambda: failing(onFailure="Pause"), "Degraded", "Failed"),
    deployment("tried again", tried_again, "Progressing", "InProgress"),
    deployment("a version waits for approval", awaiting_approval, "Suspended", "Current"),
    deployment("approved", lambda: settled(commanded(awaiting_approval(), "approve")), "Progressing", "InProgress"),
    deployment("pinned to no version", pinned_missing, "Progressing", "InProgress"),
    deployment("pinned to a rejected version", pinned_rejected, "Degraded", "Failed"),
    deployment("an unreadable spec", lambda: reconciled(changed(served(), onFailure="Quit")), "Degraded", "Failed"),
)


def planned_model(spec: Raw | None = None, **facts: Any) -> Raw:
    """Return a model after a pass over it."""
    model = objects.model(spec)
    plan = plan_model(snapshot(model, **facts), objects.NOW)
    assert plan.status is not None
    return {**model, "status": plan.status.status}


def trained(verdict: str = "pass", **spec: Any) -> Raw:
    version = objects.version(1, verdict=verdict, training_hash=identity(objects.model(spec)))
    return planned_model(spec, versions=(version,))


def failed_training() -> Raw:
    ended = job(objects.model(), condition="Failed", reason="BackoffLimitExceeded")
    return planned_model(jobs=(ended,), job_pods=(job_pod(ended, objects.terminated(objects.failure_report())),))


def without_secret() -> Raw:
    source = {"uri": "s3://data/x.parquet", "secretRef": {"name": "key"}}
    return planned_model({"source": source}, missing_secrets=frozenset({"key"}))


NEVER = {"schedule": "0 0 31 2 *"}
UNREADABLE = {"algorithm": {"dbscan": {"eps": -1}}}

MODELS = (
    Scenario("model: just applied", objects.model, "Progressing", "InProgress", "InProgress"),
    Scenario("model: trains", planned_model, "Progressing", "InProgress", "InProgress"),
    Scenario("model: lacks its Secret", without_secret, "Progressing", "InProgress", "InProgress"),
    Scenario("model: trained", trained, "Healthy", "Current", "Current"),
    Scenario("model: rejected", lambda: trained("fail"), "Degraded", "Failed", "InProgress"),
    Scenario("model: failed", failed_training, "Degraded", "Failed", "InProgress"),
    Scenario("model: an unreadable spec", lambda: planned_model(UNREADABLE), "Degraded", "Failed", "InProgress"),
    Scenario("model: a time that never comes", lambda: trained(retrain=NEVER), "Degraded", "Current", "Current"),
)


def planned_version(annotations: Raw | None = None, **facts: Any) -> Raw:
    """Return a version after a pass over it."""
    version = objects.version(1, annotations=annotations, **facts)
    plan = plan_version(version, objects.NOW)
    assert plan.status is not None
    return {**version, "status": plan.status.status}


def disobedient() -> Raw:
    record = {"problem": "InvalidSpec", "message": "shoal.dev/state=Gone is no state."}
    return planned_version({names.LIFECYCLE: json.dumps(record)})


def state(name: str, build: Callable[[], Raw], argocd: Health) -> Scenario:
    return Scenario(f"version: {name}", build, argocd)


VERSIONS = (
    state("just recorded", lambda: {**objects.version(1), "status": {}}, "Progressing"),
    state("active", planned_version, "Healthy"),
    state("rejected", lambda: planned_version(verdict="fail"), "Degraded"),
    state("retired", lambda: planned_version(state="Retired"), "Healthy"),
    state("archived", lambda: planned_version(state="Archived"), "Healthy"),
    state("asked for a state that is none", disobedient, "Degraded"),
)


def at_work() -> test_batch.Cluster:
    return test_batch.running()


def completed() -> test_batch.Cluster:
    cluster = test_batch.Cluster(test_batch.batch())
    cluster.settle()
    cluster.end("plan", test_batch.plan_report(result=test_batch.RESULT))
    cluster.settle()
    return cluster


def failed_batch() -> test_batch.Cluster:
    cluster = test_batch.Cluster(test_batch.batch())
    cluster.settle()
    cluster.end("plan", objects.failure_report(), condition="Failed")
    cluster.settle()
    return cluster


def suspended() -> test_batch.Cluster:
    cluster = test_batch.Cluster(test_batch.batch({"suspend": True}))
    cluster.settle()
    return cluster


def without_model() -> test_batch.Cluster:
    cluster = test_batch.Cluster(test_batch.batch(), model=None, versions=())
    cluster.settle()
    return cluster


def unreadable_batch() -> test_batch.Cluster:
    cluster = test_batch.Cluster(test_batch.batch({"parallelism": -1}))
    cluster.settle()
    return cluster


def labels(name: str, build: Callable[[], test_batch.Cluster], argocd: Health, flux: Status) -> Scenario:
    kstatus: Status = "Current" if argocd == "Healthy" else "InProgress"
    return Scenario(f"batch: {name}", lambda: build().batch, argocd, flux, kstatus)


BATCHES = (
    labels("just applied", lambda: test_batch.Cluster(test_batch.batch()), "Progressing", "InProgress"),
    labels("no model yet", without_model, "Progressing", "InProgress"),
    labels("at work", at_work, "Progressing", "InProgress"),
    labels("suspended", suspended, "Suspended", "InProgress"),
    labels("complete", completed, "Healthy", "Current"),
    labels("failed", failed_batch, "Degraded", "Failed"),
    labels("an unreadable spec", unreadable_batch, "Degraded", "Failed"),
)

SCENARIOS = (*DEPLOYMENTS, *MODELS, *VERSIONS, *BATCHES)


def as_stored(thing: Raw) -> Raw:
    """Return an object as the API server hands it out: a status that nobody wrote yet has its default."""
    if thing["kind"] == "ClusteringModelVersion" or thing.get("status"):
        return thing
    return {**thing, "status": {"observedGeneration": -1}}
