"""Read a safetensors buffer, in memory or mapped, as numpy views, trusting nothing in it; called by `artifact` only.

Invariant: a view is handed out only after every declared dtype, shape and offset was proven to fit the buffer exactly.
Nothing is allocated on the word of a header, no value is copied, and there is no second format to fall back to.
"""

from dataclasses import dataclass
from math import prod
from mmap import mmap
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shoal_worker.errors import ArtifactInvalid, shorten

HEADER_LIMIT = 64 << 10
_LENGTH_BYTES = 8
_ALIGNMENT = 8
MAX_TENSORS = 32
MAX_AXES = 3
Dtype = Literal["F64", "F32", "I64", "I32", "U64", "U32", "U16", "U8"]
DTYPES: dict[Dtype, np.dtype[np.generic]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
}

Buffer = bytes | mmap
TensorName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,63}$")]
Size = Annotated[int, Field(ge=0, le=1 << 40)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    dtype: Dtype
    shape: list[Size] = Field(max_length=MAX_AXES)
    data_offsets: tuple[Size, Size]


_HEADER = TypeAdapter(Annotated[dict[TensorName, _Entry], Field(max_length=MAX_TENSORS)])


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Declared type of one tensor."""

    dtype: Dtype
    shape: tuple[int, ...]


def view_tensors(buffer: Buffer, expected: dict[str, TensorSpec]) -> dict[str, np.ndarray]:
    """Return read-only views of the tensors in `buffer`, which must be exactly the expected ones.

    The tensors must lie back to back and fill the buffer: no gap, no overlap, no bytes that nobody checked.
    """
    entries, data_start = _read_header(buffer)
    declared = {name: TensorSpec(entry.dtype, tuple(entry.shape)) for name, entry in entries.items()}
    if declared != expected:
        raise _invalid("the tensors are not those that the manifest declares", sorted(declared))
    cursor = 0
    views = {}
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        dtype = DTYPES[entry.dtype]
        begin, end = entry.data_offsets
        if begin != cursor or end - begin != prod(entry.shape) * dtype.itemsize or begin % dtype.itemsize:
            raise _invalid("a tensor's offsets do not match its shape", name)
        if data_start + end > len(buffer):
            raise _invalid("a tensor reaches beyond the end of the file", name)
        flat = np.frombuffer(buffer, dtype=dtype, count=prod(entry.shape), offset=data_start + begin)
        views[name] = flat.reshape(entry.shape)
        cursor = end
    if data_start + cursor != len(buffer):
        raise _invalid("there are bytes after the last tensor", len(buffer) - data_start - cursor)
    return views


def _read_header(buffer: Buffer) -> tuple[dict[str, _Entry], int]:
    if len(buffer) < _LENGTH_BYTES:
        raise _invalid("the file is shorter than its header", len(buffer))
    length = int.from_bytes(buffer[:_LENGTH_BYTES], "little")
    if length > HEADER_LIMIT or _LENGTH_BYTES + length > len(buffer) or length % _ALIGNMENT:
        raise _invalid(f"the header length is not a multiple of 8 up to {HEADER_LIMIT} within the file", length)
    try:
        return _HEADER.validate_json(buffer[_LENGTH_BYTES : _LENGTH_BYTES + length]), _LENGTH_BYTES + length
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise _invalid(f"the header is malformed at {shorten(place) or 'its start'}: {problem['msg']}", "") from None


def _invalid(message: str, value: object) -> ArtifactInvalid:
    return ArtifactInvalid(message, field="model.safetensors", value=value, remedy="Train the model again")
