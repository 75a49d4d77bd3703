"""The manifest of an artifact: its fields, its canonical bytes, its digest; used by `artifact`.

Invariant: equal contents have equal bytes, hence equal digests; there is no time, host or random number in it.
Unknown fields are refused: another meaning needs another `formatVersion`.
"""

import hashlib
import json
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from shoal_worker.artifact.safetensors_view import MAX_AXES, MAX_TENSORS, Dtype, TensorName
from shoal_worker.errors import ArtifactInvalid
from shoal_worker.preprocessing.records import MOST_COLUMNS, Name, StepRecords

MANIFEST_NAME = "manifest.json"
MODEL_NAME = "model.safetensors"
MANIFEST_LIMIT = 1 << 20
FORMAT_VERSION: Final = 3
MAX_DIMENSIONS = MOST_COLUMNS
MAX_PROBES = 4096
MAX_ID = (1 << 53) - 1
"""Of clusters. They are written into JSON, whose readers may take numbers for doubles."""
PROBE_POINTS, PROBE_TEXTS, PROBE_LABELS = "probe_points", "probe_texts", "probe_labels"
PREPROCESSING = "preprocessing"
RADII, PEAKS, CORE_STRENGTHS = "radii", "peaks", "core_strengths"
CLUSTER_IDS = "cluster_ids"
RANGES = "ranges"
"""The tensors that are the worker's own; all others are the index, as the engine wrote it."""

Kind = Literal["dbscan", "adaptiveDbscan"]
Metric = Literal["euclidean", "manhattan", "chebyshev", "haversine", "cosine"]
Hex = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=(1 << 31) - 1)]


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


class DbscanParameters(_Part):
    """The parameters that a DBSCAN model was fitted with."""

    eps: float = Field(gt=0, le=1e300)
    min_samples: int = Field(ge=1, le=1_000_000)
    metric: Metric


class AdaptiveParameters(_Part):
    """The parameters that an AdaptiveDBSCAN model was fitted with; the radii of its clusters are a tensor."""

    min_samples: int = Field(ge=1, le=1_000_000)
    min_cluster_size: int | None = Field(ge=2, le=1_000_000_000)
    metric: Metric


Parameters = DbscanParameters | AdaptiveParameters


TEXT = "string"
"""The dtype of a column of texts; every other one is of numbers."""


class Column(_Part):
    """One input column: its name and its type in the training data."""

    name: str = Field(max_length=256)
    dtype: str = Field(max_length=64)


class Schema(_Part):
    """The raw input columns, in the order that requests carry them."""

    columns: tuple[Column, ...] = Field(min_length=1, max_length=MAX_DIMENSIONS)

    @property
    def texts(self) -> int:
        """Number of the columns that are texts."""
        return sum(column.dtype == TEXT for column in self.columns)


class FileRecord(_Part):
    """What a file must be."""

    sha256: Hex
    bytes: int = Field(ge=0, le=1 << 40)


class Files(_Part):
    """The files beside the manifest. Their names are constants, so no name can lead out of the directory."""

    model: FileRecord = Field(alias="model.safetensors")


class TensorRecord(_Part):
    """Declared type of one tensor."""

    dtype: Dtype
    shape: tuple[Count, ...] = Field(max_length=MAX_AXES)


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
    dbcv: float | None = Field(default=None, ge=-1, le=1)


class ClusterIds(_Part):
    """The public ids of the clusters, of which a tensor holds one for each label.

    How they continue those of another version belongs to the record of the version, not to the artifact: equal data
    that are trained once more give an equal artifact.
    """

    next_id: int = Field(ge=0, le=MAX_ID)
    """No cluster of this version or an earlier one has this id or a higher one."""


class SearchTrial(_Part):
    """Parameters that a search tried, and what came of them."""

    eps: float | None = Field(default=None, gt=0, le=1e300)
    min_samples: int = Field(ge=1, le=1_000_000)
    min_cluster_size: int | None = Field(default=None, ge=2, le=1_000_000_000)
    score: float = Field(ge=-1, le=1)
    clusters: Count
    noise_ratio: float = Field(ge=0, le=1)


