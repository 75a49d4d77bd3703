"""What becomes of messages: made by `labelling` and `forms`, seen to by `consumer`."""

from dataclasses import dataclass

import pyarrow as pa

from shoal_worker.streaming.answers import Outgoing
from shoal_worker.streaming.message import Message


@dataclass(frozen=True, slots=True)
class Answered:
    """Its answer is to be published."""

    message: Message
    answer: Outgoing


@dataclass(frozen=True, slots=True)
class Tabled:
    """The rows of some messages, in their order, are to be stored."""

    messages: tuple[Message, ...]
    rows: pa.RecordBatch
    """Of results.schema.STREAM_SCHEMA."""
    labelled: float
    """When, on the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It is to be published as a dead letter."""

    message: Message
    letter: Outgoing
    code: str
    """The gRPC status that a call would have got."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It is to be delivered again: the fault is the worker's."""

    message: Message


Outcome = Answered | Tabled | Refused | Failed
