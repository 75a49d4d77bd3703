"""The scaler as a whole: what is decided on a look, what is told, and what the plan does about it."""

from __future__ import annotations

import itertools
import math
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
    assert told(down, "ScalingActive") == (False, "FailedGetMetrics")
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


def test_noise_of_nine_percent_changes_nothing_in_half_an_hour() -> None:
    status: ScalingStatus | None = None
    for number in range(120):
        now = NOW + timedelta(seconds=15 * number)
        value = 10 * (1 + 0.09 * math.sin(number * 2.4))
        status = decide(status, load(value, 4, now), now=now).status

    assert status is not None
    assert (status.replicas, status.changes) == (4, [])


def test_a_load_ten_times_as_high_is_borne_within_two_looks() -> None:
    status: ScalingStatus | None = ScalingStatus(replicas=2)
    demand = 200.0
    sizes = []
    for number in range(4):
        now = NOW + timedelta(seconds=15 * number)
        running = status.replicas if status else 2
        status = decide(status, load(demand / running, running, now), now=now, count=running).status
        sizes.append(status.replicas)

    assert sizes == [6, 12, 20, 20]


@pytest.mark.parametrize(("metric_lag", "pod_lag", "begin"), list(itertools.product(range(4), range(4), range(2, 7))))
def test_no_lag_of_metrics_or_pods_makes_it_swing_for_ever(metric_lag: int, pod_lag: int, begin: int) -> None:
    """Under a constant demand it settles within its bounds, whatever lags behind."""
    status = ScalingStatus(replicas=begin)
    sizes, running = [begin] * 8, [begin] * 8
    for number in range(80):
        now = NOW + timedelta(seconds=15 * number)
        running.append(sizes[-1 - pod_lag])
        seen = running[-1 - metric_lag]
        status = decide(status, load(43 / seen, running[-1], now), now=now, count=running[-1]).status
        sizes.append(status.replicas)
        assert 2 <= status.replicas <= 20

    assert len(set(sizes[-20:])) == 1
    assert 43 / sizes[-1] <= 11


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

    found = recommend(spec, ScalingStatus(replicas=10), (), pools, Load(timestamp(NOW), {"queue": samples}), 10, NOW)

    assert (found.status.replicas, found.status.candidate_replicas) == (13, 4)


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
            assert told(found, "ScalingActive") == (False, "FailedGetMetrics")

    def test_the_cpu_of_an_idle_pod_is_no_reason_for_one(self) -> None:
        idle = self.seen(0, 1, backlog=0)
        idle = replace(idle, samples={**idle.samples, "cpu": {"uid-0": LoadSample(20, NOW, timedelta(seconds=15))}})
        assert decide(ScalingStatus(replicas=1), idle, self.WITH_CPU, count=1).status.replicas == 0
        busy = replace(idle, backlog=3)
        assert decide(ScalingStatus(replicas=1), busy, self.WITH_CPU, count=1).status.replicas == 1

    def test_cpu_that_nobody_can_tell_at_zero_does_not_keep_pods_away(self) -> None:
        found = decide(ScalingStatus(replicas=0), self.seen(None, 0, backlog=5), self.WITH_CPU, count=0)
        assert found.status.replicas == 1
