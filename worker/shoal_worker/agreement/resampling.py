"""Intervals and variances of figures of requests, by drawing half of the requests again and again; used by `figures`.

Rows of one request resemble each other, so requests are drawn, not rows. Halves are drawn without replacement: a row
that is drawn twice agrees with itself, which shifts every index of pairs or of information upwards. A figure of half
of the requests differs from that of all as the latter from the truth, but for a factor that is 1 for even numbers
(J. Shao and C. F. J. Wu, "A general theory for jackknife variance estimation", Annals of Statistics 17, 1989).

Invariant: equal input gives equal output, and the interval holds the figure.
"""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 400
_INTERVAL = (0.025, 0.975)
_SEED = 0

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure of the rows, its 95 % interval and its variance."""

    value: float
    low: float
    high: float
    variance: float


class Resamples:
    """The halves, drawn once for all figures, so that differences are of the same requests.

    requests: for each row the number of its request, from 0; at least two requests.
    """

    def __init__(self, requests: np.ndarray) -> None:
        self._requests = requests
        self._count = int(requests.max()) + 1
        half = self._count // 2
        random = np.random.default_rng(_SEED)
        order = random.random((RESAMPLES, self._count)).argsort(axis=1)
        self._drawn = order < half
        self._scale = (half / (self._count - half)) ** 0.5

    def rows(self, resample: int) -> np.ndarray:
        """For each row, whether a resample has it."""
        drawn: np.ndarray = self._drawn[resample, self._requests]
        return drawn

    def means(self, values: np.ndarray, rows: np.ndarray | slice = slice(None)) -> Floats:
        """Mean of the values of these rows in each resample; NaN where it has none of them."""
        requests = self._requests[rows]
        sums = np.bincount(requests, values, self._count), np.bincount(requests, minlength=self._count)
        totals, sizes = (self._drawn @ part for part in sums)
        means: Floats = np.divide(totals, sizes, out=np.full(len(totals), np.nan), where=sizes > 0)
        return means

    def estimate(self, value: float, drawn: Floats, within: tuple[float, float] = (-1.0, 1.0)) -> Estimate:
        """The estimate of a figure that lies `within` a range, from its value of all rows and of each resample."""
        least, most = within
        drawn = drawn[np.isfinite(drawn)]
        if not len(drawn):
            # Each of the rows in question belongs to one request: nothing is known but the range.
            return Estimate(value, least, most, (most - least) ** 2 / 4)
        errors = (drawn - drawn.mean()) * self._scale
        low, high = (value + float(error) for error in np.quantile(errors, _INTERVAL))
        return Estimate(value, min(max(low, least), value), max(min(high, most), value), float(errors.var()))

    def share(self, flags: np.ndarray) -> Estimate:
        """Share of the rows with the flag."""
        return self.estimate(float(flags.mean()), self.means(flags), (0.0, 1.0))
