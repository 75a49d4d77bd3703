"""Where a run's labels go beside the result store, as the user wrote it in spec.output."""

from typing import Any

from pydantic import Field

from shoal_worker.spec.part import Part

_NAME = r"[a-z_][a-z0-9_]{0,62}"


class PostgresSpec(Part):
    """A table of a PostgreSQL database."""

    uri: str = Field(max_length=1024, pattern=r"^postgresql://[^@?#/\s]+/[^@?#/\s]+$")
    table: str = Field(pattern=rf"^({_NAME}\.)?{_NAME}$")
    # The operator mounts the Secret; its name means nothing here.
    secret_ref: dict[str, Any] | None = None
