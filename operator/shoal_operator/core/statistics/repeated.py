"""Bounds an estimate that is made anew at every look from rows that are partly the same as before.

Called by core.gates. Invariant: however the looks depend on each other, the probability that any of them has its bound
on the wrong side is at most alpha, as far as the estimate's error is that of a t statistic.
"""

from __future__ import annotations

import math

_MOST_DEGREES = 200
_HALVINGS = 60


def spend(alpha: float, look: int) -> float:
    """Return the part of alpha that the look of this number, from 1, may use.

    1/2, 1/6, 1/12, ... 1/(k (k + 1)), which add up to 1 (the union bound; alpha spending, K. K. G. Lan and
    D. L. DeMets, Biometrika 70 (1983) 659-663). The looks share rows, and no evidence adds up from one to the next, so
    that a sequence for growing samples would promise too much.

    >>> [round(spend(0.06, look), 3) for look in (1, 2, 3)]
    [0.03, 0.01, 0.005]
    """
    return alpha / (look * (look + 1))


def half_width(variance: float, clusters: int, alpha: float) -> float:
    """Return the half width of a one-sided bound on an estimate whose variance comes from resampling clusters.

    t with clusters - 1 degrees of freedom times sqrt(v) (A. C. Cameron and D. L. Miller, Journal of Human Resources 50
    (2015) 317-372). inf for fewer than two clusters.

    >>> round(half_width(0.0001, 101, 0.05), 4)
    0.0166
    >>> round(half_width(0.0001, 3, 0.001), 3)
    0.223
    >>> half_width(0.0, 1, 0.05)
    inf
    """
    if clusters < 2:
        return math.inf
    return student_quantile(alpha, clusters - 1) * math.sqrt(variance)


def student_quantile(alpha: float, degrees: int) -> float:
    """Return the t that a Student t variable exceeds with probability alpha, at most 1/2.

    By halving the angle of the finite sums of M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions
    (1964), 26.7.3 and 26.7.4. Beyond 200 degrees of freedom the quantile of 200 is returned, which is the wider one.

    >>> [round(student_quantile(0.025, degrees), 3) for degrees in (1, 2, 10, 200)]
    [12.706, 4.303, 2.228, 1.972]
    """
    degrees = min(degrees, _MOST_DEGREES)
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 - _inside(middle, degrees)) / 2 > alpha else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _inside(angle: float, degrees: int) -> float:
    """Return the probability that |t| is at most sqrt(degrees) tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for step in range(2 + odd, degrees, 2):
        term *= cosine * cosine * (step - 1) / step
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
