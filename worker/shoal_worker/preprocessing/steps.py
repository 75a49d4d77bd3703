"""The fitted steps at work, in numpy; made by `preprocessor`, which feeds them blocks of rows.

Invariant: what becomes of a row depends on that row alone, to the last bit: every number is made by elementwise
operations in a fixed order, never by a sum whose order follows from how many rows there are. No Python statement runs
for each row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Protocol

import numpy as np

from shoal_worker.errors import RowsRefused
from shoal_worker.spec.preprocessing import ScaleMethod

Floats = np.ndarray[Any, np.dtype[np.float64]]
Positions = np.ndarray[tuple[int], np.dtype[np.intp]]
Chosen = Positions | None
"""Some columns of numbers by position, or all of them."""

_PRODUCTS = 1 << 16
# As scikit-learn has it: what is shorter has no direction worth telling.
_SHORTEST = 10 * np.finfo(np.float64).eps


@dataclass(frozen=True, slots=True)
class Rows:
    """A block of rows on their way: numbers that the steps may overwrite, texts by column, number of the first row."""

    numbers: Floats
    texts: Mapping[str, np.ndarray]
    first: int = 0

    def part(self, chosen: Chosen) -> Floats:
        """The chosen columns, to be overwritten and handed back to `put`."""
        return self.numbers if chosen is None else np.take(self.numbers, chosen, axis=1)

    def put(self, chosen: Chosen, part: Floats) -> "Rows":
        """Put the chosen columns back."""
        if chosen is not None:
            self.numbers[:, chosen] = part
        return self


class Step(Protocol):
    """What all steps have in common."""

    def apply(self, rows: Rows) -> Rows:
        """Return the rows as they are after this step; raise RowsRefused where one cannot be taken."""
        ...


@dataclass(frozen=True, slots=True)
class Select:
    """Keep some columns."""

    positions: Positions
    texts: tuple[str, ...]

    def apply(self, rows: Rows) -> Rows:
        """Take the numbers at the positions, and the texts."""
        kept = {name: rows.texts[name] for name in self.texts}
        return Rows(np.take(rows.numbers, self.positions, axis=1), kept, rows.first)


@dataclass(frozen=True, slots=True)
class Impute:
    """Fill in what is missing."""

    chosen: Chosen
    fills: Floats

    def apply(self, rows: Rows) -> Rows:
        """Put the fills where NaN is."""
        part = rows.part(self.chosen)
        np.copyto(part, self.fills, where=np.isnan(part))
        return rows.put(self.chosen, part)


@dataclass(frozen=True, slots=True)
class Log1p:
    """Take log(1 + x)."""

    chosen: Chosen
    names: tuple[str, ...]
    place: str

    def apply(self, rows: Rows) -> Rows:
        """Refuse what has no logarithm, and take it of the rest."""
        part = rows.part(self.chosen)
        refused = part <= -1
        if refused.any():
            row, column = (int(index) for index in np.argwhere(refused)[0])
            raise RowsRefused(
                f"row {rows.first + row} of column {self.names[column]!r} is {part[row, column]}, and log1p takes "
                "values above -1",
                field=self.place,
                value=self.names[column],
                remedy="Clip the column before, or leave it out of log1p",
            )
        return rows.put(self.chosen, np.log1p(part, out=part))


@dataclass(frozen=True, slots=True)
class Clip:
    """Cut off at bounds."""

    chosen: Chosen
    lows: Floats
    highs: Floats

    def apply(self, rows: Rows) -> Rows:
        """Clip; what is missing stays missing."""
        part = rows.part(self.chosen)
        return rows.put(self.chosen, np.clip(part, self.lows, self.highs, out=part))


@dataclass(frozen=True, slots=True)
class Coding:
    """The categories of one column, as they are looked up: texts by a table, numbers by bisection."""

    column: str
    position: int | None
    texts: Mapping[str, int]
    numbers: Floats

    @property
    def count(self) -> int:
        """How many categories there are."""
        return len(self.texts) if self.position is None else len(self.numbers)

    def codes(self, rows: Rows) -> Positions:
        """The place of each row's value among the categories, -1 for one that is missing or unknown."""
        if self.position is None:
            values = rows.texts[self.column]
            return np.fromiter(map(self.texts.get, values.tolist(), repeat(-1)), dtype=np.intp, count=len(values))
        numbers = rows.numbers[:, self.position]
        nearest = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        return np.where(self.numbers[nearest] == numbers, nearest, -1)


