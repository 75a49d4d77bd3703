"""The preprocessing steps, as the user wrote them in spec.preprocessing; fitted by `preprocessing`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shoal_worker.spec.part import Part

Columns = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(min_length=1, max_length=256)
]
Number = Annotated[float, Field(ge=-1e300, le=1e300)]
Share = Annotated[float, Field(ge=0, le=1)]
ScaleMethod = Literal["standard", "robust", "minmax"]
Unknown = Literal["Ignore", "Refuse"]


class SelectSpec(Part):
    """Keep some columns."""

    columns: Columns


class ImputeSpec(Part):
    """Fill in missing numbers."""

    columns: Columns | None = None
    strategy: Literal["mean", "median", "constant"] = "mean"
    value: Number | None = None

    @model_validator(mode="after")
    def _check_value(self) -> Self:
        if (self.value is not None) != (self.strategy == "constant"):
            raise ValueError("value and strategy constant go together")
        return self


class Log1pSpec(Part):
    """Replace x by log(1 + x)."""

    columns: Columns | None = None


class ClipSpec(Part):
    """Cut off values below and above bounds, numbers or quantiles of the training data."""

    columns: Columns | None = None
    min: Number | None = None
    max: Number | None = None
    min_quantile: Share | None = None
    max_quantile: Share | None = None

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        below, above = (self.min, self.min_quantile), (self.max, self.max_quantile)
        if None not in below or None not in above:
            raise ValueError("on each side there is either a number or a quantile")
        if below == above == (None, None):
            raise ValueError("there is no bound")
        for low, high in zip(below, above, strict=True):
            if low is not None and high is not None and low > high:
                raise ValueError("the lower bound is above the upper one")
        return self


class OneHotSpec(Part):
    """Replace a column by one column of 0 and 1 for each of its values."""

    columns: Columns
    max_categories: int = Field(default=64, ge=1, le=1024)
    unknown: Unknown = "Ignore"


class ScaleSpec(Part):
    """Bring columns to one scale."""

    columns: Columns | None = None
    method: ScaleMethod = "standard"


class PcaSpec(Part):
    """Replace all columns by their principal components."""

    components: int | None = Field(default=None, ge=1, le=4096)
    variance_ratio: float | None = Field(default=None, gt=0, lt=1)
    whiten: bool = False

    @model_validator(mode="after")
    def _check_choice(self) -> Self:
        if (self.components is None) == (self.variance_ratio is None):
            raise ValueError("exactly one of components and varianceRatio must be set")
        return self


class UnitNormSpec(Part):
    """Divide every row by its Euclidean length."""


class ToRadiansSpec(Part):
    """Convert degrees to radians."""

    columns: Columns | None = None


AnyStep = (
    SelectSpec | ImputeSpec | Log1pSpec | ClipSpec | OneHotSpec | ScaleSpec | PcaSpec | UnitNormSpec | ToRadiansSpec
)


class StepSpec(Part):
    """Exactly one step."""

    select: SelectSpec | None = None
    impute: ImputeSpec | None = None
    log1p: Log1pSpec | None = Field(default=None, alias="log1p")
    clip: ClipSpec | None = None
    one_hot: OneHotSpec | None = None
    scale: ScaleSpec | None = None
    pca: PcaSpec | None = None
    unit_norm: UnitNormSpec | None = None
    to_radians: ToRadiansSpec | None = None

    @model_validator(mode="after")
    def _check_choice(self) -> Self:
        if len(self._held()) != 1:
            names = ", ".join(field.alias or name for name, field in type(self).model_fields.items())
            raise ValueError(f"exactly one of {names} must be set")
        return self

    @property
    def name(self) -> str:
        """The step's name, as the user writes it."""
        [name] = self._held()
        return type(self).model_fields[name].alias or name

    @property
    def chosen(self) -> AnyStep:
        """The one that is set."""
        [chosen] = self._held().values()
        return chosen

    def _held(self) -> dict[str, AnyStep]:
        return {name: step for name in type(self).model_fields if (step := getattr(self, name)) is not None}


Steps = Annotated[tuple[StepSpec, ...], Field(max_length=32)]


def text_columns(steps: tuple[StepSpec, ...]) -> frozenset[str] | None:
    """The columns that may be of texts without being asked for, because a step codes them; None without steps."""
    if not steps:
        return None
    return frozenset(name for step in steps if step.one_hot for name in step.one_hot.columns)
