"""A deployment that consumes a stream: its versions share leases, and without messages there may be no pods."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from shoal_operator.api.deployment import ClusteringDeploymentSpec
from shoal_operator.api.meta import Reason
from shoal_operator.core import names
from shoal_operator.core.facts import timestamp
from shoal_operator.core.rollout import required_secrets
from shoal_operator.core.snapshot import Load, LoadSample
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import CANARY, good_calls

INGESTION: dict[str, Any] = {
    "nats": {"url": "nats://nats:4222", "monitoringUrl": "http://nats:8222", "secretRef": {"name": "nats"}},
    "stream": "readings",
    "output": {"subject": "labels"},
    "deadLetterSubject": "dead",
}
TO_ZERO = {"minReplicas": 0, "maxReplicas": 6, "metrics": {"queue": {"averageValue": 100}}}


def consuming(**spec: Any) -> FakeCluster:
    """A cluster whose deployment consumes with version 1."""
    first = {"ingestion": INGESTION, "strategy": CANARY, "worker": {"replicas": 4}, **spec}
    cluster = FakeCluster(objects.deployment(first), [objects.version(1)])
    cluster.settle()
    return cluster


def shares(cluster: FakeCluster, role: str) -> list[str]:
    return [pod.share for pod in cluster.pool(cluster.revision(role))]


def test_its_pods_consume_and_there_is_no_service() -> None:
    cluster = consuming()
    assert cluster.status["phase"] == "Healthy"
    assert cluster._of_kind("Service") == []
    assert shares(cluster, "stable") == ["100"] * 4
    [workload] = cluster._of_kind("Deployment")
    pod = workload["spec"]["template"]["spec"]
    [container] = pod["containers"]
    variables = {item["name"]: item["value"] for item in container["env"]}
    assert container["args"] == ["consume"]
    assert [port["name"] for port in container["ports"]] == ["metrics", "internal"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": 8002}
    assert variables["SHOAL_CONSUMER"] == "shoal-fish-cities"
    assert "SHOAL_GRPC_PORT" not in variables
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert variables["SHOAL_SHARE_FILE"] == f"{mounts['pod']}/share"
    assert variables["SHOAL_NATS_SECRET_DIR"] == mounts["nats-secret"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert (
        volumes["pod"]["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"] == "metadata.annotations['shoal.dev/share']"
    )
    assert pod["terminationGracePeriodSeconds"] == 25


def test_labels_may_go_into_a_store_and_the_pods_get_its_credentials() -> None:
    store = {"uri": "file:///var/lib/shoal/store/labels", "secretRef": {"name": "labels"}, "rollMessages": 4000}
    spec = {"ingestion": {**INGESTION, "output": {"store": store}}, "strategy": CANARY}
    cluster = FakeCluster(objects.deployment(spec), [objects.version(1)])
    cluster.defaults = replace(cluster.defaults, store_claim_name="models")
    cluster.settle()
    [workload] = cluster._of_kind("Deployment")
    pod = workload["spec"]["template"]["spec"]
    [container] = pod["containers"]
    variables = {item["name"]: item["value"] for item in container["env"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert "SHOAL_OUTPUT_SUBJECT" not in variables
    assert variables["SHOAL_OUTPUT_URI"] == store["uri"]
    assert variables["SHOAL_OUTPUT_SECRET_DIR"] == mounts["output-secret"]["mountPath"]
    assert (variables["SHOAL_NAMESPACE"], variables["SHOAL_OUTPUT_ROLL_MESSAGES"]) == ("fish", "4000")
    # One file is gathered while another one is written.
    assert variables["SHOAL_MAX_IN_FLIGHT"] == "8000"
    assert mounts["model-store"]["readOnly"] is False
    assert "labels" in required_secrets(cluster.deployment, cluster.defaults)


@pytest.mark.parametrize("output", [{}, {"subject": "labels", "store": {"uri": "s3://a/b"}}])
def test_labels_go_to_one_place(output: dict[str, Any]) -> None:
    spec = {**objects.deployment()["spec"], "ingestion": {**INGESTION, "output": output}}
    with pytest.raises(ValidationError, match="exactly one of subject and store"):
        ClusteringDeploymentSpec.model_validate(spec)


def test_a_canary_takes_its_share_of_the_leases_and_a_promotion_the_rest() -> None:
    cluster = consuming()
    cluster.versions.append(objects.version(2))
    cluster.settle()
    old, new = cluster.revision("stable"), cluster.revision("candidate")
    assert (cluster.status["weight"], cluster.status["actualWeight"]) == (25, 25)
    assert "measuredWeight" not in cluster.status
    for role, leased in (("stable", 769), ("candidate", 231)):
        revision = cluster.revision(role)
        cluster.figure(revision, 1)
        cluster.windows[revision] = replace(cluster.windows[revision], leased=leased)
    cluster.reconcile()
    assert cluster.status["measuredWeight"] == 23.1
    assert (shares(cluster, "stable"), shares(cluster, "candidate")) == (["100"] * 4, ["25"])
    good_calls(cluster)
    cluster.wait(61)
    cluster.settle()
    assert cluster.status["actualWeight"] == 50
    cluster.command("promote")
    cluster.settle()
    assert cluster.revision("stable") == new
    assert shares(cluster, "stable") == ["100"] * 4
    assert [pod.share for pod in cluster.pool(old)] == ["0"] * 4


def test_a_rollback_takes_the_share_away_in_the_pass_that_decides_it() -> None:
    cluster = consuming()
    cluster.versions.append(objects.version(2))
    cluster.settle()
    new = cluster.revision("candidate")
    cluster.command("abort")
    cluster.reconcile()
    assert [pod.share for pod in cluster.pool(new)] == ["0"]
    assert shares(cluster, "stable") == ["100"] * 4


def test_a_candidate_that_is_not_tried_yet_leases_nothing() -> None:
    cluster = consuming()
    cluster.versions.append(objects.version(2))
    for _ in range(3):
        cluster.reconcile()
        cluster.run_controllers()
    cluster.reconcile()
    assert shares(cluster, "candidate") == ["0"]


def test_another_stream_is_another_revision() -> None:
    cluster = consuming()
    before = cluster.revision("stable")
    cluster.change(ingestion={**INGESTION, "stream": "others"})
    cluster.settle()
    assert cluster.revision("candidate") not in (None, before)


@pytest.mark.parametrize("reason", ["StreamMissing", "StreamRefused", "StreamUnavailable", "DuplicateWindowTooShort"])
def test_what_is_wrong_with_the_stream_is_told_with_its_remedy(reason: str) -> None:
    cluster = consuming()
    report = (
        f'{{"outcome":"Failed","reason":"{reason}","field":"SHOAL_INPUT_STREAM","value":"readings",'
        '"message":"there is no such stream","remedy":"Create it, or correct ingestion.stream","transient":true}'
    )
    for name, pod in cluster.pods.items():
        cluster.pods[name] = replace(pod, ready=False, status=objects.terminated(report, restarts=5))
    cluster.reconcile()
    degraded = cluster.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", Reason(reason))
    assert "Create it, or correct ingestion.stream" in degraded["message"]


def look(cluster: FakeCluster, backlog: int | None) -> None:
    """Let the operator read the stream's backlog."""
    pods = [pod for pod in cluster.pods.values() if pod.ready]
    part = round(1000 * (backlog or 0) / max(1, len(pods)))
    samples = {pod.uid: LoadSample(part, cluster.now) for pod in pods if backlog is not None}
    problems = {"queue": "no answer"} if backlog is None else {}
    cluster.load = Load(timestamp(cluster.now), {"queue": samples}, problems, backlog)
    cluster.settle()


