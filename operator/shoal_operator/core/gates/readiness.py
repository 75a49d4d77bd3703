"""The gate on a candidate's pods: enough of them ready, none that waiting does not help.

Asked by core.transitions in every pass. Invariant: pods that are merely not ready yet never fail it.
"""

from __future__ import annotations

from collections.abc import Iterable

from shoal_operator.api.deployment import PoolFigures, Verdict
from shoal_operator.core.diagnosis import Diagnosis, diagnose_pod
from shoal_operator.core.snapshot import PodFacts

READINESS = "readiness"


def judge_readiness(pods: Iterable[PodFacts], needed: int) -> tuple[Verdict, Diagnosis | None]:
    """Judge a candidate's pods; also return what ails the worst of them.

    Fails at once where waiting does not help. Pods that are merely not ready yet, or no longer, are inconclusive:
    the progress deadline bounds how long.
    """
    pods = tuple(pods)
    found = [diagnosis for pod in pods if (diagnosis := diagnose_pod(pod.status))]
    diagnosis = max(found, key=lambda item: (item.hopeless, item.restarts), default=None)
    ready = sum(pod.ready for pod in pods)
    figures = PoolFigures(calls=0, value=float(ready))
    if diagnosis is not None and diagnosis.hopeless:
        return Verdict(gate=READINESS, verdict="fail", message=diagnosis.message, candidate=figures), diagnosis
    if ready >= needed:
        message = f"{ready} of {needed} pods are ready."
        return Verdict(gate=READINESS, verdict="pass", message=message, candidate=figures), None
    message = f"{ready} of {needed} pods are ready{f': {diagnosis.message}' if diagnosis else '.'}"
    return Verdict(gate=READINESS, verdict="inconclusive", message=message, candidate=figures), diagnosis
