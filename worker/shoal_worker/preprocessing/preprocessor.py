"""A fitted preprocessing: from rows of raw columns to the numbers that are clustered; used by training, serving,
batches and validation alike.

Invariant: the numbers of a row are the same to the last bit wherever and with whatever other rows it is sent, and they
are finite, or a RowsRefused names the row and the column. No library but numpy takes part.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from shoal_worker.artifact.manifest import TEXT, Column
from shoal_worker.data.frame import Frame
from shoal_worker.errors import RowsRefused
from shoal_worker.preprocessing import records
from shoal_worker.preprocessing.compiling import Layout, Numbers, compile_step
from shoal_worker.preprocessing.records import StepRecord
from shoal_worker.preprocessing.steps import Floats, Rows, Step

_BLOCK_VALUES = 1 << 16


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """The steps, fitted; without steps the features are the columns.

    columns: what it needs of the raw ones. features: what it makes of them. optional: raw columns whose values may be
    missing. values: all fitted numbers, in the order of the records.
    """

    columns: tuple[Column, ...]
    features: tuple[str, ...]
    optional: frozenset[str]
    records: tuple[StepRecord, ...]
    values: Floats
    numeric: tuple[str, ...]
    texts: tuple[str, ...]
    _steps: tuple[Step, ...]
    _block_rows: int

    @classmethod
    def build(cls, columns: tuple[Column, ...], records: tuple[StepRecord, ...], values: Floats) -> Self:
        """Make it from what was recorded; ValueError where that does not fit together."""
        raw = Layout(
            tuple(column.name for column in columns if column.dtype != TEXT),
            tuple(column.name for column in columns if column.dtype == TEXT),
        )
        layout, numbers = raw, Numbers(values)
        made: list[Step] = []
        widest = len(raw.numbers)
        for index, record in enumerate(records):
            step, layout = compile_step(index, record, layout, numbers)
            made.append(step)
            widest = max(widest, len(layout.numbers))
        if numbers.left:
            raise ValueError(f"{numbers.left} fitted numbers belong to no step")
        if layout.texts:
            raise ValueError(f"column {layout.texts[0]!r} is still of texts after the last step")
        if not layout.numbers:
            raise ValueError("no column is left after the last step")
        return cls(
            columns=columns,
            features=layout.numbers,
            optional=find_optional(raw, records),
            records=records,
            values=values,
            numeric=raw.numbers,
            texts=raw.texts,
            _steps=tuple(made),
            _block_rows=max(1, _BLOCK_VALUES // max(widest, 1)),
        )

    def apply(self, frame: Frame, first_row: int = 0) -> Floats:
        """Return the features of each row, C-contiguous; the frame may have more columns, in any order.

        first_row: number of the frame's first row where it is a part of more rows; refusals count from there.
        """
        source = self.numbers_of(frame)
        if not self._steps:
            self._check_raw(source, first_row)
            return np.ascontiguousarray(source)
        made = np.empty((frame.rows, len(self.features)))
        # What leaves the range of numbers is refused below, by name.
        with np.errstate(all="ignore"):
            for start in range(0, frame.rows, self._block_rows):
                block = slice(start, start + self._block_rows)
                numbers = np.array(source[block], order="C")
                self._check_raw(numbers, first_row + start)
                rows = Rows(numbers, {name: frame.texts[name][block] for name in self.texts}, first_row + start)
                for step in self._steps:
                    rows = step.apply(rows)
                made[block] = rows.numbers
        self._check_made(made, first_row)
        return made

    def numbers_of(self, frame: Frame) -> Floats:
        """The raw numeric columns, in the order of `numeric`; RowsRefused where the frame lacks a column."""
        if frame.numeric_names == self.numeric:
            return frame.numbers
        places = {name: position for position, name in enumerate(frame.numeric_names)}
        for name in (*self.numeric, *self.texts):
            if name not in (places if name in self.numeric else frame.texts):
                raise RowsRefused(
                    "the column is missing, or of another type than the model's",
                    reason="ColumnMissing",
                    field=name,
                    remedy=f"The model's columns are: {describe(self.columns)}",
                )
        return np.take(frame.numbers, [places[name] for name in self.numeric], axis=1)

    def _check_raw(self, numbers: Floats, first: int) -> None:
        finite = np.isfinite(numbers)
        if finite.all():
            return
        required = np.array([name not in self.optional for name in self.numeric])
        refused = np.isinf(numbers) | (~finite & required)
        if refused.any():
            row, column = (int(index) for index in np.argwhere(refused)[0])
            value = numbers[row, column]
            kinds = ", ".join(sorted(self.optional)[:16]) or "none"
            raise RowsRefused(
                f"row {first + row} is {'missing' if np.isnan(value) else 'infinite'} in column "
                f"{self.numeric[column]!r}",
                field=self.numeric[column],
                value=value,
                remedy=f"Leave the row out. Columns that may have missing values: {kinds}",
            )

    def _check_made(self, made: Floats, first: int) -> None:
        finite = np.isfinite(made)
        if finite.all():
            return
        row, feature = (int(index) for index in np.argwhere(~finite)[0])
        raise RowsRefused(
            f"row {first + row} leaves the range of numbers in feature {self.features[feature]!r}",
            field="spec.preprocessing",
            value=made[row, feature],
            remedy="Leave the row out, or clip its columns before they are scaled",
        )


def find_optional(raw: Layout, steps: tuple[StepRecord, ...]) -> frozenset[str]:
    """Raw columns that are imputed, or coded with unknown: Ignore, before their numbers meet those of other columns.

    Until then a step makes NaN of NaN, or drops it.
    """
    alone = {*raw.numbers, *raw.texts}
    found: set[str] = set()
    for step in steps:
        match step:
            case records.SelectRecord(columns=columns):
                alone &= set(columns)
            case records.ImputeRecord(columns=columns):
                found |= alone & set(columns)
            case records.OneHotRecord(columns=coded, unknown=unknown):
                names = {categories.column for categories in coded}
                found |= alone & names if unknown == "Ignore" else set()
                alone -= names
            case records.PcaRecord() | records.UnitNormRecord():
                alone -= set(raw.numbers)
    return frozenset(found)


def describe(columns: tuple[Column, ...]) -> str:
    """List columns with their types, for people.

    >>> describe((Column(name="a", dtype="double"), Column(name="b", dtype="string")))
    'a (double), b (string)'
    """
    shown = ", ".join(f"{column.name} ({column.dtype})" for column in columns[:16])
    return shown + (f" and {len(columns) - 16} more" if len(columns) > 16 else "")
