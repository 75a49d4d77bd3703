"""Metrics of a Prometheus server: the HorizontalPodAutoscaler's External semantics, and answers that are none."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shoal_operator.api.deployment import Revision
from shoal_operator.api.scaling import Scaling, ScalingStatus
from shoal_operator.core.facts import timestamp
from shoal_operator.core.scaling.outside import wanted_queries
from shoal_operator.core.scaling.proposal import Pool
from shoal_operator.core.scaling.recommendation import recommend
from shoal_operator.core.snapshot import Answer, Load
from tests.unit.core import objects
from tests.unit.core.objects import NOW

HOST = "prometheus.monitoring:9090"
METRIC: dict[str, Any] = {"name": "jobs", "address": f"http://{HOST}", "query": "sum(jobs)"}
KEY = "prometheus/jobs"


def scaling(**target: float) -> Scaling:
    metrics = {"prometheus": [{**METRIC, **target}]}
    return Scaling.model_validate({"minReplicas": 1, "maxReplicas": 1000, "metrics": metrics})


def told(*values: object, age: float = 0.0) -> Answer:
    result = [{"metric": {}, "value": [NOW.timestamp() - age, str(value)]} for value in values]
    body = {"status": "success", "data": {"resultType": "vector", "result": result}}
    return Answer(timestamp(NOW), 200, json.dumps(body))


def ask(spec: Scaling, answer: Answer | None, current: int, ready: int | None = None) -> tuple[int, str]:
    """Return the pods after a look, and the problem of the metric."""
    count = current if ready is None else ready
    status = {"phase": "Running"}
    pods = tuple(objects.pod(f"pod-{place}", "00000001", status=status) for place in range(count))
    pool = Pool(Revision(revision="00000001", version=1), pods)
    seen = Load(timestamp(NOW), {}, answers={} if answer is None else {KEY: answer})
    found = recommend(spec, ScalingStatus(replicas=current), (), (pool,), seen, current, NOW)
    wants = found.status.recommendations[-1].replicas if found.status.recommendations else current
    return wants, found.status.metrics[0].problem


@pytest.mark.parametrize(
    ("number", "current", "ready", "expected"),
    [
        (8.6, 3, 3, 6),  # Scale up by a value: 8.6 where 4.4 should be.
        (8.6, 3, 2, 4),  # Only what is ready bears the number.
        (8.6, 5, 5, 10),
        (4.4, 3, 3, 3),
        (4.8, 3, 3, 3),  # Within the tolerance.
        (2.2, 4, 4, 2),
    ],
)
def test_a_value_is_held_against_the_number_itself(number: float, current: int, ready: int, expected: int) -> None:
    assert ask(scaling(value=4.4), told(number), current, ready) == (expected, "")


@pytest.mark.parametrize(
    ("number", "target", "current", "expected"),
    [
        (8600, 2150, 3, 4),
        (8600, 2867, 3, 3),
        (8600, 3440, 5, 3),
        (0, 10, 5, 0),
        (7.5, 2.4, 3, 3),  # 7.2 would be exact, 4 % more is within the tolerance.
        (8.5, 2.4, 3, 4),
        (1e15, 1e-6, 3, 1_000_000),  # Bounded before it is held against maxReplicas.
    ],
)
def test_an_average_is_shared_by_the_pods(number: float, target: float, current: int, expected: int) -> None:
    assert ask(scaling(averageValue=target), told(number), current) == (expected, "")


HOSTILE: dict[str, Answer | None] = {
    "absent": None,
    "no data": told(),
    "stale": told(1, age=61),
    "from the future": told(1, age=-61),
    "NaN": told(math.nan),
    "Inf": told(math.inf),
    "-Inf": told(-math.inf),
    "negative": told(-1),
    "1e300": told(1e300),
    "duplicate series": told(1, 1),
    "no number": told("many"),
    "500": Answer(timestamp(NOW), 500, '{"status": "error", "error": "overloaded"}'),
    "slow": Answer(timestamp(NOW), error="none within 5 s"),
    "garbage": Answer(timestamp(NOW), 200, "<html>"),
    "deep garbage": Answer(timestamp(NOW), 200, "[" * 100_000),
    "a matrix": Answer(timestamp(NOW), 200, '{"status": "success", "data": {"resultType": "matrix", "result": []}}'),
}


@pytest.mark.parametrize("target", ["value", "averageValue"])
@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_number_decides_nothing_and_says_why(name: str, target: str) -> None:
    """S44: one problem a metric, and no pod less."""
    wants, problem = ask(scaling(**{target: 1000.0}), HOSTILE[name], 7)

    assert wants == 7
    assert problem


def test_no_ready_pod_is_no_reason_to_want_none() -> None:
    """The HorizontalPodAutoscaler multiplies by the ready pods, so that none ready would mean none wanted."""
    assert ask(scaling(value=1), told(5), 4, ready=0) == (4, "no pod is ready, so nothing follows from the number")


@given(st.floats(), st.floats(min_value=1e-6, max_value=1e12), st.integers(1, 1000))
def test_any_number_wants_a_bounded_number_of_pods(number: float, target: float, current: int) -> None:
    wants, _ = ask(scaling(averageValue=target), told(number), current, ready=1)

    assert 0 <= wants <= 1_000_000


def deployment(**metric: Any) -> objects.Raw:
    spec = {"scaling": {"maxReplicas": 5, "metrics": {"prometheus": [{**METRIC, "value": 1, **metric}]}}}
    return objects.deployment(spec)


def test_the_query_names_the_deployment_and_believes_no_sample_that_is_old() -> None:
    [request], denials = wanted_queries(deployment(query='a{b="$(deployment)",c="$(namespace)"}'), (HOST,))

    assert (request.key, request.url) == (KEY, f"http://{HOST}/api/v1/query")
    assert dict(request.form) == {"query": 'a{b="cities",c="fish"}', "timeout": "5s", "lookback_delta": "60s"}
    assert denials == {}


def test_a_host_that_is_not_allowed_is_not_asked_and_the_metric_says_so() -> None:
    requests, denials = wanted_queries(deployment(), ("other:9090",))

    assert requests == ()
    assert "analysis.allowedHosts" in denials[KEY]


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ({}, "needs one target"),
        ({"value": 1, "averageValue": 1}, "needs one target"),
        ({"value": -1}, "greater than 0"),
        ({"value": 1, "address": "http://user:secret@prometheus"}, "pattern"),
    ],
)
def test_a_metric_that_makes_no_sense_is_refused(metric: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Scaling.model_validate({"maxReplicas": 2, "metrics": {"prometheus": [{**METRIC, **metric}]}})


def test_two_metrics_of_one_name_are_refused() -> None:
    twice = [{**METRIC, "value": 1}] * 2
    with pytest.raises(ValidationError, match="same name"):
        Scaling.model_validate({"maxReplicas": 2, "metrics": {"prometheus": twice}})


def test_a_look_that_is_old_is_not_decided_on() -> None:
    pool = Pool(Revision(revision="00000001", version=1), (objects.pod("pod", "00000001"),))
    old = Load(timestamp(NOW - timedelta(seconds=61)), {}, answers={KEY: told(0)})

    found = recommend(scaling(value=1), ScalingStatus(replicas=4), (), (pool,), old, 4, NOW)

    assert found.status.replicas == 4
    assert "more than 60 s ago" in next(item.message for item in found.findings if item.type == "ScalingActive")
