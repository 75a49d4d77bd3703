"""The Service router's arithmetic and the order of its labels and selectors."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_operator.api.deployment import ClusteringDeploymentSpec, Revision
from shoal_operator.core import names
from shoal_operator.core.manifests.service import build_service
from shoal_operator.core.plan import Apply, Label
from shoal_operator.core.pools import pods_needed, supported_weight
from shoal_operator.core.routing import Arrangement, Question
from shoal_operator.core.service_router import arrange, split
from shoal_operator.core.snapshot import DeploymentSnapshot, PodFacts
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster

STABLE = Revision(revision="aaaaaaaa", version=1)
CANDIDATE = Revision(revision="bbbbbbbb", version=2)
BY_LABEL = {names.DEPLOYMENT: "cities", names.ROUTED: "true"}
BY_STABLE = {names.DEPLOYMENT: "cities", names.REVISION: STABLE.revision}
BY_CANDIDATE = {names.DEPLOYMENT: "cities", names.REVISION: CANDIDATE.revision}


@pytest.mark.parametrize(
    ("weight", "replicas", "stable", "candidate", "expected"),
    [
        (1, 1, 1, 1, (1, 1)),
        (50, 1, 1, 1, (1, 1)),
        (10, 2, 2, 1, (2, 1)),
        (50, 2, 2, 1, (1, 1)),
        (50, 2, 2, 2, (1, 1)),
        (99, 2, 2, 2, (1, 2)),
        (10, 3, 3, 1, (3, 1)),
        (20, 5, 5, 1, (4, 1)),
        (10, 10, 10, 1, (9, 1)),
        (14, 10, 10, 2, (10, 2)),
        (18, 10, 10, 2, (9, 2)),
        (60, 3, 3, 2, (1, 2)),
        (99, 10, 10, 10, (1, 10)),
        (50, 4, 0, 2, (0, 2)),
    ],
)
def test_split(weight: int, replicas: int, stable: int, candidate: int, expected: tuple[int, int]) -> None:
    assert split(weight, replicas, stable, candidate) == expected


@given(st.integers(1, 99), st.integers(1, 20), st.integers(1, 20), st.integers(1, 20))
def test_split_keeps_capacity_and_routes_both(weight: int, replicas: int, stable: int, candidate: int) -> None:
    s, c = split(weight, replicas, stable, candidate)
    assert 1 <= s <= stable
    assert 1 <= c <= candidate
    assert s + c >= min(replicas, stable + candidate)
    best = min(
        (abs(Fraction(100 * b, a + b) - weight), b, a)
        for a in range(1, stable + 1)
        for b in range(1, candidate + 1)
        if a + b >= min(replicas, stable + candidate)
    )
    assert (c, s) == best[1:]


@given(st.integers(1, 100), st.integers(1, 50))
def test_the_pods_a_weight_needs_can_bear_it(weight: int, replicas: int) -> None:
    needed = pods_needed(weight, replicas, full_pool=False)
    assert supported_weight(needed, replicas) >= weight
    assert needed == 1 or supported_weight(needed - 1, replicas) < weight


def ask(weight: int, pods: list[PodFacts], selector: dict[str, str]) -> Arrangement:
    deployment = objects.deployment()
    spec = ClusteringDeploymentSpec.model_validate({"modelRef": {"name": "cities"}, "worker": {"replicas": 2}})
    services = (build_service(deployment, "cities", selector),) if selector else ()
    snapshot = DeploymentSnapshot(deployment, services=services, pods=tuple(pods))
    return arrange(Question(snapshot, spec, STABLE, CANDIDATE, weight))


def pods(*, routed: str = "", unready: str = "") -> list[PodFacts]:
    revisions = {"s1": STABLE, "s2": STABLE, "c1": CANDIDATE}
    return [
        objects.pod(name, revision.revision, ready=name not in unready.split(), routed=name in routed.split())
        for name, revision in revisions.items()
    ]


def told(arrangement: Arrangement) -> list[str]:
    """Return the actions in short: +pod, -pod, or what the selector goes by."""
    by = {tuple(BY_LABEL): "label"}
    short = []
    for action in arrangement.actions:
        match action:
            case Apply(manifest):
                selector = manifest["spec"]["selector"]
                short.append(by.get(tuple(selector)) or selector[names.REVISION])
            case Label(key, _, labels):
                short.append(("+" if labels[names.ROUTED] else "-") + key.name)
    return short


@pytest.mark.parametrize(
    ("weight", "routed", "unready", "selector", "expected", "settled", "actual"),
    [
        (0, "", "", {}, ["aaaaaaaa"], False, 0),
        (0, "", "", BY_STABLE, ["aaaaaaaa"], True, 0),
        # Up: label, see the labels, then the selector.
        (50, "", "", BY_STABLE, ["+s1", "+c1", "aaaaaaaa"], False, 0),
        (50, "s1", "", BY_STABLE, ["+c1", "aaaaaaaa"], False, 0),
        (50, "s1 c1", "", BY_STABLE, ["label"], False, 0),
        (50, "s1 c1", "", BY_LABEL, ["label"], True, 50),
        (33, "s1 c1", "", BY_LABEL, ["+s2", "label"], False, 50),
        (33, "s1 s2 c1", "", BY_LABEL, ["label"], True, 33),
        # A pod too many goes; with another still to come it stays until that one is seen.
        (50, "s1 s2 c1", "", BY_LABEL, ["label", "-s2"], False, 33),
        (50, "s1 c1", "s1", BY_LABEL, ["+s2", "label"], False, 100),
        (50, "s1 s2 c1", "s1", BY_LABEL, ["label", "-s1"], False, 50),
        # All to one side: the selector first, the labels once it has left them.
        (100, "s1 c1", "", BY_LABEL, ["bbbbbbbb"], False, 50),
        (100, "s1 c1", "", BY_CANDIDATE, ["bbbbbbbb", "-s1", "-c1"], True, 100),
        (0, "s1 c1", "", BY_LABEL, ["aaaaaaaa"], False, 50),
        # No candidate pod that could take calls: all to stable.
        (50, "s1 c1", "c1", BY_LABEL, ["aaaaaaaa"], False, 0),
        # No stable pod ready: they stay routed for when they are.
        (50, "s1 c1", "s1 s2", BY_LABEL, ["label"], True, 100),
    ],
)
def test_arrange(
    weight: int,
    routed: str,
    unready: str,
    selector: dict[str, str],
    expected: list[str],
    settled: bool,
    actual: int,
) -> None:
    answer = ask(weight, pods(routed=routed, unready=unready), selector)
    assert told(answer) == expected
    assert answer.settled is settled
    assert answer.actual_weight == actual


def test_a_pool_that_shrinks_gives_up_its_routed_pods_last() -> None:
    """The mark goes with the label, so that the Deployment's controller knows."""
    for weight, routed, selector in ((50, "", BY_STABLE), (0, "s1 c1", BY_STABLE)):
        labels = [item for item in ask(weight, pods(routed=routed), selector).actions if isinstance(item, Label)]
        assert labels
        for item in labels:
            on = item.labels[names.ROUTED]
            assert item.annotations == {names.DELETION_COST: "100" if on else None}


@pytest.mark.parametrize("replicas", range(1, 8))
@pytest.mark.parametrize("weight", [1, 10, 33, 50, 60, 67, 80, 99])
def test_a_share_that_pods_only_come_near_to_comes_to_rest(weight: int, replicas: int) -> None:
    """Found by the rollout's state machine: at 60 % of 3 replicas the pool grew and shrank between 2 and 3 for ever."""
    strategy = {"canary": {"steps": [{"setWeight": weight}, {"pause": {}}]}}
    cluster = FakeCluster(objects.deployment({"strategy": strategy, "worker": {"replicas": replicas}}))
    cluster.versions = [objects.version(1)]
    cluster.settle()
    cluster.versions.append(objects.version(2))
    cluster.settle()
    assert cluster.status["weight"] == weight
    assert len(cluster.pool(cluster.revision("candidate"))) == pods_needed(weight, replicas, full_pool=False)
