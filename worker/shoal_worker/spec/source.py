"""Where data lies, as the user wrote it in spec.source."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from shoal_worker.spec.part import Part

SourceFormat = Literal["parquet", "csv", "arrow", "npy"]


class SampleSpec(Part):
    """A part of the rows, drawn at random by a seed."""

    rows: int | None = Field(default=None, ge=1, le=1_000_000_000)
    fraction: float | None = Field(default=None, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, le=(1 << 31) - 1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.rows is None) == (self.fraction is None):
            raise ValueError("a sample takes either rows or a fraction")
        return self


class SqlSpec(Part):
    """What is asked of a database."""

    query: str = Field(min_length=1, max_length=16_384)
    timeout_seconds: int = Field(default=300, ge=1, le=86_400)


class SourceSpec(Part):
    """Where the training data lies."""

    uri: str = Field(min_length=1, max_length=2048)
    format: SourceFormat | None = None
    sql: SqlSpec | None = None
    columns: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] | None = Field(
        default=None, min_length=1, max_length=256
    )
    sample: SampleSpec | None = None
    # The operator mounts the Secret; its name means nothing here.
    secret_ref: dict[str, Any] | None = None
