"""Arithmetic on workers' counters: from one scrape's text to what a revision served in a window.

Used by runtime.samples. Pure. Invariant: a counter never runs backwards in the result: a pod that restarted counts
from zero again, and what it served before stays counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from prometheus_client.parser import text_string_to_metric_families

from shoal_operator.core.snapshot import WindowFigures

_REQUESTS = "shoal_requests_total"
_DURATION = "shoal_request_duration_seconds"


@dataclass(frozen=True, slots=True)
class Counters:
    """A pod's counters since its process began, or a difference of two readings."""

    calls: float = 0.0
    errors: float = 0.0
    seconds: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            self.calls + other.calls,
            self.errors + other.errors,
            self.seconds + other.seconds,
            self.squares + other.squares,
        )

    def __sub__(self, other: Counters) -> Counters:
        return self + Counters(-other.calls, -other.errors, -other.seconds, -other.squares)


def parse(text: str) -> Counters:
    """Read a worker's metrics. Raises ValueError where they are not in the Prometheus format.

    The squares are estimated with every call at its bucket's middle: 3 calls in (0.1, 0.3] add 3 x 0.2 x 0.2. Calls
    beyond the last finite bound count at that bound.
    """
    calls = errors = seconds = 0.0
    buckets: dict[float, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == _REQUESTS:
                calls += sample.value
                errors += 0.0 if sample.labels.get("code") == "OK" else sample.value
            elif sample.name == f"{_DURATION}_sum":
                seconds += sample.value
            elif sample.name == f"{_DURATION}_bucket":
                bound = float(sample.labels["le"])
                buckets[bound] = buckets.get(bound, 0.0) + sample.value
    return Counters(calls, errors, seconds, _squares(buckets))


def _squares(buckets: dict[float, float]) -> float:
    total = below = lower = 0.0
    for bound in sorted(buckets):
        middle = lower if bound == inf else (lower + bound) / 2
        total += (buckets[bound] - below) * middle * middle
        below, lower = buckets[bound], bound
    return total


class PodSeries:
    """One pod's counters in a window, relative to a baseline."""

    __slots__ = ("_base", "_before", "_last")

    def __init__(self, baseline: Counters) -> None:
        self._base = baseline
        self._last = baseline
        self._before = Counters()

    def update(self, reading: Counters) -> None:
        """Take a new reading; smaller counters than before mean that the worker restarted."""
        if reading.calls < self._last.calls or reading.seconds < self._last.seconds:
            self._before += self._last - self._base
            self._base = Counters()
        self._last = reading

    def total(self) -> Counters:
        """Return what the pod served in the window."""
        return self._before + self._last - self._base


def window_figures(series: Iterable[PodSeries]) -> WindowFigures:
    """Add up the pods of one revision."""
    total = sum((one.total() for one in series), Counters())
    # By the inequality of Cauchy and Schwarz a sum of squares cannot be smaller; the estimate from buckets can.
    least = total.seconds * total.seconds / total.calls if total.calls else 0.0
    return WindowFigures(
        calls=round(total.calls),
        errors=round(total.errors),
        seconds_sum=total.seconds,
        seconds_square_sum=max(total.squares, least),
    )
