"""A model artifact in memory: build it from a fit, verify it from bytes; used by `training`, `cache` and `model`.

Invariant: an Artifact exists only if its manifest matches the digest, its file the manifest, and its tensors both.
Data only: nothing here executes, unpickles or extracts anything, opens a file, or knows a path.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import save

from shoal_worker.errors import ArtifactInvalid
from shoal_worker.manifest import (
    MODEL_NAME,
    Column,
    FileRecord,
    Files,
    Manifest,
    ModelMetrics,
    Parameters,
    Probe,
    Schema,
    TensorRecord,
    Tensors,
    digest_of,
    parse_manifest,
)
from shoal_worker.safetensors_view import TensorSpec, view_tensors

FloatArray = np.ndarray[tuple[int, int], np.dtype[np.float64]]
LabelArray = np.ndarray[tuple[int], np.dtype[np.int32]]


@dataclass(frozen=True, slots=True)
class ModelTensors:
    """The numbers of a model: core samples with their labels, probes with the labels they must get."""

    core_points: FloatArray
    core_labels: LabelArray
    probe_points: FloatArray
    probe_labels: LabelArray


@dataclass(frozen=True, slots=True)
class ArtifactFiles:
    """An artifact as the bytes that are stored."""

    manifest: bytes
    model: bytes

    @property
    def digest(self) -> str:
        """The name of the artifact."""
        return digest_of(self.manifest)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return len(self.manifest) + len(self.model)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A verified artifact."""

    digest: str
    manifest: Manifest
    tensors: ModelTensors


def directory_name(digest: str) -> str:
    """Name of the directory of an artifact, in the store and in the cache.

    >>> directory_name("sha256:" + "0" * 64)[:10]
    'sha256-000'
    """
    return digest.replace(":", "-", 1)


def build_artifact(
    tensors: ModelTensors,
    *,
    parameters: Parameters,
    columns: tuple[Column, ...],
    metrics: ModelMetrics,
    framework_versions: dict[str, str],
) -> ArtifactFiles:
    """Serialize a model. Equal arguments give equal bytes."""
    arrays: dict[str, np.ndarray] = {
        "core_points": np.ascontiguousarray(tensors.core_points, dtype="<f8"),
        "core_labels": np.ascontiguousarray(tensors.core_labels, dtype="<i4"),
        "probe_points": np.ascontiguousarray(tensors.probe_points, dtype="<f8"),
        "probe_labels": np.ascontiguousarray(tensors.probe_labels, dtype="<i4"),
    }
    model = save(arrays)
    records = {
        name: TensorRecord(dtype="F64" if array.dtype.kind == "f" else "I32", shape=array.shape)
        for name, array in arrays.items()
    }
    manifest = Manifest(
        parameters=parameters,
        schema=Schema(columns=columns),
        files=Files.model_validate(
            {MODEL_NAME: FileRecord(sha256=hashlib.sha256(model).hexdigest(), bytes=len(model))}
        ),
        tensors=Tensors.model_validate(records),
        probe=Probe(count=len(tensors.probe_points)),
        metrics=metrics,
        framework_versions=framework_versions,
    )
    return ArtifactFiles(manifest.to_bytes(), model)


def verify_artifact(files: ArtifactFiles, digest: str) -> Artifact:
    """Turn stored bytes into a model, or raise ArtifactInvalid saying which promise they break."""
    manifest = parse_manifest(files.manifest, digest)
    verify_model_bytes(manifest, files.model)
    expected = {
        name: TensorSpec(record["dtype"], tuple(record["shape"]))
        for name, record in manifest.tensors.model_dump(by_alias=True).items()
    }
    tensors = ModelTensors(**view_tensors(files.model, expected))
    _check_values(tensors)
    return Artifact(digest, manifest, tensors)


def verify_model_bytes(manifest: Manifest, model: bytes) -> None:
    """Compare the very bytes that will be used with the manifest's record of them."""
    record = manifest.files.model
    actual = hashlib.sha256(model).hexdigest()
    if len(model) != record.bytes or actual != record.sha256:
        raise ArtifactInvalid(
            f"the file does not match the manifest: expected {record.bytes} bytes with sha256 {record.sha256}",
            reason="DigestMismatch",
            field=MODEL_NAME,
            value=f"{len(model)} bytes, {actual}",
            remedy="The artifact was changed after it was recorded: restore it or train the model again",
        )


def _check_values(tensors: ModelTensors) -> None:
    labels = tensors.core_labels
    points_fine = np.isfinite(tensors.core_points).all() and np.isfinite(tensors.probe_points).all()
    labels_fine = labels.size == 0 or (labels.min() >= 0 and labels.max() < labels.size)
    if not points_fine or not labels_fine:
        raise ArtifactInvalid(
            "a point is not finite, or a core sample's label is out of range",
            field=MODEL_NAME,
            remedy="Train the model again",
        )
