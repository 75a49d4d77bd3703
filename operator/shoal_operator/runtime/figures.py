"""Arithmetic on workers' counters: from one scrape's text to what a revision served in a window.

Used by runtime.samples and runtime.loads. Pure. Invariant: a counter never runs backwards in the result: a pod that
restarted counts from zero again, and what it served before stays counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from shoal_operator.core.snapshot import Look, WindowFigures

MOST_LOOKS = 256
"""An even number of looks that a window keeps apart: 20 minutes at an interval of 5 s."""

_REQUESTS = "shoal_requests_total"
_ROWS, _NOISE_ROWS = "shoal_rows_total", "shoal_noise_rows_total"
_OUT_OF_REACH_ROWS = "shoal_out_of_reach_rows_total"
"""Only of workers whose model knows the range of its training data."""
_LEASED = "shoal_stream_leased"
"""Only of workers that consume a stream; it counts since the start, as the others do."""
_DURATION = "shoal_request_duration_seconds"
_READ = {_REQUESTS, _ROWS, _NOISE_ROWS, _OUT_OF_REACH_ROWS, _LEASED, f"{_DURATION}_sum", f"{_DURATION}_bucket"}
_MOST = 1e15
"""More than any process counts; sums and squares of less stay finite."""


@dataclass(frozen=True, slots=True)
class Counters:
    """A pod's counters since its process began, or a difference of two readings."""

    calls: float = 0.0
    errors: float = 0.0
    seconds: float = 0.0
    durations: Mapping[float, float] = field(default_factory=dict)
    """Upper bound of a bucket in seconds -> calls in that bucket alone."""
    rows: float = 0.0
    noise_rows: float = 0.0
    ranged_rows: float = 0.0
    """Rows where the worker tells how many of them are out of reach."""
    out_of_reach_rows: float = 0.0
    leased: float = 0.0
    """Messages of a stream that were leased."""

    def __add__(self, other: Counters) -> Counters:
        return self._with(other, 1)

    def __sub__(self, other: Counters) -> Counters:
        return self._with(other, -1)

    def _with(self, other: Counters, sign: int) -> Counters:
        bounds = self.durations.keys() | other.durations.keys()
        return Counters(
            self.calls + sign * other.calls,
            self.errors + sign * other.errors,
            self.seconds + sign * other.seconds,
            {bound: self.durations.get(bound, 0.0) + sign * other.durations.get(bound, 0.0) for bound in bounds},
            self.rows + sign * other.rows,
            self.noise_rows + sign * other.noise_rows,
            self.ranged_rows + sign * other.ranged_rows,
            self.out_of_reach_rows + sign * other.out_of_reach_rows,
            self.leased + sign * other.leased,
        )

    def to_look(self) -> Look:
        """Return the same as what a revision served between two looks.

        The squares are estimated with every call at its bucket's middle: 3 calls in (0.1, 0.3] add 3 x 0.2 x 0.2. Calls
        beyond the last finite bound count at that bound. By the inequality of Cauchy and Schwarz a sum of squares
        cannot be smaller than the mean allows; the estimate can.
        """
        least = self.seconds * self.seconds / self.calls if self.calls else 0.0
        squares = max(_squares(self.durations), least)
        return Look(
            self.calls,
            self.errors,
            self.seconds,
            squares,
            dict(self.durations),
            self.rows,
            self.noise_rows,
            self.ranged_rows,
            self.out_of_reach_rows,
        )


