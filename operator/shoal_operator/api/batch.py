"""ClusteringBatch: label a whole data set with one version of a model. No decision lives here.

Read by core.batch and the CRD generator.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import (
    ApiModel,
    CelRule,
    Condition,
    ResourceRequirements,
    SecretReference,
    StatusModel,
    StoreUri,
)
from shoal_operator.api.source import ColumnName, Source

MOST_SHARDS = 2000


class BatchModelReference(ApiModel):
    """Which model, and which of its versions."""

    name: str = Field(min_length=1, max_length=253, description="Name of a ClusteringModel in the same namespace.")
    version: str = Field(
        default="latest",
        pattern=r"^(latest|[1-9][0-9]{0,8}|sha256:[0-9a-f]{64})$",
        max_length=71,
        description="A version number, the digest of a version's artifact (sha256:...), or latest: the newest Active "
        "version when the batch begins. The batch stays with what it began with.",
    )


class BatchDeploymentReference(ApiModel):
    """Which deployment."""

    name: str = Field(min_length=1, max_length=253, description="Name of a ClusteringDeployment in the same namespace.")


class BatchRetention(ApiModel):
    """How many runs of the batch stay in the result store, and how long; all of them when both are absent."""

    keep_runs: int | None = Field(default=None, ge=1, le=10_000, description="So many complete runs stay, the newest.")
    max_age_days: int | None = Field(
        default=None, ge=1, le=36_500, description="Runs that ended so many days ago go; never the newest complete one."
    )


class PostgresOutput(ApiModel):
    """A PostgreSQL table that gets the results too."""

    uri: str = Field(
        pattern=r"^postgresql://[^@?#/\s]+/[^@?#/\s]+$",
        max_length=1024,
        description="The database: postgresql://host:5432/database. User and password belong into the Secret of "
        "secretRef, as PGUSER and PGPASSWORD.",
    )
    table: str = Field(
        pattern=r"^([a-z_][a-z0-9_]{0,62}[.])?[a-z_][a-z0-9_]{0,62}$",
        max_length=127,
        description="Table, or schema.table; it is created when it is not there. Each row has run_id and part beside "
        "the columns of the results.",
    )
    secret_ref: SecretReference | None = Field(
        default=None,
        description="Secret with PGUSER and PGPASSWORD; also PGSSLMODE and ca.crt, if the server wants it.",
    )


class BatchOutput(ApiModel):
    """Where the results go, and what they hold beside the labels."""

    uri: StoreUri = Field(
        description="Folder of the result store: s3://bucket/path, gs://bucket/path, az://container/path or "
        "file:///path in a mounted volume. The run's files lie below it in namespace/name/run.",
    )
    secret_ref: SecretReference | None = Field(
        default=None, description="Secret with the credentials of the result store (AWS_ACCESS_KEY_ID and others)."
    )
    columns: list[ColumnName] = Field(
        default_factory=list,
        max_length=256,
        description="Columns of the source that are carried into the results, such as an id; beside them every row has "
        "its number.",
    )
    retention: BatchRetention = Field(
        default_factory=BatchRetention,
        description="Which runs of the batch are deleted when one is complete; remains of runs that were cut off are "
        "in any case, after a day.",
    )
    postgres: PostgresOutput | None = Field(
        default=None, description="A table that gets each row of the results, beside the result store."
    )


class ClusteringBatchSpec(ApiModel):
    """What to label, with which model, and how."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.modelRef) != has(self.deploymentRef)",
            message="exactly one of modelRef and deploymentRef must be set; keep the one that you want",
        ),
        CelRule(
            rule="!has(self.source.columns)",
            message="source.columns has no effect in a batch, whose columns are the model's; name those to carry into "
            "the results in output.columns",
        ),
        CelRule(
            rule="!has(self.shards) || !has(self.rowsPerShard)",
            message="shards and rowsPerShard say the same thing twice; keep one of them",
        ),
        CelRule(
            rule="!has(self.source.sample)",
            message="source.sample has no effect in a batch, which labels every row; leave it out",
        ),
        CelRule(
            rule="!has(self.source.sql)",
            message="a batch labels files, whose bytes can be told from others; write the rows of source.sql into "
            "Parquet files",
        ),
    )

    model_ref: BatchModelReference | None = Field(default=None, description="The model that labels.")
    deployment_ref: BatchDeploymentReference | None = Field(
        default=None, description="A deployment whose stable version labels, instead of modelRef."
    )
    source: Source = Field(description="The data to label: an object, or a folder of objects.")
    output: BatchOutput = Field(description="The result store.")
    shards: int | None = Field(
        default=None,
        ge=1,
        le=MOST_SHARDS,
        description="Parts that the data is cut into, each the work of one pod; fewer where the data has fewer units.",
    )
    rows_per_shard: int | None = Field(
        default=None,
        ge=1000,
        le=1_000_000_000,
        description="About how many rows a shard has, instead of shards; 1,000,000 when both are absent.",
    )
    parallelism: int = Field(default=2, ge=1, le=256, description="Shards that are worked on at once.")
    batch_rows: int = Field(
        default=65_536,
        ge=256,
        le=1_048_576,
        description="Rows that a pod holds and labels at a time; its memory is bounded by them.",
    )
    retries: int = Field(
        default=2, ge=0, le=10, description="Tries again of a shard after a failure that may pass; the others go on."
    )
    on_failure: Literal["Continue", "Stop"] = Field(
        default="Continue",
        description="What the others do when a shard has failed for good: Continue to their end, or Stop.",
    )
    active_deadline_seconds: int = Field(
        default=86_400, ge=10, le=2_592_000, description="Seconds after which a step that has not ended is stopped."
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=315_360_000,
        description="Seconds after its end when the ClusteringBatch is deleted with its Jobs, the results stay; never "
        "when absent.",
    )
    resources: ResourceRequirements = Field(
        default_factory=ResourceRequirements, description="CPU and memory of each pod."
    )
    suspend: bool = Field(
        default=False, description="true: pods are stopped and none is started; what is done stays done."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.model_ref is None) == (self.deployment_ref is None):
            raise ValueError(self.cel_rules[0].message)
        if self.source.columns is not None:
            raise ValueError(self.cel_rules[1].message)
        if self.shards is not None and self.rows_per_shard is not None:
            raise ValueError(self.cel_rules[2].message)
        if self.source.sample is not None:
            raise ValueError(self.cel_rules[3].message)
        if self.source.sql is not None:
            raise ValueError(self.cel_rules[4].message)
        return self


