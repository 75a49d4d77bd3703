"""The scaler as a whole: what is decided on a look, what is told, and what the plan does about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shoal_operator.api.deployment import Revision, WorkerSettings
from shoal_operator.api.meta import Condition, ResourceRequirements
from shoal_operator.api.scaling import PastRecommendation, Scaling, ScalingStatus
from shoal_operator.core.facts import timestamp
from shoal_operator.core.scaling.proposal import Pool
from shoal_operator.core.scaling.recommendation import Recommendation, recommend
from shoal_operator.core.snapshot import Load, LoadSample, PodFacts
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.objects import NOW

SETTINGS = WorkerSettings(resources=ResourceRequirements(requests={"cpu": "1"}))
REVISION = Revision(revision="00000001", version=1, settings=SETTINGS)


def scaling(**more: Any) -> Scaling:
    metrics = {"queue": {"averageValue": 10}}
    return Scaling.model_validate({"minReplicas": 2, "maxReplicas": 20, "metrics": metrics, **more})


def pods(count: int) -> tuple[PodFacts, ...]:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2025-12-31T00:01:00Z"}
    status = {"phase": "Running", "startTime": "2025-12-31T00:00:00Z", "conditions": [ready]}
    return tuple(
        PodFacts(f"pod-{place}", f"uid-{place}", "00000001", True, False, False, "10.0.0.1", "", status)
        for place in range(count)
    )


def load(value: float | None, count: int, at: datetime = NOW, **more: Any) -> Load:
    samples = {} if value is None else {f"uid-{n}": LoadSample(round(1000 * value), at) for n in range(count)}
    return Load(timestamp(at), {"queue": samples}, **more)


def decide(
    status: ScalingStatus | None,
    seen: Load | None,
    spec: Scaling | None = None,
    conditions: tuple[Condition, ...] = (),
    now: datetime = NOW,
    count: int = 4,
) -> Recommendation:
    return recommend(spec or scaling(), status, conditions, (Pool(REVISION, pods(count)),), seen, 4, now)


def told(found: Recommendation, kind: str) -> tuple[bool, str]:
    return next((item.holds, item.reason) for item in found.findings if item.type == kind)


def test_it_begins_with_the_pods_of_the_spec_and_waits_for_figures() -> None:
    found = decide(None, None)

    assert found.status.replicas == 4
    assert told(found, "ScalingActive") == (False, "FailedGetMetrics")


def test_a_look_above_the_target_adds_pods_and_says_why() -> None:
    found = decide(None, load(20, 4))

    assert found.status.replicas == 8
    assert told(found, "ScalingActive") == (True, "ValidMetricFound")
    assert told(found, "ScalingLimited") == (False, "DesiredWithinRange")
    assert told(found, "AbleToScale") == (True, "SucceededRescale")
    assert [event.message for event in found.events] == ["New size: 8; reason: queue above target."]


def test_a_look_is_decided_on_once() -> None:
    first = decide(None, load(20, 4))

    again = decide(first.status, load(20, 4))

    assert (again.status, again.events) == (first.status, ())


def test_a_lull_removes_no_pod_before_the_window_is_over() -> None:
    begun = ScalingStatus(
        replicas=8, recommendations=[PastRecommendation(at=timestamp(NOW - timedelta(seconds=290)), replicas=8)]
    )

    early = decide(begun, load(1, 8), count=8)
    late = decide(early.status, load(1, 8, NOW + timedelta(seconds=20)), now=NOW + timedelta(seconds=20), count=8)

    assert early.status.replicas == 8
    assert told(early, "AbleToScale") == (True, "ScaleDownStabilized")
    assert late.status.replicas == 2
    assert told(late, "ScalingLimited") == (True, "TooFewReplicas")


@pytest.mark.parametrize(
    "seen",
    [
        load(None, 4),
        load(0, 4, problems={"queue": "the server answered 500"}),
        load(0, 4, NOW - timedelta(seconds=61)),
        load(0, 4, rival="HorizontalPodAutoscaler towns"),
        Load("yesterday", {"queue": {}}),
    ],
    ids=["no figures", "a source that fails", "stale", "another autoscaler", "no time"],
)
def test_without_figures_to_trust_nothing_changes_and_the_reason_is_told(seen: Load) -> None:
    found = decide(ScalingStatus(replicas=6), seen)

    assert found.status.replicas == 6
    assert told(found, "ScalingActive")[0] is False
    assert not found.events


def test_a_metric_that_is_missing_lets_others_add_pods_but_remove_none() -> None:
    spec = scaling(metrics={"queue": {"averageValue": 10}, "cpu": {"averageUtilization": 50}})
    broken = {"cpu": "the metrics API gives no figures"}

    up = decide(ScalingStatus(replicas=4), load(20, 4, problems=broken), spec)
    down = decide(ScalingStatus(replicas=8), load(1, 8, problems=broken), spec, count=8)

    assert (up.status.replicas, down.status.replicas) == (8, 8)
    assert told(down, "ScalingActive") == (False, "FailedGetResourceMetric")
    assert "cpu: the metrics API gives no figures" in next(
        item.message for item in up.findings if item.type == "ScalingActive"
    )


def test_bounds_that_were_moved_are_kept_at_once() -> None:
    assert decide(ScalingStatus(replicas=30), None).status.replicas == 20
    assert decide(ScalingStatus(replicas=1), None).status.replicas == 2


def test_figures_that_stop_coming_are_told_after_a_minute() -> None:
    first = decide(None, load(10, 4))
    conditions = tuple(
        Condition(type=item.type, status="True" if item.holds else "False", reason=item.reason)
        for item in first.findings
    )

    soon = decide(first.status, load(10, 4), conditions=conditions, now=NOW + timedelta(seconds=30))
    later = decide(first.status, load(10, 4), conditions=conditions, now=NOW + timedelta(seconds=61))

    assert told(soon, "ScalingActive") == (True, "ValidMetricFound")
    assert told(later, "ScalingActive") == (False, "FailedGetMetrics")


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("queue", "FailedGetPodsMetric"),
        ("requestsPerSecond", "FailedGetPodsMetric"),
        ("cpu", "FailedGetResourceMetric"),
        ("memory", "FailedGetResourceMetric"),
        ("prometheus/jobs", "FailedGetExternalMetric"),
    ],
)
def test_a_metric_that_fails_is_told_with_the_horizontal_pod_autoscalers_reason(metric: str, reason: str) -> None:
    query = {"name": "jobs", "address": "http://prometheus", "query": "jobs", "averageValue": 10}
    target = (
        [query] if "/" in metric else {"averageUtilization": 50} if metric in ("cpu", "memory") else {"averageValue": 1}
    )
    spec = scaling(metrics={metric.partition("/")[0]: target})

    found = decide(ScalingStatus(replicas=4), load(None, 4), spec)

    assert told(found, "ScalingActive") == (False, reason)
    assert found.status.replicas == 4


@pytest.mark.parametrize(
    ("value", "reason"),
    [(10, "ReadyForNewScale"), (10.9, "ReadyForNewScale"), (20, "SucceededRescale"), (2, "ScaleDownStabilized")],
)
def test_able_to_scale_says_what_became_of_the_look(value: float, reason: str) -> None:
    assert told(decide(ScalingStatus(replicas=4), load(value, 4)), "AbleToScale") == (True, reason)


@pytest.mark.parametrize(
    ("value", "held", "reason"),
    [(10, False, "DesiredWithinRange"), (60, True, "ScaleUpLimit"), (100, True, "TooManyReplicas")],
)
def test_scaling_limited_says_what_holds_it_back(value: float, held: bool, reason: str) -> None:
    spec = scaling(maxReplicas=7 if value == 100 else 40)

    assert told(decide(ScalingStatus(replicas=4), load(value, 4), spec), "ScalingLimited") == (held, reason)


def test_the_pods_of_the_beginning_count_as_wanted_for_a_window() -> None:
    """As the HorizontalPodAutoscaler's initial recommendation: a new scaler must not remove pods at its first look."""
    found = decide(None, load(1, 4))

    assert found.status.replicas == 4
    assert told(found, "AbleToScale") == (True, "ScaleDownStabilized")
    late = NOW + timedelta(seconds=301)
    assert decide(found.status, load(1, 4, late), now=late).status.replicas == 2


