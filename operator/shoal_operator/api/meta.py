"""What every kind shares: group and version, object keys, conditions, reasons and the pydantic base.

Read by every other module. Invariant: a reason is spelt here once and is the same word in a condition, an event,
a log line and a metric label.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

GROUP = "shoal.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class ObjectKey(NamedTuple):
    """Identity of a namespaced object of one kind."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class CelRule:
    """A rule across fields that the API server itself enforces, `self` being the type that declares it."""

    rule: str
    message: str
    """What to do about it, when `message_expression` is absent or cannot be evaluated."""
    message_expression: str | None = None
    """CEL that builds the message around the refused value."""


class ApiModel(BaseModel):
    """Base of every API type: camelCase on the wire, unknown fields refused, values frozen.

    A rule across fields stands twice, side by side: as CEL for the API server, and as a validator for the operator,
    which may meet objects that were stored before the rule existed.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    cel_rules: ClassVar[tuple[CelRule, ...]] = ()
    exactly_one: ClassVar[bool] = False
    """One field of the type is set, no more and no less: the CRD has the rule, and no defaults from here down.

    A default of the server's would stay behind when the user changes from one field to the other.
    """

    @model_validator(mode="after")
    def _check_choice(self) -> Self:
        if not self.exactly_one:
            return self
        fields = type(self).model_fields
        held = [fields[name].alias or name for name in fields if getattr(self, name) is not None]
        if len(held) != 1:
            choice = " and ".join(field.alias or name for name, field in fields.items())
            raise ValueError(f"exactly one of {choice} must be set, not {' and '.join(held) or 'none'}")
        return self

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON form that the API server stores, without absent values."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(ApiModel):
    """Base of status types: tolerant of fields that another release of the operator wrote."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class Reason(StrEnum):
    """Why a condition holds; also the reason of the event, the log line and the metric label."""

    # Training
    TRAINING = "Training"
    TRAINED = "Trained"
    TRAINING_FAILED = "TrainingFailed"
    VERSION_REJECTED = "VersionRejected"
    VERSION_CONFLICT = "VersionConflict"
    SECRET_MISSING = "SecretMissing"  # noqa: S105, a reason, not a secret
    STORE_NOT_CONFIGURED = "StoreNotConfigured"
    SOURCE_UNREADABLE = "SourceUnreadable"
    SOURCE_FORMAT_INVALID = "SourceFormatInvalid"
    COLUMN_MISSING = "ColumnMissing"
    COLUMN_NOT_NUMERIC = "ColumnNotNumeric"
    DATA_INVALID = "DataInvalid"
    QUERY_FAILED = "QueryFailed"
    PARAMETERS_INVALID = "ParametersInvalid"
    STORE_UNAVAILABLE = "StoreUnavailable"
    CREDENTIALS_REJECTED = "CredentialsRejected"
    OUT_OF_MEMORY = "OutOfMemory"
    IMPORT_DENIED = "ImportDenied"
    UNCHANGED = "Unchanged"
    TRAINING_SKIPPED = "TrainingSkipped"
    # Versions
    RETIRED_BY_USER = "RetiredByUser"
    RETIRED_BY_RETENTION = "RetiredByRetention"
    VERSION_RETIRED = "VersionRetired"
    VERSION_ARCHIVED = "VersionArchived"
    VERSION_IN_USE = "VersionInUse"
    MAINTENANCE = "Maintenance"
    MAINTENANCE_FAILED = "MaintenanceFailed"
    # Deployment
    APPROVED = "Approved"
    AWAITING_APPROVAL = "AwaitingApproval"
    MODEL_NOT_FOUND = "ModelNotFound"
    VERSION_NOT_FOUND = "VersionNotFound"
    VERSION_NOT_READY = "VersionNotReady"
    ROLLING_OUT = "RollingOut"
    WAITING_FOR_PODS = "WaitingForPods"
    WAITING_FOR_ROUTE = "WaitingForRoute"
    GATEWAY_NOT_READY = "GatewayNotReady"
    ROUTE_REJECTED = "RouteRejected"
    PROMOTED = "Promoted"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    ROLLBACK_REFUSED = "RollbackRefused"
    ABORTED = "Aborted"
    GATE_FAILED = "GateFailed"
    GATE_INCONCLUSIVE = "GateInconclusive"
    GATE_ERROR = "GateError"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    PAUSED_BY_USER = "PausedByUser"
    PAUSED_BY_STEP = "PausedByStep"
    PAUSED_BY_FAILURE = "PausedByFailure"
    AWAITING_PROMOTION = "AwaitingPromotion"
    COMMANDED = "Commanded"
    SPEC_CHANGED = "SpecChanged"
    AWAITING_GROUP = "AwaitingGroup"
    GROUP_FAILED = "GroupFailed"
    GROUP_INVALID = "GroupInvalid"
    AWAITING_HOOK = "AwaitingHook"
    HOOK_FAILED = "HookFailed"
    JOB_REFUSED = "JobRefused"
    # Scaling, in the words of the HorizontalPodAutoscaler
    READY_FOR_NEW_SCALE = "ReadyForNewScale"
    SCALING_DISABLED = "ScalingDisabled"
    SCALE_CONFLICT = "ScaleConflict"
    VALID_METRIC_FOUND = "ValidMetricFound"
    FAILED_GET_METRICS = "FailedGetMetrics"
    FAILED_GET_PODS_METRIC = "FailedGetPodsMetric"
    FAILED_GET_RESOURCE_METRIC = "FailedGetResourceMetric"
    FAILED_GET_EXTERNAL_METRIC = "FailedGetExternalMetric"
    DESIRED_WITHIN_RANGE = "DesiredWithinRange"
    SUCCEEDED_RESCALE = "SucceededRescale"
    SUCCESSFUL_RESCALE = "SuccessfulRescale"
    # Batch
    PINNED = "Pinned"
    PLANNING = "Planning"
    LABELLING = "Labelling"
    FINISHING = "Finishing"
    COMPLETED = "Completed"
    SUSPENDED = "Suspended"
    DEPLOYMENT_NOT_FOUND = "DeploymentNotFound"
    SOURCE_CHANGED = "SourceChanged"
    RESULT_INVALID = "ResultInvalid"
    SHARDS_FAILED = "ShardsFailed"
    BATCH_FAILED = "BatchFailed"
    # Pods
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CRASH_LOOP = "CrashLoop"
    UNSCHEDULABLE = "Unschedulable"
    ARTIFACT_REFUSED = "ArtifactRefused"
    # Streams
    STREAM_UNAVAILABLE = "StreamUnavailable"
    STREAM_REFUSED = "StreamRefused"
    STREAM_MISSING = "StreamMissing"
    CONSUMER_MISSING = "ConsumerMissing"
    CONSUMER_UNFIT = "ConsumerUnfit"
    DUPLICATE_WINDOW_TOO_SHORT = "DuplicateWindowTooShort"
    CONSUMER_DELETED = "ConsumerDeleted"
    CONSUMER_LEFT = "ConsumerLeft"
    # Any kind
    AVAILABLE = "Available"
    NOT_AVAILABLE = "NotAvailable"
    IDLE = "Idle"
    INVALID_SPEC = "InvalidSpec"
    RECONCILE_FAILED = "ReconcileFailed"


