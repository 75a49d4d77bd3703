"""A uniform sample of the requests of the last minutes, bounded in rows, bytes and age; used by `keeping`.

Every request gets a random mark between 0 and 1 and is kept if the mark is below the rate. Where the sample outgrows
its bounds the rate is halved and what is no longer below it goes; where much room is left the rate is doubled again.
So all requests of the window with a mark below the lowest rate of the window are there: a uniform sample.

Invariant: the bounds hold after every call, and after `tidy` nothing is older than the age. The clock is an argument.
"""

import math
from collections import deque
from dataclasses import dataclass
from random import Random

MOST_A_SECOND = 500
"""Requests wanted between two calls of `tidy`, a second apart: what a burst may cost its callers is bounded too."""
_SPARE = 0.25


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the sample may hold; with 0 rows it holds nothing."""

    rows: int
    size: int
    """Bytes."""
    age: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A sealed request."""

    sealed: bytes
    rows: int
    kept_at: float
    mark: float


class Reservoir:
    """The sample. Not for several threads."""

    def __init__(self, bounds: Bounds, random: Random) -> None:
        self._bounds = bounds
        self._random = random
        self._kept: deque[Kept] = deque()
        self._rate = 1.0
        # When the rate was raised, and from which one.
        self._raised: deque[tuple[float, float]] = deque()
        self._skip = 0
        self._left = MOST_A_SECOND
        self._rows = 0
        self._size = 0

    @property
    def rows(self) -> int:
        """Rows held."""
        return self._rows

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size

    def wants(self) -> bool:
        """Is the next request to be kept? To be asked once for each."""
        # The number of requests to pass over is drawn once for all of them: a call that is not kept costs a decrement.
        if self._skip or not self._left:
            self._skip = max(self._skip - 1, 0)
            return False
        self._left -= 1
        self._draw_skip()
        return True

    def add(self, sealed: bytes, rows: int, now: float) -> None:
        """Keep a request that was wanted."""
        if rows > self._bounds.rows or len(sealed) > self._bounds.size:
            return
        # Above 0, so that halving the rate drops any mark in the end.
        mark = (1.0 - self._random.random()) * self._rate
        self._kept.append(Kept(sealed, rows, now, mark))
        self._rows += rows
        self._size += len(sealed)
        while self._rows > self._bounds.rows or self._size > self._bounds.size:
            self._set_rate(self._rate / 2)

    def tidy(self, now: float) -> None:
        """Drop what is too old and adapt to the traffic; to be called once a second."""
        oldest = now - self._bounds.age
        while self._kept and self._kept[0].kept_at <= oldest:
            gone = self._kept.popleft()
            self._rows -= gone.rows
            self._size -= len(gone.sealed)
        while self._raised and self._raised[0][0] <= oldest:
            self._raised.popleft()
        self._left = MOST_A_SECOND
        if self._rate < 1 and self._rows < _SPARE * self._bounds.rows and self._size < _SPARE * self._bounds.size:
            self._raised.append((now, self._rate))
            self._set_rate(self._rate * 2)
        # Drawn at the rate of before, or while none was left, it would hold for too long.
        self._draw_skip()

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._rows = self._size = 0

    def draw(self, rows: int, now: float) -> tuple[Kept, ...]:
        """Requests with about so many rows in all, at random, the newest no likelier than the oldest.

        Only where these are too few, others follow, which were sampled when the rate was higher.
        """
        oldest = now - self._bounds.age
        lowest = min([self._rate, *(rate for _, rate in self._raised)])
        fresh = [kept for kept in self._kept if kept.kept_at > oldest]
        self._random.shuffle(fresh)
        fresh.sort(key=lambda kept: kept.mark >= lowest)
        drawn, total = [], 0
        for kept in fresh:
            if total + kept.rows <= rows:
                drawn.append(kept)
                total += kept.rows
        return tuple(drawn)

    def _set_rate(self, rate: float) -> None:
        self._rate = rate
        self._draw_skip()
        kept = [one for one in self._kept if one.mark < rate]
        if len(kept) < len(self._kept):
            self._kept = deque(kept)
            self._rows = sum(one.rows for one in kept)
            self._size = sum(len(one.sealed) for one in kept)

    def _draw_skip(self) -> None:
        """How many requests to pass over follows the geometric distribution."""
        self._skip = 0
        if self._rate < 1:
            self._skip = int(math.log(1.0 - self._random.random()) / math.log1p(-self._rate))
