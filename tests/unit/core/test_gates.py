"""The gates' verdicts, by tables of figures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_operator.api.analysis import Analysis
from shoal_operator.api.version import VersionMetrics
from shoal_operator.core.gates import (
    FALSE_ALARM,
    Records,
    false_alarm_of,
    judge_calls,
    judge_readiness,
    judge_records,
    read_records,
)
from shoal_operator.core.snapshot import WindowFigures
from tests.unit.core import objects


def figures(calls: int, errors: int = 0, mean: float = 0.01, spread: float = 0.5, looks: int = 6) -> WindowFigures:
    return objects.window(calls, errors, mean, spread, looks)


def verdict(gate: str, stable: WindowFigures | None, candidate: WindowFigures | None) -> str:
    return next(item.verdict for item in judge_calls(Analysis(), stable, candidate) if item.gate == gate)


@pytest.mark.parametrize(
    ("stable", "candidate", "expected"),
    [
        (None, None, "inconclusive"),
        (figures(500), figures(49, errors=49), "inconclusive"),
        (figures(49), figures(500, errors=500), "inconclusive"),
        (figures(500), figures(50, errors=50), "fail"),
        (figures(5000), figures(500, errors=25), "fail"),
        (figures(500), figures(50, errors=1), "pass"),
        (figures(500, errors=250), figures(500, errors=250), "pass"),
        (figures(500, errors=500), figures(500, errors=500), "pass"),
        (figures(100_000, errors=1000), figures(100_000, errors=1040), "pass"),
        (figures(100_000, errors=1000), figures(100_000, errors=2000), "fail"),
        (figures(500), WindowFigures(10, 20, 1.0, 1.0), "error"),
        (figures(500), WindowFigures(500, -1, 1.0, 1.0), "error"),
    ],
)
def test_error_rate(stable: WindowFigures | None, candidate: WindowFigures | None, expected: str) -> None:
    assert verdict("errorRate", stable, candidate) == expected


@pytest.mark.parametrize(
    ("stable", "candidate", "expected"),
    [
        (figures(500), figures(500), "pass"),
        (figures(500), figures(500, mean=0.1), "fail"),
        (figures(500), figures(40, mean=0.1), "inconclusive"),
        # Three times as slow, but by two milliseconds: not worth noticing.
        (figures(500, mean=0.001), figures(500, mean=0.003), "pass"),
        # Half as slow again, but so widely spread that chance may have done it.
        (figures(60, mean=0.1, spread=5), figures(60, mean=0.15, spread=5), "pass"),
        (figures(500), WindowFigures(500, 0, math.nan, math.nan), "inconclusive"),
        (figures(500), WindowFigures(500, 0, 0.0, 0.0), "inconclusive"),
    ],
)
def test_latency(stable: WindowFigures, candidate: WindowFigures, expected: str) -> None:
    assert verdict("latency", stable, candidate) == expected


@pytest.mark.parametrize(
    ("statistic", "stable", "candidate", "expected"),
    [
        ("P50", figures(2000), figures(2000), "pass"),
        ("P50", figures(2000), figures(2000, mean=0.03), "fail"),
        ("P99", figures(4000), figures(4000, mean=0.03), "fail"),
        # Nobody can tell a 99th percentile from a few hundred calls.
        ("P99", figures(900), figures(900, mean=0.03), "inconclusive"),
        ("P50", WindowFigures(500, 0, 5.0, 0.1), figures(500), "inconclusive"),
    ],
)
def test_latency_of_a_quantile(statistic: str, stable: WindowFigures, candidate: WindowFigures, expected: str) -> None:
    analysis = Analysis.model_validate({"latency": {"statistic": statistic}})
    assert judge_calls(analysis, stable, candidate)[1].verdict == expected


def test_a_verdict_tells_the_figures_and_the_limit() -> None:
    [errors, latency] = judge_calls(Analysis(), figures(500, errors=5), figures(500, errors=250, mean=0.1))
    assert errors.message == (
        "250 of 500 calls failed (50.00%), stable 5 of 500 (1.00%), limit x1.05: too many, beyond chance "
        "(less than 1 in 240)."
    )
    assert latency.message == (
        "mean 100.0 ms over 500 calls, stable 10.0 ms over 500: x10.00, surely above x8.82, limit x1.2: too slow, "
        "beyond chance."
    )
    assert errors.candidate is not None
    assert (errors.candidate.calls, errors.candidate.value) == (500, 0.5)


@pytest.mark.parametrize("bad", [{"errors": 50}, {"mean": 0.5}])
@pytest.mark.parametrize(("looks", "expected"), [(1, "inconclusive"), (2, "inconclusive"), (6, "fail")])
def test_one_bad_moment_decides_nothing_and_passes_nothing(bad: dict[str, float], looks: int, expected: str) -> None:
    found = judge_calls(Analysis(), figures(500, looks=looks), figures(50, **bad, looks=looks))  # type: ignore[arg-type]
    assert expected in [item.verdict for item in found]
    assert "chance" in " ".join(item.message for item in found if item.verdict == expected)


def test_a_burst_in_one_look_of_many_is_no_failure() -> None:
    quiet, burst = figures(10, looks=1).looks, figures(10, errors=10, mean=0.02, looks=1).looks
    candidate = WindowFigures(90, 10, 1.0, 0.012, (*quiet * 4, *burst, *quiet * 4))
    stable = WindowFigures(90, 0, 0.9, 0.01, quiet * 9)
    assert [item.verdict for item in judge_calls(Analysis(), stable, candidate)] == ["pass", "pass"]


def test_what_befalls_both_sides_counts_against_neither() -> None:
    """An outage of the network, in which the candidate happens to have more of the traffic than before."""
    good, bad = figures(900, looks=1).looks, figures(100, errors=50, mean=0.1, looks=1).looks
    stable = WindowFigures(4600, 50, 55, 2.1, (*good * 5, *bad))
    few, many = figures(100, looks=1).looks, figures(400, errors=200, mean=0.1, looks=1).looks
    candidate = WindowFigures(900, 200, 45, 5.0, (*few * 5, *many))
    assert [item.verdict for item in judge_calls(Analysis(), stable, candidate)] == ["pass", "pass"]


def test_more_steps_ask_for_more_evidence() -> None:
    stable, candidate = figures(900), figures(100, errors=5)
    assert judge_calls(Analysis(), stable, candidate)[0].verdict == "fail"
    assert judge_calls(Analysis(), stable, candidate, window=10)[0].verdict == "inconclusive"


@given(st.integers(1, 20), st.integers(1, 200))
def test_all_gates_and_steps_together_spend_one_rollout_of_a_hundred(gates: int, windows: int) -> None:
    spent = gates * sum(false_alarm_of(window, gates) for window in range(1, windows + 1))
    assert FALSE_ALARM * 0.83 < spent <= FALSE_ALARM == 0.01


def test_a_gate_that_is_off_is_not_asked() -> None:
    assert judge_calls(Analysis(error_rate=None, latency=None), figures(500), figures(500)) == ()


@pytest.mark.parametrize(
    ("limits", "stable", "candidate", "expected"),
    [
        ({}, None, None, "inconclusive"),
        ({}, objects.window(500), objects.window(500), "pass"),
        ({}, objects.window(500), objects.window(500, noise=0.13), "pass"),
        ({}, objects.window(500), objects.window(500, noise=0.4), "fail"),
        ({}, objects.window(500), objects.window(500, noise=0.4, looks=2), "inconclusive"),
        ({}, objects.window(500), objects.window(20, noise=0.9), "inconclusive"),
        ({}, objects.window(500, noise=0.4), objects.window(500, noise=0.0), "pass"),
        ({"maxDecrease": 0.1}, objects.window(500, noise=0.4), objects.window(500, noise=0.0), "fail"),
        ({"maxIncrease": 0.5}, objects.window(500), objects.window(500, noise=0.4), "pass"),
        ({}, objects.window(500), objects.window(500, noise=1.5), "error"),
        ({}, WindowFigures(500, 0, 5.0, 0.1), objects.window(500), "inconclusive"),
    ],
)
def test_noise_ratio(
    limits: dict[str, float], stable: WindowFigures | None, candidate: WindowFigures | None, expected: str
) -> None:
    analysis = Analysis.model_validate({"noiseRatio": limits})
    assert judge_calls(analysis, stable, candidate)[-1].verdict == expected


def reached(calls: int, outside: float, *, ranged: bool = True) -> WindowFigures:
    """Build figures whose rows lie out of reach with the share `outside`."""
    found = objects.window(calls)
    looks = [
        replace(look, ranged_rows=look.rows * ranged, out_of_reach_rows=look.rows * ranged * outside)
        for look in found.looks
    ]
    return replace(found, looks=tuple(looks))


@pytest.mark.parametrize(
    ("limits", "stable", "candidate", "expected", "told"),
    [
        ({}, None, None, "inconclusive", "no figures yet"),
        ({}, reached(500, 0.01), reached(500, 0.01), "pass", "are out of reach"),
        ({}, reached(500, 0.01), reached(500, 0.4), "fail", "too many, beyond chance"),
        ({}, reached(500, 0.4), reached(500, 0.0), "pass", "within"),
        ({"maxIncrease": 0.5}, reached(500, 0.01), reached(500, 0.4), "pass", "limit 50"),
        ({}, reached(20, 0.01), reached(500, 0.4), "inconclusive", "stable has 80 of 200"),
        ({}, reached(500, 0.01), reached(500, 0, ranged=False), "inconclusive", "of the candidate does not know"),
        ({}, reached(500, 0.01, ranged=False), reached(500, 0.4), "inconclusive", "of stable does not know"),
        ({}, reached(500, 0.01), reached(500, 1.5), "error", "cannot be"),
    ],
)
def test_out_of_reach(
    limits: dict[str, float],
    stable: WindowFigures | None,
    candidate: WindowFigures | None,
    expected: str,
    told: str,
) -> None:
    verdict = judge_calls(Analysis.model_validate({"outOfReach": limits}), stable, candidate)[-1]
    assert (verdict.gate, verdict.verdict) == ("outOfReach", expected)
    assert told in verdict.message


def record(clusters: int = 10, silhouette: float | None = 0.6) -> VersionMetrics:
    return VersionMetrics(
        rows=100, clusters=clusters, noise_ratio=0.1, core_samples=50, silhouette=silhouette, fit_seconds=1
    )


@pytest.mark.parametrize(
    ("stable", "candidate", "expected"),
    [
        (record(), record(), ["pass", "pass"]),
        (record(), record(silhouette=0.58), ["pass", "pass"]),
        (record(), record(silhouette=0.56), ["fail", "pass"]),
        (record(silhouette=-0.2), record(silhouette=-0.205), ["pass", "pass"]),
        (record(silhouette=-0.2), record(silhouette=-0.3), ["fail", "pass"]),
        (record(), record(silhouette=None), ["inconclusive", "pass"]),
        (record(), record(clusters=4), ["pass", "fail"]),
        (record(), record(clusters=21), ["pass", "fail"]),
        (record(), record(clusters=5), ["pass", "pass"]),
        (record(), None, ["inconclusive", "inconclusive"]),
        (None, record(), ["inconclusive", "inconclusive"]),
    ],
)
def test_records(stable: VersionMetrics | None, candidate: VersionMetrics | None, expected: list[str]) -> None:
    analysis = Analysis.model_validate({"silhouette": {}, "clusterCount": {}})
    assert [item.verdict for item in judge_records(analysis, Records(stable, candidate))] == expected


def test_records_are_read_by_number_and_garbage_is_none() -> None:
    broken = objects.version(3)
    broken["spec"]["metrics"] = {"clusters": "many"}
    found = read_records([objects.version(1), broken, {"spec": 7}], 1, 3)
    assert found.stable is not None
    assert found.stable.clusters == 2
    assert found.candidate is None


@pytest.mark.parametrize(
    ("pods", "needed", "expected"),
    [
        ([objects.pod("a", "r")], 1, "pass"),
        ([objects.pod("a", "r", ready=False)], 1, "inconclusive"),
        ([], 0, "pass"),
        ([objects.pod("a", "r"), objects.pod("b", "r", ready=False, status=objects.crash_loop(2))], 2, "inconclusive"),
        ([objects.pod("a", "r"), objects.pod("b", "r", ready=False, status=objects.crash_loop(3))], 1, "fail"),
    ],
)
def test_readiness(pods: list[objects.PodFacts], needed: int, expected: str) -> None:
    assert judge_readiness(pods, needed)[0].verdict == expected
