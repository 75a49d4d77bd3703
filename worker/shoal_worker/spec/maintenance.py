"""What `maintain` is asked to do: the JSON of SHOAL_MAINTENANCE_SPEC as types."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError

from shoal_worker.errors import SettingsInvalid
from shoal_worker.spec.part import Part

Digest = Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]


class VersionChange(Part):
    """The state that one version should have; its digest tells it from one of another store."""

    version: int = Field(ge=1, le=10**9)
    digest: Digest
    to: Literal["Active", "Retired", "Archived", "Deleted"]


class MaintenanceSpec(Part):
    """Changes of one model's versions, done in their order."""

    # The envelope may grow with the operator.
    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1, max_length=253)
    namespace: str = Field(default="", max_length=253)
    store_uri: str = Field(max_length=1024, pattern=r"^[\x21-\x7e]+$")
    changes: tuple[VersionChange, ...] = Field(min_length=1, max_length=1000)
    in_use: tuple[Digest, ...] = Field(default=(), max_length=1000)


def parse_maintenance(text: str) -> MaintenanceSpec:
    """Parse the JSON, or raise SettingsInvalid naming the first wrong field."""
    try:
        return MaintenanceSpec.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise SettingsInvalid(
            problem["msg"],
            field=".".join(str(part) for part in problem["loc"]),
            value=problem["input"] if isinstance(problem["input"], str | int) else "",
            remedy="Use an operator of this worker's release",
        ) from None
