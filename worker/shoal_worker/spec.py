"""What `train` is asked to do: the JSON of SHOAL_TRAINING_SPEC as types; parsed by `train`, read by `training`.

Invariant: a TrainingSpec is within its limits, and every field of source, algorithm and validation is understood:
an unknown one is refused, never ignored.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from shoal_worker.errors import SettingsInvalid
from shoal_worker.manifest import Metric

SourceFormat = Literal["parquet", "csv"]


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


class SourceSpec(_Part):
    """Where the training data lies."""

    uri: str = Field(min_length=1, max_length=2048)
    format: SourceFormat | None = None
    columns: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] | None = Field(
        default=None, min_length=1, max_length=256
    )
    # The operator mounts the Secret; its name means nothing here.
    secret_ref: dict[str, Any] | None = None


class DbscanSpec(_Part):
    """Parameters of DBSCAN."""

    eps: float = Field(gt=0, le=1e300)
    min_samples: int = Field(default=5, ge=1, le=1_000_000)
    metric: Metric = "euclidean"


class AdaptiveDbscanSpec(_Part):
    """Parameters of AdaptiveDBSCAN."""

    min_samples: int = Field(default=10, ge=1, le=1_000_000)
    min_cluster_size: int | None = Field(default=None, ge=2, le=1_000_000_000)
    metric: Metric = "euclidean"


class AlgorithmSpec(_Part):
    """Exactly one algorithm."""

    dbscan: DbscanSpec | None = None
    adaptive_dbscan: AdaptiveDbscanSpec | None = None

    @model_validator(mode="after")
    def _check_choice(self) -> Self:
        if (self.dbscan is None) == (self.adaptive_dbscan is None):
            raise ValueError("exactly one of dbscan and adaptiveDbscan must be set")
        return self

    @property
    def chosen(self) -> DbscanSpec | AdaptiveDbscanSpec:
        """The one that is set."""
        chosen = self.dbscan or self.adaptive_dbscan
        assert chosen is not None, "validation lets no other through"  # noqa: S101, for the type checker
        return chosen

    @property
    def field(self) -> str:
        """Where the user wrote the parameters."""
        return "spec.algorithm.dbscan" if self.dbscan else "spec.algorithm.adaptiveDbscan"


class PlanSpec(_Part):
    """What of the engine's plan the user decides."""

    index: Literal["auto", "grid", "tree"] = "auto"
    threads: int | None = Field(default=None, ge=1, le=1024)


class ValidationSpec(_Part):
    """Limits that the fit must keep."""

    min_clusters: int = Field(default=1, ge=0)
    max_clusters: int | None = Field(default=None, ge=1)
    max_noise_ratio: float | None = Field(default=None, ge=0, le=1)
    min_silhouette: float | None = Field(default=None, ge=-1, le=1)


class TrainingSpec(_Part):
    """One training."""

    # The envelope may grow with the operator; only what the user wrote must never be ignored.
    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1, max_length=253)
    namespace: str = Field(default="", max_length=253)
    source: SourceSpec
    algorithm: AlgorithmSpec
    validation: ValidationSpec = ValidationSpec()
    plan: PlanSpec = PlanSpec()
    deadline_seconds: float | None = Field(default=None, gt=0, le=1e9)
    # Short and plain, because the artifact's URI must fit into the report whole.
    store_uri: str = Field(max_length=1024, pattern=r"^[\x21-\x7e]+$")


def parse_spec(text: str) -> TrainingSpec:
    """Parse the JSON, or raise SettingsInvalid naming the first wrong field as the user knows it."""
    try:
        return TrainingSpec.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise SettingsInvalid(
            problem["msg"].removeprefix("Value error, "),
            field=_field(place),
            value=problem["input"] if isinstance(problem["input"], str | int | float) else "",
            remedy="Correct the field; `kubectl explain cmodel.spec` describes it",
        ) from None


def _field(place: str) -> str:
    if place.startswith("plan"):
        return f"spec.training.{place}"
    return f"spec.{place}" if place.startswith(("source", "algorithm", "validation")) else place
