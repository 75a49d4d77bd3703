"""From a record and its numbers to a step that works, and to the columns that there are after it; used by
`preprocessor` and, step by step, by `fitting`.

Invariant: a step is made only if its record fits the columns before it and its numbers are as many and as sound as the
record says; else a ValueError says what is wrong. Nothing in a record is trusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from shoal_worker.preprocessing import records, steps
from shoal_worker.preprocessing.records import MOST_COLUMNS, StepRecord
from shoal_worker.preprocessing.steps import Chosen, Coding, Floats, Positions, Step


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns between two steps: names of the numeric ones in order, and of the texts."""

    numbers: tuple[str, ...]
    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        names = (*self.numbers, *self.texts)
        if len(names) > MOST_COLUMNS:
            raise ValueError(f"there are {len(names)} columns, and at most {MOST_COLUMNS} are possible")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two columns have the name {twice!r}")


class Numbers:
    """The fitted numbers of all steps, handed out in order."""

    def __init__(self, values: Floats) -> None:
        self._values = values
        self._next = 0

    @property
    def left(self) -> int:
        """How many were not taken yet."""
        return len(self._values) - self._next

    def take(self, count: int, *, finite: bool = True) -> Floats:
        """Return the next ones."""
        if count > self.left:
            raise ValueError(f"{count} fitted numbers are needed, and {self.left} are left")
        taken = self._values[self._next : self._next + count]
        self._next += count
        if np.isnan(taken).any() or (finite and np.isinf(taken).any()):
            raise ValueError("a fitted number is not finite")
        return taken


def compile_step(index: int, record: StepRecord, layout: Layout, numbers: Numbers) -> tuple[Step, Layout]:
    """Make the step at this index and tell the columns after it."""
    place = f"spec.preprocessing[{index}].{record.step}"
    match record:
        case records.SelectRecord(columns=columns):
            kept = Layout(*(tuple(name for name in columns if name in own) for own in (layout.numbers, layout.texts)))
            if len(kept.numbers) + len(kept.texts) < len(columns):
                raise ValueError(f"{place} selects a column that is not there")
            return steps.Select(_positions(kept.numbers, layout), kept.texts), kept
        case records.ImputeRecord(columns=columns):
            return steps.Impute(_chosen(columns, layout), numbers.take(len(columns))), layout
        case records.Log1pRecord(columns=columns):
            return steps.Log1p(_chosen(columns, layout), columns, f"{place}.columns"), layout
        case records.ClipRecord(columns=columns):
            lows, highs = (numbers.take(len(columns), finite=False) for _ in range(2))
            return steps.Clip(_chosen(columns, layout), lows, highs), layout
        case records.OneHotRecord():
            return _one_hot(record, layout, numbers, place)
        case records.ScaleRecord(columns=columns, method=method):
            first, second = (numbers.take(len(columns)) for _ in range(2))
            if not (first if method == "minmax" else second).all():
                raise ValueError(f"{place} scales by zero")
            return steps.Scale(_chosen(columns, layout), method, first, second), layout
        case records.PcaRecord(components=count, whiten=whiten):
            width = len(layout.numbers)
            if count > width:
                raise ValueError(f"{place} makes {count} components of {width} columns")
            means, components = numbers.take(width), numbers.take(width * count).reshape(count, width)
            deviations = numbers.take(count) if whiten else None
            if deviations is not None and not deviations.all():
                raise ValueError(f"{place} scales by zero")
            names = tuple(f"pca{number}" for number in range(1, count + 1))
            return steps.Pca(means, np.ascontiguousarray(components.T), deviations), Layout(names, layout.texts)
        case records.UnitNormRecord():
            if not layout.numbers:
                raise ValueError(f"{place} has no column")
            return steps.UnitNorm(), layout
        case records.ToRadiansRecord(columns=columns):
            return steps.ToRadians(_chosen(columns, layout)), layout
        case _:
            assert_never(record)


def _one_hot(record: records.OneHotRecord, layout: Layout, numbers: Numbers, place: str) -> tuple[Step, Layout]:
    codings = tuple(_coding(column, layout, numbers, place) for column in record.columns)
    coded = {coding.column for coding in codings}
    if len(coded) < len(codings):
        raise ValueError(f"{place} names a column twice")
    stay = tuple(name for name in layout.numbers if name not in coded)
    made = tuple(
        f"{coding.column}={shown}"
        for coding in codings
        for shown in (coding.texts if coding.position is None else map(_shown, coding.numbers.tolist()))
    )
    after = Layout((*stay, *made), tuple(name for name in layout.texts if name not in coded))
    refuses = record.unknown == "Refuse"
    return steps.OneHot(codings, _positions(stay, layout), refuses, f"{place}.columns"), after


def _coding(column: records.Categories, layout: Layout, numbers: Numbers, place: str) -> Coding:
    if not column.count or (column.texts is not None) != (column.column in layout.texts):
        raise ValueError(f"{place} has no categories of {column.column!r}")
    if column.texts is not None:
        if list(column.texts) != sorted(set(column.texts)):
            raise ValueError(f"{place} has unsorted categories of {column.column!r}")
        return Coding(column.column, None, {text: code for code, text in enumerate(column.texts)}, np.empty(0))
    values = numbers.take(column.numbers)
    if not (np.diff(values) > 0).all():
        raise ValueError(f"{place} has unsorted categories of {column.column!r}")
    return Coding(column.column, int(_positions((column.column,), layout)[0]), {}, values)


def _shown(number: float) -> str:
    return repr(number).removesuffix(".0")


def _chosen(names: Sequence[str], layout: Layout) -> Chosen:
    return None if tuple(names) == layout.numbers else _positions(names, layout)


def _positions(names: Sequence[str], layout: Layout) -> Positions:
    place = {name: position for position, name in enumerate(layout.numbers)}
    if missing := [name for name in names if name not in place]:
        raise ValueError(f"there is no numeric column {missing[0]!r}")
    if len(set(names)) < len(names):
        raise ValueError("a step names a column twice")
    return np.array([place[name] for name in names], dtype=np.intp)
