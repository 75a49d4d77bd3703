"""The bounds inside which parameters are searched for, as the user wrote them in the algorithm's `search`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from shoal_worker.spec.part import Part

Objective = Literal["silhouette", "dbcv"]


class DistanceBounds(Part):
    """Least and largest distance."""

    min: float = Field(gt=0, le=1e300)
    max: float = Field(gt=0, le=1e300)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min > self.max:
            raise ValueError("min is above max")
        return self


class CountBounds(Part):
    """Least and largest count."""

    min: int = Field(ge=2, le=1_000_000)
    max: int = Field(ge=2, le=1_000_000)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min > self.max:
            raise ValueError("min is above max")
        return self


class _SearchSpec(Part):
    min_samples: CountBounds | None = None
    trials: int = Field(default=40, ge=1, le=200)
    objective: Objective = "dbcv"


class DbscanSearchSpec(_SearchSpec):
    """Bounds of DBSCAN's parameters; eps has those that the data suggest where it has none."""

    eps: DistanceBounds | None = None


class AdaptiveDbscanSearchSpec(_SearchSpec):
    """Bounds of AdaptiveDBSCAN's parameters."""

    min_cluster_size: CountBounds | None = None
