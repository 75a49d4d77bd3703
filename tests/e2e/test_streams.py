"""Deployments that consume a stream of a real NATS server in the cluster: shares, rollback, promotion, zero pods."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import nats
import numpy as np
import pytest

from hack.lab.install import install_chart
from hack.lab.kube import Object
from tests.e2e.nats_pod import SERVER, build_ingestion, run_server
from tests.e2e.scene import NAME, Scene
from tests.streams import Streams, rows_of

STREAM = "e2e"
RATE = 200
HELD = {"canary": {"steps": [{"setWeight": 20}, {"pause": {}}], "scaleDownDelaySeconds": 3}}


@pytest.fixture
def server(scene: Scene) -> Iterator[int]:
    """Run the server in the test's namespace; yields a port on this machine that leads to it."""
    with run_server(scene.kube, scene.namespace) as port:
        yield port


@pytest.fixture
async def streams(server: int) -> AsyncIterator[Streams]:
    """Connect, and create the streams."""
    client = await nats.connect(f"nats://127.0.0.1:{server}")
    found = Streams(client, STREAM)
    await found.create()
    yield found
    await client.close()


@dataclass
class Source:
    """Messages that are published all the time."""

    streams: Streams
    sent: int = 0

    async def run(self) -> None:
        """Publish at a constant rate until cancelled."""
        payloads = rows_of(np.array([[0.0, 0.0], [5.0, 5.0], [90.0, 90.0]]), 20)
        while True:
            publishing = asyncio.create_task(self.streams.publish(payloads))
            # What was begun is finished, so that it is known how many there are.
            try:
                await asyncio.shield(publishing)
            finally:
                await publishing
                self.sent += len(payloads)
            await asyncio.sleep(len(payloads) / RATE)


@asynccontextmanager
async def flowing(streams: Streams) -> AsyncIterator[Source]:
    """Publish while the block runs."""
    source = Source(streams)
    task = asyncio.create_task(source.run())
    try:
        yield source
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def versions(streams: Streams, since: int = 0) -> Counter[str]:
    """Return how many answers each version gave, of those after the first so many."""
    answers = await streams.read("out", await streams.count("out"))
    return Counter((answer.headers or {})["Shoal-Version"] for answer in answers[since:])


async def test_a_canary_shares_the_leases_and_neither_rollback_nor_promotion_loses_a_message(
    scene: Scene, streams: Streams
) -> None:
    """Messages flow through an abort, a second trial and a promotion; each has one answer in the end."""
    worker = {"replicas": 2}
    await asyncio.to_thread(scene.serve, HELD, ingestion=build_ingestion(scene.namespace, STREAM), worker=worker)
    async with flowing(streams) as source:
        await streams.await_count("out", 200, 60)
        await asyncio.to_thread(scene.apply_model, eps=0.6)
        await asyncio.to_thread(
            scene.await_status, "a fifth of the leases", lambda status: status.get("actualWeight") == 20, 120
        )
        begin = await streams.count("out")
        await streams.await_count("out", begin + 3000, 120)
        found = await versions(streams, begin)
        # The pods follow their annotations within seconds, so the first answers may be of the share before.
        assert 0.1 <= found["2"] / found.total() <= 0.22
        await asyncio.to_thread(scene.command, "abort")
        await asyncio.to_thread(scene.await_status, "no candidate", lambda status: not status.get("candidate"))
        # What was leased is answered, and the pods hear of their share within seconds.
        begin = await streams.count("out") + 1000
        await streams.await_count("out", begin + 1000, 60)
        assert (await versions(streams, begin))["2"] == 0
        await asyncio.to_thread(scene.command, "retry")
        await asyncio.to_thread(
            scene.await_status, "the second trial", lambda status: status.get("actualWeight") == 20, 120
        )
        await asyncio.to_thread(scene.command, "promote-full")
        await asyncio.to_thread(scene.await_stable, 2, 120)
        begin = await streams.count("out") + 1000
        await streams.await_count("out", begin + 1000, 60)
        assert set(await versions(streams, begin)) == {"2"}
    await streams.await_count("out", source.sent, 60)
    await streams.await_settled(60)
    answers = await streams.read("out", await streams.count("out"))
    answered = sorted(int((answer.headers or {})["Shoal-Sequence"]) for answer in answers)
    assert answered == list(range(1, source.sent + 1))
    assert await streams.count("dead") == 0


