"""How a deployment's pools grow and shrink: bounds, metrics and the pace, as a HorizontalPodAutoscaler has them.

Part of a ClusteringDeployment's spec and status; read by core.scaling and the CRD generator. No decision lives here.
Defaults of the behaviour are those of autoscaling/v2.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule, StatusModel
from shoal_operator.api.question import Promql, PromqlQuestion


class AverageTarget(ApiModel):
    """A number that each pod should have on average."""

    average_value: float = Field(gt=0, le=1_000_000_000, description="The number that a pod should have on average.")


class UtilizationTarget(ApiModel):
    """A share of what the pods request."""

    average_utilization: int = Field(
        ge=1, le=1000, description="Percent of worker.resources.requests that the pods should use on average."
    )


class PrometheusMetric(PromqlQuestion):
    """A number that a Prometheus server gives for the deployment as a whole."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.averageValue) != has(self.value)",
            message="a prometheus metric needs one target: set averageValue (for each pod) or value, not both",
        ),
    )

    query: Promql = Field(
        description="PromQL of one number; $(deployment) and $(namespace) are replaced. Samples that are older than "
        "60 s are not looked at.",
    )
    average_value: float | None = Field(
        default=None, gt=0, le=1_000_000_000_000, description="The part of the number that each pod should have."
    )
    value: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000_000_000,
        description="What the number itself should be, such as a latency or a ratio; it must fall as pods are added.",
    )
    timeout_seconds: int = Field(
        default=5, ge=1, le=30, description="Seconds after which there is no number at this look."
    )

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        if (self.average_value is None) == (self.value is None):
            raise ValueError(self.cel_rules[0].message)
        return self


class ScalingMetrics(ApiModel):
    """What asks for pods; the metric that asks for most decides."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.queue) || has(self.requestsPerSecond) || has(self.cpu) || has(self.memory) || "
            "(has(self.prometheus) && self.prometheus.size() > 0)",
            message="scaling.metrics names no metric; set queue, requestsPerSecond, cpu, memory or prometheus",
        ),
        CelRule(
            rule="!has(self.prometheus) || self.prometheus.all(a, self.prometheus.exists_one(b, b.name == a.name))",
            message="two metrics of scaling.metrics.prometheus have the same name; give each its own",
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
    prometheus: list[PrometheusMetric] = Field(
        default_factory=list, max_length=8, description="Queries to a Prometheus server."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any((self.queue, self.requests_per_second, self.cpu, self.memory, self.prometheus)):
            raise ValueError(self.cel_rules[0].message)
        if len({metric.name for metric in self.prometheus}) < len(self.prometheus):
            raise ValueError(self.cel_rules[1].message)
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

    name: str = Field(description="queue, requestsPerSecond, cpu, memory or prometheus/NAME.")
    value: float | None = Field(
        default=None, description="The average of the pods that were read; of prometheus what its target is held to."
    )
    target: float = Field(description="What it should be: a number a pod, percent of the requests, or the number.")
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
    candidate_for_all: float = Field(
        default=0,
        ge=0,
        description="Pods that the candidate would need for all calls, by what those that it gets ask for; its pool is "
        "sized by it before its weight rises. 0 where that is not known.",
    )
    candidate_weight: int = Field(
        default=0, ge=0, le=100, description="Percent of the calls that the candidate got at the last look."
    )
    looked_at: str = Field(default="", description="When the metrics that were last decided on were read, RFC 3339.")
    metrics: list[MetricReading] = Field(default_factory=list, description="What each metric said last.")
    recommendations: list[PastRecommendation] = Field(
        default_factory=list, description="Earlier recommendations that a window still needs, oldest first."
    )
    changes: list[PastChange] = Field(
        default_factory=list, description="Changes of the number of pods that a policy's period still needs."
    )


class Contest(StatusModel):
    """Somebody else sets the number of pods."""

    by: str = Field(description="Field manager that did, such as kubectl or kube-controller-manager.")
    pool: str = Field(
        default="", description="Name of the Deployment that it set; empty: the deployment itself, by its scale."
    )
    replicas: int = Field(ge=0, description="The number that it set.")
    at: str = Field(description="When that was last set back, or done, RFC 3339.")
