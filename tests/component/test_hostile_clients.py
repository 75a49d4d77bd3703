"""A real worker under attack on loopback: it lives, stays small, and answers whoever calls it honestly."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator

import grpc
import pytest

from shoal_proto import inference_pb2 as pb
from tests.component.attacks import ATTACKS, Attack
from tests.component.honest import INFER, honest_client, make_request, serve_model
from tests.component.wire import Call, Connection, Outcome
from tests.serving import CALL_SECONDS, WorkerProcess

GROWTH_MIB = 64
SPARE_MIB = 8
REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNIMPLEMENTED}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    with serve_model(tmp_path_factory.mktemp("worker")) as worker:
        with honest_client(worker):
            pass
        yield worker


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_honest_client_notices_nothing_of(attack: Attack, worker: WorkerProcess) -> None:
    before = worker.resident_mib()
    with honest_client(worker) as honest:
        attack(worker.grpc_port)
    assert worker.alive
    assert honest.failures == []
    assert worker.resident_mib() - before <= GROWTH_MIB


def nested_groups(depth: int) -> bytes:
    return b"\x7b" * depth + b"\x7c" * depth


def length_lies() -> bytes:
    """A tensor whose packed shape claims more bytes than there are."""
    return b"\x2a\x0a" + b"\x1a\xff\xff\xff\x7f" + b"\x01" * 5


MESSAGES = {
    "groups 10,000 deep": nested_groups(10_000),
    "a length that lies": length_lies(),
    "a varint without end": b"\x08" + b"\xff" * 20,
    "unknown fields of 4 MiB": b"\xfa\x7f" + b"\x80\x80\x80\x02" + b"x" * (4 << 20),
    "a name that is no UTF-8": b"\x0a\x02\xc3\x28",
    "a million empty inputs": b"\x2a\x00" * 1_000_000,
    "a million empty outputs": b"\x32\x00" * 1_000_000,
    "a million empty texts": pb.ModelInferRequest(model_name="blobs").SerializeToString()
    + b"\x2a"
    + b"\x84\x89\x7a"
    + b"\x2a\x80\x89\x7a"
    + b"\x42\x00" * 1_000_000,
    "nothing": b"",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_that_is_none_is_refused_in_words(name: str, worker: WorkerProcess) -> None:
    before = worker.resident_mib()
    with honest_client(worker) as honest, worker.open_channel() as channel:
        call = channel.unary_unary(INFER)
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as refusal:
                call(MESSAGES[name], timeout=10)
            assert refusal.value.code() in REFUSALS | {grpc.StatusCode.NOT_FOUND}
            assert refusal.value.details()
        # The same connection still serves.
        answer = call(make_request().SerializeToString(), timeout=10)
        assert pb.ModelInferResponse.FromString(answer).model_name == "blobs"
    assert honest.failures == []
    assert worker.resident_mib() - before <= GROWTH_MIB


def test_refused_messages_leave_no_memory_behind(worker: WorkerProcess) -> None:
    def refuse_all() -> float:
        with worker.open_channel() as channel:
            call = channel.unary_unary(INFER)
            for message in (*MESSAGES.values(), b"\0" * (17 << 20)):
                with pytest.raises(grpc.RpcError) as refusal:
                    call(message, timeout=CALL_SECONDS)
                assert refusal.value.code() in REFUSALS | {grpc.StatusCode.NOT_FOUND}
        return worker.resident_mib()

    # What the allocator holds back for the next grows at first, by thread.
    before = max(refuse_all() for _ in range(8))
    after = max(refuse_all() for _ in range(6))
    print(f"at most {before:.0f} MiB, then {after:.0f} MiB")
    assert after <= 1.05 * before + SPARE_MIB


@pytest.mark.parametrize("value", ["%%% no base64 %%%", "\x00\xff", "=" * 64])
def test_binary_metadata_that_is_none_ends_its_own_call_only(value: str, worker: WorkerProcess) -> None:
    message = make_request().SerializeToString()
    good, bad = Call.build(message), Call.build(message, ("trace-bin", value))
    assert asyncio.run(send_in_turn(worker.grpc_port, [good, bad, good, bad, good])).good


async def send_in_turn(port: int, calls: list[Call]) -> Outcome:
    """Send calls over one connection, each after the answer to the one before."""
    outcome = Outcome(seconds=CALL_SECONDS)
    _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(outcome), "127.0.0.1", port)
    async with asyncio.timeout(CALL_SECONDS):
        for call in calls:
            connection.send(call)
            while connection.open:  # noqa: ASYNC110 - the answer comes from another process
                await asyncio.sleep(0.002)
    connection.close()
    return outcome


def test_a_compressed_message_is_not_unpacked(worker: WorkerProcess) -> None:
    before = worker.resident_mib()
    with worker.open_channel() as channel:
        call = channel.unary_unary(INFER)
        with pytest.raises(grpc.RpcError) as refusal:
            call(b"\0" * (8 << 20), timeout=10, compression=grpc.Compression.Gzip)
        assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert worker.resident_mib() - before <= GROWTH_MIB


@pytest.mark.parametrize(
    ("shape", "raw"),
    [
        ([10_000_000, 2], b"\0" * 16),
        ([-1, 2], b""),
        ([1 << 62, 2], b""),
        ([1, 1_000_000], b"\0" * 16),
        ([1, 2], struct.pack("<dd", float("nan"), 0.0)),
        ([1, 2], struct.pack("<dd", float("inf"), 0.0)),
    ],
)
def test_a_shape_that_lies_is_refused_before_any_work(shape: list[int], raw: bytes, worker: WorkerProcess) -> None:
    request = pb.ModelInferRequest(model_name="blobs", raw_input_contents=[raw])
    request.inputs.add(name="points", datatype="FP64", shape=shape)
    with worker.open_channel() as channel, pytest.raises(grpc.RpcError) as refusal:
        channel.unary_unary(INFER)(request.SerializeToString(), timeout=1)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
