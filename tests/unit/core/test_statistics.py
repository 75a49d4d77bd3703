"""The statistics hold at every look, whatever the shares, the traffic and the numbers they are fed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shoal_operator.core.statistics.means import EFFECT, Sums, estimate_log_ratio
from shoal_operator.core.statistics.quantiles import (
    Histograms,
    estimate_quantile_ratio,
    quantile,
    refuted_share,
    share_below,
)
from shoal_operator.core.statistics.repeated import half_width, spend, student_quantile
from shoal_operator.core.statistics.sequence import mixture_half_width
from shoal_operator.core.statistics.shares import Counts, share_evidence

trials = st.integers(0, 100_000)
counts = st.tuples(trials, trials, st.floats(0, 1), st.floats(0, 1)).map(
    lambda item: Counts(int(item[2] * item[0]), item[0], int(item[3] * item[1]), item[1])
)
alphas = st.floats(1e-6, 0.2)
histograms = st.dictionaries(
    st.sampled_from([0.001, 0.01, 0.1, 1.0, math.inf]), st.floats(0, 1e6), min_size=1, max_size=5
)


class TestShares:
    @pytest.mark.parametrize("base", [0.0005, 0.01, 0.5, 1.0])
    @pytest.mark.parametrize("weight", [0.1, 0.5])
    def test_false_alarms_stay_below_alpha_however_often_one_looks(self, base: float, weight: float) -> None:
        """Ville's inequality, seen: 120 looks of 20 calls each, an alarm at any of them counts."""
        generator, alpha, windows, looks = np.random.default_rng(1), 0.1, 100, 120
        mine = max(1, round(20 * weight))
        alarms = 0
        for _ in range(windows):
            events = generator.binomial(mine, base, looks)
            others = generator.binomial(20 - mine, base, looks)
            found = [Counts(k, mine, j, 20 - mine) for k, j in zip(events, others, strict=True)]
            alarms += any(share_evidence(found[:stop], 1.0).log >= math.log(1 / alpha) for stop in range(20, 121, 20))
        assert alarms <= 0.1 * windows + 3 * math.sqrt(0.09 * windows)

    @pytest.mark.parametrize("base", [0.001, 0.05, 0.5, 1.0])
    @pytest.mark.parametrize("ratio", [1.0, 1.05, 3.0])
    @pytest.mark.parametrize(("mine", "others"), [(1, 1), (2, 8), (8, 2), (5, 20)])
    def test_a_candidate_at_the_limit_wins_nothing_on_average(
        self, base: float, ratio: float, mine: int, others: int
    ) -> None:
        """The mean of the e-value over all outcomes of a look, exactly: at most 1, as an e-process must have it."""
        chances = stats.binom.pmf(range(mine + 1), mine, min(1.0, ratio * base))
        base_chances = stats.binom.pmf(range(others + 1), others, base)
        mean = sum(
            chances[k] * base_chances[j] * math.exp(share_evidence([Counts(k, mine, j, others)], ratio).log)
            for k in range(mine + 1)
            for j in range(others + 1)
        )
        assert mean <= 1 + 1e-9

    @given(st.lists(counts, max_size=20), st.floats(1, 100))
    def test_any_counts_give_finite_evidence(self, looks: list[Counts], ratio: float) -> None:
        found = share_evidence(looks, ratio)
        assert math.isfinite(found.log)
        assert found.log == pytest.approx(found.uncapped_log, abs=1e-6)

    @given(st.lists(counts, max_size=20), st.floats(1, 100), st.floats(0.1, 5))
    def test_a_cap_only_lowers_the_evidence(self, looks: list[Counts], ratio: float, cap: float) -> None:
        found = share_evidence(looks, ratio, cap)
        assert found.log <= found.uncapped_log + 1e-6
        assert found.log <= cap * found.looks + 1e-9

    @given(st.lists(counts.filter(lambda item: item.events == 0), max_size=20), st.floats(1, 100))
    def test_a_candidate_without_failures_is_never_suspected(self, looks: list[Counts], ratio: float) -> None:
        assert share_evidence(looks, ratio).log <= 1e-9

    @given(st.integers(1, 50), st.integers(50, 10_000), st.integers(50, 10_000))
    def test_more_failures_are_more_evidence(self, events: int, mine: int, others: int) -> None:
        fewer, more = (share_evidence([Counts(k, mine, 0, others)], 1.05).log for k in (events - 1, events))
        assert more > fewer

    @given(st.lists(counts, max_size=10), st.floats(1, 10), st.floats(1, 10))
    def test_a_wider_limit_is_less_evidence(self, looks: list[Counts], one: float, other: float) -> None:
        low, high = sorted((one, other))
        assert share_evidence(looks, high).log <= share_evidence(looks, low).log + 1e-6


