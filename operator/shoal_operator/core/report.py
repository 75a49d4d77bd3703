"""Reads the report that a training or serving container leaves in its termination message.

Called by core.training and core.diagnosis. The report is untrusted: whoever controls the training data or the image
may write it. Invariant: what comes out is bounded, printable and of known types, or it is None.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from shoal_operator.api.algorithm import Algorithm
from shoal_operator.api.meta import Reason, StatusModel
from shoal_operator.api.preprocessing import MOST_STEPS, PreprocessingStep
from shoal_operator.api.version import (
    Artifact,
    DataReport,
    IdentityReport,
    Schema,
    SearchReport,
    TrainingPlan,
    ValidationReport,
    VersionMetrics,
)
from shoal_operator.core.facts import printable
from shoal_operator.core.lifecycle import LifeState

_LIMIT_BYTES = 4096
"""What the kubelet keeps of a termination message."""

STREAM_REASONS = frozenset(
    {
        Reason.STREAM_UNAVAILABLE,
        Reason.STREAM_REFUSED,
        Reason.STREAM_MISSING,
        Reason.CONSUMER_MISSING,
        Reason.CONSUMER_UNFIT,
        Reason.DUPLICATE_WINDOW_TOO_SHORT,
    }
)
"""Why a pod that is to consume a stream does not: each may heal without a change of the spec."""

_FAILURES = frozenset(
    {
        Reason.SOURCE_UNREADABLE,
        Reason.SOURCE_FORMAT_INVALID,
        Reason.COLUMN_MISSING,
        Reason.COLUMN_NOT_NUMERIC,
        Reason.DATA_INVALID,
        Reason.QUERY_FAILED,
        Reason.PARAMETERS_INVALID,
        Reason.STORE_UNAVAILABLE,
        Reason.CREDENTIALS_REJECTED,
        Reason.OUT_OF_MEMORY,
        Reason.TRAINING_FAILED,
        Reason.ARTIFACT_REFUSED,
        Reason.SOURCE_CHANGED,
        Reason.RESULT_INVALID,
        Reason.BATCH_FAILED,
        *STREAM_REASONS,
    }
)

Line = Annotated[str, AfterValidator(lambda text: printable(text, 600))]
Word = Annotated[str, AfterValidator(lambda text: printable(text, 120))]


def _known(word: object) -> object:
    """Reduce a reason that we do not know to the general one: a condition's reason is never a foreign text."""
    return word if word in _FAILURES else Reason.TRAINING_FAILED


class TrainingSuccess(StatusModel):
    """What a training that ended well reports."""

    outcome: Literal["Succeeded"]
    version: int = Field(ge=1, le=10**9)
    """The number that the store gave."""
    artifact: Artifact
    preprocessing: list[PreprocessingStep] = Field(default_factory=list, max_length=MOST_STEPS)
    schema_: Schema = Field(alias="schema")
    data: DataReport | None = None
    metrics: VersionMetrics
    validation: ValidationReport
    algorithm: Algorithm
    """The parameters that were used: those of the spec, or what a search found."""
    search: SearchReport | None = None
    identity: IdentityReport | None = None
    plan: TrainingPlan | None = None
    framework_versions: Annotated[dict[str, Word], Field(max_length=32)] = Field(default_factory=dict)


class MaintenanceChange(StatusModel):
    """What became of one version in the store."""

    version: int = Field(ge=1)
    to: LifeState


class MaintenanceSuccess(StatusModel):
    """What a maintenance that ended well reports."""

    outcome: Literal["Succeeded"]
    changes: list[MaintenanceChange] = Field(max_length=64)


class ContainerFailure(StatusModel):
    """What a container that cannot do its work reports."""

    outcome: Literal["Failed"]
    reason: Annotated[Reason, BeforeValidator(_known)] = Reason.TRAINING_FAILED
    field: Word = ""
    value: Word = ""
    message: Line = ""
    remedy: Line = ""
    transient: bool = False

    @property
    def sentence(self) -> str:
        """The failure in one line: field, value, message, remedy."""
        place = f"{self.field}: " if self.field else ""
        value = f" (it is {self.value!r})" if self.value else ""
        remedy = f". {self.remedy}" if self.remedy else ""
        return f"{place}{self.message or self.reason}{value}{remedy}"


Report = TypeVar("Report")

_SUCCESS = TypeAdapter(TrainingSuccess)
_MAINTENANCE = TypeAdapter(MaintenanceSuccess)
_FAILURE = TypeAdapter(ContainerFailure)


def read_success(message: str, store_uri: str) -> TrainingSuccess | None:
    """Read the report of a training that ended well; None where it is not one.

    The artifact must lie where this operator told the training to put it: a report cannot make a deployment load
    files from somewhere else.
    """
    report = read_report(_SUCCESS, message)
    if report is None or not report.artifact.uri.startswith(f"{store_uri.rstrip('/')}/artifacts/"):
        return None
    return report


def read_maintenance(message: str) -> MaintenanceSuccess | None:
    """Read the report of a maintenance that ended well; None where it is not one."""
    return read_report(_MAINTENANCE, message)


def read_failure(message: str) -> ContainerFailure | None:
    """Read the report of a container that failed; None where it is not one."""
    return read_report(_FAILURE, message)


def read_report(adapter: TypeAdapter[Report], message: str) -> Report | None:
    """Read a report of one type; None where the message is none, or longer than one can be."""
    if len(message.encode()) > _LIMIT_BYTES:
        return None
    try:
        return adapter.validate_json(message)
    except ValidationError:
        return None
