"""Recommends how many pods a deployment needs: the algorithm of the HorizontalPodAutoscaler, for each version's pool.

Called by core.rollout, which writes what is recommended. Semantics are those of Kubernetes 1.36; one file for each
step: `usage` (pods and figures), `outside` (numbers of a Prometheus server), `proposal` (one metric), `behaviour`
(windows and pace), `recommendation` (the whole).
Invariant: without fresh figures there is no decision, and with some of them missing never a smaller number.
"""

from __future__ import annotations

from datetime import datetime

from shoal_operator.api.deployment import ClusteringDeploymentSpec, ClusteringDeploymentStatus, Revision
from shoal_operator.core.pools import Foresight
from shoal_operator.core.progress import Progress
from shoal_operator.core.scaling.outside import wanted_queries
from shoal_operator.core.scaling.proposal import Pool
from shoal_operator.core.scaling.recommendation import Recommendation, disabled, recommend
from shoal_operator.core.snapshot import DeploymentSnapshot

__all__ = ["Recommendation", "foresee", "resize", "scale", "wanted_queries"]


def scale(
    snapshot: DeploymentSnapshot,
    spec: ClusteringDeploymentSpec,
    status: ClusteringDeploymentStatus,
    progress: Progress,
    now: datetime,
) -> Recommendation | None:
    """Recommend the pods of a deployment; None where its spec does not ask for it."""
    if spec.scaling is None:
        return None
    if spec.worker.replicas == 0:
        return disabled(status.scaling)
    revisions = (progress.stable, progress.candidate if status.actual_weight else None)
    pools = tuple(_pool(snapshot, revision) for revision in revisions if revision is not None)
    scaling = spec.scaling
    if progress.candidate is not None and scaling.min_replicas == 0:
        # A trial without pods would judge nothing and never end.
        scaling = scaling.model_copy(update={"min_replicas": 1})
    return recommend(
        scaling,
        status.scaling,
        status.conditions,
        pools,
        snapshot.load,
        spec.worker.replicas,
        now,
        share=status.actual_weight,
    )


def resize(spec: ClusteringDeploymentSpec, found: Recommendation | None) -> ClusteringDeploymentSpec:
    """Return the spec with the recommended number of pods in place of its own."""
    if found is None:
        return spec
    worker = spec.worker.model_copy(update={"replicas": found.status.replicas})
    return spec.model_copy(update={"worker": worker})


def foresee(
    spec: ClusteringDeploymentSpec, status: ClusteringDeploymentStatus, found: Recommendation | None
) -> Foresight:
    """Return what the candidate's calls will need at another weight, by the recommendation."""
    if spec.scaling is None or found is None:
        return Foresight()
    return Foresight(
        for_all=found.status.candidate_for_all,
        weight=status.actual_weight,
        most=spec.scaling.max_replicas,
        tolerance=spec.scaling.behavior.scale_up.tolerance,
    )


def _pool(snapshot: DeploymentSnapshot, revision: Revision) -> Pool:
    return Pool(revision, tuple(pod for pod in snapshot.pods if pod.revision == revision.revision))
