"""kopf embedded as the operator embeds it, against an API server over HTTP: what enqueues what, and no writes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.handlers import Informer, Sink
from shoal_operator.runtime.queue import WorkQueue
from shoal_operator.runtime.resources import CHILDREN, WATCHED
from shoal_operator.runtime.store import Store
from shoal_operator.runtime.transport import Connection
from tests.component.cluster import CRDS, Cluster
from tests.unit.runtime.fakes import owned, raw

MODEL = ObjectKey("ClusteringModel", "ns", "cities")
SERVING = ObjectKey("ClusteringDeployment", "ns", "serve")


def model() -> dict[str, Any]:
    return raw("ClusteringModel", "cities")


def serving() -> dict[str, Any]:
    return raw("ClusteringDeployment", "serve", spec={"modelRef": {"name": "cities"}})


class Bench:
    def __init__(self, cluster: Cluster, namespaces: tuple[str, ...]) -> None:
        self.cluster = cluster
        self.store = Store()
        self.queue: WorkQueue[ObjectKey] = WorkQueue(asyncio.get_running_loop().time, random.random)
        self.informer = Informer(Sink(self.store, self.queue), self._connection, namespaces)

    async def _connection(self) -> Connection:
        return Connection(self.cluster.url, None, False, "token", None, None)

    async def keys(self, *wanted: ObjectKey) -> set[ObjectKey]:
        """Take keys until all that are wanted have come, and return what came; some come more than once."""
        found: set[ObjectKey] = set()
        async with asyncio.timeout(15):
            while not found >= set(wanted):
                key = await self.queue.get()
                self.queue.done(key)
                found.add(key)
        return found

    async def first(self) -> ObjectKey:
        """Take one key."""
        async with asyncio.timeout(15):
            key = await self.queue.get()
        self.queue.done(key)
        return key

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(15):
            while not condition():  # noqa: ASYNC110, what is awaited happens in another thread
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(cluster: Cluster, *namespaces: str) -> AsyncIterator[Bench]:
    await cluster.start()
    bench = Bench(cluster, namespaces)
    task = asyncio.create_task(bench.informer.run())
    try:
        yield bench
    finally:
        task.cancel()
        bench.informer.stop()
        await asyncio.to_thread(bench.informer.join, 10)
        assert not bench.informer.running
        await cluster.stop()


@pytest.mark.parametrize("namespaces", [(), ("ns",)], ids=["cluster-wide", "one namespace"])
async def test_what_exists_is_enqueued_once_the_whole_picture_is_there(namespaces: tuple[str, ...]) -> None:
    cluster = Cluster()
    cluster.put(model())
    cluster.put(serving())
    cluster.put(owned("Service", "serve", serving()))
    async with running(cluster, *namespaces) as bench:
        first = await bench.first()
        assert len(bench.store.of_kind("Service")) == 1, "no key comes before every kind is listed"
        assert await bench.keys(*{MODEL, SERVING} - {first}) <= {MODEL, SERVING}
        await bench.until(lambda: all(cluster.watched(resource.kind) for resource in WATCHED))
    assert cluster.writes() == []


async def test_a_child_s_coming_changing_and_going_enqueue_its_owner() -> None:
    cluster = Cluster()
    cluster.put(serving())
    async with running(cluster, "ns") as bench:
        await bench.keys(SERVING)
        await bench.until(lambda: cluster.watched("Pod"))
        pod = owned("Pod", "serve-x", serving())
        for act in (cluster.put, cluster.put, cluster.remove):
            act(pod)
            assert await bench.first() == SERVING
        assert bench.store.of_kind("Pod") == ()
    assert cluster.writes() == []


async def test_a_version_enqueues_itself_its_model_and_the_deployments_that_serve_it() -> None:
    cluster = Cluster()
    cluster.put(model())
    cluster.put(serving())
    async with running(cluster, "ns") as bench:
        await bench.keys(MODEL, SERVING)
        await bench.until(lambda: cluster.watched("ClusteringModelVersion"))
        cluster.put(raw("ClusteringModelVersion", "cities-v1", spec={"modelRef": {"name": "cities"}}))
        version = ObjectKey("ClusteringModelVersion", "ns", "cities-v1")
        assert await bench.keys(version, MODEL, SERVING) == {version, MODEL, SERVING}
    assert cluster.writes() == []


async def test_children_are_selected_by_the_server() -> None:
    cluster = Cluster()
    async with running(cluster, "ns") as bench:
        await bench.until(lambda: all(cluster.watched(resource.kind) for resource in WATCHED))
    selected = {
        path
        for _, path, query in cluster.requests
        if query.get("labelSelector") == "app.kubernetes.io/managed-by=shoal"
    }
    assert selected == {resource.path("ns") for resource in CHILDREN}
    assert names.MANAGED_BY == "app.kubernetes.io/managed-by"


async def test_a_namespaced_operator_reads_nothing_at_cluster_scope_but_the_discovery() -> None:
    cluster = Cluster()
    async with running(cluster, "ns", "other") as bench:
        await bench.until(lambda: all(cluster.watched(resource.kind) for resource in WATCHED))
    objects = {path for path in cluster.paths() if path.rsplit("/", 1)[-1] in {item.plural for item in WATCHED}}
    assert objects == {resource.path(namespace) for resource in WATCHED for namespace in ("ns", "other")}
    assert CRDS.path(None) not in cluster.paths()
    assert "/api/v1/namespaces" not in cluster.paths()


async def test_an_absent_gateway_api_is_no_obstacle_and_a_restart_finds_it() -> None:
    cluster = Cluster(gateway_api=False)
    cluster.put(serving())
    async with running(cluster, "ns") as bench:
        assert await bench.first() == SERVING
        cluster.gateway_api = True
        bench.informer.restart()
        await bench.until(lambda: cluster.watched("GRPCRoute"))
        cluster.put(owned("GRPCRoute", "serve", serving()))
        await bench.until(lambda: len(bench.store.of_kind("GRPCRoute")) == 1)
    assert cluster.writes() == []


async def test_cut_watches_go_on_and_tell_what_came_meanwhile() -> None:
    cluster = Cluster()
    cluster.put(serving())
    async with running(cluster, "ns") as bench:
        await bench.keys(SERVING)
        await bench.until(lambda: cluster.watched("ClusteringDeployment"))
        await bench.until(lambda: cluster.watched("ClusteringModel"))
        before = cluster.connected["ClusteringModel"]
        cluster.cut_watches()
        await bench.until(lambda: cluster.connected["ClusteringModel"] > before)
        cluster.put(model())
        await bench.keys(MODEL)
    assert cluster.writes() == []
