"""ModelInfer without gRPC: request message -> numpy view -> outputs -> response message; called by `servicer`.

Invariant: whatever a request holds, the outcome is a response or a RequestRefused that names field, value and remedy.
Raw values are viewed, not copied; no Python statement runs per row; sizes are computed in unbounded integers before
anything is allocated, so a shape can lie but not overflow.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shoal_proto import inference_pb2 as pb
from shoal_worker.artifact.manifest import TEXT, Kind
from shoal_worker.errors import ModelUnknown, RequestInvalid
from shoal_worker.model import Model, PointArray
from shoal_worker.serving.tensors import Tensor, read_values

POINTS, LABELS, STRENGTHS, CLUSTER_IDS = "points", "labels", "strengths", "cluster_ids"
_FLOATS = ("FP64", "FP32")
_ID_LIMIT = 1024
# Counting bytes takes time, which is only worth it for many rows.
_BELIEVED_ROWS = 10_000
_OUTPUT_TYPES = {LABELS: "INT32", CLUSTER_IDS: "INT64", STRENGTHS: "FP64"}
_WIRE: dict[str, np.dtype[Any]] = {LABELS: np.dtype("<i4"), CLUSTER_IDS: np.dtype("<i8"), STRENGTHS: np.dtype("<f8")}
_CONTENTS = {LABELS: "int_contents", CLUSTER_IDS: "int64_contents", STRENGTHS: "fp64_contents"}
_PLATFORMS: dict[Kind, str] = {"dbscan": "shoal_dbscan", "adaptiveDbscan": "shoal_adaptive_dbscan"}


def check_target(model: Model, name: str, version: str) -> None:
    """Refuse a request for another model or version; an empty version means any."""
    if name != model.name:
        raise ModelUnknown(
            "this worker does not serve that model", field="model_name", value=name, remedy=f"Ask for {model.name!r}"
        )
    if version not in ("", model.version):
        raise ModelUnknown(
            f"this worker does not serve that version of {model.name!r}",
            field="model_version",
            value=version,
            remedy=f"Leave it empty or ask for {model.version!r}",
        )


def declared_rows(request: pb.ModelInferRequest) -> int:
    """Rows that the request says it has, unchecked: who says too few is refused before any work.

    Who says too many, too: a row takes a byte at least, so none has more of them than that.
    """
    inputs = request.inputs
    shape = inputs[0].shape if inputs else None
    rows = shape[0] if shape else 0
    return rows if rows <= _BELIEVED_ROWS else min(rows, request.ByteSize())


def check_id(request: pb.ModelInferRequest) -> None:
    """Refuse an id that is longer than anyone needs; it comes back with the answer."""
    if len(request.id) > _ID_LIMIT:
        raise RequestInvalid(
            "the id is too long", field="id", value=request.id, remedy=f"Use up to {_ID_LIMIT} characters"
        )


def read_points(model: Model, request: pb.ModelInferRequest) -> PointArray:
    """The request's points in their own type, as wide as the model's columns; see `check_finite`.

    Only for a model without preprocessing; the rows for one with it are read by `columns`.
    """
    tensor = _only_input(request)
    if tensor.datatype not in _FLOATS:
        raise RequestInvalid(
            "the datatype must be FP32 or FP64",
            field="inputs[0].datatype",
            value=tensor.datatype,
            remedy="Convert the points to floats",
        )
    width = len(model.columns)
    return read_values(request, tensor, 0, (_checked_rows(model, tensor.shape, width), width))


def check_finite(model: Model, points: PointArray) -> None:
    """Refuse NaN and infinity. Only to be asked where the engine took offence: it looks at every value itself."""
    wrong = np.argwhere(~np.isfinite(points))
    if len(wrong):
        row, column = (int(index) for index in wrong[0])
        raise RequestInvalid(
            f"row {row} is not finite in column {model.columns[column].name!r}",
            field="points",
            value=points[row, column],
            remedy="Remove rows with missing or infinite values",
        )


def wanted_outputs(model: Model, request: pb.ModelInferRequest) -> tuple[str, ...]:
    """The outputs that the request names, in its order; the labels where it names none."""
    if not request.outputs:
        return (LABELS,)
    known = _output_types(model)
    for output in request.outputs:
        if output.name not in known:
            raise RequestInvalid(
                f"a model of {model.kind} has no such output",
                field="outputs",
                value=output.name,
                remedy=f"Ask for {' or '.join(map(repr, known))}, or leave the outputs empty",
            )
    return tuple(dict.fromkeys(output.name for output in request.outputs))


def build_response(
    model: Model, request: pb.ModelInferRequest, outputs: Mapping[str, np.ndarray]
) -> pb.ModelInferResponse:
    """The outputs, in their order, as a message: raw if the request was raw, else typed."""
    response = pb.ModelInferResponse(model_name=model.name, model_version=model.version, id=request.id)
    raw = bool(request.raw_input_contents)
    for name, values in outputs.items():
        output = response.outputs.add(name=name, datatype=_OUTPUT_TYPES[name], shape=[len(values)])
        if raw:
            response.raw_output_contents.append(values.astype(_WIRE[name], copy=False).tobytes())
        else:
            getattr(output.contents, _CONTENTS[name]).extend(values.tolist())
    return response


def build_metadata(model: Model) -> pb.ModelMetadataResponse:
    """What the model takes and gives."""
    response = pb.ModelMetadataResponse(name=model.name, versions=[model.version], platform=_PLATFORMS[model.kind])
    if model.preprocessor.records:
        for column in model.columns:
            response.inputs.add(name=column.name, datatype="BYTES" if column.dtype == TEXT else "FP64", shape=[-1])
    else:
        response.inputs.add(name=POINTS, datatype="FP64", shape=[-1, len(model.columns)])
    for name, datatype in _output_types(model).items():
        response.outputs.add(name=name, datatype=datatype, shape=[-1])
    return response


def _output_types(model: Model) -> dict[str, str]:
    return {
        name: datatype for name, datatype in _OUTPUT_TYPES.items() if name != STRENGTHS or model.densities is not None
    }


def _only_input(request: pb.ModelInferRequest) -> Tensor:
    inputs = request.inputs
    if len(inputs) != 1 or (tensor := inputs[0]).name != POINTS:
        raise RequestInvalid(
            f"there must be exactly one input, named {POINTS!r}",
            field="inputs",
            value=", ".join(each.name for each in inputs[:4]) or "none",
            remedy=f"Send one tensor {POINTS!r} of shape [rows, columns]",
        )
    check_id(request)
    return tensor


def _checked_rows(model: Model, shape: Sequence[int], width: int) -> int:
    if len(shape) != 2 or (rows := shape[0]) < 0 or shape[1] != width:
        raise RequestInvalid(
            f"the shape must be [rows, {width}]",
            field="inputs[0].shape",
            value=list(shape[:8]),
            remedy=f"The model's columns are: {', '.join(column.name for column in model.columns[:16])}",
        )
    return rows
