"""The gates that judge a candidate: what each compares, its limits, and how often it may fail.

Part of a ClusteringDeployment's spec; read by core.gates. No decision lives here. Defaults are the seed's: error rate
x1.05, mean latency x1.2, silhouette x0.95.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from shoal_operator.api.meta import ApiModel, CelRule
from shoal_operator.api.question import URL, Promql, PromqlQuestion, QuestionName

CRON_JOB_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"

LEAST_ROWS = 500
"""Rows that a comparison needs where its gate does not say."""
MOST_ROWS = 2000
"""Rows that a stable pod compares at once; more can never be asked for."""


class Gate(ApiModel):
    """What every gate has."""

    enabled: bool = Field(default=True, description="false: this gate is not asked.")
    dry_run: bool = Field(default=False, description="Tell the verdict, but let nothing depend on it.")
    initial_delay_seconds: int = Field(
        default=0, ge=0, le=86_400, description="Seconds of each step in which the gate is not asked yet."
    )
    failure_limit: int = Field(
        default=0, ge=0, le=1000, description="Failed looks in a step that are tolerated; one more fails the rollout."
    )
    inconclusive_limit: int | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="Inconclusive looks in a step that are tolerated; one more holds the rollout until the promote "
        "command. Without it, onInconclusive alone decides.",
    )
    consecutive_error_limit: int = Field(
        default=4,
        ge=0,
        le=1000,
        description="Errors in a row that are tolerated; one more holds the rollout while they last. Traffic stays.",
    )


class ErrorRateGate(Gate):
    """Compares the share of failed calls with stable's over the same window."""

    max_ratio: float = Field(default=1.05, ge=1, le=100, description="Largest tolerated candidate / stable ratio.")
    min_samples: int = Field(
        default=50, ge=1, le=1_000_000, description="Calls that each side needs before there is a verdict."
    )


class LatencyGate(Gate):
    """Compares the latency with stable's over the same window."""

    statistic: Literal["Mean", "P50", "P99"] = Field(
        default="Mean",
        description="What is compared: the mean, the median or the 99th percentile, which needs 1000 calls each.",
    )
    max_ratio: float = Field(default=1.2, ge=1, le=100, description="Largest tolerated candidate / stable ratio.")
    min_difference_millis: float = Field(
        default=5.0, ge=0, le=60_000, description="Difference in milliseconds below which no latency counts as worse."
    )
    min_samples: int = Field(
        default=50, ge=1, le=1_000_000, description="Calls that each side needs before there is a verdict."
    )


class NoiseRatioGate(Gate):
    """Compares the share of rows that are labelled as noise with stable's over the same window."""

    max_increase: float = Field(
        default=0.05, ge=0, le=1, description="Largest tolerated increase of the share, 0.05 being five points."
    )
    max_decrease: float | None = Field(
        default=None, ge=0, le=1, description="Largest tolerated decrease of the share; any when absent."
    )
    min_samples: int = Field(
        default=200, ge=1, le=1_000_000, description="Rows that each side needs before there is a verdict."
    )


class OutOfReachGate(Gate):
    """Compares the share of rows outside the range of the training data with stable's over the same window."""

    max_increase: float = Field(
        default=0.05, ge=0, le=1, description="Largest tolerated increase of the share, 0.05 being five points."
    )
    min_samples: int = Field(
        default=200, ge=1, le=1_000_000, description="Rows that each side needs before there is a verdict."
    )


class AgreementGate(Gate):
    """Compares the labels that both versions give to the same recent rows, whatever the labels' numbers."""

    min: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Smallest adjusted Rand index that passes, 1 being the same clusters. Without it the limit is "
        "learnt from the versions that were promoted before (status.agreementHistory): three standard deviations "
        "below their median; 0.9 until there are three.",
    )
    min_noise_agreement: float | None = Field(
        default=None, ge=0, le=1, description="Smallest share of rows that both or neither call noise; any when absent."
    )
    min_label_agreement: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Smallest share of rows whose clusters are each other's match; any when absent.",
    )
    min_samples: int = Field(
        default=LEAST_ROWS,
        ge=1,
        le=MOST_ROWS,
        description="Rows that both must have labelled before there is a verdict.",
    )


