"""The gate on the silhouettes of both versions: as their trainings measured them, or on the same recent rows.

Asked by core.gates. Invariant: a version without a silhouette, such as one of a single cluster, fails nothing.
"""

from __future__ import annotations

from shoal_operator.api.analysis import LEAST_ROWS, SilhouetteGate
from shoal_operator.api.deployment import PoolFigures, Verdict
from shoal_operator.core.comparison import Comparison
from shoal_operator.core.gates.live import find_basis
from shoal_operator.core.gates.records import Records
from shoal_operator.core.statistics.repeated import half_width, spend

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


def judge_live_silhouette(gate: SilhouetteGate, comparison: Comparison | None, alpha: float) -> Verdict:
    """Fail when the candidate's silhouette on the same rows is surely further below stable's, as `judge_silhouette`."""
    basis = find_basis(SILHOUETTE, gate.min_samples or LEAST_ROWS, comparison)
    if isinstance(basis, Verdict):
        return basis
    scores = basis.silhouettes
    if scores is None:
        message = f"a side has fewer than two clusters among the {basis.rows} rows that were compared."
        return Verdict(gate=SILHOUETTE, verdict="inconclusive", message=message)
    limit = least_score(scores.stable, gate.min_ratio) - scores.stable
    surely = scores.difference.value + half_width(scores.difference.variance, basis.requests, spend(alpha, basis.looks))
    outcome = "fail" if surely < limit else "inconclusive" if scores.difference.value < limit else "pass"
    ending = {
        "fail": "too low, beyond chance",
        "inconclusive": "low, but that may yet be chance; the next rows decide",
        "pass": "within",
    }[outcome]
    message = (
        f"silhouette {scores.candidate:.3f}, stable {scores.stable:.3f} on the same {basis.rows} rows of "
        f"{basis.requests} requests: {scores.difference.value:+.3f}, surely at most {surely:+.3f}, limit "
        f"{limit:+.3f} (x{gate.min_ratio:g}): {ending}."
    )
    return Verdict.model_validate(
        {
            "gate": SILHOUETTE,
            "verdict": outcome,
            "message": message,
            "stable": PoolFigures(calls=basis.requests, value=round(scores.stable, 6)),
            "candidate": PoolFigures(calls=basis.requests, value=round(scores.candidate, 6)),
        }
    )


def least_score(stable: float, min_ratio: float) -> float:
    """Return the least score beside stable's, which may be negative.

    >>> round(least_score(0.6, 0.95), 3)
    0.57
    >>> round(least_score(-0.2, 0.95), 3)
    -0.21
    """
    return stable - (1 - min_ratio) * abs(stable)
