"""Compares two means of a positive quantity, such as latency, by an interval on their ratio that holds at every look.

Called by core.gates. Invariant: the interval is never narrower than the scatter between the looks warrants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

EFFECT = 0.3
"""The size of ln(ratio) for which the sequences are tuned: about x1.35."""
_NANOSECOND, _CENTURY = 1e-9, 3e9


@dataclass(frozen=True, slots=True)
class Sums:
    """Count, sum and sum of squares of both sides, between one look and the next."""

    count: float
    total: float
    squares: float
    base_count: float
    base_total: float
    base_squares: float


@dataclass(frozen=True, slots=True)
class RatioEstimate:
    """ln(mean / base mean)."""

    log_ratio: float
    variance: float
    looks: int
    """Looks in which both sides have something."""


def estimate_log_ratio(looks: Sequence[Sums]) -> RatioEstimate | None:
    """Estimate the log of the ratio of two means, each look counting alike on both sides.

    A look with n and m values weighs w = n m / (n + m) on either side (direct standardisation, W. G. Cochran,
    Biometrics 10 (1954) 417-451), so that a busy minute in which one side had more calls does not tell against it. The
    variance is the larger of two: that of independent calls by the delta method, sum w^2 (cv^2 / n + base cv^2 / m) /
    W^2, and that of the looks as clusters, J / (J - 1) sum w^2 (mean_t / mean - base mean_t / base mean)^2 / W^2
    (K.-Y. Liang and S. L. Zeger, Biometrika 73 (1986) 13-22). None without means that a clock can tell.

    >>> steady = Sums(100, 2.0, 0.05, 900, 9.0, 0.12)
    >>> found = estimate_log_ratio([steady] * 4)
    >>> round(found.log_ratio, 4), round(found.variance, 6), found.looks
    (0.6931, 0.000719, 4)
    >>> estimate_log_ratio([]) is None
    True
    """
    paired = [look for look in looks if look.count > 0 and look.base_count > 0]
    weights = [look.count * look.base_count / (look.count + look.base_count) for look in paired]
    whole = sum(weights)
    if whole <= 0:
        return None
    means = [look.total / look.count for look in paired]
    bases = [look.base_total / look.base_count for look in paired]
    mean = sum(weight * item for weight, item in zip(weights, means, strict=True)) / whole
    base = sum(weight * item for weight, item in zip(weights, bases, strict=True)) / whole
    if not (_NANOSECOND <= mean < _CENTURY and _NANOSECOND <= base < _CENTURY):
        return None
    spread = _relative_variance([(look.count, look.total, look.squares) for look in paired])
    base_spread = _relative_variance([(look.base_count, look.base_total, look.base_squares) for look in paired])
    if spread is None or base_spread is None:
        return None
    shares = [weight / whole for weight in weights]
    calls = sum(
        share * share * (spread / look.count + base_spread / look.base_count)
        for share, look in zip(shares, paired, strict=True)
    )
    scatter = sum(
        (share * (one / mean - other / base)) ** 2 for share, one, other in zip(shares, means, bases, strict=True)
    )
    between = scatter * len(paired) / (len(paired) - 1) if len(paired) > 1 else 0.0
    return RatioEstimate(math.log(mean / base), max(calls, between), len(paired))


def _relative_variance(sums: Sequence[tuple[float, float, float]]) -> float | None:
    """Return variance / mean^2 over all looks; None where the sums are none."""
    count = sum(item[0] for item in sums)
    total = sum(item[1] for item in sums)
    squares = sum(item[2] for item in sums)
    mean = total / count if count >= 2 else 0.0
    if not _NANOSECOND <= mean < _CENTURY or not math.isfinite(squares):
        return None
    return max(0.0, squares - total * mean) / (count - 1) / (mean * mean)