@contextmanager
def asking_allowed(scene: Scene) -> Iterator[None]:
    """Let the operator ask the server."""
    install_chart(scene.kube, f"analysis.allowedHosts={{{SERVER}.{scene.namespace}:8222}}")
    try:
        yield
    finally:
        install_chart(scene.kube)


@pytest.mark.alone
async def test_without_messages_there_is_no_pod_and_the_first_message_brings_one(
    scene: Scene, streams: Streams
) -> None:
    scaling = {
        "minReplicas": 0,
        "maxReplicas": 3,
        "intervalSeconds": 2,
        "metrics": {"queue": {"averageValue": 1000}},
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 6}},
    }

    def rests(status: Object) -> bool:
        return status.get("replicas") == 0 and (status.get("scaling") or {}).get("replicas") == 0

    with asking_allowed(scene):
        serve = partial(
            scene.serve,
            HELD,
            ingestion=build_ingestion(scene.namespace, STREAM),
            worker={"replicas": 1},
            scaling=scaling,
        )
        await asyncio.to_thread(serve)
        for total in (1, 500):
            await asyncio.to_thread(scene.await_status, "no pod", rests, 120)
            assert scene.status()["phase"] == "Healthy"
            await streams.publish(rows_of(np.zeros((1, 2)), total))
            await streams.await_count("out", 1 if total == 1 else 501, 120)
        await streams.await_settled(30)
        assert await streams.count("out") == 501


async def test_pods_follow_the_messages_up_and_down_and_each_has_one_answer(scene: Scene, streams: Streams) -> None:
    """200 messages a second at 70 a pod are 3 pods; none are one again."""
    scaling = {
        "minReplicas": 1,
        "maxReplicas": 3,
        "intervalSeconds": 2,
        "metrics": {"requestsPerSecond": {"averageValue": 70}},
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 6}},
    }
    spec = build_ingestion(scene.namespace, STREAM)
    await asyncio.to_thread(partial(scene.serve, HELD, ingestion=spec, worker={"replicas": 1}, scaling=scaling))

    def ready(count: int) -> Callable[[Object], bool]:
        return lambda status: status.get("readyReplicas") == status.get("replicas") == count

    async with flowing(streams) as source:
        await asyncio.to_thread(scene.await_status, "3 pods", ready(3), 120)
        await streams.await_count("out", await streams.count("out") + 1000, 60)
    await asyncio.to_thread(scene.await_status, "one pod", ready(1), 120)
    await streams.await_settled(60)
    answers = await streams.read("out", await streams.count("out"))
    answered = sorted(int((answer.headers or {})["Shoal-Sequence"]) for answer in answers)
    assert answered == list(range(1, source.sent + 1))


async def test_a_stream_that_is_missing_is_told_and_serves_once_it_is_there(scene: Scene, streams: Streams) -> None:
    await asyncio.to_thread(scene.apply_model)
    spec = build_ingestion(scene.namespace, STREAM, stream="later")
    await asyncio.to_thread(scene.apply_deployment, HELD, ingestion=spec, worker={"replicas": 1})
    told = await asyncio.to_thread(
        scene.await_condition, "clusteringdeployments", NAME, "Degraded", "StreamMissing", 120
    )
    assert "there is no such stream" in told["message"]
    await streams.client.jetstream().add_stream(name="later", subjects=["later"])
    await asyncio.to_thread(scene.await_stable, 1, 120)
