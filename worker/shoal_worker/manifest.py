"""The manifest of an artifact: its fields, its canonical bytes, its digest; used by `artifact`.

Invariant: equal contents have equal bytes, hence equal digests; there is no time, host or random number in it.
Unknown fields are refused: another meaning needs another `formatVersion`.
"""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from shoal_worker.errors import ArtifactInvalid

MANIFEST_NAME = "manifest.json"
MODEL_NAME = "model.safetensors"
MANIFEST_LIMIT = 1 << 20
MAX_DIMENSIONS = 4096
MAX_PROBES = 4096

Metric = Literal["euclidean", "manhattan", "chebyshev", "haversine", "cosine"]
Hex = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=(1 << 31) - 1)]


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


class Parameters(_Part):
    """The parameters that the model was fitted with."""

    eps: float = Field(gt=0, le=1e300)
    min_samples: int = Field(ge=1, le=1_000_000)
    metric: Metric


class Column(_Part):
    """One input column: its name and its type in the training data."""

    name: str = Field(max_length=256)
    dtype: str = Field(max_length=64)


class Schema(_Part):
    """The input columns, in the order that requests carry them."""

    columns: tuple[Column, ...] = Field(min_length=1, max_length=MAX_DIMENSIONS)


class FileRecord(_Part):
    """What a file must be."""

    sha256: Hex
    bytes: int = Field(ge=0, le=1 << 40)


class Files(_Part):
    """The files beside the manifest. Their names are constants, so no name can lead out of the directory."""

    model: FileRecord = Field(alias="model.safetensors")


class TensorRecord(_Part):
    """Declared type of one tensor."""

    dtype: Literal["F64", "I32"]
    shape: tuple[Count, ...] = Field(max_length=2)


class Tensors(_Part):
    """The tensors of a DBSCAN model: m core samples and p probes of d columns."""

    core_points: TensorRecord = Field(alias="core_points")
    core_labels: TensorRecord = Field(alias="core_labels")
    probe_points: TensorRecord = Field(alias="probe_points")
    probe_labels: TensorRecord = Field(alias="probe_labels")


class Probe(_Part):
    """Points with expected labels, which a worker must reproduce before it is ready."""

    count: int = Field(ge=1, le=MAX_PROBES)


class ModelMetrics(_Part):
    """What the training measured and what is the same in each repetition."""

    rows: Count
    clusters: Count
    noise_ratio: float = Field(ge=0, le=1)
    core_samples: Count
    silhouette: float | None = Field(default=None, ge=-1, le=1)


class Manifest(_Part):
    """All about an artifact but the numbers themselves."""

    format_version: Literal[1] = 1
    kind: Literal["dbscan"] = "dbscan"
    parameters: Parameters
    schema_: Schema = Field(alias="schema")
    files: Files
    tensors: Tensors
    probe: Probe
    metrics: ModelMetrics
    framework_versions: dict[str, str]

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, ASCII."""
        fields = self.model_dump(by_alias=True, mode="json")
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def digest_of(manifest: bytes) -> str:
    """The digest that names an artifact."""
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def parse_manifest(content: bytes, digest: str) -> Manifest:
    """Parse a manifest after its bytes were proven to be the ones that `digest` names."""
    if (actual := digest_of(content)) != digest:
        raise ArtifactInvalid(
            f"the digest does not match: expected {digest}",
            reason="DigestMismatch",
            field=MANIFEST_NAME,
            value=actual,
            remedy="The artifact was changed after it was recorded: restore it or train the model again",
        )
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ArtifactInvalid(
            f"{problem['msg']} at {place or 'its start'}",
            field=MANIFEST_NAME,
            remedy="Serve it with a worker of the version that trained it, or train the model again",
        ) from None
    _check_shapes(manifest)
    return manifest


def _check_shapes(manifest: Manifest) -> None:
    width = len(manifest.schema_.columns)
    tensors = manifest.tensors
    cores = tensors.core_labels.shape[0] if tensors.core_labels.shape else -1
    wanted = {
        "core_points": (tensors.core_points, "F64", (cores, width)),
        "core_labels": (tensors.core_labels, "I32", (cores,)),
        "probe_points": (tensors.probe_points, "F64", (manifest.probe.count, width)),
        "probe_labels": (tensors.probe_labels, "I32", (manifest.probe.count,)),
    }
    for name, (record, dtype, shape) in wanted.items():
        if (record.dtype, record.shape) != (dtype, shape):
            raise ArtifactInvalid(
                f"the tensor must be {dtype} {list(shape)}",
                field=f"{MANIFEST_NAME} tensors.{name}",
                value=f"{record.dtype} {list(record.shape)}",
                remedy="Train the model again",
            )
