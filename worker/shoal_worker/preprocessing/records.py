"""The fitted steps as JSON: what a manifest holds of them beside their numbers; read by `preprocessor` and `manifest`.

Invariant: a record names its columns itself, so that what a step does depends on nothing but the record, the numbers
and the raw columns. Sizes are bounded before anything is allocated.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shoal_worker.spec.preprocessing import ScaleMethod, Unknown

MOST_STEPS = 32
MOST_COLUMNS = 4096
MOST_CATEGORIES = 1024
LONGEST_TEXT = 256
"""Characters of a category, and so of a text in a request."""

Name = Annotated[str, Field(min_length=1, max_length=600)]
Names = Annotated[tuple[Name, ...], Field(max_length=MOST_COLUMNS)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]


class _Record(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


class SelectRecord(_Record):
    """Keeps these columns."""

    step: Literal["select"] = "select"
    columns: Names


class ImputeRecord(_Record):
    """Fills in these columns; numbers: what with."""

    step: Literal["impute"] = "impute"
    columns: Names


class Log1pRecord(_Record):
    """Takes log(1 + x) of these columns."""

    step: Literal["log1p"] = "log1p"
    columns: Names


class ClipRecord(_Record):
    """Clips these columns; numbers: the lower bounds, then the upper ones, infinite where there is none."""

    step: Literal["clip"] = "clip"
    columns: Names


class Categories(_Record):
    """The values of one column: texts, or a count of numbers, which are among the step's; sorted."""

    column: Name
    texts: Annotated[tuple[Text, ...], Field(max_length=MOST_CATEGORIES)] | None = None
    numbers: int = Field(default=0, ge=0, le=MOST_CATEGORIES)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.numbers if self.texts is None else len(self.texts)


class OneHotRecord(_Record):
    """Replaces columns by one for each category; numbers: the categories of the numeric ones."""

    step: Literal["oneHot"] = "oneHot"
    columns: Annotated[tuple[Categories, ...], Field(max_length=256)]
    unknown: Unknown


class ScaleRecord(_Record):
    """Scales these columns; numbers: what is subtracted, then the divisors; minmax: factors, then what is added."""

    step: Literal["scale"] = "scale"
    columns: Names
    method: ScaleMethod


class PcaRecord(_Record):
    """Projects all columns; numbers: the means, the components row by row, and if whitened the deviations."""

    step: Literal["pca"] = "pca"
    components: int = Field(ge=1, le=MOST_COLUMNS)
    whiten: bool


class UnitNormRecord(_Record):
    """Divides every row by its length."""

    step: Literal["unitNorm"] = "unitNorm"


class ToRadiansRecord(_Record):
    """Converts these columns from degrees."""

    step: Literal["toRadians"] = "toRadians"
    columns: Names


StepRecord = Annotated[
    SelectRecord
    | ImputeRecord
    | Log1pRecord
    | ClipRecord
    | OneHotRecord
    | ScaleRecord
    | PcaRecord
    | UnitNormRecord
    | ToRadiansRecord,
    Field(discriminator="step"),
]
StepRecords = Annotated[tuple[StepRecord, ...], Field(max_length=MOST_STEPS)]
