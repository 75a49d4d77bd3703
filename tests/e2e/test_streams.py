"""Deployments that consume a stream of a real NATS server in the cluster: shares, rollbacks, zero pods, a store."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import nats
import numpy as np
import pytest
from nats.js.errors import NotFoundError

from hack.lab.install import DATA_BUCKET, STORE_NAMESPACE, credentials, install_chart, port_forward
from hack.lab.kube import Object, wait_for
from shoal_cli.__main__ import main
from tests.e2e.nats_pod import SERVER, build_ingestion, run_server
from tests.e2e.scene import NAME, Scene
from tests.streams import CONSUMER, Streams, rows_of

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
        measured = await asyncio.to_thread(
            scene.await_status, "the leases counted", lambda status: status.get("measuredWeight"), 120
        )
        # The larger part takes the rest, so the smaller one is never more than it was told, but for the first leases.
        assert 0 < measured["measuredWeight"] <= 25
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


@pytest.fixture
def ask(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`shoal results` on the store that a stream's labels go into; returns what it prints as JSON."""
    with port_forward(scene.kube, STORE_NAMESPACE, "service/s3", 7070) as port:
        for name, value in {**credentials(scene.kube), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("SHOAL_RESULTS", store_of(scene)["uri"])

        def run(*words: str) -> Any:
            with redirect_stdout(io.StringIO()) as printed:
                assert main(["results", *words, "--namespace", scene.namespace, "-o", "json"]) == 0
            return json.loads(printed.getvalue())

        yield run


def store_of(scene: Scene) -> Object:
    """Return a place in the cluster's store for the labels."""
    uri = f"s3://{DATA_BUCKET}/streams-{scene.namespace}"
    return {"uri": uri, "secretRef": {"name": "store-credentials"}, "rollSeconds": 1}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_each_message_has_its_label_in_the_store_whatever_becomes_of_pods_and_versions(
    scene: Scene, streams: Streams, ask: Callable[..., Any]
) -> None:
    spec = build_ingestion(scene.namespace, STREAM, output={"store": store_of(scene)})
    await asyncio.to_thread(scene.serve, HELD, ingestion=spec, worker={"replicas": 2})
    async with flowing(streams) as source:
        await streams.await_count("in", 1, 60)
        victim = (await asyncio.to_thread(scene.pods, 1))[0]["metadata"]["name"]
        kill = ("delete", "pod", victim, "--grace-period=0", "--force", "--namespace", scene.namespace)
        await asyncio.to_thread(scene.kube.kubectl, *kill)
        await asyncio.to_thread(scene.apply_model, eps=0.6)
        await asyncio.to_thread(
            scene.await_status, "a fifth of the leases", lambda status: status.get("actualWeight") == 20, 120
        )
        await asyncio.to_thread(scene.command, "promote-full")
        await asyncio.to_thread(scene.await_stable, 2, 120)
    await streams.await_settled(60)
    statement = "SELECT count(*) AS n, count(DISTINCT sequence) AS m, max(sequence) AS last FROM results"
    [found] = await asyncio.to_thread(ask, "sql", NAME, statement)
    assert found == {"n": source.sent, "m": source.sent, "last": source.sent}
    labelled = await asyncio.to_thread(ask, "sql", NAME, "SELECT DISTINCT version AS v FROM results ORDER BY 1")
    assert labelled == [{"v": 1}, {"v": 2}]
    assert await streams.count("dead") == await streams.count("out") == 0
    assert await asyncio.to_thread(main, ["results", "verify", NAME, "--namespace", scene.namespace]) == 0


def events_of(scene: Scene, reason: str) -> list[Object]:
    """Return the events with a reason."""
    told = scene.kube.kubectl(
        "get", "events", "--field-selector", f"reason={reason}", "--namespace", scene.namespace, "-o", "json"
    )
    items: list[Object] = json.loads(told)["items"]
    return items


def delete_deployment(scene: Scene) -> None:
    """Delete the deployment, and wait until it is gone."""
    scene.kube.kubectl("delete", "cdep", NAME, "--wait=false", "--namespace", scene.namespace)
    place = ("clusteringdeployments", scene.namespace, NAME)
    wait_for("the deployment gone", lambda: scene.kube.get(*place, missing_ok=True) is None, 270)


async def test_the_consumer_goes_with_its_deployment_where_the_spec_says_so(scene: Scene, streams: Streams) -> None:
    spec = build_ingestion(scene.namespace, STREAM, consumerAtDeletion="Delete")
    await asyncio.to_thread(scene.serve, HELD, ingestion=spec, worker={"replicas": 1})
    jetstream = streams.client.jetstream()
    assert (await jetstream.consumer_info(f"{STREAM}-in", CONSUMER)).name == CONSUMER
    await asyncio.to_thread(delete_deployment, scene)
    with pytest.raises(NotFoundError):
        await jetstream.consumer_info(f"{STREAM}-in", CONSUMER)
    assert await asyncio.to_thread(events_of, scene, "ConsumerDeleted")


async def test_a_server_that_is_gone_holds_no_deletion_up_and_the_command_is_told(
    scene: Scene, streams: Streams
) -> None:
    spec = build_ingestion(scene.namespace, STREAM, consumerAtDeletion="Delete")
    await asyncio.to_thread(scene.serve, HELD, ingestion=spec, worker={"replicas": 1})
    await streams.client.close()
    await asyncio.to_thread(
        scene.kube.kubectl, "delete", "pod", SERVER, "--grace-period=0", "--force", "--namespace", scene.namespace
    )
    await asyncio.to_thread(delete_deployment, scene)
    [event] = await asyncio.to_thread(events_of, scene, "ConsumerLeft")
    assert f"nats consumer rm {STREAM}-in {CONSUMER} --force" in event["message"]
