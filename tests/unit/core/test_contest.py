"""Others who set the number of pods: named, set back once an interval, and never fought with write by write."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import served

SCALING: dict[str, Any] = {"maxReplicas": 9, "metrics": {"queue": {"averageValue": 10}}, "intervalSeconds": 20}


def meddle(cluster: FakeCluster, replicas: int, by: str = "kube-controller-manager") -> None:
    """Set the number of stable's pool as somebody else, as the store would tell it."""
    pool = cluster.objects["Deployment", f"cities-{cluster.revision('stable')}"]
    pool["spec"]["replicas"] = replicas
    fields = {"f:spec": {"f:replicas": {}}}
    pool["metadata"]["managedFields"] = [{"manager": by, "subresource": "scale", "fieldsV1": fields}]


def number(cluster: FakeCluster) -> int:
    found: int = cluster.objects["Deployment", f"cities-{cluster.revision('stable')}"]["spec"]["replicas"]
    return found


def able(cluster: FakeCluster) -> tuple[str, str] | None:
    found = [item for item in cluster.status["conditions"] if item["type"] == "AbleToScale"]
    return (found[0]["status"], found[0]["reason"]) if found else None


@pytest.mark.parametrize("spec", [{}, {"scaling": SCALING}], ids=["by hand", "scaled"])
def test_a_pool_that_somebody_else_scales_is_set_back_at_once_and_told(spec: dict[str, Any]) -> None:
    cluster = served(**spec)

    meddle(cluster, 9)
    cluster.reconcile()

    assert number(cluster) == 4
    assert able(cluster) == ("False", "ScaleConflict")
    [event] = [item for item in cluster.events if item.reason == "ScaleConflict"]
    assert event.message.startswith("kube-controller-manager set Deployment cities-")
    assert cluster.status["contest"]["replicas"] == 9


def test_who_goes_on_is_set_back_once_an_interval() -> None:
    """S46: a writer that writes each second provokes at most one write per interval."""
    cluster = served(scaling=SCALING)
    set_back = 0
    for _ in range(60):
        meddle(cluster, 9)
        plan = cluster.reconcile()
        set_back += number(cluster) == 4
        # What is left alone is looked at again when it is due.
        assert number(cluster) == 4 or (plan.requeue_after or 300) <= 20
        cluster.wait(1)

    assert set_back == 3
    assert sum(item.reason == "ScaleConflict" for item in cluster.events) == 1


def test_a_conflict_that_is_over_is_forgotten_after_five_minutes() -> None:
    cluster = served(scaling=SCALING)
    meddle(cluster, 9)
    cluster.reconcile()

    cluster.wait(299)
    cluster.settle()
    before = able(cluster)
    cluster.wait(2)
    cluster.settle()

    assert (before, able(cluster)) == (("False", "ScaleConflict"), ("True", "ReadyForNewScale"))
    assert "contest" not in cluster.status


def test_a_number_that_agrees_is_no_conflict() -> None:
    cluster = served(scaling=SCALING)

    meddle(cluster, 4)
    cluster.settle()

    assert "contest" not in cluster.status


def by_scale(cluster: FakeCluster, replicas: int) -> None:
    """Write as /scale does, whose entries the API server gives no time for custom resources."""
    fields = {"f:spec": {"f:worker": {"f:replicas": {}}}}
    entry = {"manager": "kubectl", "subresource": "scale", "fieldsV1": fields}
    cluster.deployment["metadata"]["managedFields"] = [entry]
    cluster.change(worker={"replicas": replicas})


def test_a_number_set_by_scale_beside_the_scaler_is_told_with_the_remedy() -> None:
    cluster = served(scaling=SCALING)

    by_scale(cluster, 7)
    cluster.settle()

    assert number(cluster) == 4
    assert able(cluster) == ("False", "ScaleConflict")
    assert "kubectl set worker.replicas to 7" in cluster.condition("AbleToScale")["message"]
    cluster.wait(300)
    cluster.settle()
    assert able(cluster) == ("True", "ReadyForNewScale")
    by_scale(cluster, 8)
    cluster.settle()
    assert "kubectl set worker.replicas to 8" in cluster.condition("AbleToScale")["message"]


def test_scale_is_how_others_scale_where_there_is_no_scaler_and_0_is_the_off_switch() -> None:
    by_hand, off = served(), served(scaling=SCALING)

    by_scale(by_hand, 7)
    by_hand.settle()
    by_scale(off, 0)
    off.settle()

    assert (number(by_hand), able(by_hand)) == (7, None)
    assert (number(off), "contest" in off.status) == (0, False)
