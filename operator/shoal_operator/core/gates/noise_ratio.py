"""The gate on noise: do more rows than before belong to no cluster, by more points than `maxIncrease`?

Asked by core.gates. For DBSCAN noise is what lies farther than eps from every core sample. Invariant: rows without an
answer on both sides are no basis for a verdict.
"""

from __future__ import annotations

from shoal_operator.api.analysis import NoiseRatioGate
from shoal_operator.api.deployment import Verdict
from shoal_operator.core.gates.calls import Sides
from shoal_operator.core.gates.row_shares import ShareLimits, judge_share
from shoal_operator.core.snapshot import WindowFigures
from shoal_operator.core.statistics.shares import Counts

NOISE_RATIO = "noiseRatio"


def judge_noise_ratio(
    gate: NoiseRatioGate, stable: WindowFigures | None, candidate: WindowFigures | None, alpha: float
) -> Verdict:
    """Judge the shares of noise; `alpha` bounds the probability of failing a candidate within the limits."""
    if stable is None or candidate is None:
        return Verdict(gate=NOISE_RATIO, verdict="inconclusive", message="no figures yet.")
    looks = [
        Counts(mine.noise_rows, mine.rows, base.noise_rows, base.rows)
        for base, mine in Sides(stable, candidate).looks()
    ]
    limits = ShareLimits(NOISE_RATIO, "are noise", gate.max_increase, gate.max_decrease, gate.min_samples)
    return judge_share(limits, looks, stable, candidate, alpha)
