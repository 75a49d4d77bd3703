"""Scaling in the middle of a rollout (S47): capacity before weight, whatever the load does meanwhile."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_operator.core.facts import timestamp
from shoal_operator.core.snapshot import Load, LoadSample
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import GATEWAY

TARGET, LEAST, MOST, TOLERANCE = 10, 2, 30, 0.1
STEPS = {
    "canary": {
        "steps": [{"setWeight": 10}, {"pause": {}}, {"setWeight": 30}, {"pause": {}}, {"setWeight": 70}, {"pause": {}}],
        "scaleDownDelaySeconds": 0,
    }
}


def begin() -> FakeCluster:
    """Return a cluster in which version 1 serves with 6 pods and version 2 has just come."""
    scaling = {
        "minReplicas": LEAST,
        "maxReplicas": MOST,
        "metrics": {"queue": {"averageValue": TARGET}},
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 15}},
    }
    spec = {"scaling": scaling, "worker": {"replicas": 6}, "strategy": STEPS, "traffic": GATEWAY}
    cluster = FakeCluster(objects.deployment(spec), versions=[objects.version(1)])
    cluster.settle()
    cluster.versions.append(objects.version(2))
    cluster.settle()
    return cluster


def offer(cluster: FakeCluster, demand: float, slowness: float) -> None:
    """Let so many calls be in flight, were all answered by version 1; version 2 takes longer for each."""
    cluster.wait(15)
    share = cluster.status["actualWeight"] / 100
    calls = {cluster.revision("stable"): demand * (1 - share), cluster.revision("candidate"): demand * share * slowness}
    cluster.pods = {name: replace(pod, status={"phase": "Running"}) for name, pod in cluster.pods.items()}
    ready = [pod for pod in cluster.pods.values() if pod.ready and pod.revision in calls]
    samples = {
        pod.uid: LoadSample(round(1000 * calls[pod.revision] / len(cluster.pool(pod.revision))), cluster.now)
        for pod in ready
    }
    cluster.load = Load(timestamp(cluster.now), {"queue": samples})


def observe(cluster: FakeCluster) -> None:
    """Run a pass, and assert that no weight rose beyond its pods and no stable pool fell below the demand."""
    before, ready = cluster.status, sum(pod.ready for pod in cluster.pool(cluster.revision("candidate")))
    cluster.reconcile()
    cluster.run_controllers()
    status = cluster.status
    wanted = status["scaling"]["replicas"]
    pools = {key[1]: item["spec"]["replicas"] for key, item in cluster.objects.items() if key[0] == "Deployment"}
    assert LEAST <= wanted <= MOST
    if cluster.load is not None and status["scaling"]["lookedAt"] == cluster.load.at:
        # A pass that records the new stable version writes no status: what it decided is told by the next.
        assert pools[f"cities-{cluster.revision('stable')}"] >= wanted
    weight = status["actualWeight"]
    if cluster.revision("candidate") and weight > before["actualWeight"]:
        # The weight that is seen now was told a pass ago, by what was known then.
        known = before["scaling"]
        for_all, replicas = known.get("candidateForAll", 0), known["replicas"]
        foreseen = math.ceil(for_all * weight / 100) if for_all > replicas * (1 + TOLERANCE) else 0
        assert ready >= min(MOST, foreseen)
        assert ready >= math.floor(replicas * weight / 100)


MOVES = st.lists(
    st.tuples(st.floats(5, 280), st.floats(0.5, 4), st.booleans(), st.integers(1, 3)), min_size=3, max_size=9
)


@settings(max_examples=5, deadline=None)
@given(moves=MOVES)
def test_no_weight_rises_beyond_its_pods_while_the_load_changes(moves: list[tuple[float, float, bool, int]]) -> None:
    """Through a Gateway, whose weights are exact; a Service's shares also rise as stable's pods go."""
    cluster = begin()
    for demand, slowness, promote, passes in moves:
        offer(cluster, demand, slowness)
        if promote:
            cluster.command("promote")
        for _ in range(passes):
            observe(cluster)
            cluster.make_ready()


def test_a_promotion_while_pods_are_removed_keeps_what_the_load_needs() -> None:
    cluster = begin()
    for demand in (60, 60, 60, 20, 20):
        offer(cluster, demand, 1)
        cluster.command("promote-full" if demand == 20 else "resume")
        for _ in range(6):
            observe(cluster)
            cluster.make_ready()

    assert cluster.status["stable"]["version"] == 2
    assert cluster.status["scaling"]["replicas"] == 2
    assert cluster.status["readyReplicas"] == 2