class PinnedVersion(StatusModel):
    """The version that labels all of the data, whatever the reference would resolve to now."""

    model: str = Field(description="Name of the ClusteringModel.")
    version: int = Field(ge=1, description="Number of the version.")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="sha256 of the artifact's manifest.")
    uri: str = Field(description="Folder of the artifact in the model store.")


class ShardCounts(StatusModel):
    """How many shards are where."""

    total: int = Field(default=0, ge=0, description="Shards of the run; 0 until it is planned.")
    done: int = Field(default=0, ge=0, description="Shards whose results are stored.")
    failed: int = Field(default=0, ge=0, description="Shards that failed for good.")
    active: int = Field(default=0, ge=0, description="Shards that are worked on.")


class BatchResult(StatusModel):
    """The result of a run, as its manifest tells it in full."""

    uri: str = Field(max_length=2048, description="Folder of the results; manifest.json in it tells all.")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$", description="sha256 of the manifest.")
    rows: int = Field(ge=0, description="Rows that were labelled.")
    bytes: int = Field(ge=0, description="Size of the results, in bytes.")
    clusters: int = Field(ge=0, description="Clusters that at least one row belongs to.")
    noise_ratio: float = Field(ge=0, le=1, description="Share of rows that are noise, 0 to 1.")
    processing_seconds: float = Field(ge=0, description="Seconds from the plan to the manifest.")


class ClusteringBatchStatus(StatusModel):
    """How far the batch is."""

    observed_generation: int = Field(default=0, description="The spec generation that this status tells of.")
    phase: str = Field(
        default="", description="Summary: Pending, Planning, Running, Finishing, Suspended, Complete or Failed."
    )
    message: str = Field(default="", description="The summary in a sentence, with the remedy where there is one.")
    batch_hash: str | None = Field(default=None, description="Identity of the batch that the status tells of.")
    pinned: PinnedVersion | None = Field(default=None, description="The version that labels.")
    run: str | None = Field(default=None, description="Identity of the run in the result store.")
    shards: ShardCounts = Field(default_factory=ShardCounts, description="How many shards are where.")
    rows: int = Field(default=0, ge=0, description="Rows that are labelled so far.")
    rows_total: int | None = Field(
        default=None, ge=0, description="Rows of the source; absent where its format does not tell before it is read."
    )
    rows_per_second: int | None = Field(
        default=None, ge=0, description="Rows labelled in a second, by all pods, since the start."
    )
    eta_seconds: int | None = Field(default=None, ge=0, description="Seconds that the rest will take, estimated.")
    reruns: int = Field(default=0, ge=0, description="Steps that were run again because their report was lost.")
    started_at: str | None = Field(default=None, description="When the first shard began, RFC 3339.")
    completed_at: str | None = Field(default=None, description="When the batch ended, well or not, RFC 3339.")
    result: BatchResult | None = Field(default=None, description="The result, once it is complete.")
    conditions: list[Condition] = Field(default_factory=list, description="Ready, Progressing, Degraded and Paused.")
