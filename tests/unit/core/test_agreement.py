"""The gates on the same rows: what passes, what fails, what waits, and where the limit comes from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_operator.api.agreement import AgreementFigures, ClusterMatch
from shoal_operator.api.analysis import AgreementGate, Analysis
from shoal_operator.core.comparison import Comparison, Estimate, Silhouettes
from shoal_operator.core.gates import judge_comparison
from shoal_operator.core.gates.agreement import DEFAULT_LIMIT, find_limit
from tests.unit.core.objects import compared

ALPHA = 0.01


def figures(*aris: float) -> list[AgreementFigures]:
    return [
        AgreementFigures(
            version=number + 2, ari=ari, noise_agreement=1, label_agreement=1, rows=1000, requests=100, at="t"
        )
        for number, ari in enumerate(aris)
    ]


def judge(comparison: Comparison | None, gate: dict[str, Any] | None = None, *history: float) -> tuple[str, str]:
    analysis = Analysis.model_validate(
        {"agreement": gate or {}, "errorRate": {"enabled": False}, "latency": {"enabled": False}}
    )
    [verdict] = judge_comparison(analysis, comparison, figures(*history))
    return verdict.verdict, verdict.message


@pytest.mark.parametrize(
    ("comparison", "gate", "expected", "told"),
    [
        (None, {}, "inconclusive", "no rows have been compared"),
        (Comparison("t", 0, lack="2 requests, and 10 are needed"), {}, "inconclusive", "yet: 2 requests, and 10 are"),
        (Comparison("t", 0, problem="CandidateUnreachable: refused"), {}, "error", "CandidateUnreachable: refused"),
        (compared(1.0, 0.0), {}, "pass", "limit 0.9 (the default"),
        (compared(0.95, 1e-4), {"min": 0.9}, "pass", "limit 0.9 (analysis.agreement.min)"),
        (compared(0.91, 1e-4), {"min": 0.9}, "pass", "within"),
        (compared(0.89, 1e-4), {"min": 0.9}, "inconclusive", "may yet be chance"),
        (compared(0.80, 1e-4), {"min": 0.9}, "fail", "ARI too low, beyond chance"),
        (compared(0.80, 1e-2), {"min": 0.9}, "inconclusive", "the next rows decide"),
        (compared(0.2, 1e-4, requests=2), {"min": 0.9}, "inconclusive", "2 requests"),
        (compared(0.2, 1e-4, requests=1), {"min": 0.9}, "inconclusive", "surely -1.000 to 1.000"),
        (compared(0.99, 1e-4, noise=0.5), {"min": 0.9}, "pass", "within"),
        (compared(0.99, 1e-4, noise=0.5), {"minNoiseAgreement": 0.8}, "fail", "noise agreement too low"),
        (compared(0.99, 1e-4, labels=0.5), {"minLabelAgreement": 0.8}, "fail", "label agreement too low"),
        (compared(0.99, 1e-4, rows=499), {}, "inconclusive", "499 of 500 were labelled by both"),
        (compared(0.99, 1e-4, rows=499), {"minSamples": 499}, "pass", "499 rows"),
        (Comparison("t", 1, rows=900, requests=90), {}, "error", "tell no ARI"),
    ],
)
def test_verdicts(comparison: Comparison | None, gate: dict[str, Any], expected: str, told: str) -> None:
    verdict, message = judge(comparison, gate)
    assert verdict == expected, message
    assert told in message


@pytest.mark.parametrize(
    ("refused", "requests", "rows", "expected"),
    [
        (0, 200, 1000, "pass"),
        (1, 200, 1000, "pass"),
        (10, 190, 1000, "pass"),
        (100, 100, 1000, "fail"),
        (200, 0, 0, "fail"),
        (12, 0, 0, "fail"),
        (3, 0, 0, "inconclusive"),
        (1, 20, 80, "inconclusive"),
    ],
)
def test_a_request_that_only_the_candidate_refuses_counts_against_it(
    refused: int, requests: int, rows: int, expected: str
) -> None:
    verdict, message = judge(compared(0.99, 1e-5, rows=rows, requests=requests, refused=refused), {"min": 0.9})
    assert verdict == expected, message


@pytest.mark.parametrize(
    ("rows", "refused", "expected"),
    [(0, 200, "fail"), (0, 3, "inconclusive"), (36, 200, "fail"), (36, 3, "inconclusive"), (36, 0, "inconclusive")],
)
def test_refusals_count_where_they_are_why_rows_lack(rows: int, refused: int, expected: str) -> None:
    lacking = Comparison("t", 1, rows=rows, refused=refused, lack="there are too few requests to compare")
    verdict, message = judge(lacking, {"min": 0.9})
    assert verdict == expected
    assert ("the candidate refuses 2" in message) == (expected == "fail")


def test_the_message_names_figures_interval_rows_requests_and_the_worst_clusters() -> None:
    matches = tuple(
        ClusterMatch(stable=number, candidate=number + 1, rows=100 * number, jaccard=jaccard)
        for number, jaccard in ((1, 0.99), (2, 0.21), (3, 0.9), (4, 0.5))
    )
    _, message = judge(compared(0.412, 1e-5, matches=matches), {"min": 0.9})
    assert message.startswith("ARI 0.412, surely 0.4")
    assert "1000 rows of 200 requests" in message
    assert "match worst: 2 with 3 (21% of the rows in either), 4 with 5 (50%" in message
    assert "1 with 2" not in message


@pytest.mark.parametrize(
    ("gate", "history", "limit", "origin"),
    [
        ({}, (), DEFAULT_LIMIT, "default"),
        ({}, (0.99, 0.98), DEFAULT_LIMIT, "default"),
        ({"min": 0.4}, (0.99, 0.98, 0.97), 0.4, "min"),
        ({}, (1.0, 1.0, 1.0), 0.97, "learnt from 3"),
        ({}, (0.98, 0.96, 0.94), round(0.96 - 3 * 1.4826 * 0.02, 4), "learnt from 3"),
        ({}, (0.98, 0.98, 0.98, 0.3), 0.95, "learnt from 4"),
        ({}, (0.5, 0.1, 0.9), 0.5, "learnt from 3"),
    ],
)
def test_the_limit_is_declared_learnt_or_the_default(
    gate: dict[str, Any], history: tuple[float, ...], limit: float, origin: str
) -> None:
    found = find_limit(AgreementGate.model_validate(gate), figures(*history))
    assert found.value == pytest.approx(limit)
    assert origin in found.origin


estimates = st.builds(Estimate, st.floats(-1, 1), st.floats(0, 0.1))
counts = st.integers(0, 3000)


@given(
    st.builds(
        Comparison,
        st.just("t"),
        st.integers(0, 10_000),
        rows=counts,
        requests=counts,
        refused=counts,
        ari=estimates,
        noise_agreement=estimates,
        label_agreement=estimates,
    ),
    st.floats(0, 1),
)
def test_what_passes_is_not_below_and_what_fails_is_not_above(comparison: Comparison, least: float) -> None:
    """Refusals only lower, so a candidate at or above the limit without any is never failed by the ARI alone."""
    verdict, _ = judge(comparison, {"min": least})
    assert comparison.ari is not None
    if verdict == "pass":
        assert comparison.ari.value >= least - 1e-9
        assert comparison.rows >= 500
    if verdict == "fail" and not comparison.refused:
        assert comparison.ari.value < least
    if verdict == "fail":
        assert comparison.requests + comparison.refused >= 2


@given(st.floats(0, 0.99), st.floats(0, 0.01), st.integers(1, 999))
def test_more_looks_never_make_a_failure_easier(ari: float, variance: float, looks: int) -> None:
    later = judge(compared(ari, variance, looks=looks + 1), {"min": 0.9})[0]
    if later == "fail":
        assert judge(compared(ari, variance, looks=looks), {"min": 0.9})[0] == "fail"


@pytest.mark.parametrize("requests", [6, 20, 200])
def test_a_candidate_at_its_limit_is_failed_at_most_as_often_as_promised(requests: int) -> None:
    """One estimate a look, each from other rows, for 60 looks: the worst that the union bound has to bear."""
    generator, windows, alarms = np.random.default_rng(5), 400, 0
    for _ in range(windows):
        for look in range(1, 61):
            sample = generator.normal(0.9, 0.05, requests)
            variance = float(sample.var(ddof=1) / requests)
            comparison = compared(float(sample.mean()), variance, requests=requests, looks=look)
            if judge_fast(comparison) == "fail":
                alarms += 1
                break
    assert alarms <= ALPHA / 2 * windows + 3 * math.sqrt(ALPHA / 2 * windows)


def judge_fast(comparison: Comparison) -> str:
    """Judge only where it can matter: an estimate at or above the limit never fails."""
    assert comparison.ari is not None
    return "pass" if comparison.ari.value >= 0.9 - 3 * math.sqrt(comparison.ari.variance) else judge(comparison)[0]


def live(analysis: dict[str, Any], comparison: Comparison | None) -> str:
    [verdict] = judge_comparison(Analysis.model_validate(analysis), comparison, ())
    return verdict.verdict


def scored(stable: float, candidate: float, variance: float = 1e-5) -> Comparison:
    return compared(0.9, 1e-4, silhouettes=Silhouettes(stable, candidate, Estimate(candidate - stable, variance)))


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (None, "inconclusive"),
        (compared(0.9, 1e-4), "inconclusive"),
        (scored(0.6, 0.6), "pass"),
        (scored(0.6, 0.575), "pass"),
        (scored(0.6, 0.565), "inconclusive"),
        (scored(0.6, 0.5), "fail"),
        (scored(0.6, 0.5, variance=1e-2), "inconclusive"),
        (scored(-0.2, -0.205), "pass"),
        (scored(-0.2, -0.4), "fail"),
    ],
)
def test_live_silhouettes(comparison: Comparison | None, expected: str) -> None:
    assert live({"silhouette": {"source": "Live"}}, comparison) == expected


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [(None, "error"), ((10, 10), "pass"), ((10, 5), "pass"), ((10, 4), "fail"), ((10, 21), "fail")],
)
def test_live_cluster_counts(clusters: tuple[int, int] | None, expected: str) -> None:
    assert live({"clusterCount": {"source": "Live"}}, compared(0.9, 1e-4, clusters=clusters)) == expected
    assert live({"clusterCount": {"source": "Live", "minSamples": 1500}}, compared(0.9, 1e-4)) == "inconclusive"
