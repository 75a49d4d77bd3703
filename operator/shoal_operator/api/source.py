"""spec.source of a ClusteringModel: where the data lies. No decision lives here."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule, SecretReference

ColumnName = Annotated[str, Field(min_length=1, max_length=256)]

_TOLD_BY_SUFFIX = "[.](parquet|csv|arrow|feather|ipc|arrows|npy)$|/$"
_DATABASE = "postgresql://"


class Sample(ApiModel):
    """A part of the rows, drawn at random while they are read."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.rows) != has(self.fraction)",
            message="a sample has either rows or fraction; set one of them",
        ),
    )

    rows: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="So many rows, or all where there are fewer."
    )
    fraction: float | None = Field(
        default=None, gt=0, lt=1, description="Each row with this probability, between 0 and 1."
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=(1 << 31) - 1,
        description="Of the random numbers: the same data, sample and seed give the same rows.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.rows is None) == (self.fraction is None):
            raise ValueError(self.cel_rules[0].message)
        return self


class Sql(ApiModel):
    """What is asked of a database."""

    query: str = Field(
        min_length=1,
        max_length=16_384,
        description="One statement that returns rows; it runs in a read-only transaction. End it with ORDER BY where "
        "the same rows must give the same version.",
    )
    timeout_seconds: int = Field(
        default=300, ge=1, le=86_400, description="Seconds after which the database stops the query."
    )


class Source(ApiModel):
    """Where the training data lies."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule=f"has(self.sql) || has(self.format) || self.uri.matches('{_TOLD_BY_SUFFIX}')",
            message="source.uri ends in neither .parquet, .csv, .arrow, .feather, .ipc, .arrows, .npy nor / (a folder "
            "of such files); set source.format to parquet, csv, arrow or npy",
        ),
        CelRule(
            rule=f"has(self.sql) == self.uri.startsWith('{_DATABASE}')",
            message=f"source.sql goes with a uri that begins with {_DATABASE}, and such a uri needs it",
        ),
        CelRule(
            rule=f"!self.uri.startsWith('{_DATABASE}') || self.uri.matches('^postgresql://[^@?#/]+/[^@?#/]+$')",
            message="source.uri of a database has the form postgresql://host:5432/database; user and password belong "
            "into the Secret of source.secretRef, as PGUSER and PGPASSWORD",
        ),
        CelRule(
            rule="!has(self.sql) || !has(self.format)",
            message="source.format has no effect with source.sql; leave it out",
        ),
    )

    uri: str = Field(
        pattern=r"^(s3|gs|az|file|postgresql)://.+",
        max_length=2048,
        description="An object, or a folder of them (ending in /): s3://bucket/path, gs://bucket/path, "
        "az://container/path, file:///path in a mounted volume; or a database: postgresql://host:5432/database.",
    )
    format: Literal["parquet", "csv", "arrow", "npy"] | None = Field(
        default=None, description="Format of the files; taken from their suffixes when absent."
    )
    sql: Sql | None = Field(
        default=None,
        description="What to ask the database of a postgresql:// uri; of trainings only, for a batch reads files.",
    )
    columns: list[ColumnName] | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Columns to cluster, in order, those named by folders (key=value) among them; every numeric column "
        "of the files when absent. Of trainings only: a batch takes the columns of its model.",
    )
    sample: Sample | None = Field(
        default=None, description="Train on a part of the rows; on all of them when absent. A batch labels every row."
    )
    secret_ref: SecretReference | None = Field(
        default=None,
        description="Secret with the credentials of the source (AWS_ACCESS_KEY_ID, GOOGLE_SERVICE_ACCOUNT_KEY, "
        "AZURE_STORAGE_ACCOUNT_KEY, PGUSER and others).",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        database = self.uri.startswith(_DATABASE)
        wrong = (
            self.sql is None and self.format is None and not re.search(_TOLD_BY_SUFFIX, self.uri),
            (self.sql is not None) != database,
            database and not re.fullmatch("postgresql://[^@?#/]+/[^@?#/]+", self.uri),
            self.sql is not None and self.format is not None,
        )
        for rule, applies in zip(self.cel_rules, wrong, strict=True):
            if applies:
                raise ValueError(rule.message)
        return self
