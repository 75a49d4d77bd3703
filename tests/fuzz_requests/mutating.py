"""How a sound request is damaged: in its bytes, or in its fields, so that it passes the parser and lies behind it.

Invariant: the same source of chance gives the same bytes; nothing else is asked.
"""

from __future__ import annotations

import struct
from random import Random

from shoal_proto import inference_pb2 as pb

_NUMBERS = (0, 1, -1, 2, 3, 255, 65_535, 10_000_000, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 1, -(1 << 63))
_FLOATS = (0.0, -0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"))
_WORDS = ("", "points", "labels", "strengths", "cluster_ids", "blobs", "kind", "size", "y", "FP64", "FP32", "BYTES",
          "INT8", "UINT64", "BOOL", "1", "é" * 400, "a\nb\x00c", "%s{}%n", "../..")  # fmt: skip
_TYPES = ("FP64", "FP32", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8", "BOOL", "BYTES",
          "FP16", "", "fp64")  # fmt: skip
_FIELDS = ("bool", "int", "int64", "uint", "uint64", "fp32", "fp64", "bytes")
_CHANGES = (1, 1, 1, 2, 4)
_LONGEST_SLICE = 40


def mutate(random: Random, request: pb.ModelInferRequest, other: pb.ModelInferRequest) -> bytes:
    """Damage a request in a few places; parts of the other one may come into it."""
    damaged = request
    if random.random() < 0.75:
        damaged = pb.ModelInferRequest()
        damaged.CopyFrom(request)
        for _ in range(random.choice(_CHANGES)):
            _change_field(random, damaged, other)
    content = bytearray(damaged.SerializeToString())
    if damaged is request or random.random() < 0.2:
        for _ in range(random.choice(_CHANGES)):
            _change_bytes(random, content, other)
    return bytes(content)


def _change_bytes(random: Random, content: bytearray, other: pb.ModelInferRequest) -> None:
    """Flip, overwrite, cut, repeat, or let in a foreign part."""
    at = random.randrange(len(content) + 1)
    end = at + random.randrange(_LONGEST_SLICE)
    match random.randrange(8):
        case 0:
            content[at : at + 1] = bytes([random.randrange(256)])
        case 1:
            if content:
                content[at % len(content)] ^= 1 << random.randrange(8)
        case 2:
            content[at : at + 8] = struct.pack("<d", random.choice(_FLOATS))
        case 3:
            content[at:at] = _varint(random.choice(_NUMBERS))
        case 4:
            del content[at:end]
        case 5:
            content[at:at] = content[at:end] * random.randint(1, 8)
        case 6:
            del content[at:]
        case _:
            foreign = other.SerializeToString()
            start = random.randrange(len(foreign) + 1)
            content[at:at] = foreign[start : start + random.randrange(_LONGEST_SLICE)]


def _change_field(random: Random, request: pb.ModelInferRequest, other: pb.ModelInferRequest) -> None:
    """Let one field lie."""
    tensor = random.choice(request.inputs) if request.inputs else request.inputs.add()
    match random.randrange(10):
        case 0:
            tensor.shape[:] = [random.choice(_NUMBERS) for _ in range(random.randrange(4))]
        case 1:
            if tensor.shape:
                tensor.shape[random.randrange(len(tensor.shape))] = random.choice(_NUMBERS)
        case 2:
            tensor.datatype = random.choice(_TYPES)
        case 3:
            tensor.name = random.choice(_WORDS)
        case 4:
            _change_values(random, tensor)
        case 5:
            request.outputs.add(name=random.choice(_WORDS))
        case 6:
            if random.random() < 0.5 and request.inputs:
                del request.inputs[random.randrange(len(request.inputs))]
            else:
                request.inputs.extend(other.inputs)
        case 7:
            setattr(request, random.choice(("model_name", "model_version", "id")), random.choice(_WORDS))
        case 8:
            _change_raw(random, request)
        case _:
            tensor.parameters[random.choice(_WORDS)].int64_param = random.choice(_NUMBERS)


def _change_values(random: Random, tensor: pb.ModelInferRequest.InferInputTensor) -> None:
    field = random.choice(_FIELDS)
    values = getattr(tensor.contents, f"{field}_contents")
    match field:
        case "fp64":
            values.append(random.choice(_FLOATS))
        case "fp32":
            values.append(random.choice((0.0, float("nan"), float("inf"), 3e38)))
        case "bytes":
            values.append(random.randbytes(random.randrange(300)))
        case "bool":
            values.append(random.random() < 0.5)
        case _:
            bits = {"int": 31, "int64": 63, "uint": 32, "uint64": 64}[field]
            values.append(random.choice((0, 1, (1 << bits) - 1)))


def _change_raw(random: Random, request: pb.ModelInferRequest) -> None:
    raw = request.raw_input_contents
    if not raw or random.random() < 0.3:
        raw.append(random.randbytes(random.randrange(64)))
        return
    at = random.randrange(len(raw))
    content = bytearray(raw[at])
    match random.randrange(4):
        case 0:
            del raw[at]
            return
        case 1:
            content = content[: random.randrange(len(content) + 1)]
        case 2:
            place = 8 * random.randrange(len(content) // 8 + 1)
            content[place : place + 8] = struct.pack("<d", random.choice(_FLOATS))
        case _:
            content[:4] = struct.pack("<I", random.choice((0, 1, 255, 1 << 31, (1 << 32) - 1)))
    raw[at] = bytes(content)


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