def scaled_cluster() -> FakeCluster:
    spec = {"scaling": scaling().to_wire(), "worker": {"replicas": 2}}
    cluster = FakeCluster(objects.deployment(spec), versions=[objects.version(1)])
    cluster.settle()
    return cluster


def test_the_plan_grows_the_pool_and_writes_the_window_down() -> None:
    cluster = scaled_cluster()
    serving = [pod for pod in cluster.snapshot().pods if pod.ready]
    samples = {pod.uid: LoadSample(30_000, cluster.now) for pod in serving}

    cluster.load = Load(timestamp(cluster.now), {"queue": samples})
    cluster.settle()

    status = cluster.deployment["status"]
    assert status["scaling"]["replicas"] == 6
    assert status["readyReplicas"] == 6
    assert {item["type"] for item in status["conditions"]} >= {"AbleToScale", "ScalingActive", "ScalingLimited"}
    assert status["phase"] == "Healthy"


def test_zero_replicas_switch_it_off() -> None:
    cluster = scaled_cluster()

    cluster.change(worker={"replicas": 0})
    cluster.settle()

    assert cluster.deployment["status"]["scaling"]["replicas"] == 0
    active = next(item for item in cluster.deployment["status"]["conditions"] if item["type"] == "ScalingActive")
    assert active["reason"] == "ScalingDisabled"