def rest(cluster: FakeCluster) -> None:
    """Let it scale to zero."""
    for _ in range(7):
        look(cluster, 0)
        cluster.now += timedelta(seconds=55)


def test_without_messages_the_pods_go_and_with_some_they_come_back() -> None:
    cluster = consuming(scaling=TO_ZERO)
    look(cluster, 150)
    rest(cluster)
    assert cluster.pool(cluster.revision("stable")) == []
    assert cluster.status["phase"] == "Healthy"
    look(cluster, None)
    assert cluster.pool(cluster.revision("stable")) == []
    cluster.now += timedelta(seconds=15)
    look(cluster, 150)
    assert shares(cluster, "stable") == ["100"] * 2


def test_a_new_version_wakes_the_pods_that_judge_it_and_they_stay_until_it_is_decided() -> None:
    cluster = consuming(scaling=TO_ZERO)
    rest(cluster)
    cluster.versions.append(objects.version(2))
    cluster.settle()
    rest(cluster)
    assert len(cluster.pool(cluster.revision("stable"))) == 1
    assert len(cluster.pool(cluster.revision("candidate"))) == 1
    cluster.command("promote-full")
    cluster.settle()
    assert cluster.status["stable"]["version"] == 2
    rest(cluster)
    assert cluster.pool(cluster.revision("stable")) == []


def test_the_secret_of_the_servers_is_required() -> None:
    assert required_secrets(objects.deployment({"ingestion": INGESTION}), objects.DEFAULTS) == {"store", "nats"}


GATEWAY: dict[str, Any] = {"router": "Gateway", "gateway": {"name": "g"}}
UNWATCHED: dict[str, Any] = {**INGESTION, "nats": {"url": "nats://nats:4222"}}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"ingestion": INGESTION, "traffic": GATEWAY},
            "traffic.router Gateway",
        ),
        ({"ingestion": INGESTION, "worker": {"maxInFlight": 7}}, "worker.maxInFlight"),
        ({"scaling": TO_ZERO}, "scaling.minReplicas 0"),
        (
            {"ingestion": {**INGESTION, "nats": {"url": "nats://nats:4222"}}, "scaling": TO_ZERO},
            "scaling.minReplicas 0",
        ),
        ({"ingestion": {**INGESTION, "nats": {"url": "nats://user:word@nats:4222"}}}, "ingestion.nats.url"),
        ({"ingestion": {**INGESTION, "output": {"subject": "labels.*"}}}, "ingestion.output.subject"),
        ({"ingestion": {**INGESTION, "stream": "a.b"}}, "ingestion.stream"),
    ],
)
def test_what_cannot_be_is_refused(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as told:
        ClusteringDeploymentSpec.model_validate({"modelRef": {"name": "cities"}, **spec})
    error = told.value.errors()[0]
    assert words in ".".join(map(str, error["loc"])) + error["msg"]


def test_a_consumers_name_is_one_that_nats_takes() -> None:
    assert names.consumer("fish", "towns.eu") == "shoal-fish-towns_eu"
    assert len(names.consumer("n" * 63, "d" * 253)) <= 255
