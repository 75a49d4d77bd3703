"""Everything that happened to a deployment, event by event, held against the capacity rule that the core's tests use.

Watches the objects themselves and replays their changes in the API server's own order: the resourceVersions of one
store are one sequence.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from hack.lab.kube import Kube, Object
from shoal_operator.core import names
from shoal_operator.core.plan import Apply
from shoal_operator.core.snapshot import PodFacts
from tests.unit.core import capacity
from tests.unit.core.fake_cluster import FakeCluster

_WATCHED = {
    "ClusteringDeployment": "/apis/shoal.dev/v1alpha1/namespaces/{namespace}/clusteringdeployments",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "GRPCRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/grpcroutes",
}
_SEEN_SECONDS = 1.0
"""How long the operator may not have seen yet that a pod was lost."""


@dataclass(frozen=True)
class Change:
    """One event of a watch."""

    kind: str
    what: str
    """ADDED, MODIFIED or DELETED."""
    seen: float
    """When it came in, in seconds."""
    object: Object

    @property
    def version(self) -> int:
        """Place in the sequence of all changes."""
        return int(self.object["metadata"]["resourceVersion"])


@dataclass
class Timeline:
    """The changes so far."""

    name: str
    changes: list[Change] = field(default_factory=list)

    def check(self) -> dict[str, int]:
        """Assert the rule at each change of routing or pools; return how many of each kind there were.

        A pool may lose pods by itself; what the operator does is judged by the pods that it could know of.
        """
        told: dict[str, int] = {}
        cluster: FakeCluster | None = None
        lost: list[tuple[float, str]] = []
        # In the order of the one sequence; a deletion carries the version of its own event.
        for change in sorted(self.changes, key=lambda item: item.version):
            metadata = change.object["metadata"]
            if change.kind == "ClusteringDeployment":
                if metadata["name"] == self.name:
                    deployment = {"status": {}, **change.object}
                    cluster = cluster or FakeCluster(deployment)
                    cluster.deployment = deployment
                continue
            if cluster is None or (metadata.get("labels") or {}).get(names.DEPLOYMENT) != self.name:
                continue
            for pod in [pod for moment, pod in lost if change.seen - moment > _SEEN_SECONDS]:
                cluster.pods.pop(pod, None)
            lost = [(moment, pod) for moment, pod in lost if pod in cluster.pods]
            before = capacity.measure(cluster)
            if change.kind == "Pod":
                pod = pod_facts(change.object)
                if pod.ready and not pod.deleting and change.what != "DELETED":
                    cluster.pods[pod.name] = pod
                    lost = [item for item in lost if item[1] != pod.name]
                elif pod.name in cluster.pods and pod.name not in [name for _, name in lost]:
                    lost.append((change.seen, pod.name))
                    cluster.pods[pod.name] = replace(cluster.pods[pod.name], routed=pod.routed)
            elif change.what == "DELETED":
                cluster.objects.pop((change.kind, metadata["name"]), None)
            else:
                cluster.objects[change.kind, metadata["name"]] = change.object
            manifest = {"kind": change.kind, "metadata": metadata, "what": change.what}
            capacity.check(cluster, before, capacity.measure(cluster), Apply(manifest))
            told[change.kind] = told.get(change.kind, 0) + 1
        return told


def pod_facts(pod: Object) -> PodFacts:
    """Return what the rule asks of a pod."""
    metadata, labels = pod["metadata"], pod["metadata"].get("labels", {})
    conditions = pod.get("status", {}).get("conditions", [])
    return PodFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        revision=labels.get(names.REVISION),
        ready=any(item["type"] == "Ready" and item["status"] == "True" for item in conditions),
        deleting="deletionTimestamp" in metadata,
        routed=labels.get(names.ROUTED) == "true",
        ip=None,
        created=metadata["creationTimestamp"],
        status={},
    )


@contextmanager
def record(kube: Kube, namespace: str, name: str) -> Iterator[Timeline]:
    """Record all changes in a namespace while the context is open."""
    timeline = Timeline(name)
    watches = [
        subprocess.Popen(
            ["kubectl", "get", "--raw", path.format(namespace=namespace) + "?watch=1"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "KUBECONFIG": str(kube.kubeconfig)},
        )
        for path in _WATCHED.values()
    ]
    readers = [
        threading.Thread(target=_read, args=(watch, kind, timeline), daemon=True)
        for watch, kind in zip(watches, _WATCHED, strict=True)
    ]
    for reader in readers:
        reader.start()
    try:
        yield timeline
    finally:
        for watch in watches:
            watch.terminate()
        for watch, reader in zip(watches, readers, strict=True):
            watch.wait(10)
            reader.join(10)
            if watch.stdout is not None:
                watch.stdout.close()


def _read(watch: subprocess.Popen[str], kind: str, timeline: Timeline) -> None:
    assert watch.stdout is not None
    for line in watch.stdout:
        if not line.endswith("\n"):
            return
        event = json.loads(line)
        timeline.changes.append(Change(kind, event["type"], time.monotonic(), event["object"]))
