"""The values of one input tensor, raw or typed, as a numpy array; called by `inference` and `columns`.

Invariant: raw numbers are viewed, not copied, and their count is exactly what the shape says, computed in unbounded
integers before anything is allocated. Texts are cut out one by one: their places follow from one another.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from shoal_proto import inference_pb2 as pb
from shoal_worker.errors import RequestInvalid

Tensor = pb.ModelInferRequest.InferInputTensor
Values = np.ndarray[Any, np.dtype[Any]]

TEXTS = "BYTES"
_LENGTH_BYTES = 4
_NUMBERS: dict[str, tuple[np.dtype[Any], str]] = {
    "FP64": (np.dtype("<f8"), "fp64_contents"),
    "FP32": (np.dtype("<f4"), "fp32_contents"),
    "INT64": (np.dtype("<i8"), "int64_contents"),
    "INT32": (np.dtype("<i4"), "int_contents"),
    "INT16": (np.dtype("<i2"), "int_contents"),
    "INT8": (np.dtype("i1"), "int_contents"),
    "UINT64": (np.dtype("<u8"), "uint64_contents"),
    "UINT32": (np.dtype("<u4"), "uint_contents"),
    "UINT16": (np.dtype("<u2"), "uint_contents"),
    "UINT8": (np.dtype("u1"), "uint_contents"),
    "BOOL": (np.dtype("?"), "bool_contents"),
}
NUMBERS = frozenset(_NUMBERS)


def read_values(request: pb.ModelInferRequest, tensor: Tensor, index: int, shape: tuple[int, ...]) -> Values:
    """The numbers of a tensor, which is the input at this index, in their own type and in this shape."""
    dtype, field = _NUMBERS[tensor.datatype]
    count = prod(shape)
    contents = request.raw_input_contents
    if contents:
        raw = _raw_entry(request, contents, tensor, index)
        if len(raw) != count * dtype.itemsize:
            raise RequestInvalid(
                f"the shape {list(tensor.shape)} of {tensor.datatype} needs {count * dtype.itemsize} bytes",
                field=f"raw_input_contents[{index}]",
                value=f"{len(raw)} bytes",
                remedy="Send all values in row-major order, little-endian",
            )
        return np.ndarray(shape, dtype, raw)
    values = _typed_entry(tensor, index, field, count)
    try:
        return np.fromiter(values, dtype=dtype, count=count).reshape(shape)
    except OverflowError:
        raise RequestInvalid(
            f"a value does not fit {tensor.datatype}",
            field=f"inputs[{index}].contents.{field}",
            remedy="Correct the value, or the datatype",
        ) from None


def read_texts(request: pb.ModelInferRequest, tensor: Tensor, index: int, count: int, longest: int) -> np.ndarray:
    """The texts of a tensor, as an object array; none is longer than `longest` characters."""
    contents = request.raw_input_contents
    parts = (
        _split(_raw_entry(request, contents, tensor, index), index, count)
        if contents
        else _typed_entry(tensor, index, "bytes_contents", count)
    )
    try:
        texts = [bytes(part).decode() for part in parts]
    except UnicodeDecodeError:
        raise RequestInvalid(
            "a text is not UTF-8",
            field=tensor.name,
            remedy="Encode texts as UTF-8, with a length of 4 bytes before each",
        ) from None
    if texts and (most := max(map(len, texts))) > longest:
        raise RequestInvalid(
            f"a text has {most} characters, and at most {longest} are taken",
            field=tensor.name,
            remedy="Send the text that the training data would have",
        )
    values = np.empty(count, dtype=object)
    values[:] = texts
    return values


def _split(raw: bytes, index: int, count: int) -> list[bytes]:
    parts: list[bytes] = []
    start = 0
    while start < len(raw) and len(parts) < count:
        end = start + _LENGTH_BYTES + int.from_bytes(raw[start : start + _LENGTH_BYTES], "little")
        parts.append(raw[start + _LENGTH_BYTES : end])
        start = end
    if start != len(raw) or len(parts) != count:
        raise RequestInvalid(
            f"there must be {count} texts, each after its length as 4 bytes, little-endian",
            field=f"raw_input_contents[{index}]",
            value=f"{len(raw)} bytes",
            remedy="Let a client library of the protocol encode them",
        )
    return parts


def _raw_entry(request: pb.ModelInferRequest, contents: Sequence[bytes], tensor: Tensor, index: int) -> bytes:
    entries, typed = len(contents), tensor.HasField("contents")
    if entries != len(request.inputs) or typed:
        raise RequestInvalid(
            "values must come once, in one entry for each input",
            field="raw_input_contents",
            value=f"{entries} entries{' and contents' if typed else ''}",
            remedy="Send either raw_input_contents with one entry per input, or contents",
        )
    return contents[index]


def _typed_entry(tensor: Tensor, index: int, wanted: str, count: int) -> Any:
    foreign = [field.name for field, _ in tensor.contents.ListFields() if field.name != wanted]
    if foreign:
        raise RequestInvalid(
            f"values of {tensor.datatype} belong into {wanted}",
            field=f"inputs[{index}].contents",
            value=", ".join(foreign),
            remedy=f"Fill {wanted} only, or correct the datatype",
        )
    values = getattr(tensor.contents, wanted)
    if len(values) != count:
        raise RequestInvalid(
            f"the shape {list(tensor.shape)} needs {count} values",
            field=f"inputs[{index}].contents.{wanted}",
            value=f"{len(values)} values",
            remedy="Send all values in row-major order",
        )
    return values
