"""spec.preprocessing of a ClusteringModel: what is done to the columns before they are clustered.

The steps run in order, in training and on every request alike. No decision lives here.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule
from shoal_operator.api.source import ColumnName

MOST_STEPS = 32

_ALL = "all numeric columns that there are at this step when absent."
_Number = Annotated[float, Field(ge=-1e300, le=1e300)]
_Share = Annotated[float, Field(ge=0, le=1)]
Columns = Annotated[list[ColumnName], Field(min_length=1, max_length=256)]


class Select(ApiModel):
    """Keep some columns."""

    columns: Columns = Field(description="Columns to keep, in the order that they shall have; the others are dropped.")


class Impute(ApiModel):
    """Fill in missing numbers."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.value) == (has(self.strategy) && self.strategy == 'constant')",
            message="impute.value and strategy constant go together; give both or neither",
        ),
    )

    columns: Columns | None = Field(default=None, description=f"Columns to fill in; {_ALL}")
    strategy: Literal["mean", "median", "constant"] = Field(
        default="mean", description="What missing numbers become: the training data's mean or median, or a constant."
    )
    value: _Number | None = Field(default=None, description="The constant.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.value is not None) != (self.strategy == "constant"):
            raise ValueError(self.cel_rules[0].message)
        return self


class Log1p(ApiModel):
    """Replace x by the natural logarithm of 1 + x."""

    columns: Columns | None = Field(default=None, description=f"Columns, each above -1; {_ALL}")


class Clip(ApiModel):
    """Cut off values below and above bounds."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.min) || has(self.max) || has(self.minQuantile) || has(self.maxQuantile)",
            message="clip has no bound; give min or minQuantile, max or maxQuantile",
        ),
        CelRule(
            rule="!(has(self.min) && has(self.minQuantile)) && !(has(self.max) && has(self.maxQuantile))",
            message="clip has two bounds on one side; give either the number or the quantile",
        ),
        CelRule(
            rule="!has(self.min) || !has(self.max) || self.min <= self.max",
            message="clip.min is above clip.max; exchange them",
        ),
        CelRule(
            rule="!has(self.minQuantile) || !has(self.maxQuantile) || self.minQuantile <= self.maxQuantile",
            message="clip.minQuantile is above clip.maxQuantile; exchange them",
        ),
    )

    columns: Columns | None = Field(default=None, description=f"Columns to clip; {_ALL}")
    min: _Number | None = Field(default=None, description="Least value.")
    max: _Number | None = Field(default=None, description="Largest value.")
    min_quantile: _Share | None = Field(
        default=None, description="Least value, as a quantile of the training data's column, 0 to 1."
    )
    max_quantile: _Share | None = Field(
        default=None, description="Largest value, as a quantile of the training data's column, 0 to 1."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        bounds = (self.min, self.max, self.min_quantile, self.max_quantile)
        twice = (self.min is not None and self.min_quantile is not None) or (
            self.max is not None and self.max_quantile is not None
        )
        broken = (
            all(bound is None for bound in bounds),
            twice,
            self.min is not None and self.max is not None and self.min > self.max,
            self.min_quantile is not None and self.max_quantile is not None and self.min_quantile > self.max_quantile,
        )
        for rule, is_broken in zip(self.cel_rules, broken, strict=True):
            if is_broken:
                raise ValueError(rule.message)
        return self


class OneHot(ApiModel):
    """Replace a column by one column of 0 and 1 for each of its values."""

    columns: Columns = Field(description="Columns of texts or of few different numbers.")
    max_categories: int = Field(
        default=64, ge=1, le=1024, description="Most different values of a column; training fails with more."
    )
    unknown: Literal["Ignore", "Refuse"] = Field(
        default="Ignore",
        description="What becomes of a row whose value is missing or was not in the training data: Ignore sets none of "
        "the new columns, Refuse refuses the request.",
    )


class Scale(ApiModel):
    """Bring columns to one scale."""

    columns: Columns | None = Field(default=None, description=f"Columns to scale; {_ALL}")
    method: Literal["standard", "robust", "minmax"] = Field(
        default="standard",
        description="standard: mean 0, deviation 1; robust: median 0, range of the middle half 1; minmax: 0 to 1.",
    )


class Pca(ApiModel):
    """Replace all columns by their principal components."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.components) != has(self.varianceRatio)",
            message="pca needs exactly one of components and varianceRatio; keep the one that you want",
        ),
    )

    components: int | None = Field(default=None, ge=1, le=4096, description="Number of components.")
    variance_ratio: float | None = Field(
        default=None, gt=0, lt=1, description="As many components as explain this share of the variance, 0 to 1."
    )
    whiten: bool = Field(default=False, description="Bring the components to variance 1.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.components is None) == (self.variance_ratio is None):
            raise ValueError(self.cel_rules[0].message)
        return self


class UnitNorm(ApiModel):
    """Divide every row by its Euclidean length; a row of zeros stays."""


class ToRadians(ApiModel):
    """Convert degrees to radians, as metric haversine needs."""

    columns: Columns | None = Field(default=None, description=f"Columns in degrees; {_ALL}")


class PreprocessingStep(ApiModel):
    """Exactly one step."""

    exactly_one: ClassVar[bool] = True

    select: Select | None = Field(default=None, description="Keep some columns, drop the others.")
    impute: Impute | None = Field(default=None, description="Fill in missing numbers.")
    log1p: Log1p | None = Field(default=None, alias="log1p", description="Replace x by log(1 + x).")
    clip: Clip | None = Field(default=None, description="Cut off values below and above bounds.")
    one_hot: OneHot | None = Field(default=None, description="Replace a column by one of 0 and 1 for each value.")
    scale: Scale | None = Field(default=None, description="Bring columns to one scale.")
    pca: Pca | None = Field(default=None, description="Replace all columns by their principal components.")
    unit_norm: UnitNorm | None = Field(default=None, description="Divide every row by its Euclidean length.")
    to_radians: ToRadians | None = Field(default=None, description="Convert degrees to radians.")
