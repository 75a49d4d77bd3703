"""ModelInfer over a real connection: the right labels for right requests, a lesson for wrong ones."""

import struct
from typing import Any

import grpc
import numpy as np
import pytest

from shoal_proto import inference_pb2 as pb
from tests.unit.worker.harness import CENTRES, Running

POINTS = np.array([*CENTRES, (99.0, 99.0)])
LABELS = [0, 1, -1]


def raw_request(points: np.ndarray, **changes: Any) -> pb.ModelInferRequest:
    datatype = {"f8": "FP64", "f4": "FP32"}[points.dtype.str[1:]]
    request = pb.ModelInferRequest(model_name="blobs", raw_input_contents=[points.tobytes()])
    request.inputs.add(name="points", datatype=datatype, shape=points.shape)
    request.MergeFrom(pb.ModelInferRequest(**changes))
    return request


def typed_request(points: np.ndarray, datatype: str = "FP64", **contents: Any) -> pb.ModelInferRequest:
    field = {"FP64": "fp64_contents", "FP32": "fp32_contents"}.get(datatype, "fp64_contents")
    request = pb.ModelInferRequest(model_name="blobs")
    values = contents or {field: points.ravel().tolist()}
    request.inputs.add(name="points", datatype=datatype, shape=points.shape, contents=pb.InferTensorContents(**values))
    return request


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
async def test_raw_points_get_raw_labels(running: Running, dtype: type) -> None:
    response = await running.stub.ModelInfer(raw_request(POINTS.astype(dtype), id="call-1"))
    assert (response.model_name, response.model_version, response.id) == ("blobs", "3", "call-1")
    (output,) = response.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("labels", "INT32", [3])
    assert not output.HasField("contents")
    assert np.frombuffer(response.raw_output_contents[0], "<i4").tolist() == LABELS


@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
async def test_typed_points_get_typed_labels(running: Running, datatype: str) -> None:
    response = await running.stub.ModelInfer(typed_request(POINTS, datatype))
    assert list(response.outputs[0].contents.int_contents) == LABELS
    assert not response.raw_output_contents


@pytest.mark.parametrize("make", [raw_request, typed_request])
async def test_public_ids_are_an_output_of_their_own(running: Running, make: Any) -> None:
    request = make(POINTS)
    for name in ("cluster_ids", "labels"):
        request.outputs.add(name=name)
    response = await running.stub.ModelInfer(request)
    assert [(output.name, output.datatype, list(output.shape)) for output in response.outputs] == [
        ("cluster_ids", "INT64", [3]),
        ("labels", "INT32", [3]),
    ]
    if response.raw_output_contents:
        ids = np.frombuffer(response.raw_output_contents[0], "<i8").tolist()
    else:
        ids = list(response.outputs[0].contents.int64_contents)
    assert ids == [0, 1, -1], "those of a first version are its labels"


async def test_the_training_version_may_be_named(running: Running) -> None:
    response = await running.stub.ModelInfer(raw_request(POINTS, model_version="3"))
    assert response.model_version == "3"


@pytest.mark.parametrize("make", [raw_request, typed_request])
async def test_an_empty_batch_has_no_labels(running: Running, make: Any) -> None:
    response = await running.stub.ModelInfer(make(np.empty((0, 2))))
    assert list(response.outputs[0].shape) == [0]


async def test_more_rows_than_one_chunk_are_labelled_in_order(running: Running) -> None:
    points = np.tile(POINTS, (5000, 1))
    response = await running.stub.ModelInfer(raw_request(points))
    assert np.array_equal(np.frombuffer(response.raw_output_contents[0], "<i4"), np.tile(LABELS, 5000))


def with_shape(*shape: int) -> pb.ModelInferRequest:
    request = raw_request(POINTS)
    request.inputs[0].shape[:] = shape
    return request


def with_two_inputs() -> pb.ModelInferRequest:
    request = raw_request(POINTS)
    request.inputs.add(name="points", datatype="FP64", shape=[3, 2])
    return request


def with_other_name() -> pb.ModelInferRequest:
    request = raw_request(POINTS)
    request.inputs[0].name = "x" * 10_000
    return request


def with_datatype(datatype: str) -> pb.ModelInferRequest:
    request = raw_request(POINTS)
    request.inputs[0].datatype = datatype
    return request


def with_both_contents() -> pb.ModelInferRequest:
    request = typed_request(POINTS)
    request.raw_input_contents.append(POINTS.tobytes())
    return request


def with_value(value: float) -> np.ndarray:
    points = POINTS.copy()
    points[2, 1] = value
    return points


def with_foreign_output() -> pb.ModelInferRequest:
    request = raw_request(POINTS)
    request.outputs.add(name="distances")
    return request


