"""The gate on the number of clusters of both versions: a clustering that fell apart or melted together is stopped.

Asked by core.gates. Invariant: without both numbers there is no failure.
"""

from __future__ import annotations

from shoal_operator.api.analysis import LEAST_ROWS, ClusterCountGate
from shoal_operator.api.deployment import PoolFigures, Verdict
from shoal_operator.core.comparison import Comparison
from shoal_operator.core.gates.live import find_basis
from shoal_operator.core.gates.records import Records

CLUSTER_COUNT = "clusterCount"


def judge_cluster_count(gate: ClusterCountGate, records: Records) -> Verdict:
    """Fail when the candidate's clusters are fewer than stable's * minRatio, or more than stable's * maxRatio."""
    if records.stable is None or records.candidate is None:
        side = "stable" if records.stable is None else "the candidate"
        message = f"the record of {side} cannot be read."
        return Verdict(gate=CLUSTER_COUNT, verdict="inconclusive", message=message)
    return _judge(gate, records.stable.clusters, records.candidate.clusters, "clusters")


def judge_live_cluster_count(gate: ClusterCountGate, comparison: Comparison | None) -> Verdict:
    """Judge the clusters that the same recent rows lie in by the same limits, which are bare thresholds."""
    basis = find_basis(CLUSTER_COUNT, gate.min_samples or LEAST_ROWS, comparison)
    if isinstance(basis, Verdict):
        return basis
    if basis.clusters is None:
        return Verdict(gate=CLUSTER_COUNT, verdict="error", message="the stable pods tell no number of clusters.")
    return _judge(gate, *basis.clusters, "clusters among the rows compared")


def _judge(gate: ClusterCountGate, stable: int, candidate: int, what: str) -> Verdict:
    least, most = stable * gate.min_ratio, stable * gate.max_ratio
    outcome = "too few" if candidate < least else "too many" if candidate > most else "within"
    return Verdict(
        gate=CLUSTER_COUNT,
        verdict="pass" if outcome == "within" else "fail",
        message=f"{candidate} {what}, stable {stable}, limits {least:g} to {most:g}: {outcome}.",
        stable=PoolFigures(calls=0, value=stable),
        candidate=PoolFigures(calls=0, value=candidate),
        limit=least if candidate < stable else most,
    )
