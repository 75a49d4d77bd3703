"""spec.validation of a ClusteringModel: the limits that a version must keep. No decision lives here."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule


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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_clusters is not None and self.min_clusters > self.max_clusters:
            raise ValueError(self.cel_rules[0].message)
        return self