WRONG = {
    "no input": (pb.ModelInferRequest(model_name="blobs"), "exactly one input"),
    "two inputs": (with_two_inputs(), "exactly one input"),
    "unknown input of a long name": (with_other_name(), "exactly one input"),
    "unknown output": (with_foreign_output(), "distances"),
    "too narrow": (raw_request(np.zeros((3, 1))), "[rows, 2]"),
    "too wide": (raw_request(np.zeros((3, 5))), "columns are: x, y"),
    "one dimension": (with_shape(6), "[rows, 2]"),
    "no dimension": (with_shape(), "[rows, 2]"),
    "negative rows": (with_shape(-3, 2), "[rows, 2]"),
    "both negative": (with_shape(-3, -2), "[rows, 2]"),
    "many dimensions": (with_shape(*[1] * 5000), "[rows, 2]"),
    "overflowing shape": (with_shape(2**62, 2), "needs"),
    "shape larger than the values": (with_shape(4, 2), "needs 64 bytes"),
    "shape smaller than the values": (with_shape(2, 2), "needs 32 bytes"),
    "half a value": (raw_request(POINTS, raw_input_contents=[b"abc"]), "2 entries"),
    "integers": (with_datatype("INT64"), "FP32 or FP64"),
    "bytes": (with_datatype("BYTES"), "FP32 or FP64"),
    "no datatype": (with_datatype(""), "FP32 or FP64"),
    "datatype of another width": (with_datatype("FP32"), "needs 24 bytes"),
    "raw and typed values": (with_both_contents(), "and contents"),
    "values in the field of another type": (typed_request(POINTS, "FP64", fp32_contents=[1.0] * 6), "fp64_contents"),
    "integer values": (typed_request(POINTS, "FP64", int_contents=[1] * 6), "int_contents"),
    "too few values": (typed_request(POINTS, "FP64", fp64_contents=[1.0]), "needs 6 values"),
    "no values": (with_shape(3, 2).__class__(model_name="blobs", inputs=with_shape(3, 2).inputs), "needs 6 values"),
    "NaN": (raw_request(with_value(np.nan)), "row 2 is not finite in column 'y'"),
    "infinity": (typed_request(with_value(np.inf)), "row 2 is not finite"),
    "long id": (raw_request(POINTS, id="i" * 5000), "id"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_wrong_request_is_refused_with_a_lesson(running: Running, case: str) -> None:
    request, lesson = WRONG[case]
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await running.stub.ModelInfer(request)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert lesson in refusal.value.details()
    assert len(refusal.value.details()) <= 1000
    response = await running.stub.ModelInfer(raw_request(POINTS))
    assert response.outputs[0].shape == [3], "the same connection still serves"


@pytest.mark.parametrize("target", [{"model_name": "other"}, {"model_name": ""}, {"model_version": "4"}])
@pytest.mark.parametrize("method", ["ModelInfer", "ModelMetadata", "ModelReady"])
async def test_another_model_or_version_is_not_found(running: Running, target: dict[str, str], method: str) -> None:
    name, version = target.get("model_name", "blobs"), target.get("model_version", "")
    request = {
        "ModelInfer": pb.ModelInferRequest(model_name=name, model_version=version),
        "ModelMetadata": pb.ModelMetadataRequest(name=name, version=version),
        "ModelReady": pb.ModelReadyRequest(name=name, version=version),
    }[method]
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await getattr(running.stub, method)(request)
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND
    assert "blobs" in refusal.value.details()


async def test_metadata_tells_tensors_and_versions(running: Running) -> None:
    server = await running.stub.ServerMetadata(pb.ServerMetadataRequest())
    model = await running.stub.ModelMetadata(pb.ModelMetadataRequest(name="blobs"))
    assert server.name == "shoal-worker"
    assert (model.name, list(model.versions), model.platform) == ("blobs", ["3"], "shoal_dbscan")
    assert [(t.name, t.datatype, list(t.shape)) for t in model.inputs] == [("points", "FP64", [-1, 2])]
    assert [(t.name, t.datatype, list(t.shape)) for t in model.outputs] == [
        ("labels", "INT32", [-1]),
        ("cluster_ids", "INT64", [-1]),
    ]


class TestHostileBytes:
    """Requests that no client library would build."""

    async def _call(self, running: Running, body: bytes, **options: Any) -> bytes:
        call = running.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        return await call(body, **options)

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"\xff" * 64, id="garbage"),
            pytest.param(b"\x0a\xff\xff\xff\xff\x0f", id="length beyond the message"),
            pytest.param(b"\x2b" * 10_000, id="deep groups"),
            pytest.param(b"\x0a\x02\xff\xfe", id="text that is not UTF-8"),
            pytest.param(b"\x2a\x08\x2a\x06\x3a\x04" + b"\x00" * 3, id="packed length lie"),
        ],
    )
    async def test_garbage_is_one_failed_call(self, running: Running, body: bytes) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await self._call(running, body)
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await running.stub.ModelInfer(raw_request(POINTS))).outputs[0].shape == [3]

    async def test_damaged_messages_are_answered_or_refused_but_never_break_the_worker(self, running: Running) -> None:
        random = np.random.default_rng(3)
        sound = [raw_request(POINTS).SerializeToString(), typed_request(POINTS).SerializeToString()]
        for number in range(400):
            body = bytearray(sound[number % 2])
            for place in random.integers(0, len(body), 3):
                body[place] = random.integers(0, 256)
            try:
                await self._call(running, bytes(body))
            except grpc.aio.AioRpcError as refusal:
                assert refusal.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)  # noqa: PT017

    async def test_a_message_over_the_limit_is_refused(self, running: Running) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await self._call(running, b"\x00" * (16 << 20) + b"\x00")
        assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await running.stub.ModelInfer(raw_request(POINTS))).outputs[0].shape == [3]

    async def test_unknown_fields_are_ignored(self, running: Running) -> None:
        unknown = b"\xfa\x3f" + b"\x80\x80\x40" + b"\x00" * (1 << 20)
        body = raw_request(POINTS).SerializeToString() + unknown
        response = pb.ModelInferResponse.FromString(await self._call(running, body))
        assert response.outputs[0].shape == [3]

    async def test_a_compressed_message_is_refused_before_it_unfolds(self, running: Running) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await self._call(running, b"\x00" * (15 << 20), compression=grpc.Compression.Gzip)
        assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED

    async def test_a_shape_that_lies_about_the_count_of_packed_values(self, running: Running) -> None:
        request = typed_request(POINTS)
        body = bytearray(request.SerializeToString())
        place = body.index(struct.pack("<d", CENTRES[1][0]))
        body[place : place + 8] = struct.pack("<d", float("nan"))
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await self._call(running, bytes(body))
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
