"""The measurements of a stream whose labels go into a result store, here a folder of files on the same machine."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from shoal_worker.results.layout import batch_key
from shoal_worker.results.store import open_results
from tests.bench_streams.measures import SMALL
from tests.nats_server import NatsServer
from tests.streaming import Stored, environment, run_worker
from tests.streams import Streams, open_streams, rows_of

_KEY = batch_key("bench", "blobs")
_ANSWERED = 'shoal_stream_messages_total{outcome="answered"}'


async def measure_store(server: NatsServer, stored: Stored, work: Path) -> dict[str, float]:
    """Messages a second out of a backlog into files, and what is there of 25,000 after a SIGKILL in the middle."""
    async with open_streams(server.url, "store") as streams:
        await streams.publish(rows_of(stored.points, SMALL))
        rate, cpu, files = await _drain(streams, server, stored, work / "store")
    async with open_streams(server.url, "storekill") as streams:
        count = SMALL // 2
        await streams.publish(rows_of(stored.points, count))
        variables = _environment(stored, server, "storekill", work / "kill", OUTPUT_ROLL_MESSAGES="1000")
        with run_worker(variables, work / "kill") as worker:
            while worker.metrics()[_ANSWERED] < count // 4:
                time.sleep(0.01)  # noqa: ASYNC251 - nothing else runs here
            worker.end(signal.SIGKILL)
        with run_worker(variables, work / "kill") as worker:
            await streams.await_settled(120)
            worker.end()
    results = open_results(f"file://{stored.root}/storekill")
    rows = results.stream_rows(results.runs(_KEY))
    found = rows.dataset.to_table(columns=["message_id"])["message_id"].to_pylist() if rows is not None else []
    for run in results.runs(_KEY):
        results.verify(run.key)
    return {
        "messagesPerSecond": round(rate),
        "cpuMicrosecondsPerMessage": round(1e6 * cpu, 1),
        "messagesInAFile": round(SMALL / files),
        "messages": count,
        "lost": count - len(set(found)),
        "doubles": len(found) - len(set(found)),
    }


def _environment(stored: Stored, server: NatsServer, name: str, work: Path, **changes: str) -> dict[str, str]:
    place = stored.root / name
    place.mkdir(exist_ok=True)
    output = {"OUTPUT_SUBJECT": "", "OUTPUT_URI": f"file://{place}", "NAMESPACE": "bench", "MAX_IN_FLIGHT": "20000"}
    return environment(stored, server, name, work, **{**output, **changes})


async def _drain(streams: Streams, server: NatsServer, stored: Stored, work: Path) -> tuple[float, float, float]:
    """Return messages a second, the worker's seconds of CPU for each, and how many files there are."""
    variables = _environment(stored, server, streams.name, work, ACK_WAIT_SECONDS="30")
    with run_worker(variables, work) as worker:
        begin, before = time.perf_counter(), worker.metrics()
        await streams.await_settled(120)
        seconds, after = time.perf_counter() - begin, worker.metrics()
    done = after[_ANSWERED] - before[_ANSWERED]
    used = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    return done / seconds, used / done, after["shoal_stream_files_total"]
