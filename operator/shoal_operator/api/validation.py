"""spec.validation of a ClusteringModel: the tests and limits that a version must keep. No decision lives here."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule


class ValidationTestSettings(ApiModel):
    """What can be said of every test."""

    dry_run: bool = Field(default=False, description="Tell the verdict, but reject no version by it.")


class PerformanceTestSettings(ValidationTestSettings):
    """Time that predictions take."""

    max_millis_per_sample: float = Field(
        default=10, gt=0, le=1e9, description="Most milliseconds per row, in a batch and in calls of one row."
    )


class MemoryTestSettings(ValidationTestSettings):
    """Memory that the model takes."""

    max_bytes: int | None = Field(
        default=None,
        ge=1,
        le=1 << 50,
        description="Most bytes of the loaded model and its growth while predicting; a model above the training's own "
        "estimate is only warned of when absent.",
    )


class ValidationTests(ApiModel):
    """The tests that every version takes."""

    basic_functionality: ValidationTestSettings = Field(
        default_factory=ValidationTestSettings,
        description="Labels of the training's rows: number, range, probes, cores.",
    )
    parameter_validation: ValidationTestSettings = Field(
        default_factory=ValidationTestSettings,
        description="Bad parameters and bad inputs are refused; the parameters suit the data.",
    )
    edge_cases: ValidationTestSettings = Field(
        default_factory=ValidationTestSettings,
        description="No row, one row, duplicates, extreme values, rows far away and rows on a core.",
    )
    performance: PerformanceTestSettings = Field(
        default_factory=PerformanceTestSettings, description="Time that predictions take."
    )
    memory: MemoryTestSettings = Field(default_factory=MemoryTestSettings, description="Memory that the model takes.")
    reproducibility: ValidationTestSettings = Field(
        default_factory=ValidationTestSettings,
        description="A second fit with other threads, repeated predictions and a rebuilt artifact are equal.",
    )
    limits: ValidationTestSettings = Field(
        default_factory=ValidationTestSettings,
        description="The limits minClusters, maxClusters, maxNoiseRatio, minSilhouette and minDbcv.",
    )


class RelativeLimits(ApiModel):
    """Limits relative to the last good version, measured on the same rows; without such a version they pass."""

    min_silhouette_ratio: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="Least silhouette as a share of the last good version's, for example 0.95; no limit when absent.",
    )
    min_dbcv_ratio: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="Least DBCV as a share of the last good version's, for example 0.95; no limit when absent.",
    )
    min_agreement: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Least adjusted Rand index with the last good version's labels; no limit when absent.",
    )
    dry_run: bool = Field(default=False, description="Tell the verdicts, but reject no version by them.")


class Validation(ApiModel):
    """Limits that a trained version must keep to be served; one outside them is recorded as Rejected."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.maxClusters) || self.minClusters <= self.maxClusters",
            message="validation.minClusters is above validation.maxClusters; no clustering passes, lower it",
            message_expression="'validation.minClusters %d is above validation.maxClusters %d; no clustering passes, "
            "lower minClusters or raise maxClusters'.format([self.minClusters, self.maxClusters])",
        ),
    )

    min_clusters: int = Field(default=1, ge=0, description="Fewest clusters.")
    max_clusters: int | None = Field(default=None, ge=1, description="Most clusters; no limit when absent.")
    max_noise_ratio: float | None = Field(
        default=None, ge=0, le=1, description="Largest share of rows that are noise, 0 to 1; no limit when absent."
    )
    min_silhouette: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Least sampled silhouette, noise excluded, -1 to 1; no limit when absent.",
    )
    min_dbcv: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Least sampled DBCV (density-based; noise counts against it), -1 to 1; no limit when absent.",
    )
    tests: ValidationTests = Field(default_factory=ValidationTests, description="The tests that every version takes.")
    relative: RelativeLimits = Field(
        default_factory=RelativeLimits, description="Limits relative to the last good version."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_clusters is not None and self.min_clusters > self.max_clusters:
            raise ValueError(self.cel_rules[0].message)
        return self
