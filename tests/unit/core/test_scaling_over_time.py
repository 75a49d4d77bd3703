"""The scaler over time: calm under noise, quick at a step, no limit cycle, the same after a restart at every look."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_operator.api.scaling import ScalingStatus
from tests.unit.core.scaler_loop import TARGET, Loop, follow, scaling, turns

WINDOW = 300

Demand = Callable[[float], float]


def sine(period: float) -> Demand:
    return lambda at: 100 + 80 * math.sin(2 * math.pi * at / period)


def square(period: float) -> Demand:
    return lambda at: 180.0 if at % period < period / 2 else 20.0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-0.09, 0.09), min_size=120, max_size=120))
def test_noise_of_nine_percent_changes_nothing_in_half_an_hour(noise: list[float]) -> None:
    """S41."""
    loop = Loop(scaling(), ScalingStatus(replicas=4))

    sizes = [loop.look(4 * TARGET * (1 + deviation)) for deviation in noise]

    assert set(sizes) == {4}
    assert loop.status.changes == []


@pytest.mark.parametrize("shape", [sine, square])
@pytest.mark.parametrize("period", [20, 45, 60, 130, 300, 600])
@pytest.mark.parametrize("pod_lag", [0, 2])
def test_a_load_that_comes_and_goes_turns_it_at_most_once_in_a_window(
    shape: Callable[[float], Demand], period: int, pod_lag: int
) -> None:
    """S42: pods are not removed for a lull that is shorter than the window."""
    loop = Loop(scaling(), ScalingStatus(replicas=10), pod_lag=pod_lag)

    sizes = follow(loop, shape(period), 7200)

    looks = WINDOW // 15
    places = turns(sizes)
    assert all(later - earlier >= looks - 1 for earlier, later in zip(places[::2], places[2::2], strict=False))
    downs = [place for place in range(1, len(sizes)) if sizes[place] < sizes[place - 1]]
    # What is removed was wanted by nobody for a whole window.
    assert all(max(sizes[max(0, place - 1) : place]) >= sizes[place] for place in downs)
    assert len(places) <= 7200 // WINDOW + 1


@pytest.mark.parametrize("begin", [2, 3, 5])
@pytest.mark.parametrize("pod_lag", [0, 1, 2])
def test_a_load_ten_times_as_high_is_answered_within_two_looks_of_each_start(begin: int, pod_lag: int) -> None:
    """S43: doubled or 4 more at each look, so ten times as many in some looks, and no pod beyond the formula's."""
    loop = Loop(scaling(most=200), ScalingStatus(replicas=begin), pod_lag=pod_lag)
    follow(loop, lambda _: begin * TARGET, 300)
    exact = 10 * begin

    sizes = [loop.look(10 * begin * TARGET) for _ in range(30)]

    # 30 s after the first figure all that the pace allows is wanted: twice as many, twice.
    assert sizes[2] >= min(exact, 4 * begin)
    assert max(sizes) <= exact + 1
    assert sizes[-1] >= math.floor(exact / 1.1)


def test_without_a_pace_a_load_ten_times_as_high_is_answered_at_the_first_look() -> None:
    behavior = {"scaleUp": {"policies": [{"type": "Percent", "value": 900, "periodSeconds": 15}]}}
    loop = Loop(scaling(most=200, behavior=behavior), ScalingStatus(replicas=4))

    assert loop.look(40 * TARGET) == 40


@pytest.mark.parametrize("demand", [sine(600), square(130), square(900)])
def test_a_restart_at_each_look_changes_nothing(demand: Demand) -> None:
    """S45: what the windows and the pace need is in the status."""
    kept = Loop(scaling(), ScalingStatus(replicas=10))
    forgetful = Loop(scaling(), ScalingStatus(replicas=10), forgetful=True)

    assert follow(kept, demand, 2400) == follow(forgetful, demand, 2400)


def test_a_restart_that_forgot_the_window_would_remove_pods_at_once() -> None:
    """The test above can fail: without the status a lull counts as it is."""
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    kept, forgetting = (
        Loop(scaling(), ScalingStatus(replicas=10)),
        Loop(scaling(behavior=behavior), ScalingStatus(replicas=10)),
    )

    assert (kept.look(20), forgetting.look(20)) == (10, 2)
