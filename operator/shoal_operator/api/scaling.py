"""How a deployment's pools grow and shrink: bounds, metrics and the pace, as a HorizontalPodAutoscaler has them.

Part of a ClusteringDeployment's spec and status; read by core.scaling and the CRD generator. No decision lives here.
Defaults of the behaviour are those of autoscaling/v2.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule, StatusModel


class AverageTarget(ApiModel):
    """A number that each pod should have on average."""

    average_value: float = Field(gt=0, le=1_000_000_000, description="The number that a pod should have on average.")


class UtilizationTarget(ApiModel):
    """A share of what the pods request."""

    average_utilization: int = Field(
        ge=1, le=1000, description="Percent of worker.resources.requests that the pods should use on average."
    )


class ScalingMetrics(ApiModel):
    """What asks for pods; the metric that asks for most decides."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.queue) || has(self.requestsPerSecond) || has(self.cpu) || has(self.memory)",
            message="scaling.metrics names no metric; set queue, requestsPerSecond, cpu or memory",
        ),
    )

    queue: AverageTarget | None = Field(
        default=None,
        description="Calls in a pod at once, the waiting ones included, averaged over the time between two looks. With "
        "ingestion: messages of the stream that nobody has answered, those in flight included, for each pod.",
    )
    requests_per_second: AverageTarget | None = Field(default=None, description="Calls a pod answers in a second.")
    cpu: UtilizationTarget | None = Field(
        default=None, description="CPU by the metrics API; needs worker.resources.requests.cpu and a metrics server."
    )
    memory: UtilizationTarget | None = Field(
        default=None,
        description="Memory by the metrics API; needs worker.resources.requests.memory and a metrics server. A "
        "model's memory hardly falls with its load: use it beside others.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any((self.queue, self.requests_per_second, self.cpu, self.memory)):
            raise ValueError(self.cel_rules[0].message)
        return self


class ScalingPolicy(ApiModel):
    """How much may change in a period."""

    type: Literal["Pods", "Percent"] = Field(description="Pods: a number of them. Percent: of those at its beginning.")
    value: int = Field(ge=1, le=100_000, description="Most pods, or percent of the pods, that a period may change.")
    period_seconds: int = Field(ge=1, le=1800, description="Length of the period in seconds.")


class ScalingRules(ApiModel):
    """The pace of one direction."""

    stabilization_window_seconds: int = Field(
        default=0,
        ge=0,
        le=3600,
        description="Seconds of recommendations of which the most cautious counts: the lowest upwards, the highest "
        "downwards.",
    )
    select_policy: Literal["Max", "Min", "Disabled"] = Field(
        default="Max", description="Which of the policies counts; Disabled: never in this direction."
    )
    policies: list[ScalingPolicy] = Field(
        default_factory=lambda: [ScalingPolicy(type="Percent", value=100, period_seconds=15)],
        min_length=1,
        max_length=8,
        description="How much may change in which period.",
    )
    tolerance: float = Field(
        default=0.1, ge=0, le=1, description="Deviation from the target that changes nothing, 0.1 being 10 percent."
    )


class ScaleUpRules(ScalingRules):
    """The pace upwards: at once, twice as many or 4 more in 15 seconds."""

    policies: list[ScalingPolicy] = Field(
        default_factory=lambda: [
            ScalingPolicy(type="Percent", value=100, period_seconds=15),
            ScalingPolicy(type="Pods", value=4, period_seconds=15),
        ],
        min_length=1,
        max_length=8,
        description="How much may be added in which period.",
    )


class ScaleDownRules(ScalingRules):
    """The pace downwards: after 5 minutes, down to all that is wanted."""

    stabilization_window_seconds: int = Field(
        default=300,
        ge=0,
        le=3600,
        description="Seconds of recommendations of which the highest counts, so that a short lull removes no pod.",
    )


class ScalingBehavior(ApiModel):
    """The pace of both directions."""

    scale_up: ScaleUpRules = Field(default_factory=ScaleUpRules, description="The pace upwards.")
    scale_down: ScaleDownRules = Field(default_factory=ScaleDownRules, description="The pace downwards.")


class Scaling(ApiModel):
    """Lets the operator choose the number of pods between two bounds; worker.replicas is where it begins."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
            message="scaling.minReplicas is above scaling.maxReplicas; lower the one or raise the other",
            message_expression="'scaling.minReplicas %d is above scaling.maxReplicas %d; lower the one or raise the "
            "other'.format([self.minReplicas, self.maxReplicas])",
        ),
    )

    min_replicas: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="Fewest pods. 0, with ingestion: none while no message waits and none is leased, after the window "
        "of behavior.scaleDown; never while a version is on trial.",
    )
    max_replicas: int = Field(ge=1, le=1000, description="Most pods.")
    metrics: ScalingMetrics = Field(description="What asks for pods.")
    interval_seconds: int = Field(default=15, ge=1, le=300, description="Seconds between two looks at the metrics.")
    behavior: ScalingBehavior = Field(default_factory=ScalingBehavior, description="The pace.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(self.cel_rules[0].message)
        return self


class MetricReading(StatusModel):
    """What a metric said last."""

    name: str = Field(description="queue, requestsPerSecond, cpu or memory.")
    value: float | None = Field(default=None, description="The average of the pods that were read.")
    target: float = Field(description="What it should be: a number a pod, or percent of the requests.")
    wants: int | None = Field(default=None, description="Pods that this metric asks for.")
    problem: str = Field(default="", description="Why it asks for nothing.")


class PastRecommendation(StatusModel):
    """What the metrics asked for at an earlier look, before the windows."""

    at: str = Field(description="When, RFC 3339.")
    replicas: int = Field(description="Pods that were asked for.")


class PastChange(StatusModel):
    """A change of the number of pods."""

    at: str = Field(description="When, RFC 3339.")
    change: int = Field(description="Pods that were added; negative: removed.")


class ScalingStatus(StatusModel):
    """Where the scaler stands; its windows are kept here, so that they survive a restart of the operator."""

    replicas: int = Field(ge=0, description="Pods that the scaler wants for all calls.")
    candidate_replicas: int = Field(
        default=0, ge=0, description="Pods that the candidate's own calls ask for, where that is more than its share."
    )
    looked_at: str = Field(default="", description="When the metrics that were last decided on were read, RFC 3339.")
    metrics: list[MetricReading] = Field(default_factory=list, description="What each metric said last.")
    recommendations: list[PastRecommendation] = Field(
        default_factory=list, description="Earlier recommendations that a window still needs, oldest first."
    )
    changes: list[PastChange] = Field(
        default_factory=list, description="Changes of the number of pods that a policy's period still needs."
    )
