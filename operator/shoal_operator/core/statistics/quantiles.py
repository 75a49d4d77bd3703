"""Compares a quantile of two histograms, such as the 99th percentile of latency, by an interval on the ratio.

Called by core.gates. Invariant: what a histogram cannot tell (too few values for so high a quantile, values beyond the
last bound) widens the interval, up to having no bound at all.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WEIGHT = 100.0
"""Values that the prior of the sequence is worth: it is tightest at some hundreds of values."""
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Histograms:
    """Values by bucket of both sides, between one look and the next: upper bound -> number in that bucket alone."""

    counts: Mapping[float, float]
    base_counts: Mapping[float, float]


@dataclass(frozen=True, slots=True)
class QuantileEstimate:
    """A quantile of both sides, in the histogram's unit, and the interval on the log of their ratio."""

    value: float
    base: float
    log_lower: float
    """-inf where the histograms allow no bound."""
    looks: int


def estimate_quantile_ratio(looks: Sequence[Histograms], level: float, alpha: float) -> QuantileEstimate | None:
    """Estimate the ratio of the quantiles at `level` (0 to 1) with a lower bound that holds at every look.

    Each side's interval: all x for which "the share below x is `level`" is not refuted by the beta-binomial mixture
    (S. R. Howard and A. Ramdas, Bernoulli 28 (2022) 1704-1728, "Sequential estimation of quantiles"). Looks are
    standardised and count as clusters as in `means`: the number of values is divided by the design effect (L. Kish,
    Survey Sampling, 1965), never multiplied. The two intervals are joined on the log scale by squaring and adding
    (G. Y. Zou and A. Donner, Statistics in Medicine 27 (2008) 1693-1702). None without values on both sides.

    >>> fast, slow = {0.01: 50, 0.02: 50}, {0.02: 50, 0.04: 50}
    >>> found = estimate_quantile_ratio([Histograms(slow, fast)] * 10, 0.5, 0.01)
    >>> found.value, found.base, found.log_lower > math.log(1.5)
    (0.02, 0.01, True)
    >>> estimate_quantile_ratio([Histograms(slow, fast)], 0.99, 0.01).log_lower
    -inf
    """
    paired: list[tuple[float, float, Histograms]] = []
    for look in looks:
        count, base_count = sum(look.counts.values()), sum(look.base_counts.values())
        if count >= 1 and base_count >= 1:
            paired.append((count, base_count, look))
    if not paired:
        return None
    weights = [count * base / (count + base) for count, base, _ in paired]
    whole = sum(weights)
    sides = (
        _pool([(w / n, look.counts) for w, (n, _, look) in zip(weights, paired, strict=True)]),
        _pool([(w / m, look.base_counts) for w, (_, m, look) in zip(weights, paired, strict=True)]),
    )
    value, base = (quantile(side, level) for side in sides)
    if not (0 < value < math.inf and 0 < base < math.inf):
        return QuantileEstimate(value, base, -math.inf, len(paired))
    sizes = [
        whole * whole / sum(w * w / n for w, (n, _, _) in zip(weights, paired, strict=True)),
        whole * whole / sum(w * w / m for w, (_, m, _) in zip(weights, paired, strict=True)),
    ]
    effect = _design_effect(paired, weights, (value, base), level, sizes)
    lower = quantile(sides[0], refuted_share(level, sizes[0] / effect, alpha, above=False))
    upper = quantile(sides[1], refuted_share(level, sizes[1] / effect, alpha, above=True))
    if not (lower > 0 and upper < math.inf):
        return QuantileEstimate(value, base, -math.inf, len(paired))
    slack = math.hypot(math.log(value / lower), math.log(upper / base))
    return QuantileEstimate(value, base, math.log(value / base) - slack, len(paired))


def quantile(counts: Mapping[float, float], level: float) -> float:
    """Return a histogram's quantile, values lying evenly in their bucket; inf beyond the last finite bound.

    >>> quantile({1.0: 10, 2.0: 10}, 0.75)
    1.5
    >>> quantile({1.0: 10, math.inf: 10}, 0.75)
    inf
    """
    wanted = level * sum(counts.values())
    if level > 1:
        return math.inf
    below = lower = 0.0
    for bound in sorted(counts):
        inside = counts[bound]
        if below + inside >= wanted and inside > 0:
            return math.inf if math.isinf(bound) else lower + (bound - lower) * max(0.0, wanted - below) / inside
        below, lower = below + inside, bound
    return lower


def share_below(counts: Mapping[float, float], value: float) -> float:
    """Return the share of a histogram below a value, 0 to 1; the inverse of `quantile`."""
    bounds = sorted(counts)
    index = bisect_left(bounds, value)
    below = sum(counts[bound] for bound in bounds[:index])
    if index < len(bounds) and not math.isinf(bounds[index]):
        lower = bounds[index - 1] if index else 0.0
        below += counts[bounds[index]] * (value - lower) / (bounds[index] - lower)
    return below / sum(counts.values())


def refuted_share(level: float, size: float, alpha: float, *, above: bool) -> float:
    """Return the share, nearest to `level`, whose observation among `size` values refutes the probability `level`.

    By the beta-binomial mixture with the prior Beta(c level, c (1 - level)). Outside 0 to 1 where none refutes it.

    >>> round(refuted_share(0.5, 1000, 0.01, above=True), 3)
    0.556
    >>> refuted_share(0.99, 100, 0.01, above=True) > 1
    True
    """
    edge = 1.0 if above else 0.0
    needed = math.log(1 / alpha)
    if _log_mixture(edge, size, level) < needed:
        return 2.0 if above else -1.0
    near, far = level, edge
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        near, far = (near, middle) if _log_mixture(middle, size, level) >= needed else (middle, far)
    return far


def _log_mixture(share: float, size: float, level: float) -> float:
    """Return ln of the beta-binomial mixture's e-value against `level`."""
    hits, misses = size * share, size * (1 - share)
    prior = (_WEIGHT * level, _WEIGHT * (1 - level))
    return (
        _log_beta(prior[0] + hits, prior[1] + misses)
        - _log_beta(*prior)
        - hits * math.log(level)
        - misses * math.log(1 - level)
    )


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _pool(parts: Sequence[tuple[float, Mapping[float, float]]]) -> dict[float, float]:
    """Add histograms, each multiplied by a factor."""
    pooled: dict[float, float] = {}
    for factor, counts in parts:
        for bound, count in counts.items():
            pooled[bound] = pooled.get(bound, 0.0) + factor * count
    return pooled


def _design_effect(
    paired: Sequence[tuple[float, float, Histograms]],
    weights: Sequence[float],
    values: tuple[float, float],
    level: float,
    sizes: Sequence[float],
) -> float:
    """Return how many times wider than that of independent values the scatter of the looks is; at least 1."""
    if len(paired) < 2:
        return 1.0
    whole = sum(weights)
    scatter = sum(
        (w / whole * (share_below(look.counts, values[0]) - share_below(look.base_counts, values[1]))) ** 2
        for w, (_, _, look) in zip(weights, paired, strict=True)
    )
    between = scatter * len(paired) / (len(paired) - 1)
    return max(1.0, between / (level * (1 - level) * sum(1 / size for size in sizes)))