class TestMeans:
    @given(
        st.lists(
            st.builds(Sums, *[st.floats(allow_nan=True, allow_infinity=True), st.floats(), st.floats()] * 2),
            max_size=5,
        )
    )
    def test_any_sums_give_an_estimate_or_none(self, looks: list[Sums]) -> None:
        found = estimate_log_ratio(looks)
        assert found is None or (math.isfinite(found.log_ratio) and found.variance >= 0)

    @given(st.floats(0.0005, 100), st.floats(0.0005, 100), st.integers(5, 50))
    def test_the_ratio_is_that_of_the_means(self, mean: float, base: float, looks: int) -> None:
        look = Sums(10, 10 * mean, 12 * mean * mean, 90, 90 * base, 100 * base * base)
        found = estimate_log_ratio([look] * looks)
        assert found is not None
        assert found.log_ratio == pytest.approx(math.log(mean / base))

    def test_a_busy_time_of_one_side_is_no_slowness(self) -> None:
        """Both are slow in the second look, in which the candidate has most of its calls."""
        quiet = Sums(10, 0.1, 0.0011, 90, 0.9, 0.0099)
        busy = Sums(90, 9.0, 0.99, 90, 9.0, 0.99)
        found = estimate_log_ratio([quiet, busy])
        assert found is not None
        assert found.log_ratio == pytest.approx(0, abs=1e-9)

    @given(st.floats(1e-9, 10), alphas, alphas)
    def test_surer_is_wider_and_more_variance_too(self, variance: float, one: float, other: float) -> None:
        low, high = sorted((one, other))
        assert mixture_half_width(variance, low, EFFECT) >= mixture_half_width(variance, high, EFFECT)
        assert mixture_half_width(2 * variance, low, EFFECT) >= mixture_half_width(variance, low, EFFECT)
        # Never narrower than the fixed interval for a single look.
        assert mixture_half_width(variance, low, EFFECT) >= math.sqrt(2 * variance * math.log(1 / low))


class TestQuantiles:
    @given(histograms, st.floats(0.01, 0.99))
    def test_a_quantile_and_its_share_are_inverse(self, counts: dict[float, float], level: float) -> None:
        if sum(counts.values()) < 1e-3:
            return
        value = quantile(counts, level)
        if math.isfinite(value) and value > 0:
            assert share_below(counts, value) == pytest.approx(level, abs=1e-6)

    @given(st.lists(st.builds(Histograms, histograms, histograms), max_size=6), st.sampled_from([0.5, 0.99]), alphas)
    def test_any_histograms_give_an_estimate_or_none(self, looks: list[Histograms], level: float, alpha: float) -> None:
        found = estimate_quantile_ratio(looks, level, alpha)
        assert found is None or not math.isnan(found.log_lower)

    @given(histograms, st.sampled_from([0.5, 0.9, 0.99]), alphas)
    def test_a_side_is_never_surely_slower_than_itself(
        self, counts: dict[float, float], level: float, alpha: float
    ) -> None:
        found = estimate_quantile_ratio([Histograms(counts, counts)] * 6, level, alpha)
        assert found is None or found.log_lower <= 1e-9

    @given(st.floats(0.05, 0.95), st.floats(10, 1e6), alphas)
    def test_refuted_shares_lie_on_their_sides(self, level: float, size: float, alpha: float) -> None:
        assert refuted_share(level, size, alpha, above=False) <= level <= refuted_share(level, size, alpha, above=True)


class TestRepeated:
    @pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 30, 200])
    @pytest.mark.parametrize("alpha", [0.3, 0.025, 1e-4, 1e-7])
    def test_the_t_quantile_is_scipys(self, degrees: int, alpha: float) -> None:
        assert student_quantile(alpha, degrees) == pytest.approx(stats.t.isf(alpha, degrees), rel=1e-6)

    @given(alphas, st.integers(1, 5000))
    def test_many_clusters_are_never_bounded_tighter_than_they_are(self, alpha: float, degrees: int) -> None:
        assert student_quantile(alpha, degrees) >= stats.t.isf(alpha, degrees) * (1 - 1e-6)

    @given(alphas, st.integers(1, 400))
    def test_the_looks_spend_no_more_than_alpha(self, alpha: float, looks: int) -> None:
        assert sum(spend(alpha, look) for look in range(1, looks + 1)) <= alpha

    @given(st.floats(0, 1), st.integers(2, 400), alphas, st.integers(1, 400))
    def test_more_looks_never_make_a_bound_less_sure(
        self, variance: float, clusters: int, alpha: float, look: int
    ) -> None:
        now, later = (half_width(variance, clusters, spend(alpha, number)) for number in (look, look + 1))
        assert 0 <= now <= later < math.inf
