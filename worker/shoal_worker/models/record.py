"""The types of the model store: what is recorded of a version, and what a listing tells of it; used all over `models`.

Invariant: whatever was read from a store passed through these types, so it is bounded; names cannot lead anywhere.
"""

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shoal_worker.errors import SettingsInvalid

State = Literal["Active", "Rejected", "Retired", "Archived", "Deleted"]
"""Active can be served; Rejected failed its validation; Retired is kept; Archived lies in the archive; Deleted is a
record without a model."""
STATES: tuple[State, ...] = get_args(State)
SHOWN: frozenset[State] = frozenset({"Active", "Rejected", "Retired", "Archived"})
"""What a listing shows unless asked for Deleted."""

SOURCE_LIMIT = 2048
Digest = Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
Number = Annotated[int, Field(ge=1, le=10**9)]
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
LabelText = Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z0-9._/-]*$")]
Labels = Annotated[dict[LabelText, LabelText], Field(max_length=32)]

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class ModelKey(NamedTuple):
    """The model that versions belong to."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Namespace and name as people write them."""
        return f"{self.namespace}/{self.name}"


def model_key(namespace: str, name: str) -> ModelKey:
    """Check the names; they become folders of the store. No namespace is the namespace default."""
    for what, value, pattern in (("namespace", namespace or "default", _NAMESPACE), ("name", name, _NAME)):
        if pattern.fullmatch(value) is None or ".." in value:
            raise SettingsInvalid(
                "it must be of lower-case letters, digits and '-'",
                field=what,
                value=value,
                remedy="Name it as Kubernetes names objects",
            )
    return ModelKey(namespace or "default", name)


class Stored(BaseModel):
    """Base of what is stored: fields of a later release are passed over, none is infinite."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, allow_inf_nan=False
    )


class VersionRecord(Stored):
    """All that is known of a version when it is made; never changed afterwards."""

    number: Number
    training_hash: str = Field(max_length=128)
    model_uid: str = Field(default="", max_length=64)
    created: Time
    digest: Digest
    bytes: int = Field(ge=0)
    passed: bool
    labels: Labels = Field(default_factory=dict)
    report: dict[str, Any]
    """What the training reported, whole; the operator's record of it may be shortened."""
    source: str = Field(default="", max_length=SOURCE_LIMIT)
    """Where the data, or the imported artifact, came from."""
    card_points: bool = True
    """Whether the version's card may show rows of the training data."""


class StateChange(Stored):
    """A version's new state."""

    number: Number
    to: State
    at: Time


class LabelChange(Stored):
    """A version's new labels, all of them."""

    number: Number
    labels: Labels


class Change(Stored):
    """One entry of a model's log: exactly one of these."""

    version: VersionRecord | None = None
    state: StateChange | None = None
    labels: LabelChange | None = None


class StoredVersion(Stored):
    """What a listing tells of a version."""

    number: Number
    training_hash: str = Field(max_length=128)
    model_uid: str = Field(default="", max_length=64)
    created: Time
    digest: Digest
    bytes: int = Field(ge=0)
    passed: bool
    labels: Labels = Field(default_factory=dict)
    state: State
    since: Time
    position: int = Field(ge=1)
    """Where in the model's log its record is."""
    rows: int | None = None
    clusters: int | None = None
    noise_ratio: float | None = None
    next_id: int = 0
    """Above the ids of its clusters, and of those before; see docs/cluster-ids.md."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A version that has no number yet.

    after: the highest number that is given away elsewhere; the new one is above it. A version of the same
    training_hash and model_uid above it is this very version, saved before.
    """

    training_hash: str
    digest: str
    report: dict[str, Any]
    model_uid: str = ""
    after: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    source: str = ""
    card_points: bool = True


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the store that is not as it should be; told and passed over."""

    place: str
    message: str
