"""The capacity rule, measured: the ready pods of a pool bear the calls that are routed to it.

Asked around every single action: by the rollout's state machine over the fake cluster, by the end-to-end tests over
the changes that a real one went through. The unit is the whole demand, for which spec.worker.replicas pods are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from shoal_operator.core import names
from shoal_operator.core.observed_route import copies_of, services_of
from shoal_operator.core.plan import Action, Apply, Delete
from tests.unit.core.fake_cluster import FakeCluster


@dataclass(frozen=True)
class Load:
    """What is routed where at one moment."""

    overload: dict[str, Fraction]
    """Revision -> demand through the Gateway beyond what its pods bear: ready ones that its Deployment keeps."""
    dangling: frozenset[str]
    """Services that the route names and that do not exist."""
    endpoints: int | None
    """Ready pods behind the router Service; None where there is none."""
    stable_ready: int


def measure(cluster: FakeCluster) -> Load:
    """Return the load of the pools."""
    name = cluster.deployment["metadata"]["name"]
    replicas, kept = cluster.deployment["spec"]["worker"]["replicas"], _kept(cluster)
    weights, copies = cluster.backends(), copies_of(cluster.rules())
    total = sum(weights.values())
    overload = {}
    for pool in {*weights, *copies}:
        revision = pool.rpartition("-")[2]
        share = Fraction(weights.get(pool, 0), total or 1) + Fraction(copies.get(pool, 0), 100)
        ready = min(sum(pod.ready for pod in cluster.pool(revision)), kept.get(revision, 0))
        overload[revision] = max(Fraction(0), share - (Fraction(ready, replicas) if replicas else 1))
    return Load(
        overload,
        frozenset(pool for pool in services_of(cluster.rules()) if ("Service", pool) not in cluster.objects),
        sum(pod.ready for pod in cluster.endpoints()) if ("Service", name) in cluster.objects else None,
        sum(pod.ready for pod in cluster.pool(cluster.revision("stable"))),
    )


def check(cluster: FakeCluster, before: Load, after: Load, action: Action) -> None:
    """Assert that an action took no pool beyond what it bears, or further beyond, and no Service from under the route.

    Calls may go to stable however many of its pods are ready, for nobody else can bear them, but no change of its pool
    takes from it what they need. A first deployment, which nobody calls yet, is excepted.
    """
    stable = cluster.revision("stable")
    if stable is None:
        return
    assert after.dangling <= before.dangling, f"{action}: the route names {set(after.dangling - before.dangling)}"
    resizes = _kind(action) == "Deployment"
    for revision, excess in after.overload.items():
        more = excess - before.overload.get(revision, Fraction(0))
        assert more <= 0 or (revision == stable and not resizes), f"{action} overloads {revision} by {float(more):.0%}"
    if before.endpoints is not None and after.endpoints is not None:
        replicas = cluster.deployment["spec"]["worker"]["replicas"]
        least = min(before.endpoints, replicas, after.stable_ready)
        assert after.endpoints >= least, f"{action} leaves {after.endpoints} ready pods routed, of {before.endpoints}"


def _kind(action: Action) -> str:
    match action:
        case Apply(manifest):
            return str(manifest["kind"])
        case Delete(key):
            return key.kind
    return ""


def _kept(cluster: FakeCluster) -> dict[str, int]:
    """Return revision -> pods that its Deployment keeps."""
    return {
        workload["spec"]["selector"]["matchLabels"][names.REVISION]: workload["spec"]["replicas"]
        for workload in cluster._of_kind("Deployment")
    }
