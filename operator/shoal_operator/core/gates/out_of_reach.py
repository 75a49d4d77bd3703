"""The gate on rows out of reach: do more rows than before lie outside the range of the training data?

Asked by core.gates. It tells a version that was trained on too little, or on other data than it meets. Invariant: a
model that does not know its range, on either side, fails nothing.
"""

from __future__ import annotations

from shoal_operator.api.analysis import OutOfReachGate
from shoal_operator.api.deployment import Verdict
from shoal_operator.core.gates.calls import Sides
from shoal_operator.core.gates.row_shares import ShareLimits, judge_share
from shoal_operator.core.snapshot import WindowFigures
from shoal_operator.core.statistics.shares import Counts

OUT_OF_REACH = "outOfReach"


def judge_out_of_reach(
    gate: OutOfReachGate, stable: WindowFigures | None, candidate: WindowFigures | None, alpha: float
) -> Verdict:
    """Judge the shares out of reach; `alpha` bounds the probability of failing a candidate within the limit."""
    if stable is None or candidate is None:
        return Verdict(gate=OUT_OF_REACH, verdict="inconclusive", message="no figures yet.")
    pairs = Sides(stable, candidate).looks()
    for side, looks in (("stable", [base for base, _ in pairs]), ("the candidate", [mine for _, mine in pairs])):
        if sum(look.rows for look in looks) >= gate.min_samples and not any(look.ranged_rows for look in looks):
            message = f"the model of {side} does not know the range of its training data."
            return Verdict(gate=OUT_OF_REACH, verdict="inconclusive", message=message)
    counts = [
        Counts(mine.out_of_reach_rows, mine.ranged_rows, base.out_of_reach_rows, base.ranged_rows)
        for base, mine in pairs
    ]
    limits = ShareLimits(OUT_OF_REACH, "are out of reach", gate.max_increase, None, gate.min_samples)
    return judge_share(limits, counts, stable, candidate, alpha)
