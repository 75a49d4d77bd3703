"""The model that all contestants serve, the rows that they are asked, and the messages that ask.

Everything is drawn from fixed seeds: two runs ask the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal_engine import DBSCAN
from shoal_proto import inference_pb2 as pb
from shoal_worker.models import export
from tests import hard_rows
from tests.bench.synthetic import blobs

NAME = "bench"
MIN_SAMPLES = 10
COLUMNS = 2
LARGE_ROWS = 4_000_000
"""Rows whose artifact is of 100 MB."""
RACE_ROWS = 100_000
_NOISE = 0.02
_EPS = {RACE_ROWS: 0.15, LARGE_ROWS: 0.03}
_TYPES = {"INT32": np.dtype("<i4"), "INT64": np.dtype("<i8")}
_LENGTH_BYTES = 4


@dataclass(frozen=True)
class Served:
    """An artifact in a folder, and the same model as plain arrays."""

    artifact: Path
    digest: str
    size: int
    cores: Path
    """cores, labels and eps, for the peers; of the hard model there are none."""
    predictor: DBSCAN
    rows: NDArray[np.float64]

    def reference(self, asked: NDArray[np.float64]) -> NDArray[np.int64]:
        """Labels by the engine in this process."""
        return np.asarray(self.predictor.predict(asked), dtype=np.int64)


def make_model(rows: int, folder: Path) -> Served:
    """Fit and export a model."""
    points, _ = blobs(rows, COLUMNS, noise=_NOISE)
    fitted = DBSCAN(_EPS[rows], min_samples=MIN_SAMPLES).fit(points)
    artifact = folder / f"artifact-{rows}"
    digest = export(fitted, points, artifact, card_points=False)
    cores = folder / f"cores-{rows}.npz"
    labels = fitted.labels_[fitted.core_sample_indices_].astype(np.int32)
    np.savez(cores, cores=points[fitted.core_sample_indices_], labels=labels, eps=_EPS[rows])
    size = sum((artifact / name).stat().st_size for name in ("manifest.json", "model.safetensors"))
    return Served(artifact, digest, size, cores, fitted, points)


def make_hard_model(folder: Path) -> Served:
    """Fit and export the model whose rows are hard to label."""
    points = hard_rows.training_rows()
    fitted = DBSCAN(hard_rows.EPS, min_samples=hard_rows.MIN_SAMPLES).fit(points)
    artifact = folder / "artifact-hard"
    digest = export(fitted, points, artifact, card_points=False)
    size = sum((artifact / name).stat().st_size for name in ("manifest.json", "model.safetensors"))
    return Served(artifact, digest, size, Path(), fitted, points)


def draw_hard_batches(batch: int, count: int) -> list[NDArray[np.float64]]:
    """Rows between its clusters."""
    return list(hard_rows.rows_between(batch * count).reshape(count, batch, hard_rows.COLUMNS))


def draw_batches(model: Served, batch: int, count: int) -> list[NDArray[np.float64]]:
    """Rows to ask for: nine of ten near the data, as new rows of their source are, the others anywhere in their box."""
    random = np.random.default_rng(batch)
    shape = (batch * count, COLUMNS)
    near = model.rows[random.choice(len(model.rows), shape[0])] + random.normal(0.0, 0.05, shape)
    spread = random.uniform(model.rows.min(axis=0), model.rows.max(axis=0), shape)
    asked = np.where(random.random((shape[0], 1)) < 0.9, near, spread)
    return list(asked.reshape(count, batch, COLUMNS))


def encode_request(rows: NDArray[np.float64]) -> bytes:
    """The message that every contestant gets, byte for byte."""
    request = pb.ModelInferRequest(model_name=NAME, id="1", raw_input_contents=[rows.astype("<f8").tobytes()])
    request.inputs.add(name="points", datatype="FP64", shape=rows.shape)
    return request.SerializeToString()


def decode_labels(answer: bytes) -> NDArray[np.int64]:
    """The labels in an answer of the Open Inference Protocol, raw or typed."""
    response = pb.ModelInferResponse.FromString(answer)
    output = response.outputs[0]
    if response.raw_output_contents:
        return np.frombuffer(response.raw_output_contents[0], _TYPES[output.datatype]).astype(np.int64)
    contents = output.contents
    return np.array(contents.int_contents or contents.int64_contents, dtype=np.int64)


def write_messages(path: Path, messages: Iterable[bytes]) -> Path:
    """Store messages as the caller reads them: each after its length."""
    path.write_bytes(b"".join(len(each).to_bytes(_LENGTH_BYTES, "little") + each for each in messages))
    return path


def count_differing(answers: Sequence[bytes], expected: Sequence[NDArray[np.int64]]) -> int:
    """Rows whose label is not the expected one."""
    differing = 0
    for answer, labels in zip(answers, expected, strict=True):
        found = decode_labels(answer)
        differing += len(labels) if found.shape != labels.shape else int((found != labels).sum())
    return differing
