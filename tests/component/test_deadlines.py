"""A real worker and calls whose answer nobody waits for: what they cost it is counted in CPU time, not in seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import grpc
import pytest

from shoal_proto.inference_pb2_grpc import GRPCInferenceServiceStub
from tests.component.honest import INFER, make_hard_request, serve_model, store_hard_model
from tests.component.wire import Call, run_closed
from tests.serving import CALL_SECONDS, WorkerProcess, wait_until

# Some 15 s of work.
LONG_ROWS = 60_000
LONGEST_SECONDS = 2
# Of CPU time, beyond what was allowed; the work looks every 0.05 s whether it is still wanted.
SPARE_SECONDS = 0.7


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    settings = {"THREADS": "1", "MAX_REQUEST_SECONDS": str(LONGEST_SECONDS)}
    with serve_model(tmp_path_factory.mktemp("worker"), store_hard_model, **settings) as worker:
        yield worker


@pytest.fixture(scope="module")
def long_request() -> bytes:
    return make_hard_request(LONG_ROWS).SerializeToString()


def at_rest(worker: WorkerProcess) -> bool:
    return worker.metrics()["shoal_in_flight"] == 0


@pytest.mark.parametrize("timeout", [None, 3600], ids=["no deadline", "an hour"])
def test_no_call_takes_longer_than_the_worker_allows(
    timeout: float | None, worker: WorkerProcess, long_request: bytes
) -> None:
    before = worker.cpu_seconds()
    with worker.open_channel() as channel, pytest.raises(grpc.RpcError) as refusal:
        channel.unary_unary(INFER)(long_request, timeout=timeout)
    assert refusal.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert f"no answer within {LONGEST_SECONDS} s" in refusal.value.details()
    assert wait_until(lambda: at_rest(worker), CALL_SECONDS)
    assert worker.cpu_seconds() - before <= LONGEST_SECONDS + SPARE_SECONDS


def test_a_deadline_of_a_millisecond_costs_no_work(worker: WorkerProcess, long_request: bytes) -> None:
    rows, before = worker.metrics()["shoal_rows_total"], worker.cpu_seconds()
    with worker.open_channel() as channel:
        grpc.channel_ready_future(channel).result(timeout=CALL_SECONDS)
        for _ in range(5):
            with pytest.raises(grpc.RpcError) as refusal:
                channel.unary_unary(INFER)(long_request, timeout=0.001)
            assert refusal.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert wait_until(lambda: at_rest(worker), CALL_SECONDS)
    assert worker.cpu_seconds() - before <= SPARE_SECONDS
    assert worker.metrics()["shoal_rows_total"] == rows


def test_a_deadline_that_passed_before_the_call_came_costs_no_work(worker: WorkerProcess) -> None:
    rows = worker.metrics()["shoal_rows_total"]
    call = Call.build(make_hard_request(100).SerializeToString(), ("grpc-timeout", "1n"))
    outcome = asyncio.run(run_closed(worker.grpc_port, call, 4, 0.5))
    assert outcome.good == []
    assert outcome.refused
    assert outcome.unanswered == 0
    assert worker.metrics()["shoal_rows_total"] == rows
    assert at_rest(worker)


def test_a_call_that_is_cancelled_in_the_middle_of_its_work_ends(worker: WorkerProcess, long_request: bytes) -> None:
    began = worker.cpu_seconds()
    with worker.open_channel() as channel:
        call = channel.unary_unary(INFER).future(long_request)
        assert wait_until(lambda: worker.cpu_seconds() - began > 0.5, CALL_SECONDS)
        cancelled = worker.cpu_seconds()
        call.cancel()
        assert wait_until(lambda: at_rest(worker), CALL_SECONDS)
        assert worker.cpu_seconds() - cancelled <= SPARE_SECONDS
        assert worker.metrics()['shoal_requests_total{code="CANCELLED"}'] >= 1
        # The thread is free for the next.
        answer = GRPCInferenceServiceStub(channel).ModelInfer(make_hard_request(1), timeout=CALL_SECONDS)
        assert answer.outputs[0].shape == [1]
