"""A real worker that serves a small model, and an honest client that calls it all the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np

from shoal_engine import DBSCAN
from shoal_proto import inference_pb2 as pb
from shoal_proto.inference_pb2_grpc import GRPCInferenceServiceStub
from shoal_worker.artifact.files import directory_name
from shoal_worker.models import export
from tests import hard_rows
from tests.serving import CALL_SECONDS, MODEL, WorkerProcess, environment, run_worker
from tests.streaming import store_model

INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass
class HonestClient:
    """What an honest client sees: calls on a connection of its own, one after another."""

    failures: list[str] = field(default_factory=list)
    millis: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact in a folder."""

    folder: Path
    digest: str


def store_easy_model(work: Path) -> Artifact:
    """Store a model of two columns: a row takes some nanoseconds."""
    digest = store_model(work).files.digest
    return Artifact(work / "artifacts" / directory_name(digest), digest)


def store_hard_model(work: Path) -> Artifact:
    """Store a model of hard rows."""
    points = hard_rows.training_rows()
    fitted = DBSCAN(hard_rows.EPS, min_samples=hard_rows.MIN_SAMPLES).fit(points)
    folder = work / "hard"
    return Artifact(folder, export(fitted, points, folder, card_points=False))


def serve_model(
    work: Path, store: Callable[[Path], Artifact] = store_easy_model, *, before: Sequence[str] = (), **changes: str
) -> AbstractContextManager[WorkerProcess]:
    """Store a model and serve it in a process. `before`: a command that starts it; changes are of its settings."""
    work.mkdir(exist_ok=True)
    artifact = store(work)
    return run_worker(environment(artifact.folder, artifact.digest, work, **changes), work, before=before)


def make_request(rows: int = 1) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=MODEL, raw_input_contents=[np.zeros((rows, 2)).tobytes()])
    request.inputs.add(name="points", datatype="FP64", shape=[rows, 2])
    return request


def make_hard_request(rows: int) -> pb.ModelInferRequest:
    """In single precision, so that a hundred of them fit into one HTTP/2 frame."""
    points = hard_rows.rows_between(rows).astype(np.float32)
    request = pb.ModelInferRequest(model_name=MODEL, raw_input_contents=[points.tobytes()])
    request.inputs.add(name="points", datatype="FP32", shape=points.shape)
    return request


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
