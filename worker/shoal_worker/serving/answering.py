"""One request from message to answer: read, prepare, predict, respond; called by `servicer` and by `agreement`.

Invariant: whoever asks, by whatever transport, equal requests get equal answers. Runs in any thread.
"""

from typing import NamedTuple

import numpy as np

from shoal_proto import inference_pb2 as pb
from shoal_worker.artifact.files import LabelArray
from shoal_worker.data.frame import Frame
from shoal_worker.model import Cancelled, Model, PointArray
from shoal_worker.serving.columns import prepare, read_rows
from shoal_worker.serving.inference import (
    CLUSTER_IDS,
    LABELS,
    STRENGTHS,
    build_response,
    check_finite,
    read_points,
    wanted_outputs,
)

# So few are counted sooner one by one than by two calls of numpy.
_FEW_LABELS = 64


class Answer(NamedTuple):
    """A response, and what it was made of."""

    response: pb.ModelInferResponse
    rows: Frame | None
    """The raw rows; None where the points are them."""
    points: PointArray
    """What the model's preprocessing made of them."""
    labels: LabelArray
    noise: int
    """Rows with the label -1."""
    out_of_reach: int | None
    """Rows beyond the training data; None where the model does not know how far they reach."""


def answer_request(model: Model, request: pb.ModelInferRequest, cancelled: Cancelled) -> Answer:
    """Answer with the outputs that the request names, or raise the RequestRefused that says why not."""
    outputs = wanted_outputs(model, request)
    rows: Frame | None = None
    if model.preprocessor.records:
        rows = read_rows(model, request)
        points = prepare(model, rows)
    else:
        points = read_points(model, request)
    told: dict[str, np.ndarray] = {}
    try:
        if STRENGTHS in outputs:
            told[LABELS], told[STRENGTHS] = model.predict_with_strengths(points, cancelled)
        else:
            told[LABELS] = model.predict(points, cancelled)
    except ValueError:
        if rows is None:
            check_finite(model, points)
        raise
    labels = told[LABELS]
    if CLUSTER_IDS in outputs:
        told[CLUSTER_IDS] = model.public_ids(labels)
    return Answer(
        response=build_response(model, request, {name: told[name] for name in outputs}),
        rows=rows,
        points=points,
        labels=labels,
        noise=_count_noise(labels),
        out_of_reach=model.ranges.count_outside(points) if model.ranges else None,
    )


def _count_noise(labels: LabelArray) -> int:
    if len(labels) <= _FEW_LABELS:
        return labels.tolist().count(-1)
    return int(np.count_nonzero(labels == -1))