class RecordOrLiveGate(Gate):
    """What the gates have that read either the versions' records or the labels of the same recent rows."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.minSamples) || (has(self.source) && self.source == 'Live')",
            message="minSamples has no effect with source Record; remove it, or set source to Live",
        ),
    )

    source: Literal["Record", "Live"] = Field(
        default="Record",
        description="Record: what both trainings measured, each on its own data. Live: what both versions make of the "
        "same recent rows.",
    )
    min_samples: int | None = Field(
        default=None,
        ge=1,
        le=MOST_ROWS,
        description="With source Live, rows that both must have labelled before there is a verdict; 500 when absent.",
    )

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.min_samples is not None and self.source == "Record":
            raise ValueError(self.cel_rules[0].message)
        return self


class SilhouetteGate(RecordOrLiveGate):
    """Compares the silhouettes of both versions, from their records or on the same recent rows."""

    min_ratio: float = Field(
        default=0.95,
        gt=0,
        le=1,
        description="Smallest tolerated candidate / stable ratio; below 0, as far below stable's as the ratio is below "
        "1. A wrong clustering may have the higher silhouette: use it beside others.",
    )


class ClusterCountGate(RecordOrLiveGate):
    """Compares the numbers of clusters of both versions, from their records or among the same recent rows."""

    min_ratio: float = Field(default=0.5, ge=0, le=1, description="Smallest tolerated candidate / stable ratio.")
    max_ratio: float = Field(default=2.0, ge=1, le=1000, description="Largest tolerated candidate / stable ratio.")


class OutsideGate(Gate):
    """What the gates that ask somebody else have."""

    name: QuestionName = Field(description="Name of the gate, unique in its list.")
    timeout_seconds: int = Field(
        default=5, ge=1, le=30, description="Seconds after which an answer counts as an error."
    )
    min_samples: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Calls that each side needs before the answer counts; 0: it is asked in shadow steps too.",
    )


class PrometheusGate(PromqlQuestion, OutsideGate):
    """A query to a Prometheus server, which gives one number for each side."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.min) || has(self.max) || has(self.minRatio) || has(self.maxRatio)",
            message="a prometheus gate without a limit judges nothing; set min, max, minRatio or maxRatio",
        ),
    )

    query: Promql = Field(
        description="PromQL of one number. $(revision), $(version), $(deployment), $(namespace) and $(seconds), "
        "the length of the window so far, are replaced.",
    )
    min: float | None = Field(default=None, description="Smallest number that passes.")
    max: float | None = Field(default=None, description="Largest number that passes.")
    min_ratio: float | None = Field(default=None, ge=0, description="Smallest candidate / stable ratio that passes.")
    max_ratio: float | None = Field(default=None, ge=0, description="Largest candidate / stable ratio that passes.")
    min_samples: int = Field(
        default=50,
        ge=0,
        le=1_000_000,
        description="Calls that each side needs before the server is believed; 0: it is asked in shadow steps too.",
    )

    @property
    def compares(self) -> bool:
        """Whether stable's number is asked for too."""
        return self.min_ratio is not None or self.max_ratio is not None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min is None and self.max is None and not self.compares:
            raise ValueError(self.cel_rules[0].message)
        return self


class WebhookGate(OutsideGate):
    """A POST to a service of yours, which answers with a verdict."""

    url: str = Field(
        pattern=URL,
        max_length=1024,
        description="Where to send the facts; its host must be among the operator's allowed hosts "
        "(analysis.allowedHosts of the chart).",
    )


class JobGate(Gate):
    """A Job that is run once in each step, made of a CronJob of yours: it completes, which passes, or fails."""

    name: QuestionName = Field(description="Name of the gate, unique in its list.")
    cron_job: str = Field(
        pattern=CRON_JOB_NAME,
        max_length=253,
        description="CronJob of the same namespace, annotated shoal.dev/startable=true, whose Job is run; a suspended "
        "one is fine.",
    )
    timeout_seconds: int = Field(
        default=300, ge=1, le=86_400, description="Seconds after which the Job is stopped, which is an error."
    )


