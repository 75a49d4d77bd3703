"""The raw rows of a request for a model with preprocessing: one tensor per column, or one matrix; called by `servicer`.

Invariant: what is returned has all columns of the model, by name and of the model's types, and as many values in each;
anything else is a RequestInvalid that names the column and lists the schema.
"""

from collections.abc import Sequence

import numpy as np

from shoal_proto import inference_pb2 as pb
from shoal_worker.artifact.manifest import TEXT, Column
from shoal_worker.data.frame import Frame
from shoal_worker.errors import RequestInvalid, RowsRefused
from shoal_worker.model import Model, PointArray
from shoal_worker.preprocessing.preprocessor import describe
from shoal_worker.preprocessing.records import LONGEST_TEXT
from shoal_worker.serving.inference import POINTS, check_id
from shoal_worker.serving.tensors import NUMBERS, TEXTS, Tensor, read_texts, read_values

_EXACT = 1 << 53
_WHOLE = ("INT64", "UINT64")


def read_rows(model: Model, request: pb.ModelInferRequest) -> Frame:
    """The request's rows, by raw column."""
    check_id(request)
    if len(request.inputs) == 1 and request.inputs[0].name == POINTS and not model.preprocessor.texts:
        return _read_matrix(model, request)
    places = _find_columns(model, request.inputs)
    rows = _count_rows(request.inputs[places[0]])
    numbers: list[np.ndarray] = []
    texts: dict[str, np.ndarray] = {}
    for column, place in zip(model.columns, places, strict=True):
        tensor = request.inputs[place]
        _check_tensor(model, tensor, column, rows)
        if column.dtype == TEXT:
            texts[column.name] = read_texts(request, tensor, place, rows, LONGEST_TEXT)
        else:
            numbers.append(_exact(read_values(request, tensor, place, (rows,)), tensor))
    # Only now is it known that there are as many rows as the shapes say.
    matrix = np.empty((rows, len(numbers)))
    for position, values in enumerate(numbers):
        matrix[:, position] = values
    return Frame(model.columns, matrix, texts)


def prepare(model: Model, rows: Frame) -> PointArray:
    """The points that the model's preprocessing makes of the rows."""
    try:
        return model.prepare(rows)
    except RowsRefused as error:
        raise RequestInvalid(error.message, field=error.field, value=error.value, remedy=error.remedy) from None


def _read_matrix(model: Model, request: pb.ModelInferRequest) -> Frame:
    tensor, width = request.inputs[0], len(model.columns)
    if tensor.datatype not in ("FP64", "FP32"):
        raise _refuse(model, f"the datatype of {POINTS!r} must be FP32 or FP64", POINTS, tensor.datatype)
    if len(tensor.shape) != 2 or tensor.shape[0] < 0 or tensor.shape[1] != width:
        raise _refuse(model, f"the shape of {POINTS!r} must be [rows, {width}]", POINTS, list(tensor.shape[:8]))
    values = read_values(request, tensor, 0, (tensor.shape[0], width))
    return Frame(model.columns, values.astype(np.float64, copy=False), {})


def _find_columns(model: Model, inputs: Sequence[Tensor]) -> list[int]:
    """The place of each of the model's columns among the inputs."""
    names = {column.name for column in model.columns}
    places: dict[str, int] = {}
    for place, tensor in enumerate(inputs):
        if tensor.name not in names:
            raise _refuse(model, "the model has no such column", "inputs", tensor.name)
        if tensor.name in places:
            raise _refuse(model, "the column comes twice", "inputs", tensor.name)
        places[tensor.name] = place
    for column in model.columns:
        if column.name not in places:
            raise _refuse(
                model, f"the column {column.name!r} is missing", "inputs", ", ".join(list(places)[:8]) or "none"
            )
    return [places[column.name] for column in model.columns]


def _count_rows(tensor: Tensor) -> int:
    """The rows of the first column; what its shape must be is checked with the others'."""
    return max(tensor.shape[0], 0) if tensor.shape else 0


def _check_tensor(model: Model, tensor: Tensor, column: Column, rows: int) -> None:
    wanted = {TEXTS} if column.dtype == TEXT else NUMBERS
    if tensor.datatype not in wanted:
        kinds = TEXTS if column.dtype == TEXT else "FP64, FP32, INT64, INT32, BOOL or another type of numbers"
        raise _refuse(
            model, f"the datatype of a column of {column.dtype} must be {kinds}", column.name, tensor.datatype
        )
    if list(tensor.shape) not in ([rows], [rows, 1]):
        raise _refuse(
            model,
            f"the shape must be [{rows}] or [{rows}, 1], as of the first column",
            column.name,
            list(tensor.shape[:8]),
        )


def _exact(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Refuse whole numbers that float64 would change."""
    if tensor.datatype in _WHOLE and len(values) and (values.max() > _EXACT or values.min() < -_EXACT):
        raise RequestInvalid(
            "a value is beyond 2^53, where floats no longer tell whole numbers apart",
            field=tensor.name,
            remedy="Send the value that the training data would have",
        )
    return values


def _refuse(model: Model, message: str, field: str, value: object) -> RequestInvalid:
    return RequestInvalid(
        message, field=field, value=value, remedy=f"The model's columns are: {describe(model.columns)}"
    )
