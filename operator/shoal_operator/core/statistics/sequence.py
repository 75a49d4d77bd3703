"""The normal mixture: evidence and interval for a mean that is looked at again and again.

Called by the modules beside it. Invariant: more looks never make a bound less sure.
"""

from __future__ import annotations

import math


def mixture_half_width(variance: float, alpha: float, scale: float) -> float:
    """Return the half width of a confidence sequence around an estimate with this variance.

    Robbins' normal mixture: sqrt(v (v + s^2) / s^2 * (ln((v + s^2) / v) + 2 ln(1 / alpha))), where s is the size of the
    effects that it is tuned for. H. Robbins, Annals of Mathematical Statistics 41 (1970) 1397-1409; for an estimated
    variance I. Waudby-Smith et al., Annals of Statistics 52 (2024) 2613-2640, "Time-uniform central limit theory".

    >>> round(mixture_half_width(0.01, 0.01, 0.3), 3)
    0.358
    >>> round(mixture_half_width(0.0001, 0.01, 0.3), 3)
    0.04
    >>> mixture_half_width(0.0, 0.01, 0.3)
    0.0
    """
    if variance <= 0:
        return 0.0
    square = scale * scale
    odds = math.log((variance + square) / variance) + 2 * math.log(1 / alpha)
    return math.sqrt(variance * (variance + square) / square * odds)
