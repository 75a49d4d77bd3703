"""What tests and benchmarks of streams share: a stored model, real workers that consume, messages in and out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nats
import numpy as np
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy, RetentionPolicy

from shoal_worker.artifact.files import ArtifactFiles, directory_name
from tests.nats_server import NatsServer
from tests.unit.worker.harness import make_spec, make_table, train_table

CONSUMER = "labels"
READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A trained model in a file store, and points to ask it for."""

    root: Path
    files: ArtifactFiles
    points: np.ndarray


def store_model(root: Path) -> Stored:
    """Train a small model and store it as the operator's Jobs do."""
    table = make_table()
    files = train_table(table, make_spec()).files
    directory = root / "artifacts" / directory_name(files.digest)
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_bytes(files.manifest)
    (directory / "model.safetensors").write_bytes(files.model)
    return Stored(root, files, table.numbers)


@dataclass(slots=True)
class Streams:
    """One set of streams on a server: in, out and dead letters."""

    client: Client
    name: str

    @property
    def subjects(self) -> tuple[str, str, str]:
        """In, out and dead letters."""
        return f"{self.name}.in", f"{self.name}.out", f"{self.name}.dead"

    async def create(self) -> None:
        """Create the streams, in with the retention of a work queue."""
        jetstream = self.client.jetstream()
        for subject in self.subjects:
            kind = subject.rpartition(".")[2]
            await jetstream.add_stream(
                name=f"{self.name}-{kind}",
                subjects=[subject],
                retention=RetentionPolicy.WORK_QUEUE if kind == "in" else RetentionPolicy.LIMITS,
                duplicate_window=120,
            )

    async def publish(self, payloads: Sequence[bytes], headers: Mapping[str, str] | None = None) -> None:
        """Publish to the stream in, and wait until all are stored."""
        jetstream = self.client.jetstream(publish_async_max_pending=1000)
        told = [
            await jetstream.publish_async(self.subjects[0], payload, headers=dict(headers) if headers else None)
            for payload in payloads
        ]
        for ack in told:
            await ack

    async def count(self, kind: str) -> int:
        """Messages in a stream."""
        info = await self.client.jetstream().stream_info(f"{self.name}-{kind}")
        return int(info.state.messages)

    async def read(self, kind: str, count: int, seconds: float = 20) -> list[Msg]:
        """Read so many messages of a stream from its beginning."""
        subject = self.subjects[("in", "out", "dead").index(kind)]
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        subscription = await self.client.jetstream().subscribe(subject, ordered_consumer=True, config=config)
        found = [await subscription.next_msg(timeout=seconds) for _ in range(count)]
        await subscription.unsubscribe()
        return found

    async def await_count(self, kind: str, count: int, seconds: float = 30) -> None:
        """Wait until a stream holds so many messages."""
        deadline = time.monotonic() + seconds
        while (found := await self.count(kind)) < count:
            assert time.monotonic() < deadline, f"{found} of {count} messages in {kind} after {seconds:g} s"
            await _pause()

    async def await_settled(self, seconds: float = 30) -> None:
        """Wait until no message waits and none is leased."""
        jetstream = self.client.jetstream()
        deadline = time.monotonic() + seconds
        while True:
            info = await jetstream.consumer_info(f"{self.name}-in", CONSUMER)
            if not info.num_pending and not info.num_ack_pending:
                return
            assert time.monotonic() < deadline, f"{info.num_pending} wait, {info.num_ack_pending} are leased"
            await _pause()


@dataclass(slots=True)
class Worker:
    """A worker process that consumes."""

    process: subprocess.Popen[str]
    metrics_port: int
    log: list[str] = field(default_factory=list)

    def metrics(self) -> dict[str, float]:
        """Its metrics without those of the process."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines)
            if name.startswith("shoal_")
        }

    def explanation(self) -> tuple[int, str]:
        """Status and text of /readyz."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/readyz", timeout=5) as answer:
                return answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode().strip()

    def await_ready(self) -> None:
        """Wait until it takes messages."""
        deadline = time.monotonic() + READY_SECONDS
        while self.explanation()[0] != 200:
            assert self.process.poll() is None, "the worker has ended"
            assert time.monotonic() < deadline, self.explanation()
            time.sleep(0.02)

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 20) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


def environment(stored: Stored, server: NatsServer, name: str, work: Path, **changes: str) -> dict[str, str]:
    """What `consume` is configured by; changes are settings without their prefix."""
    settings = {
        "MODEL_NAME": "blobs",
        "MODEL_VERSION": "3",
        "ARTIFACT_URI": f"file://{stored.root}/artifacts/{directory_name(stored.files.digest)}",
        "ARTIFACT_DIGEST": stored.files.digest,
        "FILE_ROOT": str(stored.root),
        "CACHE_DIR": str(work / "cache"),
        "REPORT_PATH": str(work / "report"),
        "NATS_SECRET_DIR": str(work / "nats"),
        "BIND_ADDRESS": "127.0.0.1",
        "METRICS_PORT": "0",
        "INTERNAL_PORT": "0",
        "NATS_URL": server.url,
        "INPUT_STREAM": f"{name}-in",
        "CONSUMER": CONSUMER,
        "OUTPUT_SUBJECT": f"{name}.out",
        "DEAD_LETTER_SUBJECT": f"{name}.dead",
        "ACK_WAIT_SECONDS": "2",
        **changes,
    }
    return {"PATH": os.environ["PATH"], **{f"SHOAL_{key}": value for key, value in settings.items()}}


@contextmanager
def run_worker(variables: Mapping[str, str], work: Path, *, ready: bool = True) -> Iterator[Worker]:
    """Run a worker, ready unless told otherwise, and kill it at the end."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / "worker.log"
    with path.open("a") as log:
        begin = path.stat().st_size
        process = subprocess.Popen(
            [sys.executable, "-m", "shoal_worker", "consume"], env=dict(variables), stderr=log, text=True
        )
    try:
        worker = Worker(process, _find_port(process, path, begin))
        if ready:
            worker.await_ready()
        yield worker
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def open_streams(server: NatsServer, name: str) -> AsyncIterator[Streams]:
    """Connect, create the streams, and disconnect at the end."""
    client = await nats.connect(server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)  # type: ignore[arg-type]
    try:
        streams = Streams(client, name)
        await streams.create()
        yield streams
    finally:
        await client.close()


def rows_of(points: np.ndarray, count: int) -> list[bytes]:
    """So many messages of one row each, which are all different."""
    return [
        json.dumps({"x": float(x), "y": float(y), "number": number}).encode()
        for number, (x, y) in zip(range(count), np.resize(points, (count, points.shape[1])), strict=True)
    ]


def _find_port(process: subprocess.Popen[str], path: Path, begin: int) -> int:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with path.open() as log:
            log.seek(begin)
            for line in log:
                if '"listening"' in line and line.endswith("\n"):
                    port: int = json.loads(line)["metrics_port"]
                    return port
        assert process.poll() is None, path.read_text()
        time.sleep(0.02)
    raise AssertionError(path.read_text())


async def _pause() -> None:
    import asyncio

    await asyncio.sleep(0.02)
