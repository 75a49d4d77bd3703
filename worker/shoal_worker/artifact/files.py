"""A model artifact in memory: build it from a fit, verify it from bytes; used by `training`, `cache` and `model`.

Invariant: an Artifact exists only if its manifest matches the digest, its file the manifest, and its tensors both.
Data only: nothing here executes, unpickles or extracts anything, opens a file, or knows a path.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors.numpy import save

from shoal_worker.artifact.densities import Densities
from shoal_worker.artifact.manifest import (
    CLUSTER_IDS,
    CORE_STRENGTHS,
    MODEL_NAME,
    PEAKS,
    PREPROCESSING,
    PROBE_LABELS,
    PROBE_POINTS,
    PROBE_TEXTS,
    RADII,
    RANGES,
    AdaptiveManifest,
    ClusterIds,
    DbscanManifest,
    DbscanParameters,
    FileRecord,
    Files,
    Manifest,
    ModelMetrics,
    Parameters,
    Probe,
    Schema,
    SearchRecord,
    TensorRecord,
    digest_of,
    parse_manifest,
)
from shoal_worker.artifact.probes import decode_probes, encode_texts
from shoal_worker.artifact.ranges import Ranges
from shoal_worker.artifact.safetensors_view import DTYPES, Buffer, TensorSpec, view_tensors
from shoal_worker.data.frame import Frame
from shoal_worker.errors import ArtifactInvalid
from shoal_worker.preprocessing.preprocessor import Preprocessor

FloatArray = np.ndarray[tuple[int, int], np.dtype[np.float64]]
LabelArray = np.ndarray[tuple[int], np.dtype[np.int32]]
IdArray = np.ndarray[tuple[int], np.dtype[np.int64]]
_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class ModelTensors:
    """The numbers of a model.

    index: the engine's arrays, ready to be used in place. probes: raw rows with the probe_labels that they must get.
    cluster_ids: the public id of each label. ranges: how far the training data reach; None for models of releases that
    did not record it. densities: what an adaptive model has beyond that; else None.
    """

    index: Mapping[str, np.ndarray]
    probes: Frame
    probe_labels: LabelArray
    cluster_ids: IdArray
    ranges: Ranges | None = None
    densities: Densities | None = None


@dataclass(frozen=True, slots=True)
class ArtifactFiles:
    """An artifact as the bytes that are stored; those of the model may be a mapped file's."""

    manifest: bytes
    model: Buffer

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
    preprocessor: Preprocessor
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
    preprocessor: Preprocessor,
    parameters: Parameters,
    metrics: ModelMetrics,
    next_id: int,
    framework_versions: dict[str, str],
    search: SearchRecord | None = None,
) -> ArtifactFiles:
    """Serialize a model. Equal arguments give equal bytes."""
    arrays = dict(tensors.index)
    arrays[PROBE_POINTS] = np.ascontiguousarray(preprocessor.numbers_of(tensors.probes), dtype="<f8")
    if preprocessor.texts:
        arrays[PROBE_TEXTS] = encode_texts(preprocessor, tensors.probes)
    if preprocessor.records:
        arrays[PREPROCESSING] = np.ascontiguousarray(preprocessor.values, dtype="<f8")
    arrays[PROBE_LABELS] = np.ascontiguousarray(tensors.probe_labels, dtype="<i4")
    arrays[CLUSTER_IDS] = np.ascontiguousarray(tensors.cluster_ids, dtype="<i8")
    if tensors.ranges is not None:
        arrays[RANGES] = np.ascontiguousarray(tensors.ranges.bounds, dtype="<f8")
    if tensors.densities is not None:
        arrays |= {
            name: np.ascontiguousarray(values, dtype="<f8") for name, values in tensors.densities.named().items()
        }
    model = save(arrays)
    record = FileRecord(sha256=hashlib.sha256(model).hexdigest(), bytes=len(model))
    common: dict[str, Any] = {
        "schema": Schema(columns=preprocessor.columns),
        "features": preprocessor.features,
        "preprocessing": preprocessor.records,
        "files": Files.model_validate({MODEL_NAME: record}),
        "tensors": {
            name: TensorRecord(dtype=_DTYPE_NAMES[array.dtype], shape=array.shape) for name, array in arrays.items()
        },
        "probe": Probe(count=tensors.probes.rows),
        "metrics": metrics,
        "identity": ClusterIds(next_id=next_id),
        "search": search,
        "framework_versions": framework_versions,
    }
    manifest: Manifest
    if isinstance(parameters, DbscanParameters):
        manifest = DbscanManifest(parameters=parameters, **common)
    else:
        manifest = AdaptiveManifest(parameters=parameters, **common)
    return ArtifactFiles(manifest.to_bytes(), model)


def verify_artifact(files: ArtifactFiles, digest: str) -> Artifact:
    """Turn stored bytes into a model, or raise ArtifactInvalid saying which promise they break."""
    manifest = parse_manifest(files.manifest, digest)
    verify_model_bytes(manifest, files.model)
    expected = {name: TensorSpec(record.dtype, record.shape) for name, record in manifest.tensors.items()}
    views = view_tensors(files.model, expected)
    preprocessor = _read_preprocessor(manifest, views.pop(PREPROCESSING) if manifest.preprocessing else np.empty(0))
    codes = views.pop(PROBE_TEXTS) if preprocessor.texts else None
    probes = decode_probes(preprocessor, views.pop(PROBE_POINTS), codes)
    labels = views.pop(PROBE_LABELS)
    ids = views.pop(CLUSTER_IDS)
    _check_ids(ids, manifest.identity.next_id)
    ranges = _read_ranges(views.pop(RANGES)) if RANGES in views else None
    densities = None
    if isinstance(manifest, AdaptiveManifest):
        densities = Densities(views.pop(RADII), views.pop(PEAKS), views.pop(CORE_STRENGTHS))
    return Artifact(digest, manifest, preprocessor, ModelTensors(views, probes, labels, ids, ranges, densities))


def _check_ids(ids: IdArray, next_id: int) -> None:
    if len(np.unique(ids)) == len(ids) and ((ids >= 0) & (ids < next_id)).all():
        return
    raise ArtifactInvalid(
        f"the ids of clusters must differ and lie between 0 and {next_id - 1}",
        field=f"{MODEL_NAME} {CLUSTER_IDS}",
        remedy="Train the model again",
    )


def _read_ranges(bounds: np.ndarray) -> Ranges:
    try:
        return Ranges.build(bounds)
    except ValueError as error:
        raise ArtifactInvalid(str(error), field=f"{MODEL_NAME} {RANGES}", remedy="Train the model again") from None


def _read_preprocessor(manifest: Manifest, values: np.ndarray) -> Preprocessor:
    problem = "the features are not what the steps make of the columns"
    try:
        preprocessor = Preprocessor.build(manifest.schema_.columns, manifest.preprocessing, values)
        if preprocessor.features == manifest.features:
            return preprocessor
    except ValueError as error:
        problem = str(error)
    raise ArtifactInvalid(problem, field="manifest.json preprocessing", remedy="Train the model again")


def verify_model_bytes(manifest: Manifest, model: Buffer) -> None:
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