def parse(text: str) -> Counters:
    """Read a worker's metrics.

    Raises ValueError where they are not in the Prometheus format, or are none that a worker can have: a value that is
    no count (NaN, negative, infinite), or the same series twice. All of a reading is believed, or nothing of it.
    """
    calls = errors = seconds = rows = noise_rows = out_of_reach_rows = leased = 0.0
    ranged = False
    buckets: dict[float, float] = {}
    seen: set[object] = set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in _READ:
                _check(sample, seen)
            if sample.name == _REQUESTS:
                calls += sample.value
                errors += 0.0 if sample.labels.get("code") == "OK" else sample.value
            elif sample.name == _ROWS:
                rows += sample.value
            elif sample.name == _NOISE_ROWS:
                noise_rows += sample.value
            elif sample.name == _OUT_OF_REACH_ROWS:
                out_of_reach_rows += sample.value
                ranged = True
            elif sample.name == _LEASED:
                leased += sample.value
            elif sample.name == f"{_DURATION}_sum":
                seconds += sample.value
            elif sample.name == f"{_DURATION}_bucket":
                bound = float(sample.labels.get("le", ""))
                buckets[bound] = buckets.get(bound, 0.0) + sample.value
    return Counters(
        calls, errors, seconds, _apart(buckets), rows, noise_rows, rows if ranged else 0.0, out_of_reach_rows, leased
    )


def read_gauge(text: str, gauge: str) -> float | None:
    """Read a number without labels out of a worker's metrics; None where they tell none that a worker can have."""
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name == gauge:
            try:
                number = float(value)
            except ValueError:
                return None
            return max(0.0, number) if isfinite(number) else None
    return None


def _check(sample: Sample, seen: set[object]) -> None:
    """Raise ValueError for a sample that no worker can have; `seen` are the series before it."""
    series = (sample.name, *sorted(sample.labels.items()))
    if series in seen:
        raise ValueError(f"{sample.name} is there twice with the same labels")
    seen.add(series)
    if not 0 <= sample.value < _MOST:
        raise ValueError(f"{sample.name} is {sample.value}, which is no count")


def _apart(cumulative: Mapping[float, float]) -> dict[float, float]:
    """Turn calls up to each bound into calls in each bucket."""
    bounds = sorted(cumulative)
    before = [0.0, *(cumulative[bound] for bound in bounds)]
    return {bound: cumulative[bound] - below for bound, below in zip(bounds, before, strict=False)}


def _squares(durations: Mapping[float, float]) -> float:
    total = lower = 0.0
    for bound in sorted(durations):
        middle = lower if bound == inf else (lower + bound) / 2
        total += durations[bound] * middle * middle
        lower = bound
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
        last = self._last
        if reading.calls < last.calls or reading.seconds < last.seconds or reading.leased < last.leased:
            self.pass_over(Counters())
        self._last = reading

    def pass_over(self, reading: Counters) -> None:
        """Count on from a reading, leaving out what was served since the one before."""
        self._before += self._last - self._base
        self._base = self._last = reading

    def total(self) -> Counters:
        """Return what the pod served in the window."""
        return self._before + self._last - self._base


class RevisionSeries:
    """What the pods of one revision served, look by look."""

    __slots__ = ("_counted", "_looks", "pods")

    def __init__(self) -> None:
        self.pods: dict[str, PodSeries] = {}
        """Pod's uid -> counters. Pods that are gone stay: what they served belongs to the window."""
        self._counted = Counters()
        self._looks: list[Counters] = []

    def end_look(self) -> None:
        """Keep what came since the look before; of a long window, neighbouring looks are added up."""
        total = sum((one.total() for one in self.pods.values()), Counters())
        self._looks.append(total - self._counted)
        self._counted = total
        if len(self._looks) >= MOST_LOOKS:
            self._looks = [one + other for one, other in zip(self._looks[::2], self._looks[1::2], strict=True)]

    def figures(self, looked_at: str) -> WindowFigures:
        """Return the whole window and its looks; `looked_at` is when the last one was."""
        whole = self._counted.to_look()
        return WindowFigures(
            calls=round(whole.calls),
            errors=round(whole.errors),
            seconds_sum=whole.seconds,
            seconds_square_sum=whole.squares,
            looks=tuple(look.to_look() for look in self._looks),
            looked_at=looked_at,
            leased=round(self._counted.leased),
        )
