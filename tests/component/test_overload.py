"""A real worker beyond its capacity: it goes on answering as many as it can, refuses the rest soon, and recovers.

How much it keeps up is measured by `make bench-serving`; the limits here are loose, for shared machines.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from shoal_proto.inference_pb2_grpc import GRPCInferenceServiceStub
from tests.component.honest import make_hard_request, make_request, serve_model, store_hard_model
from tests.component.wire import Call, Outcome, run_closed, run_open
from tests.serving import CALL_SECONDS, WorkerProcess, wait_until

TRANSPORT_REFUSES, WORKER_REFUSES = "1", "8"
HARD_ROWS = 100
MOST_WAITING = 16 * 64
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    with serve_model(tmp_path) as worker:
        yield worker


@pytest.fixture
def hard_worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    with serve_model(tmp_path, store_hard_model, THREADS="1") as worker:
        yield worker


def test_long_calls_are_refused_with_a_hint_and_counted(hard_worker: WorkerProcess) -> None:
    worker, call = hard_worker, Call.build(make_hard_request(HARD_ROWS).SerializeToString())
    outcome, kept = overload(worker, call, callers=4, seconds=6.0)

    assert set(outcome.statuses) == {WORKER_REFUSES}
    assert len(outcome.hints) == outcome.statuses.total()
    assert min(outcome.hints) > 0
    assert kept >= 0.6
    assert np.median(outcome.refused) < np.median(outcome.good) / 4
    metrics = worker.metrics()
    assert sum(count for name, count in metrics.items() if name.startswith("shoal_refusals_total")) == len(
        outcome.refused
    )
    assert metrics["shoal_queue_length"] == 0


def test_five_times_the_load_costs_the_excess_only(worker: WorkerProcess) -> None:
    outcome, kept = overload(worker, Call.build(make_request().SerializeToString()), callers=16, seconds=4.0)

    assert set(outcome.statuses) == {TRANSPORT_REFUSES}
    assert kept >= 0.5
    assert np.median(outcome.refused) < np.median(outcome.good)
    # Little's law: what waits is bounded, twice over for what changes meanwhile.
    assert np.median(outcome.good) * outcome.goodput <= 2 * MOST_WAITING

    # Nobody in the worker saw them, but they are counted; calls of `watched_health` go to another server.
    def refused() -> float:
        metrics = worker.metrics()
        return metrics["shoal_transport_calls_total"] - metrics["shoal_transport_answers_total"]

    assert wait_until(lambda: refused() == len(outcome.refused), CALL_SECONDS)
    with worker.open_channel() as channel:
        GRPCInferenceServiceStub(channel).ModelInfer(make_request(), timeout=CALL_SECONDS)


def overload(worker: WorkerProcess, call: Call, *, callers: int, seconds: float) -> tuple[Outcome, float]:
    """Call five times as often as the worker bears; every call is answered or refused, and it stays healthy and small.

    Returns what became of the calls, and the share of the answers that it still gave: for each second of its CPU, as a
    shared machine does not give it the same number of them.
    """
    asyncio.run(run_closed(worker.grpc_port, call, callers, 1.0))
    began = worker.cpu_seconds()
    calm = asyncio.run(run_closed(worker.grpc_port, call, callers, 3.0))
    calm_cpu, resident = worker.cpu_seconds() - began, worker.resident_mib()
    began = worker.cpu_seconds()
    with watched_health(worker) as health:
        outcome = asyncio.run(run_open(worker.grpc_port, call, 5 * calm.goodput, seconds))
    spent = worker.cpu_seconds() - began
    assert outcome.unanswered == 0
    assert outcome.refused
    assert set(health) == {SERVING}
    assert worker.resident_mib() - resident <= 64
    return outcome, len(outcome.good) / spent / (len(calm.good) / calm_cpu)


@contextmanager
def watched_health(worker: WorkerProcess) -> Iterator[list[int]]:
    """What the health port says while the block runs."""
    seen: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.2):
            seen.append(worker.health())

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield seen
    finally:
        over.set()
        asking.join()
