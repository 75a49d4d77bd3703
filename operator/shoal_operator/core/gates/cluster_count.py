"""The gate on the number of clusters of both versions: a clustering that fell apart or melted together is stopped.

Asked by core.gates. Invariant: without both records there is no failure.
"""

from __future__ import annotations

from shoal_operator.api.analysis import ClusterCountGate
from shoal_operator.api.deployment import PoolFigures, Verdict
from shoal_operator.core.gates.records import Records

CLUSTER_COUNT = "clusterCount"


def judge_cluster_count(gate: ClusterCountGate, records: Records) -> Verdict:
    """Fail when the candidate's clusters are fewer than stable's * minRatio, or more than stable's * maxRatio."""
    if records.stable is None or records.candidate is None:
        side = "stable" if records.stable is None else "the candidate"
        message = f"the record of {side} cannot be read."
        return Verdict(gate=CLUSTER_COUNT, verdict="inconclusive", message=message)
    stable, candidate = records.stable.clusters, records.candidate.clusters
    least, most = stable * gate.min_ratio, stable * gate.max_ratio
    outcome = "too few" if candidate < least else "too many" if candidate > most else "within"
    return Verdict(
        gate=CLUSTER_COUNT,
        verdict="pass" if outcome == "within" else "fail",
        message=f"{candidate} clusters, stable {stable}, limits {least:g} to {most:g}: {outcome}.",
        stable=PoolFigures(calls=0, value=stable),
        candidate=PoolFigures(calls=0, value=candidate),
        limit=least if candidate < stable else most,
    )
