"""spec.source of a ClusteringModel: where the data lies. No decision lives here."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule, SecretReference

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
