"""A real worker process of a small model, on loopback, and an honest client that calls it all the time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shoal_engine import DBSCAN
from shoal_proto import inference_pb2 as pb
from shoal_proto.inference_pb2_grpc import GRPCInferenceServiceStub
from shoal_worker.artifact.files import directory_name
from shoal_worker.models import export
from tests import hard_rows
from tests.unit.worker.harness import make_spec, make_table, train_table

MODEL = "blobs"
# Long enough for a machine that many tests share; what a call takes on one of its own is measured elsewhere.
CALL_SECONDS = 30
INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A serving process and its ports."""

    process: subprocess.Popen[bytes]
    grpc_port: int
    metrics_port: int
    health_port: int

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def resident_mib(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def cpu_seconds(self) -> float:
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as response:
            lines = [line for line in response.read().decode().splitlines() if line.startswith("shoal_")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    def open_channel(self, *options: tuple[str, int]) -> grpc.Channel:
        return grpc.insecure_channel(
            f"127.0.0.1:{self.grpc_port}", options=[("grpc.use_local_subchannel_pool", 1), *options]
        )

    def health(self) -> int:
        with grpc.insecure_channel(f"127.0.0.1:{self.health_port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            return stub.Check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS, wait_for_ready=True).status


@dataclass
class HonestClient:
    """What an honest client sees: calls on a connection of its own, one after another."""

    failures: list[str] = field(default_factory=list)
    millis: list[float] = field(default_factory=list)


def make_request(rows: int = 1) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=MODEL, raw_input_contents=[np.zeros((rows, 2)).tobytes()])
    request.inputs.add(name="points", datatype="FP64", shape=[rows, 2])
    return request


@dataclass(frozen=True, slots=True)
class Stored:
    """An artifact in a folder."""

    folder: Path
    digest: str


def store_easy_model(directory: Path) -> Stored:
    """A model of two columns: a row takes some nanoseconds."""
    files = train_table(make_table(), make_spec()).files
    stored = directory / directory_name(files.digest)
    stored.mkdir(parents=True)
    (stored / "manifest.json").write_bytes(files.manifest)
    (stored / "model.safetensors").write_bytes(files.model)
    return Stored(stored, files.digest)


def store_hard_model(directory: Path) -> Stored:
    """A model of hard rows."""
    points = hard_rows.training_rows()
    fitted = DBSCAN(hard_rows.EPS, min_samples=hard_rows.MIN_SAMPLES).fit(points)
    folder = directory / "hard"
    return Stored(folder, export(fitted, points, folder, card_points=False))


def make_hard_request(rows: int) -> pb.ModelInferRequest:
    """In single precision, so that a hundred of them fit into one HTTP/2 frame."""
    points = hard_rows.rows_between(rows).astype(np.float32)
    request = pb.ModelInferRequest(model_name=MODEL, raw_input_contents=[points.tobytes()])
    request.inputs.add(name="points", datatype="FP32", shape=points.shape)
    return request


@contextmanager
def run_worker(
    directory: Path,
    store: Callable[[Path], Stored] = store_easy_model,
    *,
    before: tuple[str, ...] = (),
    **settings: str,
) -> Iterator[WorkerProcess]:
    """Store a model, serve it in a process, wait until it is ready, and end it. `before`: a command that starts it."""
    stored = store(directory)
    environment = {
        "PATH": os.environ["PATH"],
        "SHOAL_MODEL_NAME": MODEL,
        "SHOAL_MODEL_VERSION": "3",
        "SHOAL_ARTIFACT_URI": f"file://{stored.folder}",
        "SHOAL_ARTIFACT_DIGEST": stored.digest,
        "SHOAL_FILE_ROOT": str(directory),
        "SHOAL_CACHE_DIR": str(directory / "cache"),
        "SHOAL_REPORT_PATH": str(directory / "report"),
        "SHOAL_BIND_ADDRESS": "127.0.0.1",
        "SHOAL_DRAIN_DELAY_SECONDS": "0",
        "SHOAL_DRAIN_GRACE_SECONDS": "1",
        **{f"SHOAL_{port}_PORT": "0" for port in ("GRPC", "METRICS", "INTERNAL", "HEALTH")},
        **settings,
    }
    log = directory / "log"
    with (
        log.open("wb") as stream,
        subprocess.Popen(
            [*before, sys.executable, "-m", "shoal_worker", "serve"], env=environment, stderr=stream
        ) as process,
    ):
        try:
            events = wait_for_events(log, process)
            yield WorkerProcess(
                process,
                events["listening"]["grpc_port"],
                events["listening"]["metrics_port"],
                events["listening"]["health_port"],
            )
        finally:
            process.terminate()
            process.wait(timeout=20)


def wait_for_events(log: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The log's events by name, once the worker serves."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        events = {line["event"]: line for line in map(json.loads, log.read_text().splitlines())}
        if "serving" in events:
            return events
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    raise AssertionError(f"not serving: {log.read_text()}")


@contextmanager
def honest_client(worker: WorkerProcess) -> Iterator[HonestClient]:
    """Call all the time while the block runs, and at least twenty times."""
    seen, stop = HonestClient(), threading.Event()

    def call_on() -> None:
        with worker.open_channel() as channel:
            stub = GRPCInferenceServiceStub(channel)
            while not stop.is_set() or len(seen.millis) < 20:
                started = time.perf_counter()
                try:
                    stub.ModelInfer(make_request(), timeout=CALL_SECONDS)
                except grpc.RpcError as error:
                    seen.failures.append(str(error))
                    return
                seen.millis.append((time.perf_counter() - started) * 1000)
                time.sleep(0.002)

    thread = threading.Thread(target=call_on)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(timeout=60)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition that another process brings about; tell whether it came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
