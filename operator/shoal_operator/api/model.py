"""ClusteringModel: which data, which algorithm, which limits; each change of these trains a new version.

Read by core.training and the CRD generator. No decision lives here.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule, Condition, ResourceRequirements, SecretReference, StatusModel

Metric = Literal["euclidean", "manhattan", "chebyshev", "haversine", "cosine"]
ColumnName = Annotated[str, Field(min_length=1, max_length=256)]


class Source(ApiModel):
    """Where the training data lies."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.format) || self.uri.endsWith('.parquet') || self.uri.endsWith('.csv')",
            message="source.uri ends in neither .parquet nor .csv; set source.format to parquet or csv",
        ),
    )

    uri: str = Field(
        pattern=r"^(s3|file)://.+",
        max_length=2048,
        description="Object to read: s3://bucket/path or file:///path in a mounted volume.",
    )
    format: Literal["parquet", "csv"] | None = Field(
        default=None, description="File format; taken from the uri's suffix (.parquet, .csv) when absent."
    )
    columns: list[ColumnName] | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Columns to cluster, in order; every numeric column when absent.",
    )
    secret_ref: SecretReference | None = Field(
        default=None, description="Secret with the credentials of the source (AWS_ACCESS_KEY_ID and others)."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.format is None and not self.uri.endswith((".parquet", ".csv")):
            raise ValueError(self.cel_rules[0].message)
        return self


class Dbscan(ApiModel):
    """Exact DBSCAN."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.metric) || self.metric != 'haversine' || self.eps <= 3.1416",
            message="dbscan.eps is in radians with metric haversine, at most pi; divide kilometres by 6371",
            message_expression="'dbscan.eps %s is beyond half the globe: with metric haversine it is in radians, at "
            "most pi; divide kilometres by 6371'.format([self.eps])",
        ),
        CelRule(
            rule="!has(self.metric) || self.metric != 'cosine' || self.eps <= 2.0",
            message="dbscan.eps is at most 2 with metric cosine; give 1 - cosine of the angle",
            message_expression="'dbscan.eps %s makes every row a neighbour of every other: with metric cosine it is "
            "1 - cosine of the angle, at most 2; give a smaller one'.format([self.eps])",
        ),
    )

    eps: float = Field(
        gt=0,
        le=1e300,
        description="Largest distance at which two rows are neighbours, in the metric's unit (radians for haversine).",
    )
    min_samples: int = Field(
        default=5, ge=1, le=1_000_000, description="Neighbours, itself included, that make a row a core sample."
    )
    metric: Metric = Field(
        default="euclidean", description="Distance: euclidean, manhattan, chebyshev, haversine (lat, lon) or cosine."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.metric == "haversine" and self.eps > 3.1416:
            raise ValueError(self.cel_rules[0].message)
        if self.metric == "cosine" and self.eps > 2:
            raise ValueError(self.cel_rules[1].message)
        return self


class AdaptiveDbscan(ApiModel):
    """DBSCAN at many densities, for data whose clusters differ in density."""

    min_samples: int = Field(
        default=10,
        ge=1,
        le=1_000_000,
        description="Neighbours, itself included, by which a row's density is measured; more of them smooth it.",
    )
    min_cluster_size: int | None = Field(
        default=None,
        ge=2,
        le=1_000_000_000,
        description="Fewest rows of a cluster; chosen from minSamples and the number of rows when absent.",
    )
    metric: Metric = Field(
        default="euclidean", description="Distance: euclidean, manhattan, chebyshev, haversine (lat, lon) or cosine."
    )


class Algorithm(ApiModel):
    """Exactly one clustering algorithm with its parameters."""

    exactly_one: ClassVar[bool] = True

    dbscan: Dbscan | None = Field(
        default=None, description="Exact DBSCAN: one radius eps for all of the data, the labels of scikit-learn."
    )
    adaptive_dbscan: AdaptiveDbscan | None = Field(
        default=None, description="DBSCAN at many densities: no radius to choose; each cluster gets its own."
    )

    @property
    def metric(self) -> Metric:
        """Return the metric of the algorithm that is set."""
        chosen = self.dbscan or self.adaptive_dbscan
        if chosen is None:
            raise AssertionError("validation lets no Algorithm through without a choice")
        return chosen.metric


class Validation(ApiModel):
    """Limits that a trained version must keep to be served; one outside them is recorded as Rejected."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.maxClusters) || self.minClusters <= self.maxClusters",
            message="validation.minClusters is above validation.maxClusters; no clustering passes, lower it",
            message_expression="'validation.minClusters %d is above validation.maxClusters %d; no clustering passes, "
            "lower minClusters or raise maxClusters'.format([self.minClusters, self.maxClusters])",
        ),
    )

    min_clusters: int = Field(default=1, ge=0, description="Fewest clusters.")
    max_clusters: int | None = Field(default=None, ge=1, description="Most clusters; no limit when absent.")
    max_noise_ratio: float | None = Field(
        default=None, ge=0, le=1, description="Largest share of rows that are noise, 0 to 1; no limit when absent."
    )
    min_silhouette: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Least sampled silhouette, noise excluded, -1 to 1; no limit when absent.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_clusters is not None and self.min_clusters > self.max_clusters:
            raise ValueError(self.cel_rules[0].message)
        return self


