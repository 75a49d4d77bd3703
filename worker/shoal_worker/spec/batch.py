"""What `batch` is asked to do: the JSON of SHOAL_BATCH_SPEC as types.

Invariant: every field that a user wrote is understood: an unknown one is refused, never ignored.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError

from shoal_worker.errors import SettingsInvalid
from shoal_worker.spec.output import PostgresSpec, Retention
from shoal_worker.spec.part import Part
from shoal_worker.spec.source import SourceSpec

MOST_SHARDS = 2000


class BatchModelSpec(Part):
    """The version that labels."""

    name: str = Field(min_length=1, max_length=253)
    version: int = Field(ge=1, le=10**9)
    digest: str = Field(pattern="^sha256:[0-9a-f]{64}$")
    uri: str = Field(min_length=1, max_length=2048)


class OutputSpec(Part):
    """Where the results go, and which columns of the source they carry."""

    uri: str = Field(min_length=1, max_length=1024)
    columns: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(default=(), max_length=256)
    retention: Retention = Retention()
    postgres: PostgresSpec | None = None


class BatchSpec(Part):
    """One step of a batch."""

    # The envelope may grow with the operator.
    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1, max_length=253)
    namespace: str = Field(default="", max_length=253)
    step: Literal["plan", "shard", "finish"] = "plan"
    run: str = Field(default="", max_length=128)
    """The run that the plan found; for the steps behind it."""
    model: BatchModelSpec
    source: SourceSpec
    output: OutputSpec
    shards: int | None = Field(default=None, ge=1, le=MOST_SHARDS)
    rows_per_shard: int | None = Field(default=None, ge=1)
    batch_rows: int = Field(default=65_536, ge=1, le=1 << 24)


def parse_batch(text: str) -> BatchSpec:
    """Parse the JSON, or raise SettingsInvalid naming the first wrong field as the user knows it."""
    try:
        spec = BatchSpec.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise SettingsInvalid(
            problem["msg"],
            field=f"spec.{'.'.join(str(part) for part in problem['loc'])}",
            value=problem["input"] if isinstance(problem["input"], str | int | float) else "",
            remedy="Correct the field; `kubectl explain cbatch.spec` describes it",
        ) from None
    if spec.step != "plan" and not spec.run:
        raise SettingsInvalid("the run is missing", field="spec.run", remedy="Do the step plan first; it names the run")
    return spec
