"""Windows and pace of the scaler, by the worked examples of the HorizontalPodAutoscaler's own tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_operator.api.scaling import (
    PastChange,
    PastRecommendation,
    Scaling,
    ScalingBehavior,
)
from shoal_operator.core.facts import timestamp
from shoal_operator.core.scaling.behaviour import History, pace
from tests.unit.core.objects import NOW


def scaling(least: int, most: int, up: Any = None, down: Any = None) -> Scaling:
    behavior = {"scaleUp": up or {}, "scaleDown": {"stabilizationWindowSeconds": 0, **(down or {})}}
    spec = {"minReplicas": least, "maxReplicas": most, "metrics": {"queue": {"averageValue": 1}}, "behavior": behavior}
    return Scaling.model_validate(spec)


def rules(pods: int = 0, pods_period: int = 0, percent: int = 0, percent_period: int = 0, select: str = "Max") -> Any:
    policies = [
        {"type": kind, "value": value, "periodSeconds": period}
        for kind, value, period in (("Pods", pods, pods_period), ("Percent", percent, percent_period))
        if value
    ]
    return {"policies": policies, "selectPolicy": select}


def changes(amounts: list[int], period: int, sign: int = 1) -> tuple[PastChange, ...]:
    """Spread changes evenly over a period that ends now."""
    each = period / len(amounts)
    return tuple(
        PastChange(at=timestamp(NOW - timedelta(seconds=period - 1 - each * place)), change=sign * amount)
        for place, amount in enumerate(amounts)
    )


@pytest.mark.parametrize(
    ("spec", "current", "wanted", "past", "expected", "reason"),
    [
        (scaling(3, 8), 5, 7, (), 7, None),
        (scaling(2, 8), 3, 1, (), 2, "TooFewReplicas"),
        (scaling(100, 150), 100, 1000, (), 150, "TooManyReplicas"),
        (scaling(1, 1000), 10, 50, (), 20, "ScaleUpLimit"),
        (scaling(1, 1000, rules(percent=1, percent_period=60)), 3, 1000, (), 4, "ScaleUpLimit"),
        (scaling(1, 1000, rules(100, 60, 100, 60)), 10, 500, (), 110, "ScaleUpLimit"),
        (scaling(1, 1000, rules(2, 60, 100, 60)), 10, 500, (), 20, "ScaleUpLimit"),
        (scaling(1, 1000, rules(2, 60, 100, 60, "Min")), 10, 500, (), 12, "ScaleUpLimit"),
        (scaling(1, 1000, rules(2, 60, 100, 60, "Disabled")), 10, 500, (), 10, "ScaleUpLimit"),
        (scaling(1, 1000, rules(30, 60)), 10, 50, (), 40, "ScaleUpLimit"),
        (scaling(1, 1000, rules(percent=200, percent_period=60)), 10, 50, (), 30, "ScaleUpLimit"),
        (scaling(1, 1000, None, rules(20, 60, 1, 60)), 100, 2, (), 80, "ScaleDownLimit"),
        (scaling(1, 1000, None, rules(2, 60, 1, 60)), 100, 2, (), 98, "ScaleDownLimit"),
        (scaling(1, 1000, None, rules(2, 60, 1, 60, "Min")), 100, 2, (), 99, "ScaleDownLimit"),
        (scaling(1, 1000, None, rules(2, 60, 1, 60, "Disabled")), 100, 2, (), 100, "ScaleDownLimit"),
        (scaling(5, 1000, None, rules(percent=100, percent_period=60)), 10, 2, (), 5, "TooFewReplicas"),
        (scaling(1, 1000, None, rules(5, 60)), 10, 2, (), 5, "ScaleDownLimit"),
        (scaling(1, 1000, None, rules(percent=50, percent_period=60)), 10, 5, (), 5, None),
        (scaling(1, 200, rules(300, 60)), 100, 500, changes([1, 5, 9], 120), 200, "TooManyReplicas"),
        (scaling(1, 1000, rules(5, 120)), 100, 500, changes([1, 5, 9], 120), 100, "ScaleUpLimit"),
        (scaling(1, 1000, rules(150, 120)), 100, 500, changes([1, 5, 9], 120), 235, "ScaleUpLimit"),
        (scaling(1, 1000, rules(0, 0, 200, 120)), 100, 500, changes([1, 5, 9], 120), 255, "ScaleUpLimit"),
        (
            scaling(1, 1000, rules(0, 0, 300, 300)),
            6,
            24,
            (*changes([4], 120), *changes([2], 120, -1)),
            16,
            "ScaleUpLimit",
        ),
        (scaling(1, 1000), 10, 5, changes([1, 5, 9], 120, -1), 5, None),
        (scaling(1, 1000, None, rules(115, 120)), 100, 0, changes([1, 5, 9], 120, -1), 1, "TooFewReplicas"),
        (scaling(1, 1000, None, rules(5, 120)), 100, 2, changes([1, 5, 9], 120, -1), 100, "ScaleDownLimit"),
        (scaling(1, 1000, None, rules(0, 0, 50, 120)), 100, 0, changes([2, 4, 6], 120, -1), 56, "ScaleDownLimit"),
        (
            scaling(1, 1000, None, rules(0, 0, 50, 180)),
            10,
            1,
            (*changes([2], 120), *changes([4], 120, -1)),
            6,
            "ScaleDownLimit",
        ),
        (scaling(1, 1000, None, rules(0, 0, 10, 120)), 100, 0, changes([10, 10, 10], 120, -1), 100, "ScaleDownLimit"),
        (scaling(1, 1000, None, rules(0, 0, 1000, 120)), 10, 5, changes([10, 10, 10], 120, -1), 5, None),
    ],
)
def test_the_pace_is_that_of_the_horizontal_pod_autoscaler(
    spec: Scaling, current: int, wanted: int, past: tuple[PastChange, ...], expected: int, reason: str | None
) -> None:
    paced = pace(spec, wanted, current, History((), past), NOW)

    assert (paced.replicas, paced.limited.reason if paced.limited else None) == (expected, reason)


def walk(spec: Scaling, current: int, wanted: int, period: int, steps: int) -> list[int]:
    """Return the sizes when so many pods are wanted all the time, a period apart."""
    history, now, sizes = History(), NOW, [current]
    for _ in range(steps):
        paced = pace(spec, wanted, sizes[-1], history, now)
        history = history.change(paced.replicas - sizes[-1], spec.behavior, now)
        sizes.append(paced.replicas)
        now += timedelta(seconds=period)
    return sizes


@pytest.mark.parametrize(
    ("spec", "current", "wanted", "period", "expected"),
    [
        pytest.param(
            # "8 pods, then 10 % of 72, rounded up"; below 40 pods it is 4 a minute.
            scaling(1, 100, None, rules(4, 60, 10, 60)),
            80,
            10,
            60,
            [80, 72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10, 10],
            id="the documentation's default limit of 10 percent or 4 pods a minute",
        ),
        pytest.param(
            scaling(1, 100, None, rules(5, 60, 10, 60, "Min")),
            80,
            10,
            60,
            [80, 75, 70, 65, 60, 55, 50, 45, 40, 36],
            id="no more than 5 pods a minute",
        ),
        pytest.param(
            scaling(1, 100, None, {"selectPolicy": "Disabled"}), 80, 10, 60, [80, 80, 80], id="scale down disabled"
        ),
        pytest.param(scaling(1, 100), 1, 100, 15, [1, 5, 10, 20, 40, 80, 100], id="the default of 100 percent or 4"),
        pytest.param(
            scaling(1, 1000, rules(percent=900, percent_period=60)),
            1,
            1000,
            60,
            [1, 10, 100, 1000],
            id="as fast as can be",
        ),
        pytest.param(scaling(1, 100, rules(1, 60)), 1, 100, 60, [1, 2, 3, 4], id="one pod a minute"),
        pytest.param(
            scaling(1, 1000, None, rules(1, 600)), 10, 1, 300, [10, 9, 9, 8, 8, 7], id="one pod in ten minutes"
        ),
    ],
)
def test_the_documentations_examples_step_by_step(
    spec: Scaling, current: int, wanted: int, period: int, expected: list[int]
) -> None:
    assert walk(spec, current, wanted, period, len(expected) - 1) == expected


def looks(*items: tuple[int, int]) -> History:
    """Build a history of (seconds ago, replicas)."""
    return History(
        tuple(PastRecommendation(at=timestamp(NOW - timedelta(seconds=ago)), replicas=count) for ago, count in items)
    )


@pytest.mark.parametrize(
    ("up", "down", "past", "current", "wanted", "expected", "reason"),
    [
        (0, 300, looks((200, 10)), 10, 4, 10, "ScaleDownStabilized"),
        (0, 300, looks((400, 10)), 10, 4, 4, None),
        (0, 300, looks((200, 7), (100, 6)), 10, 4, 7, "ScaleDownStabilized"),
        (60, 300, looks((50, 5)), 5, 9, 5, "ScaleUpStabilized"),
        (60, 300, looks((70, 5)), 5, 9, 9, None),
        (60, 300, looks((50, 7)), 5, 9, 7, "ScaleUpStabilized"),
        (0, 0, looks((1, 1)), 5, 9, 9, None),
    ],
)
def test_a_window_counts_its_most_cautious_recommendation(
    up: int, down: int, past: History, current: int, wanted: int, expected: int, reason: str | None
) -> None:
    behavior = {"scaleUp": {"stabilizationWindowSeconds": up}, "scaleDown": {"stabilizationWindowSeconds": down}}
    spec = Scaling.model_validate({"maxReplicas": 100, "metrics": {"queue": {"averageValue": 1}}, "behavior": behavior})

    paced = pace(spec, wanted, current, past, NOW)

    assert (paced.replicas, paced.stabilised.reason if paced.stabilised else None) == (expected, reason)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 20)), max_size=40), st.integers(1, 20), st.integers(0, 20))
def test_forgetting_what_no_window_needs_changes_no_decision(
    steps: list[tuple[int, int]], current: int, wanted: int
) -> None:
    behavior = ScalingBehavior.model_validate(
        {"scaleUp": {"stabilizationWindowSeconds": 90}, "scaleDown": {"stabilizationWindowSeconds": 300}}
    )
    spec = scaling(1, 100).model_copy(update={"behavior": behavior})
    now, kept, everything = NOW, History(), History()
    for seconds, replicas in steps:
        now += timedelta(seconds=seconds)
        kept = kept.recommend(replicas, behavior, now)
        newest = PastRecommendation(at=timestamp(now), replicas=replicas)
        everything = History((*everything.recommendations, newest))

    assert pace(spec, wanted, current, kept, now) == pace(spec, wanted, current, everything, now)
    assert len(kept.recommendations) <= 2 * 21
