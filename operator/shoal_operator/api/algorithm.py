"""spec.algorithm of a ClusteringModel: which algorithm, with which parameters. No decision lives here."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule
from shoal_operator.api.search import AdaptiveDbscanSearch, DbscanSearch

Metric = Literal["euclidean", "manhattan", "chebyshev", "haversine", "cosine"]


def _searched_once(field: str) -> CelRule:
    """A parameter is given or searched for, not both."""
    return CelRule(
        rule=f"!has(self.search) || !has(self.search.{field}) || !has(self.{field})",
        message=f"{field} is given and searched for; leave out {field} or search.{field}",
    )


class Dbscan(ApiModel):
    """Exact DBSCAN."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.metric) || self.metric != 'haversine' || !has(self.eps) || self.eps <= 3.1416",
            message="dbscan.eps is in radians with metric haversine, at most pi; divide kilometres by 6371",
            message_expression="'dbscan.eps %s is beyond half the globe: with metric haversine it is in radians, at "
            "most pi; divide kilometres by 6371'.format([self.eps])",
        ),
        CelRule(
            rule="!has(self.metric) || self.metric != 'cosine' || !has(self.eps) || self.eps <= 2.0",
            message="dbscan.eps is at most 2 with metric cosine; give 1 - cosine of the angle",
            message_expression="'dbscan.eps %s makes every row a neighbour of every other: with metric cosine it is "
            "1 - cosine of the angle, at most 2; give a smaller one'.format([self.eps])",
        ),
        CelRule(
            rule="has(self.eps) || has(self.search)",
            message="dbscan.eps is missing; give it, or let dbscan.search find it",
        ),
        _searched_once("eps"),
        _searched_once("minSamples"),
        CelRule(
            rule="!has(self.search) || !has(self.eps) || has(self.search.minSamples)",
            message="eps is given and search has no bounds of minSamples, so there is nothing to search for; "
            "leave out eps, give search.minSamples or leave out search",
        ),
        CelRule(
            rule="!has(self.metric) || !has(self.search) || !has(self.search.eps) || "
            "!(self.metric == 'haversine' && self.search.eps.max > 3.1416 || "
            "self.metric == 'cosine' && self.search.eps.max > 2.0)",
            message="dbscan.search.eps.max is beyond the metric's largest distance: pi with haversine (radians), 2 "
            "with cosine; lower it",
        ),
    )

    eps: float | None = Field(
        default=None,
        gt=0,
        le=1e300,
        description="Largest distance at which two rows are neighbours, in the metric's unit (radians for haversine). "
        "Required without search.",
    )
    min_samples: int = Field(
        default=5, ge=1, le=1_000_000, description="Neighbours, itself included, that make a row a core sample."
    )
    metric: Metric = Field(
        default="euclidean", description="Distance: euclidean, manhattan, chebyshev, haversine (lat, lon) or cosine."
    )
    search: DbscanSearch | None = Field(
        default=None, description="Finds what is not given: eps, minSamples or both, by trials inside bounds."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.metric == "haversine" and self.eps is not None and self.eps > 3.1416:
            raise ValueError(self.cel_rules[0].message)
        if self.metric == "cosine" and self.eps is not None and self.eps > 2:
            raise ValueError(self.cel_rules[1].message)
        if self.eps is None and self.search is None:
            raise ValueError(self.cel_rules[2].message)
        if self.search and self.search.eps and self.eps is not None:
            raise ValueError(self.cel_rules[3].message)
        if self.search and self.search.min_samples and "min_samples" in self.model_fields_set:
            raise ValueError(self.cel_rules[4].message)
        if self.search and self.eps is not None and self.search.min_samples is None:
            raise ValueError(self.cel_rules[5].message)
        largest = {"haversine": 3.1416, "cosine": 2.0}.get(self.metric)
        if self.search and self.search.eps and largest and self.search.eps.max > largest:
            raise ValueError(self.cel_rules[6].message)
        return self


class AdaptiveDbscan(ApiModel):
    """DBSCAN at many densities, for data whose clusters differ in density."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (_searched_once("minSamples"), _searched_once("minClusterSize"))

    min_samples: int = Field(
        default=10,
        ge=1,
        le=1_000_000,
        description="Neighbours, itself included, by which a row's density is measured; more of them smooth it.",
    )
    min_cluster_size: int | None = Field(
        default=None,
        ge=2,
        le=1_000_000_000,
        description="Fewest rows of a cluster; chosen from minSamples and the number of rows when absent.",
    )
    metric: Metric = Field(
        default="euclidean", description="Distance: euclidean, manhattan, chebyshev, haversine (lat, lon) or cosine."
    )
    search: AdaptiveDbscanSearch | None = Field(
        default=None, description="Finds minSamples, minClusterSize or both, by trials inside bounds."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.search and self.search.min_samples and "min_samples" in self.model_fields_set:
            raise ValueError(self.cel_rules[0].message)
        if self.search and self.search.min_cluster_size and self.min_cluster_size is not None:
            raise ValueError(self.cel_rules[1].message)
        return self


class Algorithm(ApiModel):
    """Exactly one clustering algorithm with its parameters."""

    exactly_one: ClassVar[bool] = True

    dbscan: Dbscan | None = Field(
        default=None, description="Exact DBSCAN: one radius eps for all of the data, the labels of scikit-learn."
    )
    adaptive_dbscan: AdaptiveDbscan | None = Field(
        default=None, description="DBSCAN at many densities: no radius to choose; each cluster gets its own."
    )

    @property
    def metric(self) -> Metric:
        """Return the metric of the algorithm that is set."""
        chosen = self.dbscan or self.adaptive_dbscan
        if chosen is None:
            raise AssertionError("validation lets no Algorithm through without a choice")
        return chosen.metric
