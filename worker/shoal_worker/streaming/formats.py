"""What a message may hold: rows as JSON, or a ModelInferRequest of the Open Inference Protocol; called by `labelling`.

Invariant: whatever a message holds, the outcome is a request for `answer_request` or a RequestInvalid that names field,
value and remedy. Rows of many messages make one request, whose answer is cut apart again.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from shoal_proto import inference_pb2 as pb
from shoal_worker.artifact.manifest import TEXT
from shoal_worker.errors import RequestInvalid
from shoal_worker.model import Model
from shoal_worker.serving.inference import CLUSTER_IDS, LABELS, POINTS, check_target
from shoal_worker.streaming.answers import CONTENT_TYPE
from shoal_worker.streaming.message import Message

JSON, PROTOBUF = "application/json", "application/x-protobuf"
_EXACT = 1 << 53
_LENGTH_BYTES = 4
_REMEDY = "Send an object with a value for each of the model's columns, or a list of such objects"

Row = tuple[float | str, ...]
"""The values of the model's columns, in their order."""


class Rows(NamedTuple):
    """The rows of one JSON message."""

    rows: list[Row]


def read_message(model: Model, message: Message) -> Rows | pb.ModelInferRequest:
    """Read a message by its Content-Type; JSON where it has none."""
    kind = message.headers.get(CONTENT_TYPE, JSON).partition(";")[0].strip().lower()
    if kind == JSON:
        return Rows(_read_json(model, message.data))
    if kind == PROTOBUF:
        return _read_request(model, message.data)
    raise RequestInvalid(
        "the content type is not known", field=CONTENT_TYPE, value=kind, remedy=f"Send {JSON} or {PROTOBUF}"
    )


def build_request(model: Model, rows: Sequence[Row]) -> pb.ModelInferRequest:
    """One request for the rows of any number of JSON messages."""
    request = pb.ModelInferRequest(model_name=model.name)
    for name in (LABELS, CLUSTER_IDS):
        request.outputs.add(name=name)
    if not model.preprocessor.texts:
        matrix = np.array(rows, dtype="<f8").reshape(len(rows), len(model.columns))
        request.inputs.add(name=POINTS, datatype="FP64", shape=matrix.shape)
        request.raw_input_contents.append(matrix.tobytes())
        return request
    for place, column in enumerate(model.columns):
        values: list[Any] = [row[place] for row in rows]
        text = column.dtype == TEXT
        request.inputs.add(name=column.name, datatype="BYTES" if text else "FP64", shape=[len(values)])
        request.raw_input_contents.append(_encode_texts(values) if text else np.array(values, dtype="<f8").tobytes())
    return request


def write_answers(model: Model, response: pb.ModelInferResponse, counts: Sequence[int]) -> list[bytes]:
    """Cut the answer of `build_request` apart: one JSON object for each message, which had so many rows."""
    labels, ids = (
        np.frombuffer(raw, dtype=dtype).tolist()
        for raw, dtype in zip(response.raw_output_contents, ("<i4", "<i8"), strict=True)
    )
    answers: list[bytes] = []
    head = f'{{"model":{json.dumps(model.name)},"version":{json.dumps(model.version)},'
    start = 0
    for count in counts:
        part = slice(start, start + count)
        answers.append(f'{head}"{LABELS}":{labels[part]},"{CLUSTER_IDS}":{ids[part]}}}'.encode())
        start += count
    return answers


def _read_request(model: Model, data: bytes) -> pb.ModelInferRequest:
    try:
        request = pb.ModelInferRequest.FromString(data)
    except DecodeError as error:
        raise RequestInvalid(
            f"the bytes are no ModelInferRequest: {error}", field="data", remedy="Send a message of inference.proto"
        ) from None
    if request.model_name:
        # A version that it may name is not held against it: which version has the lease is for the weights to say.
        check_target(model, request.model_name, "")
    return request


def _read_json(model: Model, data: bytes) -> list[Row]:
    try:
        # Not a number is no JSON; where a value may be missing it is null.
        content = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestInvalid(f"the data are no JSON: {error}", field="data", remedy=_REMEDY) from None
    found = content if isinstance(content, list) else [content]
    return [_read_row(model, row, number) for number, row in enumerate(found)]


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _read_row(model: Model, row: object, number: int) -> Row:
    if not isinstance(row, dict):
        raise RequestInvalid(f"row {number} is no object", field="data", value=row, remedy=_REMEDY)
    values: list[float | str] = []
    for column in model.columns:
        try:
            value = row[column.name]
        except KeyError:
            raise RequestInvalid(
                f"row {number} has no such column", field=column.name, value=", ".join(list(row)[:8]), remedy=_REMEDY
            ) from None
        values.append(
            _read_text(value, column.name, number) if column.dtype == TEXT else _read_number(value, column.name, number)
        )
    return tuple(values)


def _read_number(value: object, name: str, number: int) -> float:
    if type(value) is float:
        return value
    if value is None:
        return float("nan")
    if isinstance(value, int):
        if abs(value) <= _EXACT:
            return float(value)
        problem = "is beyond 2^53, where floats no longer tell whole numbers apart"
    else:
        problem = "is no number"
    raise RequestInvalid(f"the value in row {number} {problem}", field=name, value=value, remedy="Correct the value")


def _read_text(value: object, name: str, number: int) -> str:
    if isinstance(value, str):
        return value
    raise RequestInvalid(
        f"the value in row {number} is no text",
        field=name,
        value=value,
        remedy="Send what the training data would have",
    )


def _encode_texts(texts: Sequence[str]) -> bytes:
    parts = bytearray()
    for text in texts:
        encoded = text.encode("utf-8", "surrogatepass")
        parts += len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded
    return bytes(parts)
