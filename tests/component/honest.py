"""A real worker that serves a small model, and an honest client that calls it all the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np

from shoal_proto import inference_pb2 as pb
from shoal_proto.inference_pb2_grpc import GRPCInferenceServiceStub
from shoal_worker.artifact.files import directory_name
from tests.serving import CALL_SECONDS, MODEL, WorkerProcess, environment, run_worker
from tests.streaming import store_model

INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass
class HonestClient:
    """What an honest client sees: calls on a connection of its own, one after another."""

    failures: list[str] = field(default_factory=list)
    millis: list[float] = field(default_factory=list)


def serve_model(work: Path) -> AbstractContextManager[WorkerProcess]:
    """Train a model and serve it in a process."""
    files = store_model(work).files
    return run_worker(environment(work / "artifacts" / directory_name(files.digest), files.digest, work), work)


def make_request(rows: int = 1) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=MODEL, raw_input_contents=[np.zeros((rows, 2)).tobytes()])
    request.inputs.add(name="points", datatype="FP64", shape=[rows, 2])
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
