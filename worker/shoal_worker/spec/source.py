"""Where data lies, as the user wrote it in spec.source."""

from typing import Annotated, Any, Literal

from pydantic import Field

from shoal_worker.spec.part import Part

SourceFormat = Literal["parquet", "csv", "arrow", "npy"]


class SourceSpec(Part):
    """Where the training data lies."""

    uri: str = Field(min_length=1, max_length=2048)
    format: SourceFormat | None = None
    columns: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] | None = Field(
        default=None, min_length=1, max_length=256
    )
    # The operator mounts the Secret; its name means nothing here.
    secret_ref: dict[str, Any] | None = None
