"""The Service router's shares beside those of the replica-ratio canary that Argo Rollouts documents and tests.

Its rule: the candidate gets the pods below or above its weight of the replicas, of as many pods as the replicas in all
or, with a surge, of one more; of these the nearest share, the larger candidate on ties, and with 1..99 % and two pods
or more never 0 on either side.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from shoal_operator.core.pools import pods_needed
from shoal_operator.core.service_router import split
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster


def peer(replicas: int, weight: int, surge: int) -> tuple[int, int]:
    """Return (candidate, stable) by the peer's rule."""
    totals = [replicas, replicas + 1] if surge else [replicas]
    both = 0 < weight < 100 and totals[-1] > 1
    choices = [
        (abs(Fraction(100 * candidate, total) - weight), -candidate, total - candidate)
        for total in totals
        for candidate in (replicas * weight // 100, -(-replicas * weight // 100))
        if not both or 0 < candidate < total
    ]
    _, candidate, stable = min(choices)
    return -candidate, stable


def ours(replicas: int, weight: int) -> tuple[int, int]:
    """Return (candidate, stable): the routed pods of a canary whose wanted pods are all ready."""
    stable, candidate = split(weight, replicas, replicas, pods_needed(weight, replicas, full_pool=False))
    return candidate, stable


ROWS = [
    # replicas, weight, surge, the peer's candidate and stable pods by its own tests
    (1, 49, 0, (0, 1)),
    (1, 50, 0, (1, 0)),
    (1, 1, 1, (1, 1)),
    (1, 99, 1, (1, 1)),
    (2, 1, 0, (1, 1)),
    (2, 99, 1, (2, 1)),
    (3, 10, 0, (1, 2)),
    (3, 50, 0, (2, 1)),
    (3, 10, 1, (1, 3)),
    (3, 49, 1, (2, 2)),
    (10, 14, 0, (1, 9)),
    (10, 15, 0, (2, 8)),
    (10, 99, 0, (9, 1)),
    (10, 1, 1, (1, 10)),
    (10, 18, 1, (2, 9)),
]
DIFFERENT = {
    # Both sides are always served: without the candidate nothing is compared, without stable there is no way back.
    (1, 49, 0): (1, 1),
    (1, 50, 0): (1, 1),
    # Stable keeps all of its pods in a rollout, without a surge to ask for, so there are more pods to choose from: 1 of
    # 3 is nearer than 1 of 2, half is exact, 1 of 4 is nearer than 1 of 3, 10 of 11 than 9 of 10.
    (2, 1, 0): (1, 2),
    (3, 10, 0): (1, 3),
    (3, 50, 0): (2, 2),
    (10, 14, 0): (2, 10),
    (10, 15, 0): (2, 10),
    (10, 99, 0): (10, 1),
}


@pytest.mark.parametrize(("replicas", "weight", "surge", "expected"), ROWS)
def test_rows_of_the_peer(replicas: int, weight: int, surge: int, expected: tuple[int, int]) -> None:
    assert peer(replicas, weight, surge) == expected, "the rule as it is documented"
    assert ours(replicas, weight) == DIFFERENT.get((replicas, weight, surge), expected)


@pytest.mark.parametrize("replicas", range(1, 31))
def test_never_farther_from_the_weight_and_never_without_a_side(replicas: int) -> None:
    for weight in range(1, 100):
        candidate, stable = ours(replicas, weight)
        assert candidate >= 1
        assert stable >= 1
        assert candidate + stable >= replicas, "capacity for the whole demand"
        distance = abs(Fraction(100 * candidate, candidate + stable) - weight)
        for surge in (0, 1):
            theirs = peer(replicas, weight, surge)
            if 0 in theirs:  # one pod, where the peer serves one side only
                continue
            assert distance <= abs(Fraction(100 * theirs[0], sum(theirs)) - weight), (weight, surge)


def test_the_printed_table_is_what_the_router_does() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "rollouts.md").read_text(encoding="utf-8")
    cell = r" (\d+) % \((\d+) of (\d+)\) \|"
    rows = re.findall(rf"^\| (\d+) \|{cell}{cell}{cell}$", page, re.MULTILINE)
    assert len(rows) == 8
    for weight, *cells in rows:
        for replicas, printed in zip((3, 5, 10), (cells[:3], cells[3:6], cells[6:]), strict=True):
            candidate, stable = ours(replicas, int(weight))
            total = candidate + stable
            assert printed == [str(round(100 * candidate / total)), str(candidate), str(total)], (weight, replicas)


@pytest.mark.parametrize(
    ("replicas", "weight", "actual"),
    [
        (3, 10, 25),
        (3, 50, 50),
        (3, 90, 75),
        (5, 10, 17),
        (5, 33, 33),
        (5, 90, 83),
        (10, 10, 10),
        (10, 33, 33),
        (10, 99, 91),
    ],
)
def test_the_actual_share_is_reported(replicas: int, weight: int, actual: int) -> None:
    strategy: dict[str, Any] = {"canary": {"steps": [{"setWeight": weight}, {"pause": {}}]}}
    cluster = FakeCluster(objects.deployment({"strategy": strategy, "worker": {"replicas": replicas}}))
    cluster.versions = [objects.version(1)]
    cluster.settle()
    cluster.versions.append(objects.version(2))
    cluster.settle()
    assert (cluster.status["weight"], cluster.status["actualWeight"]) == (weight, actual)
