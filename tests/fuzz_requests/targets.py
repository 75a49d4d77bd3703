"""Two small models and sound requests of every kind for them: what the fuzzer begins with."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoal_proto import inference_pb2 as pb
from shoal_worker.artifact.files import verify_artifact
from shoal_worker.artifact.manifest import Column
from shoal_worker.data.frame import Frame
from shoal_worker.model import Model, build_model
from shoal_worker.spec.training import TrainingSpec
from tests.unit.worker.harness import MACHINE, make_spec, make_varied_table, train_table

_TEXTS = ("fjord", "Zürich", "")
_TYPES = {"FP64": ("<f8", "fp64_contents"), "FP32": ("<f4", "fp32_contents"), "INT64": ("<i8", "int64_contents")}


@dataclass(frozen=True)
class Target:
    """A model and sound requests to it, as messages."""

    model: Model
    requests: tuple[pb.ModelInferRequest, ...]


def make_targets() -> tuple[Target, Target]:
    """One model that takes a matrix, with all outputs; one with preprocessing that takes columns, one of them texts."""
    return _matrix_target(), _column_target()


def _matrix_target() -> Target:
    model = _train(make_varied_table(), make_spec(algorithm={"adaptiveDbscan": {}}))
    random = np.random.default_rng(1)
    requests = []
    for rows in (0, 1, 3, 40):
        points = random.normal(0.0, 5.0, (rows, 2))
        for datatype in ("FP64", "FP32"):
            for raw in (True, False):
                request = pb.ModelInferRequest(model_name="blobs", id="r1")
                _add(request, "points", datatype, [rows, 2], points.ravel().tolist(), raw=raw)
                for output in ("labels", "strengths", "cluster_ids")[: rows % 4]:
                    request.outputs.add(name=output)
                request.parameters["trace"].string_param = "a"
                requests.append(request)
    return Target(model, tuple(requests))


def _column_target() -> Target:
    random = np.random.default_rng(2)
    second = np.arange(300) % 2 == 1
    numbers = np.column_stack([np.where(second, 100, 20), np.where(second, -1, 1)]) + random.normal(0, 0.1, (300, 2))
    kinds = np.array([_TEXTS[int(each)] for each in second], dtype=object)
    columns = tuple(
        Column(name=name, dtype=dtype) for name, dtype in (("size", "double"), ("kind", "string"), ("y", "double"))
    )
    steps: list[dict[str, Any]] = [
        {"impute": {"columns": ["size"], "strategy": "median"}},
        {"oneHot": {"columns": ["kind"]}},
        {"scale": {}},
    ]
    spec = make_spec(preprocessing=steps, algorithm={"dbscan": {"eps": 0.8, "minSamples": 5}})
    model = _train(Frame(columns, numbers, {"kind": kinds}), spec)
    requests = []
    for rows in (0, 1, 4):
        for raw in (True, False):
            request = pb.ModelInferRequest(model_name="blobs", model_version="1")
            texts = [text.encode() for text in (_TEXTS * 2)[:rows]]
            _add(request, "kind", "BYTES", [rows], texts, raw=raw)
            _add(request, "size", "INT64", [rows, 1], [100] * rows, raw=raw)
            _add(request, "y", "FP64", [rows], [1.0] * rows, raw=raw)
            requests.append(request)
    return Target(model, tuple(requests))


def _train(table: Frame, spec: TrainingSpec) -> Model:
    files = train_table(table, spec).files
    return build_model(verify_artifact(files, files.digest), name="blobs", version="1", machine=MACHINE)


def _add(
    request: pb.ModelInferRequest, name: str, datatype: str, shape: list[int], values: Sequence[Any], *, raw: bool
) -> None:
    tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
    if datatype == "BYTES":
        if raw:
            request.raw_input_contents.append(b"".join(struct.pack("<I", len(text)) + text for text in values))
        else:
            tensor.contents.bytes_contents.extend(values)
        return
    dtype, field = _TYPES[datatype]
    if raw:
        request.raw_input_contents.append(np.array(values, dtype).tobytes())
    else:
        getattr(tensor.contents, field).extend(values)
