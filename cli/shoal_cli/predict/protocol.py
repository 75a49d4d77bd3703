"""Calls of the Open Inference Protocol v2 on a channel: what a model takes and gives, and its answers.

Used by `predict`. Invariant: nothing is assumed of a model but what its own metadata say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from shoal_cli.errors import ShoalError, UsageError
from shoal_cli.predict.rows import Rows
from shoal_proto import inference_pb2 as pb
from shoal_proto.inference_pb2_grpc import GRPCInferenceServiceStub

_MATRIX = "points"
_SECONDS = 30
_MOST_BYTES = 8 << 20
_MOST_ROWS = 50_000
_TYPES = {"INT32": "<i4", "INT64": "<i8", "FP32": "<f4", "FP64": "<f8"}
_REMEDIES = {
    grpc.StatusCode.UNAVAILABLE: "Check the address, or that a pod is ready: shoal status",
    grpc.StatusCode.NOT_FOUND: "Check the name and the version",
    grpc.StatusCode.INVALID_ARGUMENT: "Correct the rows",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "Try again with a pause",
}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives. `width` is that of the one matrix, None where each column is a tensor."""

    columns: tuple[tuple[str, str], ...]
    width: int | None
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One value for each row and output, and who answered."""

    outputs: dict[str, NDArray[Any]]
    version: str


class Model:
    """One served model."""

    def __init__(self, channel: grpc.Channel, name: str, version: str = "") -> None:
        self._stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        self._name, self._version = name, version

    def signature(self) -> Signature:
        """Ask for the model's metadata."""
        request = pb.ModelMetadataRequest(name=self._name, version=self._version)
        found = self._call(self._stub.ModelMetadata, request)
        outputs = tuple(each.name for each in found.outputs)
        inputs = [(each.name, each.datatype) for each in found.inputs]
        if [name for name, _ in inputs] == [_MATRIX] and len(found.inputs[0].shape) == 2:
            return Signature((), int(found.inputs[0].shape[1]), outputs)
        return Signature(tuple(inputs), None, outputs)

    def predict(self, rows: Rows, signature: Signature) -> Answer:
        """Ask for all outputs of the rows, in as many calls as the size needs."""
        width = signature.width or len(signature.columns)
        at_once = max(1, min(_MOST_ROWS, _MOST_BYTES // (8 * max(1, width))))
        parts = [self._infer(each, signature) for each in rows.slices(at_once)]
        if not parts:
            raise UsageError("there is no row", field="rows", remedy="Give at least one")
        outputs = {name: np.concatenate([part.outputs[name] for part in parts]) for name in signature.outputs}
        return Answer(outputs, ", ".join(dict.fromkeys(part.version for part in parts)))

    def _infer(self, rows: Rows, signature: Signature) -> Answer:
        request = build_request(self._name, self._version, rows, signature)
        response = self._call(self._stub.ModelInfer, request)
        return Answer(read_outputs(response, len(rows), signature.outputs), response.model_version)

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=_SECONDS, wait_for_ready=False)
        except grpc.RpcError as error:
            code, details = error.code(), (error.details() or "").rstrip(".")
            kind = UsageError if code == grpc.StatusCode.INVALID_ARGUMENT else ShoalError
            raise kind(
                details or "no reason told", field=f"{self._name}: {code.name}", remedy=_REMEDIES.get(code, "Try again")
            ) from None


def fit_columns(rows: Rows, signature: Signature, names: Sequence[str]) -> Rows:
    """Return the rows with the model's columns in its order; `names` are those of its matrix, empty where unknown."""
    if signature.width is None:
        return rows.choose([column for column, _ in signature.columns])
    if len(names) == signature.width:
        return rows.choose(names)
    if rows.named and len(rows.columns) != signature.width:
        raise UsageError(
            f"the model takes {signature.width} columns and the file has {len(rows.columns)}",
            field="--file",
            remedy="Leave only the model's columns in it, in order",
        )
    return rows if rows.named else rows.choose([str(place) for place in range(signature.width)])


def build_request(name: str, version: str, rows: Rows, signature: Signature) -> pb.ModelInferRequest:
    """Return the call for rows that have the model's columns in their order."""
    request = pb.ModelInferRequest(model_name=name, model_version=version)
    for output in signature.outputs:
        request.outputs.add(name=output)
    if signature.width is not None:
        matrix = np.stack([_numbers(column, values) for column, values in rows.columns], axis=1)
        request.inputs.add(name=_MATRIX, datatype="FP64", shape=list(matrix.shape))
        request.raw_input_contents.append(np.ascontiguousarray(matrix).tobytes())
        return request
    for (column, datatype), (_, values) in zip(signature.columns, rows.columns, strict=True):
        if datatype == "BYTES":
            request.inputs.add(name=column, datatype=datatype, shape=[len(values)])
            request.raw_input_contents.append(_texts(values))
        else:
            request.inputs.add(name=column, datatype="FP64", shape=[len(values)])
            request.raw_input_contents.append(_numbers(column, values).tobytes())
    return request


def read_outputs(response: pb.ModelInferResponse, rows: int, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the outputs by name; an answer that does not fit its question is an error, not a shorter table."""
    found = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=False):
        if output.datatype in _TYPES:
            found[output.name] = np.frombuffer(raw, _TYPES[output.datatype])
    if wrong := [name for name in wanted if len(found.get(name, ())) != rows]:
        raise ShoalError(
            f"the answer has no {rows} values of it", field=f"output {wrong[0]}", remedy="Is it a model of Shoal's"
        )
    return {name: found[name] for name in wanted}


def _numbers(column: str, values: NDArray[Any]) -> NDArray[np.float64]:
    try:
        return np.ascontiguousarray(values, dtype="<f8")
    except (ValueError, TypeError):
        wrong = next((each for each in values if not _is_number(each)), "")
        raise UsageError("it is no number", field=f"column {column}", value=wrong, remedy="Give numbers") from None


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _texts(values: NDArray[Any]) -> bytes:
    """Return texts in the protocol's raw form: each after its length in 4 bytes, least first."""
    parts = []
    for value in values:
        encoded = str(value).encode()
        parts += [len(encoded).to_bytes(4, "little"), encoded]
    return b"".join(parts)
