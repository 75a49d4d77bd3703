"""The algorithm and its parameters, as the user wrote them in spec.algorithm."""

from typing import Self

from pydantic import Field, model_validator

from shoal_worker.artifact.manifest import Metric
from shoal_worker.spec.part import Part
from shoal_worker.spec.search import AdaptiveDbscanSearchSpec, DbscanSearchSpec


class DbscanSpec(Part):
    """Parameters of DBSCAN."""

    eps: float | None = Field(default=None, gt=0, le=1e300)
    min_samples: int = Field(default=5, ge=1, le=1_000_000)
    metric: Metric = "euclidean"
    search: DbscanSearchSpec | None = None

    @model_validator(mode="after")
    def _check_eps(self) -> Self:
        if self.eps is None and self.search is None:
            raise ValueError("eps is missing; give it, or let search find it")
        return self


class AdaptiveDbscanSpec(Part):
    """Parameters of AdaptiveDBSCAN."""

    min_samples: int = Field(default=10, ge=1, le=1_000_000)
    min_cluster_size: int | None = Field(default=None, ge=2, le=1_000_000_000)
    metric: Metric = "euclidean"
    search: AdaptiveDbscanSearchSpec | None = None


class AlgorithmSpec(Part):
    """Exactly one algorithm."""

    dbscan: DbscanSpec | None = None
    adaptive_dbscan: AdaptiveDbscanSpec | None = None

    @model_validator(mode="after")
    def _check_choice(self) -> Self:
        if (self.dbscan is None) == (self.adaptive_dbscan is None):
            raise ValueError("exactly one of dbscan and adaptiveDbscan must be set")
        return self

    @property
    def chosen(self) -> DbscanSpec | AdaptiveDbscanSpec:
        """The one that is set."""
        chosen = self.dbscan or self.adaptive_dbscan
        assert chosen is not None, "validation lets no other through"  # noqa: S101, for the type checker
        return chosen

    @property
    def field(self) -> str:
        """Where the user wrote the parameters."""
        return "spec.algorithm.dbscan" if self.dbscan else "spec.algorithm.adaptiveDbscan"
