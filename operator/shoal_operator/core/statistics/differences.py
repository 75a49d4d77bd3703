"""Compares two shares by an interval on their difference that holds at every look, for rows that come in calls.

Called by core.gates. Invariant: rows of one call are alike, so the scatter between the looks counts too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shoal_operator.core.statistics.shares import Counts

EFFECT = 0.05
"""The size of differences for which the sequences are tuned: five points."""


@dataclass(frozen=True, slots=True)
class DifferenceEstimate:
    """share - base share."""

    share: float
    base: float
    variance: float
    looks: int

    @property
    def difference(self) -> float:
        """Return how many points the share is above the base share, 1 being all."""
        return self.share - self.base


def estimate_difference(looks: Iterable[Counts]) -> DifferenceEstimate | None:
    """Estimate the difference of two shares, each look counting alike on both sides; None without trials.

    Standardisation and variance as in `means`: the larger of that of independent trials and that of the looks as
    clusters (W. G. Cochran, Sampling Techniques, 1977, chapter 9).

    >>> found = estimate_difference([Counts(30, 100, 100, 500)] * 5)
    >>> round(found.difference, 3), round(found.variance, 6), found.looks
    (0.1, 0.000484, 5)
    >>> estimate_difference([]) is None
    True
    """
    paired = [look for look in looks if look.trials > 0 and look.base_trials > 0]
    weights = [look.trials * look.base_trials / (look.trials + look.base_trials) for look in paired]
    whole = sum(weights)
    if whole <= 0:
        return None
    parts = [weight / whole for weight in weights]
    shares = [look.events / look.trials for look in paired]
    bases = [look.base_events / look.base_trials for look in paired]
    share = sum(part * item for part, item in zip(parts, shares, strict=True))
    base = sum(part * item for part, item in zip(parts, bases, strict=True))
    trials = sum(
        part * part * (share * (1 - share) / look.trials + base * (1 - base) / look.base_trials)
        for part, look in zip(parts, paired, strict=True)
    )
    scatter = sum(
        (part * (one - other - share + base)) ** 2 for part, one, other in zip(parts, shares, bases, strict=True)
    )
    between = scatter * len(paired) / (len(paired) - 1) if len(paired) > 1 else 0.0
    return DifferenceEstimate(share, base, max(trials, between), len(paired))