class SearchRecord(_Part):
    """How the parameters were found."""

    objective: Literal["silhouette", "dbcv"]
    trials: Count
    rows: Count
    stopped: str = Field(default="", max_length=200)
    best: tuple[SearchTrial, ...] = Field(default=(), max_length=20)


class _Manifest(_Part):
    format_version: Literal[3] = FORMAT_VERSION
    schema_: Schema = Field(alias="schema")
    # What preprocessing makes of the raw columns: those that are clustered. Without steps, the same.
    features: tuple[Name, ...] = Field(min_length=1, max_length=MAX_DIMENSIONS)
    preprocessing: StepRecords
    files: Files
    tensors: dict[TensorName, TensorRecord] = Field(max_length=MAX_TENSORS)
    probe: Probe
    metrics: ModelMetrics
    identity: ClusterIds
    search: SearchRecord | None = None
    framework_versions: dict[str, str]

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, ASCII."""
        fields = self.model_dump(by_alias=True, mode="json")
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


class DbscanManifest(_Manifest):
    """All about a DBSCAN model's artifact but the numbers themselves."""

    kind: Literal["dbscan"] = "dbscan"
    parameters: DbscanParameters


class AdaptiveManifest(_Manifest):
    """All about an AdaptiveDBSCAN model's artifact but the numbers themselves."""

    kind: Literal["adaptiveDbscan"] = "adaptiveDbscan"
    parameters: AdaptiveParameters


Manifest = DbscanManifest | AdaptiveManifest
_MANIFEST: TypeAdapter[Manifest] = TypeAdapter(Annotated[Manifest, Field(discriminator="kind")])


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
        manifest = _MANIFEST.validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        if place.endswith("formatVersion"):
            raise ArtifactInvalid(
                f"this worker reads artifacts of format {FORMAT_VERSION} only",
                field=f"{MANIFEST_NAME} formatVersion",
                value=problem["input"],
                remedy="Train the model again, or serve it with a worker of the release that trained it",
            ) from None
        raise ArtifactInvalid(
            f"{problem['msg']} at {place or 'its start'}",
            field=MANIFEST_NAME,
            remedy="Serve it with a worker of the version that trained it, or train the model again",
        ) from None
    _check_shapes(manifest)
    return manifest


def _check_shapes(manifest: Manifest) -> None:
    """Check the worker's own tensors; what the index must be, the engine knows and checks."""
    count, texts = manifest.probe.count, manifest.schema_.texts
    wanted = {
        PROBE_POINTS: TensorRecord(dtype="F64", shape=(count, len(manifest.schema_.columns) - texts)),
        PROBE_LABELS: TensorRecord(dtype="I32", shape=(count,)),
        CLUSTER_IDS: TensorRecord(dtype="I64", shape=(manifest.metrics.clusters,)),
    }
    if texts:
        wanted[PROBE_TEXTS] = TensorRecord(dtype="I32", shape=(count, texts))
    if manifest.preprocessing:
        # How many numbers there must be, the steps know and check.
        told = manifest.tensors.get(PREPROCESSING)
        wanted[PREPROCESSING] = TensorRecord(dtype="F64", shape=told.shape[:1] if told else (0,))
    if isinstance(manifest, AdaptiveManifest):
        by_label = TensorRecord(dtype="F64", shape=(manifest.metrics.clusters,))
        by_core = TensorRecord(dtype="F64", shape=(manifest.metrics.core_samples,))
        wanted |= {RADII: by_label, PEAKS: by_label, CORE_STRENGTHS: by_core}
    if RANGES in manifest.tensors:
        # Artifacts of earlier releases have none.
        wanted[RANGES] = TensorRecord(dtype="F64", shape=(2, len(manifest.features)))
    for name, record in wanted.items():
        found = manifest.tensors.get(name)
        if found != record:
            raise ArtifactInvalid(
                f"the tensor must be {record.dtype} {list(record.shape)}",
                field=f"{MANIFEST_NAME} tensors.{name}",
                value=f"{found.dtype} {list(found.shape)}" if found else "none",
                remedy="Train the model again",
            )
