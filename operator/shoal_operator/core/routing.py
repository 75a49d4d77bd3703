"""What the routers have in common: the question they are asked and the form of their answer.

Built by core.service_router and core.gateway_router, asked by core.transitions and core.rollout. Invariant: asking
changes nothing; the same question may be asked for several weights in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal_operator.api.canary import HeaderMatch
from shoal_operator.api.deployment import ClusteringDeploymentSpec, Revision
from shoal_operator.core.conditions import Problem
from shoal_operator.core.plan import Action
from shoal_operator.core.snapshot import DeploymentSnapshot, PodFacts


@dataclass(frozen=True, slots=True)
class Question:
    """How should calls be shared between these revisions?"""

    snapshot: DeploymentSnapshot
    spec: ClusteringDeploymentSpec
    stable: Revision
    """The revision that gets what the candidate does not; the first candidate itself while nothing is stable."""
    candidate: Revision | None
    weight: int
    mirror: int = 0
    """Percent of the calls that the candidate is to get copies of."""
    header: HeaderMatch | None = None
    """Metadata whose calls the candidate is to get whatever its weight."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A router's answer."""

    actions: tuple[Action, ...]
    settled: bool
    """Whether the observed objects already share the calls so, as far as the router tells."""
    actual_weight: int
    """Percent that the candidate gets now, whatever was asked."""
    routed: frozenset[str]
    """Revisions that may get calls now, and must stay."""
    problem: Problem | None = None
    candidate_pods: int | None = None
    """The candidate's pods that get calls now, where pods are what is routed; None where weights are."""
    mirror: int = 0
    """Percent of the calls that the candidate gets copies of now."""
    measured_weight: float | None = None
    """Percent that the candidate really took since the window began, where that is counted."""


def live_pods(snapshot: DeploymentSnapshot, revision: Revision | None) -> tuple[PodFacts, ...]:
    """Return a revision's pods that are not on their way out, oldest first."""
    if revision is None:
        return ()
    found = (pod for pod in snapshot.pods if pod.revision == revision.revision and not pod.deleting)
    return tuple(sorted(found, key=lambda pod: (pod.created, pod.name)))


def ready_pods(snapshot: DeploymentSnapshot, revision: Revision | None) -> tuple[PodFacts, ...]:
    """Return a revision's pods that can take calls."""
    return tuple(pod for pod in live_pods(snapshot, revision) if pod.ready)
