"""The two intervals behind the gates, as plain arithmetic.

Called by core.gates. Invariant: one-sided bounds at about z = 3, so that a gate that is read every few seconds for an
hour still seldom condemns a candidate that is as good as stable.
"""

from __future__ import annotations

import math

Z = 3.0
_NANOSECOND = 1e-9


def wilson_bounds(errors: int, calls: int, z: float = Z) -> tuple[float, float]:
    """Return Wilson's score interval of a share (E. B. Wilson, JASA 1927).

    >>> [round(bound, 4) for bound in wilson_bounds(0, 50)]
    [0.0, 0.1525]
    >>> [round(bound, 4) for bound in wilson_bounds(10, 50)]
    [0.083, 0.4086]
    """
    share = errors / calls
    scale = 1 + z * z / calls
    centre = (share + z * z / (2 * calls)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / calls + z * z / (4 * calls * calls))
    return max(0.0, centre - half), min(1.0, centre + half)


def excess_lower_bound(errors: int, calls: int, base_errors: int, base_calls: int, ratio: float, z: float = Z) -> float:
    """Return a lower bound of `share - ratio * base share`, from Wilson's bounds by squaring and adding.

    Method 10 of R. G. Newcombe, Statistics in Medicine 17 (1998) 873-890, with the second share scaled. Above zero
    means: significantly more than `ratio` times the base.

    >>> excess_lower_bound(50, 50, 0, 50, 1.05) > 0
    True
    >>> excess_lower_bound(3, 50, 1, 50, 1.05) > 0
    False
    """
    share, base = errors / calls, base_errors / base_calls
    lower = share - wilson_bounds(errors, calls, z)[0]
    upper = wilson_bounds(base_errors, base_calls, z)[1] - base
    return share - ratio * base - math.sqrt(lower * lower + ratio * ratio * upper * upper)


def log_ratio_lower_bound(
    sums: tuple[int, float, float], base_sums: tuple[int, float, float], z: float = Z
) -> float | None:
    """Return a lower bound of ln(mean / base mean) by the delta method; None without means that a clock can tell.

    Each side is (count, sum, sum of squares). The variance of the log of a mean is about var / (n * mean ** 2).

    >>> round(log_ratio_lower_bound((100, 2.0, 0.04), (100, 1.0, 0.01)), 4)
    0.6931
    """
    logs = 0.0
    variance = 0.0
    for sign, (count, total, squares) in ((1, sums), (-1, base_sums)):
        mean = total / count if count >= 2 else 0.0
        if not (_NANOSECOND <= mean < math.inf and math.isfinite(squares)):
            return None
        spread = max(0.0, squares - total * mean) / (count - 1)
        logs += sign * math.log(mean)
        variance += spread / (count * mean * mean)
    return logs - z * math.sqrt(variance)