class PlanOverrides(ApiModel):
    """What of the engine's plan a user decides; the labels are the same with each choice."""

    index: Literal["auto", "grid", "tree"] = Field(
        default="auto",
        description="Index of the fit: grid (cells, up to 3 columns) or tree; auto leaves it to the plan. Only for "
        "dbscan.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Threads of the fit; the CPUs that the pod may use when absent: its limit, or the whole node.",
    )


class Training(ApiModel):
    """How the training Job runs; a change here trains nothing anew."""

    resources: ResourceRequirements = Field(
        default_factory=ResourceRequirements, description="CPU and memory of the training pod."
    )
    active_deadline_seconds: int = Field(
        default=3600, ge=10, le=604_800, description="Seconds after which a training that has not ended is stopped."
    )
    retries: int = Field(
        default=2, ge=0, le=10, description="Tries again after a failure that may pass, such as a store out of reach."
    )
    plan: PlanOverrides = Field(
        default_factory=PlanOverrides, description="Overrides of the engine's plan; `shoal explain` shows the plan."
    )


def _is_haversine(algorithm: str) -> str:
    """Return the CEL that tells whether this algorithm is set with the metric haversine."""
    field = f"self.algorithm.{algorithm}"
    return f"(has({field}) && has({field}.metric) && {field}.metric == 'haversine')"


class ClusteringModelSpec(ApiModel):
    """What to train."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.source.columns) || self.source.columns.size() == 2 || "
            f"!({_is_haversine('dbscan')} || {_is_haversine('adaptiveDbscan')})",
            message="metric haversine needs exactly two source.columns: latitude and longitude",
            message_expression="'metric haversine needs exactly two source.columns (latitude, longitude), not %d: %s'"
            ".format([dyn(self.source.columns.size()), dyn(self.source.columns)])",
        ),
        CelRule(
            rule="!has(self.algorithm.adaptiveDbscan) || !has(self.training) || !has(self.training.plan) || "
            "!has(self.training.plan.index) || self.training.plan.index == 'auto'",
            message="training.plan.index has no effect with adaptiveDbscan, which has one index; leave it out",
        ),
    )

    source: Source = Field(description="The training data.")
    algorithm: Algorithm = Field(description="The algorithm and its parameters.")
    validation: Validation = Field(default_factory=Validation, description="Limits that a version must keep.")
    training: Training = Field(default_factory=Training, description="How the training Job runs.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        columns = self.source.columns
        if self.algorithm.metric == "haversine" and columns is not None and len(columns) != 2:
            raise ValueError(self.cel_rules[0].message)
        if self.algorithm.adaptive_dbscan is not None and self.training.plan.index != "auto":
            raise ValueError(self.cel_rules[1].message)
        return self


class ClusteringModelStatus(StatusModel):
    """What was trained."""

    observed_generation: int = Field(default=0, description="The spec generation that this status tells of.")
    phase: str = Field(default="", description="Summary: Pending, Training, Ready, Rejected or Failed.")
    message: str = Field(default="", description="The summary in a sentence, with the remedy where there is one.")
    latest_version: int | None = Field(default=None, description="Newest version that passed its validation.")
    training_hash: str | None = Field(default=None, description="Identity of the training that the status tells of.")
    reruns: int = Field(
        default=0, ge=0, description="Trainings of this identity run again because their report was lost."
    )
    conditions: list[Condition] = Field(default_factory=list, description="Ready, Progressing and Degraded.")
