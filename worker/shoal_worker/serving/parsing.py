"""From bytes to a request: parsed only if it cannot grow far beyond its bytes; called by `servicer` and `internal`.

Invariant: the memory that parsing claims is bounded by the size of the message and a constant. Two bytes may be an
empty tensor, which takes more than a hundred in memory: without a look before, 16 MiB of them end the process.
"""

from collections.abc import Mapping
from functools import cache
from typing import TypeVar

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from shoal_worker.errors import RequestInvalid

M = TypeVar("M", bound=Message)
Nested = Mapping[int, "Nested"]
"""The fields that hold messages, by number, each with its own such fields."""

_MOST_FIELDS = 100_000
# A shorter message has too few fields to matter; a look at each takes longer than the parsing.
_HARMLESS_BYTES = 1 << 16
_VARINT_BYTES = 10
_VARINT, _FIXED64, _LENGTH, _GROUP, _GROUP_END, _FIXED32 = range(6)


def parse_request(kind: type[M], content: bytes) -> M:
    """The message of these bytes, or the RequestInvalid that says why not."""
    if len(content) > _HARMLESS_BYTES and not has_few_fields(content, _nested(kind.DESCRIPTOR), _MOST_FIELDS):
        raise RequestInvalid(
            f"the message has more than {_MOST_FIELDS:,} fields",
            field=kind.DESCRIPTOR.name,
            remedy="Send values as raw_input_contents, or fewer rows per call",
        )
    try:
        return kind.FromString(content)
    except DecodeError as error:
        raise RequestInvalid(
            str(error),
            field=kind.DESCRIPTOR.name,
            remedy="Send a message of inference.proto, the Open Inference Protocol v2",
        ) from None


def has_few_fields(content: bytes, nested: Nested, most: int) -> bool:
    """Are there at most so many fields, those of nested messages included? What is malformed counts up to there."""
    at, found = 0, 0
    within = [(len(content), nested)]
    try:
        while within:
            end, messages = within[-1]
            if at >= end:
                within.pop()
                continue
            key, at = _varint(content, at)
            found += 1
            if found > most:
                return False
            wire = key & 7
            if wire == _LENGTH:
                size, at = _varint(content, at)
                inner = messages.get(key >> 3)
                if inner is None:
                    at += size
                else:
                    within.append((at + size, inner))
            elif wire == _VARINT:
                at = _varint(content, at)[1]
            elif wire in (_FIXED64, _FIXED32):
                at += 8 if wire == _FIXED64 else 4
            elif wire not in (_GROUP, _GROUP_END):
                return True
    except IndexError:
        pass
    return True


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends; IndexError where there is none."""
    byte = content[at]
    if byte < 0x80:
        return byte, at + 1
    number = 0
    for place in range(_VARINT_BYTES):
        byte = content[at + place]
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number, at + place + 1
    raise IndexError


@cache
def _nested(message: Descriptor) -> Nested:
    return {field.number: _nested(field.message_type) for field in message.fields if field.message_type is not None}
