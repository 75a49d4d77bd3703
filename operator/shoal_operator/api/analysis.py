"""The gates that judge a candidate: what each compares, its limits, and how often it may fail.

Part of a ClusteringDeployment's spec; read by core.gates. No decision lives here. Defaults are the seed's: error rate
x1.05, mean latency x1.2, silhouette x0.95.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from shoal_operator.api.meta import ApiModel, CelRule

URL = r"^https?://[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]{1,5})?(/[^\s#@]*)?$"
"""No user, no password, no fragment."""
CRON_JOB_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"


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


class SilhouetteGate(Gate):
    """Compares the silhouettes in the records of both versions, which their trainings measured."""

    min_ratio: float = Field(
        default=0.95,
        gt=0,
        le=1,
        description="Smallest tolerated candidate / stable ratio; below 0, as far below stable's as the ratio is below "
        "1. A wrong clustering may have the higher silhouette: use it beside others.",
    )


class ClusterCountGate(Gate):
    """Compares the numbers of clusters in the records of both versions."""

    min_ratio: float = Field(default=0.5, ge=0, le=1, description="Smallest tolerated candidate / stable ratio.")
    max_ratio: float = Field(default=2.0, ge=1, le=1000, description="Largest tolerated candidate / stable ratio.")


class OutsideGate(Gate):
    """What the gates that ask somebody else have."""

    name: str = Field(
        pattern=r"^[a-z][a-zA-Z0-9]{0,31}$", max_length=32, description="Name of the gate, unique in its list."
    )
    timeout_seconds: int = Field(
        default=5, ge=1, le=30, description="Seconds after which an answer counts as an error."
    )


class PrometheusGate(OutsideGate):
    """A query to a Prometheus server, which gives one number for each side."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.min) || has(self.max) || has(self.minRatio) || has(self.maxRatio)",
            message="a prometheus gate without a limit judges nothing; set min, max, minRatio or maxRatio",
        ),
    )

    address: str = Field(
        pattern=URL,
        max_length=512,
        description="URL of the server; its host must be among the operator's allowed hosts (analysis.allowedHosts of "
        "the chart).",
    )
    query: str = Field(
        min_length=1,
        max_length=4096,
        description="PromQL of one number. $(revision), $(version), $(deployment), $(namespace) and $(seconds), "
        "the length of the window so far, are replaced.",
    )
    min: float | None = Field(default=None, description="Smallest number that passes.")
    max: float | None = Field(default=None, description="Largest number that passes.")
    min_ratio: float | None = Field(default=None, ge=0, description="Smallest candidate / stable ratio that passes.")
    max_ratio: float | None = Field(default=None, ge=0, description="Largest candidate / stable ratio that passes.")
    min_samples: int = Field(
        default=50, ge=0, le=1_000_000, description="Calls that each side needs before the server is believed."
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
    min_samples: int = Field(
        default=0, ge=0, le=1_000_000, description="Calls that each side needs before the answer counts."
    )


class JobGate(Gate):
    """A Job that is run once in each step, made of a CronJob of yours: it completes, which passes, or fails."""

    name: str = Field(
        pattern=r"^[a-z][a-zA-Z0-9]{0,31}$", max_length=32, description="Name of the gate, unique in its list."
    )
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

    @field_validator("error_rate", "latency", "noise_ratio", "silhouette", "cluster_count", mode="after")
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
