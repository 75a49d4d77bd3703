"""The two forms that labels go out in: an answer for each message, or rows of a table; called by `labelling`.

Invariant: whatever the form, the labels are those of the answer that a gRPC call would get.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from shoal_worker.model import Model
from shoal_worker.results.schema import NOISE, STREAM_SCHEMA
from shoal_worker.serving.answering import Answer
from shoal_worker.streaming.answers import MESSAGE_ID, Origin, build_answer
from shoal_worker.streaming.formats import JSON, PROTOBUF, write_answers
from shoal_worker.streaming.message import Message
from shoal_worker.streaming.outcomes import Answered, Outcome, Tabled


class Form(Protocol):
    """How the labels of messages go out."""

    def write(self, messages: Sequence[Message], counts: Sequence[int], answer: Answer) -> Sequence[Outcome]:
        """The outcomes of JSON messages that had so many rows each, which were answered together."""

    def write_one(self, message: Message, answer: Answer) -> Outcome:
        """The outcome of a message that was a request itself."""


class AnswerForm:
    """Each message's own answer, in the form that it was asked in."""

    def __init__(self, model: Model, origin: Origin) -> None:
        self._model = model
        self._origin = origin

    def write(self, messages: Sequence[Message], counts: Sequence[int], answer: Answer) -> Sequence[Outcome]:
        """Cut the answer apart."""
        payloads = write_answers(self._model, answer.response, counts)
        return [self._answered(*item, JSON) for item in zip(messages, payloads, strict=True)]

    def write_one(self, message: Message, answer: Answer) -> Outcome:
        """The response as it is."""
        return self._answered(message, answer.response.SerializeToString(), PROTOBUF)

    def _answered(self, message: Message, payload: bytes, content_type: str) -> Answered:
        return Answered(message, build_answer(self._origin, message, payload, content_type, self._model.version))


class RowForm:
    """Rows with the columns of a batch's results, and which row of which message each is."""

    def __init__(self, model: Model, origin: Origin) -> None:
        self._model = model
        self._origin = origin
        self._version = int(model.version)

    def write(self, messages: Sequence[Message], counts: Sequence[int], answer: Answer) -> Sequence[Outcome]:
        """One table for all of them."""
        sizes, rows = np.array(counts, dtype=np.int64), len(answer.labels)
        of_message = np.repeat(np.arange(len(messages)), sizes)
        found = self._model.locate(answer.points)
        strengths = None if found.strengths is None else found.strengths.astype(np.float32)
        sequences = np.array([message.lease.sequence for message in messages], dtype=np.int64)
        columns: list[pa.Array[Any]] = [
            pa.array([self._origin.identify(message) for message in messages], pa.string()).take(of_message),
            pa.array([message.headers.get(MESSAGE_ID) for message in messages], pa.string()).take(of_message),
            pa.array(sequences[of_message]),
            pa.array(np.arange(rows, dtype=np.int64) - np.repeat(np.cumsum(sizes) - sizes, sizes)),
            pa.array(answer.labels, pa.int32()),
            pa.array(self._model.public_ids(answer.labels), pa.int64()),
            # Noise has no core near it.
            pa.array(found.distances.astype(np.float32), mask=answer.labels == NOISE),
            pa.nulls(rows, pa.float32()) if strengths is None else pa.array(strengths),
            pa.array(np.full(rows, self._version, dtype=np.int64)),
            pa.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int32), pa.array([self._model.digest])),
            pa.repeat(pa.scalar(datetime.now(UTC), pa.timestamp("ms", tz="UTC")), rows),
        ]
        return [Tabled(tuple(messages), pa.RecordBatch.from_arrays(columns, schema=STREAM_SCHEMA), time.monotonic())]

    def write_one(self, message: Message, answer: Answer) -> Outcome:
        """A table of its own."""
        (outcome,) = self.write([message], [len(answer.labels)], answer)
        return outcome
