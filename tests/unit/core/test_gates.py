"""The gates' verdicts, by tables of figures."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_operator.api.deployment import Analysis
from shoal_operator.core.gates import judge_calls, judge_readiness
from shoal_operator.core.snapshot import WindowFigures
from shoal_operator.core.statistics import excess_lower_bound, log_ratio_lower_bound, wilson_bounds
from tests.unit.core import objects


def figures(calls: int, errors: int = 0, mean: float = 0.01, spread: float = 0.5) -> WindowFigures:
    """Figures with a standard deviation of `spread` means."""
    return WindowFigures(calls, errors, calls * mean, calls * mean * mean * (1 + spread * spread))


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


def test_a_verdict_tells_the_figures_and_the_limit() -> None:
    [errors, latency] = judge_calls(Analysis(), figures(500, errors=5), figures(500, errors=250, mean=0.1))
    assert errors.message == (
        "250 of 500 calls failed (50.00%), stable 5 of 500 (1.00%), limit x1.05: too many, beyond chance (z = 3)."
    )
    assert latency.message == (
        "mean 100.0 ms over 500 calls, stable 10.0 ms over 500, limit x1.2: too slow, beyond chance."
    )
    assert errors.candidate is not None
    assert (errors.candidate.calls, errors.candidate.value) == (500, 0.5)


def test_a_gate_that_is_off_is_not_asked() -> None:
    assert judge_calls(Analysis(error_rate=None, latency=None), figures(500), figures(500)) == ()


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


counts = st.integers(1, 10_000).flatmap(lambda calls: st.tuples(st.integers(0, calls), st.just(calls)))


@given(counts)
def test_wilson_bounds_hold_the_share(count: tuple[int, int]) -> None:
    errors, calls = count
    lower, upper = wilson_bounds(errors, calls)
    assert 0 <= lower <= errors / calls + 1e-12
    assert errors / calls - 1e-12 <= upper <= 1


@given(counts, st.floats(1, 10))
def test_as_many_errors_as_the_base_are_never_too_many(count: tuple[int, int], ratio: float) -> None:
    errors, calls = count
    assert excess_lower_bound(errors, calls, errors, calls, ratio) <= 0


@given(
    st.tuples(st.integers(0, 100), st.floats(), st.floats()), st.tuples(st.integers(0, 100), st.floats(), st.floats())
)
def test_any_sums_give_a_bound_or_none(one: tuple[int, float, float], other: tuple[int, float, float]) -> None:
    bound = log_ratio_lower_bound(one, other)
    assert bound is None or not math.isnan(bound)
