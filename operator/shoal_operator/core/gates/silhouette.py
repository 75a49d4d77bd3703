"""The gate on the silhouettes of both versions, as their trainings measured them on their own data.

Asked by core.gates. Invariant: a version without a silhouette, such as one of a single cluster, fails nothing.
"""

from __future__ import annotations

from shoal_operator.api.analysis import SilhouetteGate
from shoal_operator.api.deployment import PoolFigures, Verdict
from shoal_operator.core.gates.records import Records

SILHOUETTE = "silhouette"


def judge_silhouette(gate: SilhouetteGate, records: Records) -> Verdict:
    """Fail when the candidate's silhouette is below stable's by more than the share 1 - minRatio of its size."""
    scores = [record.silhouette if record is not None else None for record in (records.stable, records.candidate)]
    stable, candidate = scores
    if stable is None or candidate is None:
        side = "stable" if stable is None else "the candidate"
        message = f"the record of {side} has no silhouette; it takes two clusters."
        return Verdict(gate=SILHOUETTE, verdict="inconclusive", message=message)
    limit = least_score(stable, gate.min_ratio)
    fails = candidate < limit
    message = (
        f"silhouette {candidate:.3f}, stable {stable:.3f}, limit x{gate.min_ratio:g}, that is {limit:.3f}: "
        f"{'too low' if fails else 'within'}."
    )
    return Verdict(
        gate=SILHOUETTE,
        verdict="fail" if fails else "pass",
        message=message,
        stable=PoolFigures(calls=0, value=stable),
        candidate=PoolFigures(calls=0, value=candidate),
        limit=limit,
    )


def least_score(stable: float, min_ratio: float) -> float:
    """Return the least score beside stable's, which may be negative.

    >>> round(least_score(0.6, 0.95), 3)
    0.57
    >>> round(least_score(-0.2, 0.95), 3)
    -0.21
    """
    return stable - (1 - min_ratio) * abs(stable)