ConditionType = Literal[
    "Ready", "Progressing", "Degraded", "Paused", "Pending", "AbleToScale", "ScalingActive", "ScalingLimited"
]


class Condition(StatusModel):
    """One observation of an object's state, in the form of the Kubernetes API conventions."""

    type: str = Field(description="Name of the condition: Ready, Progressing, Degraded, Paused or Pending.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: str = Field(description="Why, as one CamelCase word.")
    message: str = Field(default="", description="Why, for people, with the remedy where there is one.")
    observed_generation: int = Field(default=0, description="The metadata.generation that this was decided for.")
    last_transition_time: str = Field(default="", description="When the status last changed, RFC 3339.")


class SecretReference(ApiModel):
    """Names a Secret in the object's own namespace."""

    name: str = Field(
        min_length=1, max_length=253, description="Name of a Secret in the same namespace; its keys are files' names."
    )


StoreUri = Annotated[str, Field(max_length=1024, pattern=r"^(s3|gs|az|file)://.+")]
"""A folder that a worker writes to."""


def _written(value: object) -> object:
    """Read a quantity that YAML took for a number (cpu: 1)."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    BeforeValidator(_written),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 32,
            "pattern": r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$",
        }
    ),
]


class ResourceRequirements(ApiModel):
    """CPU and memory of one container, as Kubernetes quantities."""

    requests: dict[str, Quantity] = Field(
        default_factory=dict,
        max_length=16,
        description="What the scheduler reserves, for example cpu: 100m, memory: 256Mi.",
    )
    limits: dict[str, Quantity] = Field(
        default_factory=dict, max_length=16, description="What the container may use at most."
    )