def test_a_candidate_that_needs_more_pods_than_its_share_gets_them() -> None:
    spec = scaling(maxReplicas=50)
    candidate = REVISION.model_copy(update={"revision": "00000002", "version": 2})
    stable_pods = pods(10)
    trial = replace(pods(1)[0], name="trial", uid="uid-trial", revision="00000002")
    samples = {pod.uid: LoadSample(9000, NOW) for pod in stable_pods} | {"uid-trial": LoadSample(40_000, NOW)}
    pools = (Pool(REVISION, stable_pods), Pool(candidate, (trial,)))
    seen = Load(timestamp(NOW), {"queue": samples})

    found = recommend(spec, ScalingStatus(replicas=10, candidate_weight=10), (), pools, seen, 10, NOW, share=10)

    assert (found.status.replicas, found.status.candidate_replicas) == (13, 4)
    # Four pods for a tenth of the calls.
    assert found.status.candidate_for_all == 40


def test_a_share_that_has_just_risen_does_not_make_the_candidate_look_cheaper() -> None:
    """Half of the look was at a tenth of the calls, so its figures tell half of what the new share needs."""
    before = ScalingStatus(replicas=10, candidate_for_all=40, candidate_weight=10)
    trial = replace(pods(1)[0], uid="uid-trial", revision="00000002")
    samples = {f"uid-{place}": LoadSample(9000, NOW) for place in range(10)} | {"uid-trial": LoadSample(40_000, NOW)}
    candidate = REVISION.model_copy(update={"revision": "00000002"})
    pools = (Pool(REVISION, pods(10)), Pool(candidate, (trial,)))
    spec, later = scaling(maxReplicas=50), NOW + timedelta(seconds=15)

    first = recommend(spec, before, (), pools, Load(timestamp(NOW), {"queue": samples}), 10, NOW, share=50)
    second = recommend(spec, first.status, (), pools, Load(timestamp(later), {"queue": samples}), 10, later, share=50)

    assert [found.status.candidate_for_all for found in (first, second)] == [40, 8]


