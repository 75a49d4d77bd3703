"""Which rows of a stream are kept as a sample: decided in one pass, by a seed; called by `reading`.

Invariant: equal rows in an equal order give an equal sample, however they are cut into batches; every row has the same
chance.
"""

from typing import Any, Protocol

import numpy as np

from shoal_worker.spec.source import SampleSpec

Chosen = np.ndarray[Any, np.dtype[np.int64]]


class Sample(Protocol):
    """A sample that is being drawn."""

    def draw(self, rows: int) -> Chosen:
        """Positions, in the next `rows` rows, of those that may be kept: int64[m], ascending."""

    def keeps(self) -> Chosen | None:
        """Positions, among the rows that were drawn and not given up, of those still kept; None: all of them."""


class _Share:
    """Each row with the same probability."""

    def __init__(self, fraction: float, seed: int) -> None:
        self._fraction = fraction
        self._random = np.random.default_rng(seed)

    def draw(self, rows: int) -> Chosen:
        return np.flatnonzero(self._random.random(rows) < self._fraction)

    def keeps(self) -> None:
        return None


class _Number:
    """The rows with the smallest of random keys: a uniform sample of a fixed number.

    A row whose key is above the bar (the wanted-th smallest key so far) is never kept, so it is not even drawn.
    """

    def __init__(self, wanted: int, seed: int) -> None:
        self._wanted = wanted
        self._random = np.random.default_rng(seed)
        self._keys = np.empty(0)
        self._bar = np.inf

    def draw(self, rows: int) -> Chosen:
        keys = self._random.random(rows)
        drawn = np.flatnonzero(keys < self._bar)
        self._keys = np.concatenate([self._keys, keys[drawn]])
        if len(self._keys) > self._wanted:
            self._bar = np.partition(self._keys, self._wanted - 1)[self._wanted - 1]
        return drawn

    def keeps(self) -> Chosen | None:
        if len(self._keys) <= self._wanted:
            return None
        kept = np.sort(np.argsort(self._keys, kind="stable")[: self._wanted])
        self._keys = self._keys[kept]
        return kept


class _All:
    """Every row."""

    def draw(self, rows: int) -> Chosen:
        return np.arange(rows)

    def keeps(self) -> None:
        return None


def start_sample(spec: SampleSpec | None) -> Sample:
    """Begin to draw a sample; without a spec all rows are kept."""
    if spec is None:
        return _All()
    if spec.rows is not None:
        return _Number(spec.rows, spec.seed)
    return _Share(spec.fraction or 1.0, spec.seed)
