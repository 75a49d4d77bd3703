"""How far the training data reach: the least and the largest value of each feature; used by `artifact` and `model`.

A row is out of reach when one of its features lies outside: the training says nothing about such rows. Features are
what preprocessing makes of the raw columns, hence what the clustering sees. Invariant: no training row is out of reach.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

Bounds = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
Limits = np.ndarray[tuple[int], np.dtype[np.floating[Any]]]
Points = np.ndarray[Any, np.dtype[np.floating[Any]]]

_SINGLE_BYTES = 4
# So few values are compared sooner one by one than by four calls of numpy.
_FEW_VALUES = 32
_TILE_VALUES = 4096


@dataclass(frozen=True, slots=True)
class _Tiles:
    """The limits in one precision, again and again for as many rows as are compared at once.

    Compared with limits of its own length, a flat array takes a quarter of the time that rows take with one pair.
    """

    low: Limits
    high: Limits
    pairs: tuple[tuple[float, float], ...]
    """Of each feature."""

    @classmethod
    def build(cls, low: Limits, high: Limits) -> Self:
        rows = max(_TILE_VALUES // max(len(low), 1), 1)
        return cls(np.tile(low, rows), np.tile(high, rows), tuple(zip(low.tolist(), high.tolist(), strict=True)))


@dataclass(frozen=True, slots=True)
class Ranges:
    """The least and the largest value of each feature."""

    bounds: Bounds
    """What an artifact holds: the least values, then the largest ones."""
    _double: _Tiles
    _single: _Tiles

    @classmethod
    def build(cls, bounds: Bounds) -> Self:
        """Take up what an artifact holds; ValueError where it cannot be ranges."""
        if not np.isfinite(bounds).all() or (bounds[0] > bounds[1]).any():
            raise ValueError("the ranges must be finite, the least value below the largest one")
        # What is beyond single precision becomes infinite, and so do the values of a request.
        with np.errstate(over="ignore"):
            rounded = bounds.astype(np.float32)
        return cls(bounds, _Tiles.build(bounds[0], bounds[1]), _Tiles.build(rounded[0], rounded[1]))

    def count_outside(self, points: Points) -> int:
        """Number of the rows that are out of reach; cheap where there is none, which is asked in every call."""
        tiles = self._tiles(points)
        if points.size <= _FEW_VALUES:
            return sum(_is_outside(row, tiles.pairs) for row in points.tolist())
        return sum(
            int(outside.reshape(-1, len(tiles.pairs)).any(axis=1).sum())
            for outside in _compare(points, tiles)
            if np.count_nonzero(outside)
        )

    def find_outside(self, points: Points) -> Flags:
        """For each row, whether it is out of reach."""
        found = [np.empty(0, dtype=np.bool_), *_compare(points, self._tiles(points))]
        return np.asarray(np.concatenate(found).reshape(points.shape).any(axis=1))

    def _tiles(self, points: Points) -> _Tiles:
        # A value of single precision is compared as such: else the largest training value, rounded, would be outside.
        return self._single if points.itemsize == _SINGLE_BYTES else self._double


def _compare(points: Points, tiles: _Tiles) -> Iterator[Flags]:
    """Which values lie outside, some rows at a time."""
    values, step = points.reshape(-1), len(tiles.low)
    for start in range(0, len(values), step):
        part = values[start : start + step]
        yield (part < tiles.low[: len(part)]) | (part > tiles.high[: len(part)])


def _is_outside(row: list[float], pairs: tuple[tuple[float, float], ...]) -> bool:
    return any(value < low or value > high for value, (low, high) in zip(row, pairs, strict=True))


def measure_ranges(points: np.ndarray[Any, np.dtype[np.float64]]) -> Bounds:
    """The bounds of at least one row."""
    bounds: Bounds = np.stack([points.min(axis=0), points.max(axis=0)])
    return bounds
