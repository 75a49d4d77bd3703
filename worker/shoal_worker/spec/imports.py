"""What `import` is asked to do: the JSON of SHOAL_IMPORT_SPEC as types."""

from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError

from shoal_worker.errors import SettingsInvalid
from shoal_worker.spec.card import CardSpec
from shoal_worker.spec.part import Part
from shoal_worker.spec.validation import ValidationSpec


class ArtifactSpec(Part):
    """Where the artifact lies, and the sha256 of its manifest."""

    uri: str = Field(min_length=1, max_length=2048)
    digest: str = Field(pattern="^sha256:[0-9a-f]{64}$")


class ImportSpec(Part):
    """One import."""

    # The envelope may grow with the operator; only what the user wrote must never be ignored.
    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1, max_length=253)
    namespace: str = Field(default="", max_length=253)
    artifact: ArtifactSpec
    allowed_hosts: tuple[Annotated[str, Field(min_length=1, max_length=300)], ...] = Field(default=(), max_length=256)
    validation: ValidationSpec = ValidationSpec()
    training_hash: str = Field(default="", max_length=128)
    model_uid: str = Field(default="", max_length=64)
    after: int = Field(default=0, ge=0, le=10**9)
    labels: dict[str, str] = Field(default_factory=dict, max_length=32)
    card: CardSpec = CardSpec()
    store_uri: str = Field(max_length=1024, pattern=r"^[\x21-\x7e]+$")


def parse_import(text: str) -> ImportSpec:
    """Parse the JSON, or raise SettingsInvalid naming the first wrong field as the user knows it."""
    try:
        return ImportSpec.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise SettingsInvalid(
            problem["msg"].removeprefix("Value error, "),
            field=f"spec.{place}" if place.startswith(("artifact", "validation", "card")) else place,
            value=problem["input"] if isinstance(problem["input"], str | int | float) else "",
            remedy="Correct the field; `kubectl explain cmodel.spec` describes it",
        ) from None
