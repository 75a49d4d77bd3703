"""Where the tests of a rollout begin: a version that serves, another on trial, calls that go well or badly."""

from __future__ import annotations

from typing import Any

from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster

CANARY: dict[str, Any] = {
    "canary": {
        "steps": [
            {"setWeight": 25},
            {"pause": {"durationSeconds": 60}},
            {"setWeight": 50},
            {"pause": {}},
        ],
        "scaleDownDelaySeconds": 30,
    }
}
BLUE_GREEN: dict[str, Any] = {"blueGreen": {"steps": 2, "intervalSeconds": 60}}
GATEWAY: dict[str, Any] = {"router": "Gateway", "gateway": {"name": "gateway"}}


def served(**spec: Any) -> FakeCluster:
    """Return a cluster in which version 1 serves."""
    base: dict[str, Any] = {"strategy": CANARY, "worker": {"replicas": 4}}
    cluster = FakeCluster(objects.deployment({**base, **spec}), [objects.version(1)])
    cluster.settle()
    assert cluster.status["stable"]["version"] == 1
    assert cluster.status["phase"] == "Healthy"
    return cluster


def trying(**spec: Any) -> FakeCluster:
    """Return a cluster in which version 2 is on trial at the first weight."""
    cluster = served(**spec)
    cluster.versions.append(objects.version(2))
    cluster.settle()
    assert cluster.status["candidate"]["version"] == 2
    return cluster


def good_calls(cluster: FakeCluster) -> None:
    for role in ("stable", "candidate"):
        cluster.figure(cluster.revision(role) or "", calls=500)


def bad_calls(cluster: FakeCluster) -> None:
    cluster.figure(cluster.revision("stable") or "", calls=500)
    cluster.figure(cluster.revision("candidate") or "", calls=500, errors=250)
