"""Finds the parameters of an algorithm inside the user's bounds, by trials on a sample; called by `train`.

Invariant: the same data, bounds and limits give the same parameters, unless the time was up, which is told. A trial
that breaks a limit of spec.validation never wins: all noise, or all rows in one cluster, has no score at all.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import structlog

from shoal_engine import EpsSuggestion, suggest_eps
from shoal_worker.artifact.files import FloatArray
from shoal_worker.artifact.manifest import ModelMetrics, SearchRecord, SearchTrial
from shoal_worker.errors import SettingsInvalid
from shoal_worker.spec.algorithm import AdaptiveDbscanSpec, AlgorithmSpec, DbscanSpec
from shoal_worker.spec.search import AdaptiveDbscanSearchSpec, DbscanSearchSpec
from shoal_worker.spec.validation import ValidationSpec
from shoal_worker.training.exploring import Axis, Place, explore
from shoal_worker.training.fit import Means, fit
from shoal_worker.training.measuring import measure
from shoal_worker.validation.limits import judge_limits
from shoal_worker.validation.subject import draw_rows

SEARCH_ROWS = 20_000
_BEST = 20
_SHARE = 0.3
"""Part of the deadline that a search may take; the fit of all rows comes after it."""
_MARGIN = 3.0
"""How far beyond the suggested interval of eps its bounds lie, as a factor."""
_LARGEST = {"haversine": float(np.pi), "cosine": 2.0}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SearchTime:
    """How long a search may take, by which clock; and the threads of its fits."""

    threads: int
    deadline_seconds: float | None
    clock: Callable[[], float] = time.monotonic


class _TimeUpError(Exception):
    """The search has taken its share of the deadline."""


def search(
    points: FloatArray, algorithm: AlgorithmSpec, limits: ValidationSpec, allowed: SearchTime
) -> tuple[AlgorithmSpec, SearchRecord | None]:
    """The algorithm with the best parameters found, and how; the algorithm itself where no search is asked for."""
    asked = algorithm.chosen.search
    if asked is None:
        return algorithm, None
    trials = _Trials(points, algorithm, asked, limits, allowed)
    stopped = ""
    try:
        explore(trials.axes, asked.trials, trials.score)
    except _TimeUpError:
        stopped = f"{_SHARE:.0%} of spec.training.activeDeadlineSeconds were over after {trials.count} trials"
        _log.warning("search stopped", trials=trials.count, asked=asked.trials)
    best = sorted(trials.scored, key=lambda trial: -trial.score)[:_BEST]
    if not best:
        raise SettingsInvalid(
            f"none of {trials.count} trials gave two clusters within the limits of spec.validation"
            + (f", and {stopped}" if stopped else "")
            + (f"; the last was refused: {trials.refusal}" if trials.refusal else ""),
            field=f"{algorithm.field}.search",
            remedy="Widen the bounds, loosen the limits, or give the search more trials or time",
        )
    _log.info("search done", trials=trials.count, rows=len(trials.points), **best[0].model_dump(exclude_none=True))
    record = SearchRecord(
        objective=asked.objective, trials=trials.count, rows=len(trials.points), stopped=stopped, best=tuple(best)
    )
    return trials.with_parameters(best[0]), record


@dataclass(slots=True)
class _Trials:
    """Scores parameters by fits of a sample, and remembers them.

    A sample is sparser than the data: its radii are wider by the ratio of the two's median distances to the
    minSamples-th nearest row, and its clusters smaller by the share of rows.
    """

    data: FloatArray
    algorithm: AlgorithmSpec
    asked: DbscanSearchSpec | AdaptiveDbscanSearchSpec
    limits: ValidationSpec
    allowed: SearchTime
    scored: list[SearchTrial] = field(default_factory=list)
    count: int = 0
    refusal: str = ""
    """Why a fit was refused last."""
    points: FloatArray = field(init=False)
    axes: tuple[Axis, ...] = field(init=False)
    _end: float = field(init=False)
    _stretch: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.points = np.ascontiguousarray(self.data[draw_rows(len(self.data), SEARCH_ROWS)])
        seconds = self.allowed.deadline_seconds
        self._end = float("inf") if seconds is None else self.allowed.clock() + _SHARE * seconds
        self.axes = self._find_axes()

    def score(self, place: Place) -> float | None:
        """Value of the objective; None for parameters that must not win."""
        if self.allowed.clock() >= self._end:
            raise _TimeUpError
        values = dict(zip((axis.name for axis in self.axes), place, strict=True))
        tried = self._spec_of(values)
        self.count += 1
        try:
            fitted = fit(self.points, self._on_sample(tried), self._means(), self._watch)
        except SettingsInvalid as error:
            # Too dear for the time that is left, or more rows asked for than there are.
            self.refusal = error.message
            _log.info("trial refused", **values, message=error.message)
            return None
        metrics = measure(self.points, fitted, tried.metric)
        value = self._objective(metrics)
        if value is None or any(judged.verdict == "fail" for judged in judge_limits(metrics, self.limits)):
            return None
        trial = SearchTrial(
            eps=tried.eps if isinstance(tried, DbscanSpec) else None,
            min_samples=tried.min_samples,
            min_cluster_size=tried.min_cluster_size if isinstance(tried, AdaptiveDbscanSpec) else None,
            score=value,
            clusters=metrics.clusters,
            noise_ratio=metrics.noise_ratio,
        )
        if all(value > other.score for other in self.scored):
            _log.info("better parameters found", trial=self.count, of=self.asked.trials, **values, score=value)
        self.scored.append(trial)
        return value

    def _objective(self, metrics: ModelMetrics) -> float | None:
        """DBCV, which counts noise as 0, or the silhouette with noise counted so: else the most noise would win."""
        if self.asked.objective == "dbcv" or metrics.silhouette is None:
            return metrics.dbcv
        return metrics.silhouette * (1 - metrics.noise_ratio)

    def with_parameters(self, trial: SearchTrial) -> AlgorithmSpec:
        """The algorithm with the parameters of a trial, and nothing left to search for."""
        found = trial.model_dump(include={"eps", "min_samples", "min_cluster_size"}, exclude_none=True)
        return self._named(self._spec_of(found))

    def _spec_of(self, values: dict[str, float]) -> DbscanSpec | AdaptiveDbscanSpec:
        fixed = self.algorithm.chosen
        return type(fixed).model_validate({**fixed.model_dump(exclude={"search"}), **values})

    def _named(self, chosen: DbscanSpec | AdaptiveDbscanSpec) -> AlgorithmSpec:
        if isinstance(chosen, DbscanSpec):
            return AlgorithmSpec(dbscan=chosen)
        return AlgorithmSpec(adaptive_dbscan=chosen)

    def _on_sample(self, tried: DbscanSpec | AdaptiveDbscanSpec) -> AlgorithmSpec:
        """The parameters by which the sample is clustered as the data would be."""
        share = len(self.points) / len(self.data)
        if share == 1:
            return self._named(tried)
        if isinstance(tried, DbscanSpec):
            wider = (tried.eps or 0.0) * self._stretched(tried.min_samples)
            return self._named(tried.model_copy(update={"eps": min(wider, _LARGEST.get(tried.metric, wider))}))
        if tried.min_cluster_size is None:
            return self._named(tried)
        size = max(2, round(tried.min_cluster_size * share))
        return self._named(tried.model_copy(update={"min_cluster_size": size}))

    def _stretched(self, min_samples: int) -> float:
        if min_samples not in self._stretch:
            medians = [
                float(np.median(self._suggest(rows, min_samples).distances)) for rows in (self.points, self.data)
            ]
            self._stretch[min_samples] = medians[0] / medians[1]
        return self._stretch[min_samples]

    def _means(self) -> Means:
        left = self._end - self.allowed.clock()
        return Means(self.allowed.threads, seconds=None if np.isinf(left) else max(left, 1e-3))

    def _watch(self, _stage: str, _fraction: float) -> None:
        if self.allowed.clock() >= self._end:
            raise _TimeUpError

    def _find_axes(self) -> tuple[Axis, ...]:
        axes = []
        counts = self.asked.min_samples
        if isinstance(self.asked, DbscanSearchSpec):
            if self.asked.eps is not None:
                axes.append(Axis("eps", self.asked.eps.min, self.asked.eps.max))
            elif isinstance(self.algorithm.chosen, DbscanSpec) and self.algorithm.chosen.eps is None:
                axes.append(self._suggested_axis())
        elif self.asked.min_cluster_size is not None:
            sizes = self.asked.min_cluster_size
            axes.append(Axis("min_cluster_size", sizes.min, sizes.max, whole=True))
        if counts is not None:
            axes.append(Axis("min_samples", counts.min, counts.max, whole=True))
        if not axes:
            raise SettingsInvalid(
                "the search has nothing to look for",
                field=f"{self.algorithm.field}.search",
                remedy="Give it bounds, or leave it out",
            )
        return tuple(axes)

    def _suggested_axis(self) -> Axis:
        """Bounds of eps around the knees of the k-distance curves of the least and the largest minSamples."""
        counts = self.asked.min_samples
        fixed = self.algorithm.chosen.min_samples
        least, most = (counts.min, counts.max) if counts else (fixed, fixed)
        low = self._suggest(self.data, least).low / _MARGIN
        high = self._suggest(self.data, most).high * _MARGIN
        high = min(high, _LARGEST.get(self.algorithm.chosen.metric, high))
        return Axis("eps", float(f"{low:.3g}"), float(f"{high:.3g}"))

    def _suggest(self, rows: FloatArray, min_samples: int) -> EpsSuggestion:
        try:
            return suggest_eps(rows, min_samples=min_samples, metric=self.algorithm.chosen.metric, sample_size=2000)
        except ValueError as error:
            raise SettingsInvalid(
                f"the data suggest no eps: {error}",
                field=f"{self.algorithm.field}.search.eps",
                remedy="Give its bounds, or eps itself",
            ) from None