@dataclass(frozen=True, slots=True)
class OneHot:
    """Replace columns by one for each category; the new ones follow those that stay."""

    codings: tuple[Coding, ...]
    stay: Positions
    refuses: bool
    place: str

    def apply(self, rows: Rows) -> Rows:
        """Set one of the new columns in each row, none where the value is not known."""
        hot = np.zeros((len(rows.numbers), sum(coding.count for coding in self.codings)))
        first = 0
        for coding in self.codings:
            codes = coding.codes(rows)
            known = codes >= 0
            if self.refuses and not known.all():
                self._refuse(rows, coding, int(np.flatnonzero(~known)[0]))
            hot[np.flatnonzero(known), first + codes[known]] = 1
            first += coding.count
        coded = {coding.column for coding in self.codings}
        texts = {name: values for name, values in rows.texts.items() if name not in coded}
        return Rows(np.concatenate([np.take(rows.numbers, self.stay, axis=1), hot], axis=1), texts, rows.first)

    def _refuse(self, rows: Rows, coding: Coding, row: int) -> None:
        value = rows.texts[coding.column][row] if coding.position is None else float(rows.numbers[row, coding.position])
        missing = value is None or value != value
        raise RowsRefused(
            f"row {rows.first + row} of column {coding.column!r} is "
            + ("missing" if missing else "none of the values in the training data"),
            field=self.place,
            value="" if missing else value,
            remedy="Send a value that the model knows, or train with unknown: Ignore",
        )


@dataclass(frozen=True, slots=True)
class Scale:
    """Bring columns to one scale by two numbers each, in the order of scikit-learn's operations."""

    chosen: Chosen
    method: ScaleMethod
    first: Floats
    second: Floats

    def apply(self, rows: Rows) -> Rows:
        """Compute x * first + second for minmax, else (x - first) / second."""
        part = rows.part(self.chosen)
        if self.method == "minmax":
            part *= self.first
            part += self.second
        else:
            part -= self.first
            part /= self.second
        return rows.put(self.chosen, part)


@dataclass(frozen=True, slots=True)
class Pca:
    """Project onto principal components."""

    means: Floats
    components: Floats
    """By column, then by component: the transpose of scikit-learn's."""
    deviations: Floats | None

    def apply(self, rows: Rows) -> Rows:
        """Sum up products column by column; a matrix product's order of summation would depend on the batch."""
        centred = rows.numbers - self.means
        width, count = self.components.shape
        projected = np.zeros((count, len(centred)))
        columns = max(1, _PRODUCTS // max(projected.size, 1))
        for start in range(0, width, columns):
            part = slice(start, start + columns)
            products = self.components[part, :, None] * centred.T[part, None, :]
            products[0] += projected
            # Accumulation is one addition after the other, by definition.
            projected = np.add.accumulate(products, axis=0, out=products)[-1].copy()
        numbers = np.ascontiguousarray(projected.T)
        if self.deviations is not None:
            numbers /= self.deviations
        return Rows(numbers, rows.texts, rows.first)


@dataclass(frozen=True, slots=True)
class UnitNorm:
    """Divide every row by its length."""

    def apply(self, rows: Rows) -> Rows:
        """Scale rows by a power of two first, which is exact, so that no square leaves the range of numbers."""
        numbers = rows.numbers
        exponents = np.frexp(np.abs(numbers).max(axis=1, initial=0.0))[1]
        scaled = np.ldexp(numbers, -exponents[:, None])
        lengths = np.sqrt(np.add.accumulate(scaled * scaled, axis=1)[:, -1])
        directed = np.ldexp(lengths, exponents) >= _SHORTEST
        np.divide(scaled, lengths[:, None], out=numbers, where=directed[:, None])
        return rows


@dataclass(frozen=True, slots=True)
class ToRadians:
    """Convert degrees."""

    chosen: Chosen

    def apply(self, rows: Rows) -> Rows:
        """Multiply by pi / 180."""
        part = rows.part(self.chosen)
        return rows.put(self.chosen, np.radians(part, out=part))
