"""What becomes of a run's results beside being stored, as the user wrote it in spec.output."""

from typing import Any

from pydantic import Field

from shoal_worker.spec.part import Part

_NAME = r"[a-z_][a-z0-9_]{0,62}"


class Retention(Part):
    """How many runs of a batch stay, and how long; remains of runs that were cut off go after a day in any case."""

    keep_runs: int | None = Field(default=None, ge=1, le=10_000)
    """The newest ones that stay."""
    max_age_days: int | None = Field(default=None, ge=1, le=36_500)
    """Older ones go."""


class PostgresSpec(Part):
    """A table of a PostgreSQL database."""

    uri: str = Field(max_length=1024, pattern=r"^postgresql://[^@?#/\s]+/[^@?#/\s]+$")
    table: str = Field(pattern=rf"^({_NAME}\.)?{_NAME}$")
    # The operator mounts the Secret; its name means nothing here.
    secret_ref: dict[str, Any] | None = None
