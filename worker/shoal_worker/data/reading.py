"""The rows of a training: of a source, all of them or a sample, as one frame within bounds; called by `train`.

Invariant: what cannot fit is refused before it is read where the files tell their rows, else while it is read; memory
holds the rows that are kept and one batch. Raises SourceInvalid with column and remedy, or StoreError.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import pyarrow as pa

from shoal_worker.artifact.manifest import TEXT, Column
from shoal_worker.data.columns import choose_columns, frame_of
from shoal_worker.data.dataset import Access, open_dataset
from shoal_worker.data.formats.format import URI_FIELD
from shoal_worker.data.frame import Frame
from shoal_worker.data.profile import DataProfile, digest_files, profile_columns
from shoal_worker.data.sampling import start_sample
from shoal_worker.errors import SourceInvalid
from shoal_worker.spec.source import SampleSpec, SourceSpec

_BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be held in memory."""

    rows: int
    bytes: int
    """Of the chosen columns, eight for each value."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The rows, and what is recorded of them."""

    frame: Frame
    profile: DataProfile


def read_training_data(
    source: SourceSpec, access: Access, bounds: Bounds, texts: frozenset[str] | None = None
) -> TrainingData:
    """Read the source's columns.

    texts: columns of texts to read beside all numeric ones, where the source names none; None: there must be no texts.
    """
    if source.sql is not None:
        return _read_query(source, access, bounds, texts)
    dataset = open_dataset(source, access)
    columns = choose_columns(dataset.schema, source.columns, texts, unasked=dataset.partition_columns)
    names = tuple(column.name for column in columns)
    dataset.check(names, all_numeric=source.columns is None)
    rows = _Rows(columns, bounds, source, dataset.plan.rows)
    for batch in dataset.batches(None, names, batch_rows=_BATCH_ROWS):
        rows.add(batch)
    plan = dataset.plan
    return rows.told(plan.format, files=len(plan.files), size=plan.size, digest=digest_files(plan.files))


def _read_query(source: SourceSpec, access: Access, bounds: Bounds, texts: frozenset[str] | None) -> TrainingData:
    # Imported late: few trainings ask a database.
    from shoal_worker.data.sql import open_query

    with open_query(source, access) as query:
        columns = choose_columns(query.schema, source.columns, texts)
        rows = _Rows(columns, bounds, source, None)
        for batch in query.batches(tuple(column.name for column in columns), batch_rows=_BATCH_ROWS):
            rows.add(batch)
    return rows.told("sql", files=0, size=0, digest="")


class _Rows:
    """Rows that grow batch by batch, up to a limit, and shrink again where a sample gives some up."""

    def __init__(self, columns: tuple[Column, ...], bounds: Bounds, source: SourceSpec, known: int | None) -> None:
        self._columns = columns
        self._limit = min(bounds.rows, bounds.bytes // (8 * len(columns)))
        if known is not None:
            _check_rows(_least_kept(known, source.sample), self._limit, columns)
        room = known if source.sample is None else None
        self._uri = source.uri
        self._sample = start_sample(source.sample)
        self._most = source.sample.rows if source.sample else None
        self._read = 0
        self._filled = 0
        self._numbers = np.empty((room or 0, sum(column.dtype != TEXT for column in columns)))
        self._texts: dict[str, list[np.ndarray[Any, Any]]] = {c.name: [] for c in columns if c.dtype == TEXT}

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the rows of a batch, or those that the sample draws of it."""
        self._read += batch.num_rows
        drawn = self._sample.draw(batch.num_rows)
        if not len(drawn):
            return
        frame = frame_of(batch if len(drawn) == batch.num_rows else batch.take(drawn), self._columns)
        end = self._filled + frame.rows
        _check_rows(end if self._most is None else min(end, self._most), self._limit, self._columns)
        if end > len(self._numbers):
            # Grown in place: a copy would need the memory twice.
            self._numbers.resize((max(end, len(self._numbers) * 3 // 2), self._numbers.shape[1]), refcheck=False)
        self._numbers[self._filled : end] = frame.numbers
        for name, read in self._texts.items():
            read.append(frame.texts[name])
        self._filled = end
        # Now and then is enough, and a quarter more than is kept may lie here meanwhile.
        if self._most is not None and self._filled >= self._most + max(self._most // 4, _BATCH_ROWS):
            self._give_up()

    def told(self, file_format: str, *, files: int, size: int, digest: str) -> TrainingData:
        """All rows that are kept, and what is recorded of them."""
        frame = self._frame()
        if not frame.rows:
            raise SourceInvalid("there are no rows", field=URI_FIELD, value=self._uri, remedy="Point to data with rows")
        profile = DataProfile(
            format=file_format,
            files=files,
            bytes=size,
            rows_read=self._read,
            rows=frame.rows,
            digest=digest,
            columns=profile_columns(frame),
        )
        return TrainingData(frame, profile)

    def _frame(self) -> Frame:
        self._give_up()
        self._numbers.resize((self._filled, self._numbers.shape[1]), refcheck=False)
        return Frame(self._columns, self._numbers, {name: _joined(read) for name, read in self._texts.items()})

    def _give_up(self) -> None:
        if (kept := self._sample.keeps()) is None:
            return
        self._numbers[: len(kept)] = self._numbers[kept]
        for name, read in self._texts.items():
            self._texts[name] = [_joined(read)[kept]]
        self._filled = len(kept)


def _joined(parts: list["np.ndarray[Any, Any]"]) -> "np.ndarray[Any, Any]":
    return np.concatenate([*parts, np.empty(0, dtype=object)])


def _least_kept(rows: int, sample: SampleSpec | None) -> int:
    """Rows that are kept at least, but for a chance of one in a million."""
    if sample is None:
        return rows
    if sample.rows is not None:
        return min(rows, sample.rows)
    expected = rows * (sample.fraction or 1.0)
    return max(0, int(expected - 5 * sqrt(expected)))


def _check_rows(rows: int, limit: int, columns: tuple[Column, ...]) -> None:
    if rows > limit:
        raise SourceInvalid(
            f"there are {rows} rows or more, and at most {limit} of {len(columns)} columns fit the limits",
            field=URI_FIELD,
            value=rows,
            remedy=f"Train on a sample (spec.source.sample.rows: {limit}), on fewer columns, or with more memory",
        )
