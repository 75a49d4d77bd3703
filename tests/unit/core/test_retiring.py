"""What stands by after a promotion: the scale-down delay, standbys, and a bound on how many pools there are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.test_rollback import replaced, versions
from tests.unit.core.trials import GATEWAY, served


def pods_of(cluster: FakeCluster, version: int) -> int:
    revisions = {item["revision"] for item in cluster.status["previous"] if item["version"] == version}
    return sum(pod.revision in revisions for pod in cluster.pods.values())


def budgets(cluster: FakeCluster) -> set[str]:
    return {name.removeprefix("cities-") for kind, name in cluster.objects if kind == "PodDisruptionBudget"}


def strategy(**end: Any) -> dict[str, Any]:
    return {"blueGreen": {"steps": 2, "intervalSeconds": 60, **end}}


class TestStandby:
    @pytest.mark.parametrize("router", [{}, GATEWAY], ids=["Service", "Gateway"])
    def test_the_newest_replaced_versions_stay_after_the_delay(self, router: dict[str, Any]) -> None:
        cluster = replaced(4, strategy=strategy(standby={"revisions": 2}), traffic=router)
        cluster.wait(31)
        cluster.settle()
        assert versions(cluster.status["retiring"]) == [2, 3]
        assert all("until" not in item for item in cluster.status["retiring"])
        assert [pods_of(cluster, number) for number in (1, 2, 3)] == [0, 4, 4]
        assert len(budgets(cluster)) == 3
        cluster.wait(100_000)
        cluster.command("rollback", "2")
        cluster.reconcile()
        cluster.settle()
        assert cluster.status["stable"]["version"] == 2

    def test_smaller_ones_wait_for_the_rest_of_their_pods(self) -> None:
        cluster = replaced(strategy=strategy(standby={"revisions": 1, "replicas": 1}))
        assert pods_of(cluster, 1) == 4, "complete within the delay"
        cluster.wait(31)
        cluster.settle()
        assert pods_of(cluster, 1) == 1
        (old,) = (item["revision"] for item in cluster.status["previous"])
        assert old not in budgets(cluster), "one pod needs no budget"
        cluster.command("rollback", "yes")
        cluster.reconcile()
        assert {pod.revision for pod in cluster.endpoints()} == {cluster.revision("stable")}
        cluster.settle()
        assert cluster.revision("stable") == old
        assert len(cluster.endpoints()) == 4

    def test_is_never_larger_than_the_pool_that_serves(self) -> None:
        cluster = replaced(strategy=strategy(standby={"revisions": 1, "replicas": 9}))
        cluster.wait(31)
        cluster.change(worker={"replicas": 2})
        cluster.settle()
        assert pods_of(cluster, 1) == 2

    def test_a_lost_pool_is_made_again(self) -> None:
        cluster = replaced(strategy=strategy(standby={"revisions": 1}))
        cluster.wait(31)
        cluster.settle()
        (old,) = (item["revision"] for item in cluster.status["previous"])
        del cluster.objects["Deployment", f"cities-{old}"]
        cluster.settle()
        assert pods_of(cluster, 1) == 4

    def test_fewer_or_none_take_effect_at_once(self) -> None:
        cluster = replaced(3, strategy=strategy(standby={"revisions": 2}))
        cluster.wait(100)
        cluster.settle()
        for count in (1, 0):
            cluster.change(strategy=strategy(standby={"revisions": count}))
            cluster.settle()
            assert len(cluster.status["retiring"]) == count
        assert len({pod.revision for pod in cluster.pods.values()}) == 1

    def test_what_was_left_by_going_back_is_no_standby(self) -> None:
        cluster = replaced(strategy=strategy(standby={"revisions": 3}))
        cluster.command("rollback", "yes")
        cluster.settle()
        cluster.wait(31)
        cluster.settle()
        assert cluster.status["retiring"] == []

    def test_going_back_beyond_a_standby_leaves_it(self) -> None:
        cluster = replaced(3, strategy=strategy(standby={"revisions": 2}))
        cluster.command("rollback", "1")
        cluster.settle()
        assert cluster.status["stable"]["version"] == 1
        cluster.wait(31)
        cluster.settle()
        assert cluster.status["retiring"] == []


class TestDelay:
    def test_a_change_holds_for_what_stands_by_already(self) -> None:
        cluster = replaced(strategy=strategy(scaleDownDelaySeconds=30))
        cluster.change(strategy=strategy(scaleDownDelaySeconds=300))
        cluster.wait(200)
        cluster.settle()
        assert pods_of(cluster, 1) == 4
        cluster.change(strategy=strategy(scaleDownDelaySeconds=10))
        cluster.settle()
        assert pods_of(cluster, 1) == 0

    def test_a_pool_that_stands_by_is_scaled_with_the_one_that_serves(self) -> None:
        cluster = replaced()
        cluster.change(worker={"replicas": 6})
        cluster.settle()
        assert pods_of(cluster, 1) == 6


class TestBound:
    @pytest.mark.parametrize("router", [{}, GATEWAY], ids=["Service", "Gateway"])
    def test_a_spec_that_changes_often_leaves_few_pools_and_no_standby_goes(self, router: dict[str, Any]) -> None:
        cluster = replaced(3, strategy=strategy(standby={"revisions": 1}, scaleDownDelaySeconds=3600), traffic=router)
        for number in range(4, 14):
            cluster.versions.append(objects.version(number))
            cluster.settle()
        assert versions(cluster.status["retiring"]) == [1, 2, 11, 12], "trials go first, the oldest before"
        assert len({pod.revision for pod in cluster.pods.values()}) == 6
        assert len(cluster._of_kind("Deployment")) == 6

    def test_what_still_gets_calls_is_not_among_those_that_go(self) -> None:
        cluster = served(strategy=strategy(scaleDownDelaySeconds=3600), traffic=GATEWAY)
        cluster.versions.append(objects.version(2))
        cluster.settle()
        first = cluster.revision("candidate")
        assert cluster.backends()[f"cities-{first}"] == 50
        route = cluster.objects["GRPCRoute", "cities"]
        for number in range(3, 9):
            cluster.versions.append(objects.version(number))
            cluster.reconcile()
            # The gateway's route is as it was before: somebody keeps writing the old weights.
            cluster.objects["GRPCRoute", "cities"] = route
        assert first in {item["revision"] for item in cluster.status["retiring"]}
