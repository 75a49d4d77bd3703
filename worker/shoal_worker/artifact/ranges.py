"""How far the training data reach: the least and the largest value of each feature; used by `artifact` and `model`.

A row is out of reach when one of its features lies outside: the training says nothing about such rows. Features are
what preprocessing makes of the raw columns, hence what the clustering sees. Invariant: no training row is out of reach.
"""

from typing import Any, NamedTuple, Self

import numpy as np

Bounds = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
Limits = np.ndarray[tuple[int], np.dtype[np.floating[Any]]]

_SINGLE_BYTES = 4


class Ranges(NamedTuple):
    """The least and the largest value of each feature, in double and in single precision."""

    double: tuple[Limits, Limits]
    single: tuple[Limits, Limits]

    @classmethod
    def build(cls, bounds: Bounds) -> Self:
        """Take up what an artifact holds; ValueError where it cannot be ranges."""
        if not np.isfinite(bounds).all() or (bounds[0] > bounds[1]).any():
            raise ValueError("the ranges must be finite, the least value below the largest one")
        # What is beyond single precision becomes infinite, and so do the values of a request.
        with np.errstate(over="ignore"):
            rounded = bounds.astype(np.float32)
        return cls((bounds[0], bounds[1]), (rounded[0], rounded[1]))

    @property
    def bounds(self) -> Bounds:
        """What an artifact holds: the least values, then the largest ones."""
        bounds: Bounds = np.stack(self.double)
        return bounds

    def count_outside(self, points: np.ndarray[Any, np.dtype[np.floating[Any]]]) -> int:
        """Number of the rows that are out of reach; cheap where there is none, which is asked in every call."""
        outside = self._outside(points)
        return int(outside.any(axis=1).sum()) if np.count_nonzero(outside) else 0

    def find_outside(self, points: np.ndarray[Any, np.dtype[np.floating[Any]]]) -> Flags:
        """For each row, whether it is out of reach."""
        return np.asarray(self._outside(points).any(axis=1))

    def _outside(self, points: np.ndarray[Any, np.dtype[np.floating[Any]]]) -> np.ndarray:
        # A value of single precision is compared as such: else the largest training value, rounded, would be outside.
        low, high = self.single if points.itemsize == _SINGLE_BYTES else self.double
        return (points < low) | (points > high)


def measure_ranges(points: np.ndarray[Any, np.dtype[np.float64]]) -> Bounds:
    """The bounds of at least one row."""
    bounds: Bounds = np.stack([points.min(axis=0), points.max(axis=0)])
    return bounds
