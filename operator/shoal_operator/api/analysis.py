"""The gates that judge a candidate: what each compares, its limits, and how often it may fail.

Part of a ClusteringDeployment's spec; read by core.gates. No decision lives here. Defaults are the seed's: error rate
x1.05, mean latency x1.2, silhouette x0.95.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from shoal_operator.api.meta import ApiModel


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


class Analysis(ApiModel):
    """The gates between the steps."""

    interval_seconds: int = Field(default=5, ge=1, le=3600, description="Seconds between two looks at the gates.")
    error_rate: ErrorRateGate | None = Field(default_factory=ErrorRateGate, description="Gate on failed calls.")
    latency: LatencyGate | None = Field(default_factory=LatencyGate, description="Gate on the latency.")
    noise_ratio: NoiseRatioGate | None = Field(default=None, description="Gate on the rows labelled as noise.")
    silhouette: SilhouetteGate | None = Field(default=None, description="Gate on the versions' silhouettes.")
    cluster_count: ClusterCountGate | None = Field(default=None, description="Gate on the versions' cluster counts.")
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