STEPS = {"canary": {"steps": [{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]}}


def slow_candidate() -> FakeCluster:
    """Return a cluster with version 2 at 10 %, whose single pod has four times the calls that a pod should have."""
    spec = {
        "scaling": scaling(maxReplicas=40).to_wire(),
        "worker": {"replicas": 10},
        "strategy": STEPS,
        "traffic": {"router": "Gateway", "gateway": {"name": "gateway"}},
    }
    cluster = FakeCluster(objects.deployment(spec), versions=[objects.version(1)])
    cluster.settle()
    cluster.versions.append(objects.version(2))
    cluster.settle()
    assert cluster.status["actualWeight"] == 10
    busy = {cluster.revision("stable"): 9_000, cluster.revision("candidate"): 40_000}
    samples = {pod.uid: LoadSample(busy[pod.revision], cluster.now) for pod in cluster.snapshot().pods}
    cluster.pods = {name: replace(pod, status={"phase": "Running"}) for name, pod in cluster.pods.items()}
    cluster.load = Load(timestamp(cluster.now), {"queue": samples})
    cluster.settle()
    return cluster


def test_a_pool_is_sized_for_the_next_weight_before_the_weight_rises() -> None:
    cluster = slow_candidate()
    candidate = cluster.revision("candidate")
    assert len(cluster.pool(candidate)) == 4

    cluster.command("promote")
    cluster.reconcile()
    cluster.run_controllers()
    cluster.reconcile()

    assert cluster.status["actualWeight"] == 10
    # At four pods for 10 % half of the calls need twenty, not the half of thirteen.
    assert len(cluster.pool(candidate)) == 20
    assert "of the 20 pods" in cluster.condition("Progressing")["message"]
    cluster.settle()
    assert cluster.status["actualWeight"] == 50
    assert sum(pod.ready for pod in cluster.pool(candidate)) == 20


class TestZero:
    """With minReplicas 0: no pods without messages, the first ones as soon as some wait, never on missing figures."""

    ZERO = scaling(minReplicas=0)
    WITH_CPU = scaling(minReplicas=0, metrics={"queue": {"averageValue": 10}, "cpu": {"averageUtilization": 50}})

    def seen(self, value: float | None, count: int, at: datetime = NOW, backlog: int | None = None) -> Load:
        return replace(load(value, count, at), backlog=backlog)

    def test_pods_go_after_the_window_without_messages(self) -> None:
        begun = ScalingStatus(
            replicas=2, recommendations=[PastRecommendation(at=timestamp(NOW - timedelta(seconds=290)), replicas=1)]
        )
        early = decide(begun, self.seen(0, 2, backlog=0), self.ZERO, count=2)
        assert early.status.replicas == 1
        at = NOW + timedelta(seconds=20)
        late = decide(early.status, self.seen(0, 1, at, backlog=0), self.ZERO, now=at, count=1)
        assert late.status.replicas == 0
        assert told(late, "ScalingActive") == (True, "ValidMetricFound")

    def test_one_message_that_waits_or_is_leased_keeps_a_pod(self) -> None:
        found = decide(ScalingStatus(replicas=1), self.seen(1, 1, backlog=1), self.ZERO, count=1)
        assert found.status.replicas == 1

    @pytest.mark.parametrize(("backlog", "replicas"), [(0, 0), (1, 1), (11, 2), (10_000, 4)])
    def test_the_first_pods_come_with_messages_at_the_pace_of_scaling_up(self, backlog: int, replicas: int) -> None:
        found = decide(ScalingStatus(replicas=0), self.seen(None, 0, backlog=backlog), self.ZERO, count=0)
        assert found.status.replicas == replicas

    def test_an_unknown_backlog_changes_nothing(self) -> None:
        unknown = replace(self.seen(None, 0), problems={"queue": "the server does not answer"})
        for replicas in (0, 2):
            found = decide(ScalingStatus(replicas=replicas), unknown, self.ZERO, count=replicas)
            assert found.status.replicas == replicas
            assert told(found, "ScalingActive") == (False, "FailedGetPodsMetric")

    def test_the_cpu_of_an_idle_pod_is_no_reason_for_one(self) -> None:
        idle = self.seen(0, 1, backlog=0)
        idle = replace(idle, samples={**idle.samples, "cpu": {"uid-0": LoadSample(20, NOW, timedelta(seconds=15))}})
        long_ago = [PastRecommendation(at=timestamp(NOW - timedelta(seconds=290)), replicas=0)]
        begun = ScalingStatus(replicas=1, recommendations=long_ago)
        assert decide(begun, idle, self.WITH_CPU, count=1).status.replicas == 0
        busy = replace(idle, backlog=3)
        assert decide(begun, busy, self.WITH_CPU, count=1).status.replicas == 1

    def test_cpu_that_nobody_can_tell_at_zero_does_not_keep_pods_away(self) -> None:
        found = decide(ScalingStatus(replicas=0), self.seen(None, 0, backlog=5), self.WITH_CPU, count=0)
        assert found.status.replicas == 1
