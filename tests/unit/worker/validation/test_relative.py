"""A version is compared with the last good one on the same rows; what cannot be measured never fails."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_blobs

from shoal_worker.spec.validation import RelativeLimits
from shoal_worker.validation.relative import Comparison, judge_relative, least_value

POINTS, TRUTH = make_blobs(1500, centers=[(0, 0), (9, 9), (0, 9), (9, 0)], random_state=2)
TRUTH = TRUTH.astype(np.int32)
MERGED = (TRUTH // 2).astype(np.int32)
SCATTERED = np.random.default_rng(0).permutation(TRUTH)


def compare(labels: Any, baseline: Any, **limits: Any) -> list[tuple[str, str]]:
    pair = Comparison(3, POINTS, "euclidean", labels, baseline)
    return [(judged.name, judged.verdict) for judged in judge_relative(pair, RelativeLimits(**limits))]


@pytest.mark.parametrize(
    ("labels", "baseline", "limits", "verdicts"),
    [
        (TRUTH, TRUTH, {"min_silhouette_ratio": 1, "min_dbcv_ratio": 1, "min_agreement": 1}, ["pass"] * 3),
        (SCATTERED, TRUTH, {"min_silhouette_ratio": 0.9, "min_dbcv_ratio": 0.9, "min_agreement": 0.9}, ["fail"] * 3),
        (MERGED, TRUTH, {"min_silhouette_ratio": 0.99}, ["fail"]),
        (TRUTH, MERGED, {"min_silhouette_ratio": 0.99, "min_agreement": 0.9}, ["pass", "fail"]),
        ((TRUTH + 1) % 4, TRUTH, {"min_agreement": 1}, ["pass"]),
        (np.zeros_like(TRUTH), TRUTH, {"min_silhouette_ratio": 0.1, "min_dbcv_ratio": 0.1}, ["fail"] * 2),
        (TRUTH, np.zeros_like(TRUTH), {"min_silhouette_ratio": 0.1, "min_dbcv_ratio": 0.1}, ["warn"] * 2),
        (TRUTH, TRUTH, {}, []),
    ],
)
def test_limits_are_judged(labels: Any, baseline: Any, limits: dict[str, float], verdicts: list[str]) -> None:
    assert [verdict for _, verdict in compare(labels, baseline, **limits)] == verdicts


def test_too_few_rows_to_tell_are_no_failure() -> None:
    few = Comparison(3, POINTS[:40], "euclidean", TRUTH[:40], np.where(np.arange(40) < 2, 3, TRUTH[:40]))
    (judged,) = judge_relative(few, RelativeLimits(min_agreement=0.95))
    assert judged.figures["adjustedRand"] < 0.95 < judged.figures["high"]
    assert judged.verdict == "warn"


@pytest.mark.parametrize(
    ("compared", "verdict", "told"), [(None, "pass", "no earlier"), ("it is gone", "warn", "gone")]
)
def test_without_the_last_good_version_nothing_fails(compared: str | None, verdict: str, told: str) -> None:
    limits = RelativeLimits(min_silhouette_ratio=1, min_dbcv_ratio=1, min_agreement=1)
    judged = judge_relative(compared, limits)
    assert [test.verdict for test in judged] == [verdict] * 3
    assert all(told in test.message for test in judged)


def test_a_dry_run_tells_but_does_not_reject() -> None:
    pair = Comparison(3, POINTS, "euclidean", SCATTERED, TRUTH)
    (judged,) = judge_relative(pair, RelativeLimits(min_agreement=0.9, dry_run=True))
    assert judged.verdict == "fail"
    assert not judged.rejects


@given(st.floats(-1, 1), st.floats(0, 1))
def test_equal_quality_always_passes_a_ratio_of_at_most_one(figure: float, ratio: float) -> None:
    assert figure >= least_value(figure, ratio)
