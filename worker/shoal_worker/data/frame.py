"""Rows of raw, named columns, as sources give them and requests send them; numpy only, because serving loads it.

Invariant: numbers are float64 in C order with NaN for a missing value; a text column is an object array of str or None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoal_worker.artifact.manifest import Column


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows by raw column; `columns` in the source's order, `numbers` has the numeric ones of them in the same order."""

    columns: tuple[Column, ...]
    numbers: np.ndarray[Any, np.dtype[np.float64]]
    texts: Mapping[str, np.ndarray]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.numbers)

    @property
    def numeric_names(self) -> tuple[str, ...]:
        """Names of the numeric columns, as `numbers` has them."""
        return tuple(column.name for column in self.columns if column.name not in self.texts)

    def number(self, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """A view of one numeric column."""
        return self.numbers[:, self.numeric_names.index(name)]

    def select(self, rows: slice | np.ndarray) -> "Frame":
        """Some of the rows."""
        return Frame(self.columns, self.numbers[rows], {name: values[rows] for name, values in self.texts.items()})