class Analysis(ApiModel):
    """The gates between the steps."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = tuple(
        CelRule(
            rule=f"!has(self.{kind}) || self.{kind}.all(a, self.{kind}.exists_one(b, b.name == a.name))",
            message=f"two gates of analysis.{kind} have the same name; give each its own",
        )
        for kind in ("prometheus", "webhooks", "jobs")
    )

    interval_seconds: int = Field(default=5, ge=1, le=3600, description="Seconds between two looks at the gates.")
    error_rate: ErrorRateGate | None = Field(default_factory=ErrorRateGate, description="Gate on failed calls.")
    latency: LatencyGate | None = Field(default_factory=LatencyGate, description="Gate on the latency.")
    noise_ratio: NoiseRatioGate | None = Field(default=None, description="Gate on the rows labelled as noise.")
    out_of_reach: OutOfReachGate | None = Field(
        default=None, description="Gate on the rows outside the range of the training data."
    )
    agreement: AgreementGate | None = Field(
        default=None,
        description="Gate on the labels that both versions give to the same rows; works without any call to the "
        "candidate, in shadow steps too.",
    )
    silhouette: SilhouetteGate | None = Field(default=None, description="Gate on the versions' silhouettes.")
    cluster_count: ClusterCountGate | None = Field(default=None, description="Gate on the versions' cluster counts.")
    prometheus: list[PrometheusGate] = Field(
        default_factory=list, max_length=8, description="Gates on queries to a Prometheus server."
    )
    webhooks: list[WebhookGate] = Field(default_factory=list, max_length=8, description="Gates that ask a service.")
    jobs: list[JobGate] = Field(default_factory=list, max_length=8, description="Gates that run a Job in each step.")
    warmup_seconds: int = Field(
        default=5, ge=0, le=3600, description="Seconds after a pod became ready whose calls are not counted."
    )
    on_inconclusive: Literal["Hold", "Proceed"] = Field(
        default="Hold",
        description="When a step's time is over and a gate still lacks calls: Hold waits for them (or for the promote "
        "command), Proceed goes on without its verdict.",
    )

    @property
    def rows_to_compare(self) -> int:
        """Rows that some gate needs both versions' labels of; 0 where none does."""
        live = [gate for gate in (self.silhouette, self.cluster_count) if gate is not None and gate.source == "Live"]
        least = [gate.min_samples or LEAST_ROWS for gate in live]
        return max([*least, *([self.agreement.min_samples] if self.agreement is not None else [])], default=0)

    @property
    def judges_in_shadow(self) -> bool:
        """Whether a gate needs no calls to the candidate."""
        gates = (self.agreement, self.silhouette, self.cluster_count)
        outside = [gate for gate in (*self.prometheus, *self.webhooks) if not gate.min_samples]
        return any(gate is not None for gate in gates) or bool(outside) or bool(self.jobs)

    @field_validator(
        "error_rate",
        "latency",
        "noise_ratio",
        "out_of_reach",
        "agreement",
        "silhouette",
        "cluster_count",
        mode="after",
    )
    @classmethod
    def _leave_out(cls, gate: Gate | None) -> Gate | None:
        """A gate that is switched off is None to the operator; kubectl cannot write null over a default."""
        return gate if gate is not None and gate.enabled else None

    @field_validator("prometheus", "webhooks", "jobs", mode="after")
    @classmethod
    def _keep_asked(cls, gates: list[Gate]) -> list[Gate]:
        return [gate for gate in gates if gate.enabled]

    @model_validator(mode="after")
    def _check(self) -> Self:
        named = [[gate.name for gate in gates] for gates in (self.prometheus, self.webhooks, self.jobs)]
        for rule, names in zip(self.cel_rules, named, strict=True):
            if len(set(names)) < len(names):
                raise ValueError(rule.message)
        return self


_ON = "(has(self.analysis.{0}) && (!has(self.analysis.{0}.enabled) || self.analysis.{0}.enabled))"
_ASKS = "(has(self.analysis.{0}) && self.analysis.{0}.exists(g, (!has(g.enabled) || g.enabled) && {1}))"
JUDGES_IN_SHADOW = "(has(self.analysis) && ({}))".format(
    " || ".join(
        (
            *(_ON.format(gate) for gate in ("agreement", "silhouette", "clusterCount")),
            _ASKS.format("prometheus", "has(g.minSamples) && g.minSamples == 0"),
            _ASKS.format("webhooks", "(!has(g.minSamples) || g.minSamples == 0)"),
            _ASKS.format("jobs", "true"),
        )
    )
)
"""`Analysis.judges_in_shadow` as CEL, `self` being the spec of a ClusteringDeployment."""
