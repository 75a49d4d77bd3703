"""What is kept of a request, and several of those as one: rows and nothing else; used by `keeping` and `comparing`.

Invariant: an excerpt asks for labels only, names no version, and carries neither the request's id nor its parameters;
its rows are answered as they were in the request. Values are raw, so that excerpts of one form are joined end to end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shoal_proto import inference_pb2 as pb
from shoal_worker.artifact.manifest import TEXT
from shoal_worker.data.frame import Frame
from shoal_worker.model import Model
from shoal_worker.serving.answering import Answer
from shoal_worker.serving.inference import LABELS, POINTS

MOST_ROWS = 64
"""Rows that are kept of one request: many requests with some rows each tell more than a few with all of theirs."""
MOST_BYTES = 64 << 10
BATCH_ROWS = 256
BATCH_BYTES = 512 << 10

_NUMBER_BYTES = 8


def take_excerpt(model: Model, request: pb.ModelInferRequest, answer: Answer) -> pb.ModelInferRequest | None:
    """A request of some rows of an answered one, spread over it; None where there are none, or even few are too large.

    The values are those that were read, the form is that of the request: one tensor `points`, or one for each column.
    """
    rows = len(answer.points)
    chosen = _spread(rows, _fitting_rows(model))
    excerpt = pb.ModelInferRequest(model_name=model.name)
    excerpt.outputs.add(name=LABELS)
    if answer.rows is None:
        _add_matrix(excerpt, answer.points[chosen])
    elif len(request.inputs) == 1 and request.inputs[0].name == POINTS and not model.preprocessor.texts:
        _add_matrix(excerpt, answer.rows.numbers[chosen])
    else:
        _add_columns(excerpt, answer.rows.select(chosen))
    return excerpt if rows and sum(map(len, excerpt.raw_input_contents)) <= MOST_BYTES else None


def rows_of(excerpt: pb.ModelInferRequest) -> int:
    """Number of an excerpt's rows."""
    return excerpt.inputs[0].shape[0]


@dataclass(frozen=True, slots=True)
class Batch:
    """Excerpts as one request; `members` are their places, in the order of their rows."""

    request: pb.ModelInferRequest
    members: tuple[int, ...]
    rows: tuple[int, ...]
    """Rows of each member."""

    @property
    def places(self) -> np.ndarray:
        """For each row the place of its excerpt."""
        return np.repeat(self.members, self.rows)


def join_excerpts(excerpts: Sequence[pb.ModelInferRequest], members: Sequence[int]) -> Iterator[Batch]:
    """Join these of the excerpts into as few requests as their forms and the limits of a batch allow."""
    forms: dict[tuple[tuple[object, ...], ...], list[int]] = {}
    for member in members:
        form = tuple((one.name, one.datatype, *one.shape[1:]) for one in excerpts[member].inputs)
        forms.setdefault(form, []).append(member)
    for alike in forms.values():
        chosen: list[int] = []
        rows = size = 0
        for member in alike:
            more, larger = rows_of(excerpts[member]), excerpts[member].ByteSize()
            if chosen and (rows + more > BATCH_ROWS or size + larger > BATCH_BYTES):
                yield _join(excerpts, chosen)
                chosen, rows, size = [], 0, 0
            chosen.append(member)
            rows, size = rows + more, size + larger
        yield _join(excerpts, chosen)


def _join(excerpts: Sequence[pb.ModelInferRequest], members: Sequence[int]) -> Batch:
    first, rows = excerpts[members[0]], tuple(rows_of(excerpts[member]) for member in members)
    request = pb.ModelInferRequest(model_name=first.model_name, outputs=first.outputs)
    for place, tensor in enumerate(first.inputs):
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=[sum(rows), *tensor.shape[1:]])
        request.raw_input_contents.append(b"".join(excerpts[member].raw_input_contents[place] for member in members))
    return Batch(request, tuple(members), rows)


def _fitting_rows(model: Model) -> int:
    return max(1, min(MOST_ROWS, MOST_BYTES // (_NUMBER_BYTES * len(model.columns))))


def _spread(rows: int, most: int) -> slice:
    """Every n-th row, so that at most `most` are left."""
    return slice(0, rows, max(1, -(-rows // most)))


def _add_matrix(excerpt: pb.ModelInferRequest, values: np.ndarray) -> None:
    kind, wire = ("FP32", "<f4") if values.dtype == np.float32 else ("FP64", "<f8")
    excerpt.inputs.add(name=POINTS, datatype=kind, shape=values.shape)
    excerpt.raw_input_contents.append(values.astype(wire, copy=False).tobytes())


def _add_columns(excerpt: pb.ModelInferRequest, rows: Frame) -> None:
    for column in rows.columns:
        text = column.dtype == TEXT
        excerpt.inputs.add(name=column.name, datatype="BYTES" if text else "FP64", shape=[rows.rows])
        if text:
            raw = b"".join(_with_length(value) for value in rows.texts[column.name].tolist())
        else:
            raw = rows.number(column.name).astype("<f8").tobytes()
        excerpt.raw_input_contents.append(raw)


def _with_length(text: str) -> bytes:
    content = text.encode()
    return len(content).to_bytes(4, "little") + content
