"""ClusteringModelVersion: the immutable record of one trained version.

Written once by core.training's plan, read by core.rollout. Its spec never changes after creation (a CEL rule says so).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from shoal_operator.api.algorithm import Algorithm
from shoal_operator.api.meta import ApiModel, CelRule, StatusModel
from shoal_operator.api.preprocessing import MOST_STEPS, PreprocessingStep


class Artifact(ApiModel):
    """The model's files in the store."""

    uri: str = Field(description="Folder of the artifact in the model store.")
    digest: str = Field(
        pattern=r"^sha256:[0-9a-f]{64}$", description="sha256 of the artifact's manifest, which holds its files' own."
    )
    bytes: int = Field(ge=0, description="Size of the artifact's files, in bytes.")


class Column(ApiModel):
    """One input column."""

    name: str = Field(description="Name of the column in the training data.")
    dtype: str = Field(description="Type of the column in the training data.")


class Schema(ApiModel):
    """What a request must look like."""

    columns: list[Column] = Field(description="Input columns, in the order that requests carry them.")
    features: list[str] = Field(
        default_factory=list,
        description="Columns that preprocessing makes of them, which are clustered; empty without.",
    )
    feature_count: int | None = Field(
        default=None, ge=1, description="Number of the features, also where their names are too long to be all told."
    )


class VersionMetrics(ApiModel):
    """What the training measured."""

    rows: int = Field(ge=0, description="Rows that were clustered.")
    clusters: int = Field(ge=0, description="Clusters found, noise excluded.")
    noise_ratio: float = Field(ge=0, le=1, description="Share of rows that are noise, 0 to 1.")
    core_samples: int = Field(ge=0, description="Core samples, which the served model keeps.")
    silhouette: float | None = Field(
        default=None, description="Sampled silhouette, noise excluded; absent with fewer than two clusters."
    )
    fit_seconds: float = Field(ge=0, description="Seconds that the fit took.")


class TrainingPlan(ApiModel):
    """How the engine planned the work: from rows, columns, metric, memory and cores."""

    index: str = Field(max_length=32, description="Index of the fit, such as grid or tree.")
    threads: int = Field(ge=1, description="Threads of the fit.")
    batch_rows: int = Field(ge=0, description="Rows that are predicted at a time.")
    memory_map: bool = Field(description="Whether workers map the model's file instead of reading it.")
    fit_bytes: int = Field(ge=0, description="Memory that the fit needs beside the data, estimated, in bytes.")
    index_bytes: int = Field(ge=0, description="Memory of the served index, estimated, in bytes.")
    reasons: dict[str, str] = Field(
        default_factory=dict, max_length=16, description="Why each choice was made, by the choice's name."
    )


class ValidationCheck(ApiModel):
    """One check of the validation."""

    name: str = Field(description="Name of the check.")
    verdict: Literal["pass", "fail"] = Field(description="pass or fail.")
    message: str = Field(default="", description="What was measured against which limit.")


class ValidationReport(ApiModel):
    """Outcome of the validation."""

    verdict: Literal["pass", "fail"] = Field(description="fail when any check failed.")
    checks: list[ValidationCheck] = Field(default_factory=list, description="The checks.")


class ModelReference(ApiModel):
    """The ClusteringModel that a version belongs to."""

    name: str = Field(description="Name of the ClusteringModel in the same namespace.")


class ClusteringModelVersionSpec(ApiModel):
    """The record itself."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="self == oldSelf",
            message="the spec of a ClusteringModelVersion is a record and never changes; "
            "change the ClusteringModel, which trains the next version",
        ),
    )

    model_ref: ModelReference = Field(description="The model that this is a version of.")
    version: int = Field(ge=1, description="Number of the version; later ones are larger.")
    training_hash: str = Field(description="Identity of the training's inputs.")
    artifact: Artifact = Field(description="The model's files in the store.")
    preprocessing: list[PreprocessingStep] = Field(
        default_factory=list, max_length=MOST_STEPS, description="The preprocessing steps."
    )
    algorithm: Algorithm = Field(description="The algorithm and the parameters used.")
    schema_: Schema = Field(alias="schema", description="What a request must look like.")
    metrics: VersionMetrics = Field(description="What the training measured.")
    validation: ValidationReport = Field(description="Outcome of the validation.")
    plan: TrainingPlan | None = Field(
        default=None, description="How the engine planned the training; `shoal explain version` shows it."
    )
    framework_versions: dict[str, str] = Field(
        default_factory=dict, description="Versions of the libraries that trained it."
    )


class ClusteringModelVersionStatus(StatusModel):
    """Where the version stands in its life."""

    state: Literal["Active", "Rejected", "Retired", "Archived"] | None = Field(
        default=None, description="Active can be served; Rejected failed its validation."
    )
