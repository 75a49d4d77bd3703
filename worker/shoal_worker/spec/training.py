"""What `train` is asked to do: the JSON of SHOAL_TRAINING_SPEC as types; parsed and read in `training`.

Invariant: a TrainingSpec is within its limits, and every field that a user wrote is understood: an unknown one is
refused, never ignored.
"""

from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from shoal_worker.errors import SettingsInvalid
from shoal_worker.spec.algorithm import AlgorithmSpec
from shoal_worker.spec.card import CardSpec
from shoal_worker.spec.part import Part
from shoal_worker.spec.preprocessing import Steps
from shoal_worker.spec.source import SourceSpec
from shoal_worker.spec.validation import ValidationSpec

_SPEC_PARTS = ("source", "preprocessing", "algorithm", "validation", "card")


class PlanSpec(Part):
    """What of the engine's plan the user decides."""

    index: Literal["auto", "grid", "tree"] = "auto"
    threads: int | None = Field(default=None, ge=1, le=1024)


class BaselineSpec(Part):
    """The last good version, which relative limits and cluster ids refer to."""

    version: int = Field(ge=1)
    uri: str = Field(min_length=1, max_length=2048)
    digest: str = Field(pattern="^sha256:[0-9a-f]{64}$")


class TrainingSpec(Part):
    """One training."""

    # The envelope may grow with the operator; only what the user wrote must never be ignored.
    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1, max_length=253)
    namespace: str = Field(default="", max_length=253)
    source: SourceSpec
    preprocessing: Steps = ()
    algorithm: AlgorithmSpec
    validation: ValidationSpec = ValidationSpec()
    plan: PlanSpec = PlanSpec()
    baseline: BaselineSpec | None = None
    training_hash: str = Field(default="", max_length=128)
    model_uid: str = Field(default="", max_length=64)
    after: int = Field(default=0, ge=0, le=10**9)
    labels: dict[str, str] = Field(default_factory=dict, max_length=32)
    card: CardSpec = CardSpec()
    deadline_seconds: float | None = Field(default=None, gt=0, le=1e9)
    # Short and plain, because the artifact's URI must fit into the report whole.
    store_uri: str = Field(max_length=1024, pattern=r"^[\x21-\x7e]+$")


def parse_spec(text: str) -> TrainingSpec:
    """Parse the JSON, or raise SettingsInvalid naming the first wrong field as the user knows it."""
    try:
        return TrainingSpec.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise SettingsInvalid(
            problem["msg"].removeprefix("Value error, "),
            field=_field(place),
            value=problem["input"] if isinstance(problem["input"], str | int | float) else "",
            remedy="Correct the field; `kubectl explain cmodel.spec` describes it",
        ) from None


def _field(place: str) -> str:
    if place.startswith("plan"):
        return f"spec.training.{place}"
    if place.startswith("preprocessing."):
        # A step is told as the user would write it: spec.preprocessing[2].log1p.columns
        index, _, rest = place.removeprefix("preprocessing.").partition(".")
        return f"spec.preprocessing[{index}]" + (f".{rest}" if rest else "")
    return f"spec.{place}" if place.startswith(_SPEC_PARTS) else place
