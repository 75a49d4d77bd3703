"""Drives one deployment up and down, by calls through a router or by messages of a stream, and counts what was lost.

Used by `__main__`. Callers run inside the cluster; messages are published through a port-forward.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import Any

import nats
import numpy as np

from hack.lab.callers import Callers
from hack.lab.kube import Object, wait_for
from tests.bench_scaling.following import follow
from tests.bench_scaling.plan import EACH, Stage, draw, due, starts
from tests.bench_scaling.watching import Watch
from tests.e2e.nats_pod import build_ingestion, run_server
from tests.e2e.scene import CANARY, NAME, Scene, await_calls
from tests.streams import Streams

SCALING: Object = {
    "minReplicas": 1,
    "maxReplicas": 12,
    "metrics": {"requestsPerSecond": {"averageValue": EACH}},
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}},
}
"""The defaults, but for a shorter window downwards, so that a run takes minutes."""
_STREAM = "bench"
_TICK_SECONDS = 0.02


def drive_calls(scene: Scene, router: str, stages: tuple[Stage, ...]) -> dict[str, Any]:
    """Drive by calls through a router."""
    scene.apply_deployment(CANARY, router, scaling=SCALING, worker={"replicas": 1})
    scene.await_stable(1)
    drawn = draw(stages)
    whole = starts(drawn)[-1]
    options = ["--stages", *(f"{stage.rate:g}:{stage.seconds:g}" for stage in drawn)]
    callers = Callers(scene.kube, scene.namespace, scene.target(router), NAME, options=options)
    with Watch(scene) as watch, callers:
        await_calls(callers, 1)
        wait_for("the end of the load", lambda: callers.last.get("final"), whole + 60)
    last = callers.last
    lost = {"calls": last["sent"], "failed": last["failed"], "errors": last["details"], "p99Millis": last["p99Millis"]}
    return _tell(watch, stages, last["began"], lost)


def drive_stream(scene: Scene, stages: tuple[Stage, ...]) -> dict[str, Any]:
    """Drive by messages of a stream."""
    with run_server(scene.kube, scene.namespace) as port:
        return asyncio.run(_drive_stream(scene, port, stages))


async def _drive_stream(scene: Scene, port: int, stages: tuple[Stage, ...]) -> dict[str, Any]:
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    streams = Streams(client, _STREAM)
    await streams.create()

    def serve() -> None:
        ingestion = build_ingestion(scene.namespace, _STREAM)
        scene.apply_deployment(CANARY, ingestion=ingestion, scaling=SCALING, worker={"replicas": 1})
        scene.await_stable(1)

    await asyncio.to_thread(serve)
    with Watch(scene) as watch:
        began = time.time()
        sent = await _publish(streams, draw(stages))
    await streams.await_settled(60)
    answers = await streams.read("out", await streams.count("out"))
    numbers = [int((answer.headers or {})["Shoal-Sequence"]) for answer in answers]
    dead = await streams.count("dead")
    await client.close()
    missing = sent - len(set(numbers)) - dead
    return _tell(watch, stages, began, {"messages": sent, "lost": missing, "double": len(numbers) - len(set(numbers))})


async def _publish(streams: Streams, drawn: tuple[Stage, ...]) -> int:
    """Publish messages of one row at the stages' rates; returns how many."""
    random = np.random.default_rng(0)
    began, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < starts(drawn)[-1]:
        more = due(drawn, elapsed) - sent
        rows = random.uniform(-8, 8, size=(more, 2))
        await streams.publish([json.dumps({"x": float(x), "y": float(y)}).encode() for x, y in rows])
        sent += more
        await asyncio.sleep(_TICK_SECONDS)
    return sent


def _tell(watch: Watch, stages: tuple[Stage, ...], began: float, lost: dict[str, Any]) -> dict[str, Any]:
    told = follow(watch.looks, stages, began)
    lines = [[round(look.moment - began, 1), look.wanted, look.ready] for look in watch.looks]
    pods = list(watch.starts.values())
    start = {"medianPodStartSeconds": statistics.median(pods), "mostPodStartSeconds": max(pods)}
    return {**lost, **told, **start, "looks": lines}
