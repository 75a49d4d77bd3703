"""ClusteringModelVersion: the immutable record of one trained version.

Written once by core.training's plan, read by core.rollout. Its spec never changes after creation (a CEL rule says so).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shoal_operator.api.algorithm import Algorithm
from shoal_operator.api.meta import ApiModel, CelRule, Condition, StatusModel
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


class ColumnFigures(ApiModel):
    """What one raw column held in the rows that were trained on."""

    name: str = Field(max_length=256, description="Name of the column.")
    dtype: str = Field(max_length=64, description="Type of the column in the data.")
    nulls: int = Field(ge=0, description="Rows without a value.")
    min: float | None = Field(default=None, description="Smallest value; absent for texts and without any value.")
    max: float | None = Field(default=None, description="Largest value.")
    mean: float | None = Field(default=None, description="Mean of the values.")
    distinct: int | None = Field(default=None, ge=0, description="Different values, of a column of texts.")


class DataReport(ApiModel):
    """The data that a version was trained on."""

    format: str = Field(max_length=32, description="parquet, csv, arrow, npy or sql.")
    files: int = Field(ge=0, description="Files that were read; 0 for a query.")
    bytes: int = Field(ge=0, description="Size of the files, in bytes.")
    rows_read: int = Field(ge=0, description="Rows of the source.")
    rows: int = Field(ge=0, description="Rows that were trained on: all of them, or the sample.")
    digest: str = Field(
        default="",
        max_length=71,
        description="sha256 over path, size and ETag of every file: equal where the same files were read. Empty for a "
        "query.",
    )
    columns: list[ColumnFigures] = Field(
        default_factory=list, max_length=256, description="Nulls and ranges by column; the first ones where it is long."
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
    dbcv: float | None = Field(
        default=None, description="Sampled density-based validity (DBCV), -1 to 1; absent with fewer than two clusters."
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


class ValidationTest(ApiModel):
    """One test of the validation."""

    name: str = Field(max_length=64, description="Name of the test or of the limit.")
    verdict: Literal["pass", "fail", "warn"] = Field(description="pass, fail, or warn: worth a look, but no failure.")
    dry_run: bool = Field(default=False, description="The verdict is told but rejects no version.")
    message: str = Field(default="", max_length=1000, description="What was measured against which limit.")
    figures: dict[str, float] = Field(
        default_factory=dict, max_length=32, description="What was measured, the unit being part of the name."
    )
    limits: dict[str, float] = Field(
        default_factory=dict,
        max_length=16,
        description="What it was measured against, by the name of the spec's field.",
    )


class ValidationReport(ApiModel):
    """Outcome of the validation."""

    verdict: Literal["pass", "fail"] = Field(description="fail when a test failed that is no dry run.")
    tests: list[ValidationTest] = Field(default_factory=list, max_length=32, description="The tests.")
    warnings: list[Annotated[str, Field(max_length=500)]] = Field(
        default_factory=list, max_length=32, description="What is worth a look but rejects no version."
    )


class SearchTrial(ApiModel):
    """Parameters that were tried, and what came of them."""

    eps: float | None = Field(default=None, description="Radius tried, of dbscan.")
    min_samples: int = Field(description="minSamples tried.")
    min_cluster_size: int | None = Field(default=None, description="minClusterSize tried, of adaptiveDbscan.")
    score: float = Field(description="Value of the objective, -1 to 1.")
    clusters: int = Field(ge=0, description="Clusters found.")
    noise_ratio: float = Field(ge=0, le=1, description="Share of rows that are noise, 0 to 1.")


class SearchReport(ApiModel):
    """How the parameters were found."""

    objective: str = Field(max_length=32, description="What was made large: dbcv or silhouette.")
    trials: int = Field(ge=0, description="Parameters that were tried.")
    rows: int = Field(ge=0, description="Rows that each trial clustered, a sample where there are many.")
    stopped: str = Field(default="", max_length=200, description="Why fewer were tried than asked for; else empty.")
    best: list[SearchTrial] = Field(
        default_factory=list, max_length=20, description="The best trials within the limits, best first."
    )


class Portion(ApiModel):
    """A share of a cluster's rows."""

    cluster: int = Field(ge=-1, description="Public id of a cluster of the other version; -1 is noise.")
    share: float = Field(ge=0, le=1, description="Share of the event's cluster that lies in it, 0 to 1.")


class ClusterEvent(ApiModel):
    """What became of a cluster."""

    kind: Literal["Born", "Died", "Split", "Merged"] = Field(
        description="Split and Died are of a cluster of the earlier version, Born and Merged of one of this version."
    )
    cluster: int = Field(ge=0, description="Public id of the cluster.")
    rows: float = Field(ge=0, le=1, description="The cluster's share of all rows, 0 to 1.")
    portions: list[Portion] = Field(
        default_factory=list, max_length=8, description="Where its rows are in the other version, the largest first."
    )


class IdentityReport(ApiModel):
    """How the public ids of clusters continue those of the earlier version; the store has the whole record."""

    baseline: int | None = Field(
        default=None, ge=1, description="Number of the earlier version; absent for the first one."
    )
    kept: int = Field(ge=0, description="Clusters that have the id of an earlier one.")
    born: int = Field(ge=0, description="Clusters with an id that was never used before.")
    died: int = Field(ge=0, description="Earlier clusters whose id is not used any more.")
    split: int = Field(ge=0, description="Earlier clusters of which several clusters are parts.")
    merged: int = Field(ge=0, description="Clusters that are made of several earlier ones.")
    next_id: int = Field(ge=0, description="No cluster of this version or an earlier one has this id or a higher one.")
    rows: int = Field(default=0, ge=0, description="Rows that both versions labelled to compare them.")
    problem: str = Field(
        default="", max_length=500, description="Why no id could be continued, though there is an earlier version."
    )
    events: list[ClusterEvent] = Field(
        default_factory=list,
        max_length=64,
        description="What changed, the largest cluster first; as many as the record has room for, all in the store.",
    )


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
    data: DataReport | None = Field(default=None, description="The data that it was trained on; absent for an import.")
    metrics: VersionMetrics = Field(description="What the training measured.")
    validation: ValidationReport = Field(description="Outcome of the validation.")
    search: SearchReport | None = Field(
        default=None, description="How the parameters were found, where spec.algorithm asked for a search."
    )
    identity: IdentityReport | None = Field(
        default=None, description="What became of the clusters of the earlier version; absent for an import."
    )
    plan: TrainingPlan | None = Field(
        default=None, description="How the engine planned the training; `shoal explain version` shows it."
    )
    framework_versions: dict[str, str] = Field(
        default_factory=dict, description="Versions of the libraries that trained it."
    )


class ClusteringModelVersionStatus(StatusModel):
    """Where the version stands in its life."""

    state: Literal["Active", "Rejected", "Retired", "Archived"] | None = Field(
        default=None,
        description="Active can be served; Rejected failed its validation; Retired is offered no more; Archived is in "
        "the store's archive.",
    )
    message: str = Field(default="", description="Why it is in this state, with the remedy where there is one.")
    noise: str = Field(default="", description="spec.metrics.noiseRatio as a list shows it, for example 10.2 %.")
    silhouette: str = Field(default="", description="spec.metrics.silhouette as a list shows it, for example 0.512.")
    conditions: list[Condition] = Field(default_factory=list, description="Ready and Degraded.")
