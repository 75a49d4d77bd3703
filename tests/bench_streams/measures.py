"""The measurements: one real worker process, one NATS server over files, both on this machine with the client.

Each returns its figures; the client's own work takes part of the machine, so rates are lower bounds.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nats.aio.msg import Msg

from shoal_proto import inference_pb2 as pb
from tests.nats_server import NatsServer
from tests.streaming import Stored, environment, run_worker
from tests.streams import Streams, open_streams, rows_of

SMALL = 50_000
LARGE = 500
ROWS = 1000
_RATE = 500
_SECONDS = 6


async def measure_rate(server: NatsServer, stored: Stored, work: Path) -> dict[str, float]:
    """Messages a second out of a backlog: of one row as JSON, and of 1,000 rows as protobuf."""
    async with open_streams(server.url, "small") as streams:
        small, cpu = await _drain(streams, server, stored, work / "small", rows_of(stored.points, SMALL), {})
    request = pb.ModelInferRequest(model_name="blobs")
    points = np.resize(stored.points, (ROWS, 2)).astype("<f8")
    request.inputs.add(name="points", datatype="FP64", shape=points.shape)
    request.raw_input_contents.append(points.tobytes())
    kind = {"Content-Type": "application/x-protobuf"}
    async with open_streams(server.url, "large") as streams:
        payloads = [request.SerializeToString()] * LARGE
        large, _ = await _drain(streams, server, stored, work / "large", payloads, kind)
    return {
        "smallMessagesPerSecond": round(small),
        "cpuMicrosecondsPerSmallMessage": round(1e6 * cpu, 1),
        "rowsPerSecondInMessagesOf1000": round(large * ROWS),
    }


async def measure_latency(server: NatsServer, stored: Stored, work: Path) -> dict[str, float]:
    """Milliseconds from publishing a message to its answer, at 500 messages a second."""
    taken: list[float] = []
    sent: dict[int, float] = {}

    async def arrive(message: Msg) -> None:
        taken.append(time.perf_counter() - sent[int((message.headers or {})["Shoal-Sequence"])])

    async with open_streams(server.url, "latency") as streams:
        with run_worker(environment(stored, server, "latency", work), work):
            await streams.client.subscribe(streams.subjects[1], cb=arrive)
            begin = time.perf_counter()
            for number, payload in enumerate(rows_of(stored.points, _RATE * _SECONDS)):
                await asyncio.sleep(max(0.0, begin + number / _RATE - time.perf_counter()))
                sent[number + 1] = time.perf_counter()
                await streams.client.publish(streams.subjects[0], payload)
            await streams.await_count("out", _RATE * _SECONDS)
            await asyncio.sleep(0.2)
    return {"p50Ms": _quantile(taken, 50), "p99Ms": _quantile(taken, 99)}


async def measure_kill(server: NatsServer, stored: Stored, work: Path) -> dict[str, float]:
    """Lost and doubled answers when the worker is killed (SIGKILL) in the middle and started again."""
    count = SMALL // 2
    async with open_streams(server.url, "kill") as streams:
        await streams.publish(rows_of(stored.points, count))
        variables = environment(stored, server, "kill", work)
        with run_worker(variables, work) as worker:
            await streams.await_count("out", count // 4)
            worker.end(signal.SIGKILL)
        with run_worker(variables, work) as worker:
            await streams.await_count("out", count, 120)
            await streams.await_settled()
            redelivered = worker.metrics()["shoal_stream_redelivered"]
        answers = await streams.read("out", await streams.count("out"))
    found = Counter((message.headers or {})["Shoal-Sequence"] for message in answers)
    return {
        "messages": count,
        "redelivered": redelivered,
        "lost": count - len(found),
        "doubled": len(answers) - len(found),
    }


async def measure_share(server: NatsServer, stored: Stored, work: Path) -> dict[str, float]:
    """The share of the leases that a candidate takes that was told 10 %, out of a backlog."""
    files = {version: _write_share(work, version, share) for version, share in (("3", "100"), ("4", "10"))}
    async with open_streams(server.url, "share") as streams:

        def variables(version: str) -> dict[str, str]:
            changes = {"MODEL_VERSION": version, "SHARE_FILE": str(files[version]), "MAX_IN_FLIGHT": "500"}
            return environment(stored, server, "share", work / version, **changes)

        with run_worker(variables("3"), work / "3"), run_worker(variables("4"), work / "4") as candidate:
            await streams.publish(rows_of(stored.points, SMALL // 2))
            await streams.await_count("out", SMALL // 2, 120)
            leased = candidate.metrics()["shoal_stream_leased"]
    return {"toldPercent": 10, "takenPercent": round(100 * leased / (SMALL // 2), 2)}


def _write_share(work: Path, version: str, share: str) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"share-{version}"
    path.write_text(share)
    return path


async def _drain(
    streams: Streams, server: NatsServer, stored: Stored, work: Path, payloads: Sequence[bytes], headers: dict[str, str]
) -> tuple[float, float]:
    """Return the messages a second, and the worker's seconds of CPU for each."""
    await streams.publish(payloads, headers)
    with run_worker(environment(stored, server, streams.name, work), work) as worker:
        begin, used = time.perf_counter(), worker.metrics()["process_cpu_seconds_total"]
        already = await streams.count("out")
        await streams.await_count("out", len(payloads), 120)
        done, seconds = len(payloads) - already, time.perf_counter() - begin
        return done / seconds, (worker.metrics()["process_cpu_seconds_total"] - used) / done


def _quantile(seconds: Sequence[float], percent: int) -> float:
    return round(1000 * float(np.percentile(seconds, percent)), 2)
