"""search of an algorithm: the bounds inside which a training looks for parameters, and how. No decision lives here."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule

Objective = Literal["silhouette", "dbcv"]


class DistanceBounds(ApiModel):
    """Least and largest distance."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="self.min <= self.max",
            message="min is above max; exchange them",
            message_expression="'min %s is above max %s; exchange them'.format([self.min, self.max])",
        ),
    )

    min: float = Field(gt=0, le=1e300, description="Least value to try.")
    max: float = Field(gt=0, le=1e300, description="Largest value to try.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min > self.max:
            raise ValueError(self.cel_rules[0].message)
        return self


class CountBounds(ApiModel):
    """Least and largest count."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="self.min <= self.max",
            message="min is above max; exchange them",
            message_expression="'min %d is above max %d; exchange them'.format([self.min, self.max])",
        ),
    )

    min: int = Field(ge=2, le=1_000_000, description="Least value to try.")
    max: int = Field(ge=2, le=1_000_000, description="Largest value to try.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min > self.max:
            raise ValueError(self.cel_rules[0].message)
        return self


class _Search(ApiModel):
    min_samples: CountBounds | None = Field(
        default=None, description="Bounds of minSamples; fixed at the algorithm's own value when absent."
    )
    trials: int = Field(default=40, ge=1, le=200, description="Most parameters to try; fewer where time is short.")
    objective: Objective = Field(
        default="dbcv",
        description="What to make large: dbcv (density-based, any shape) or silhouette (round clusters), "
        "both with noise counted as 0. Trials outside spec.validation's limits never win.",
    )


class DbscanSearch(_Search):
    """Bounds of a search for the parameters of dbscan."""

    eps: DistanceBounds | None = Field(
        default=None,
        description="Bounds of eps; taken from the data (around the knee of the k-distance curve) when neither these "
        "nor eps are given.",
    )


class AdaptiveDbscanSearch(_Search):
    """Bounds of a search for the parameters of adaptiveDbscan."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.minSamples) || has(self.minClusterSize)",
            message="the search has no bounds; set search.minSamples, search.minClusterSize or both",
        ),
    )

    min_cluster_size: CountBounds | None = Field(
        default=None, description="Bounds of minClusterSize; fixed at the algorithm's own value when absent."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_samples is None and self.min_cluster_size is None:
            raise ValueError(self.cel_rules[0].message)
        return self
