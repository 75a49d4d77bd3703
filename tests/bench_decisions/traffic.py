"""Draws what two pools serve between one look and the next: calls, failures, latencies, shocks, bursts, neighbours.

Used by `rollout`. Invariant: a scenario and a seed always give the same traffic, whoever judges it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_operator.core.snapshot import Look
from shoal_worker.serving.metrics import DURATION_BUCKETS

PODS = 10
_BOUNDS = (*DURATION_BUCKETS, float("inf"))
_MEDIAN, _SPREAD = 0.020, 0.6
"""Latency: lognormal, 20 ms in the median, its log having this standard deviation: mean 24 ms, p99 81 ms."""
_NOISE = 0.1
ROWS = 4
"""Rows of a call."""
_WEATHER, _POD = 0.10, 0.05
"""Standard deviations of the log of a factor on the latency in each look: of all pods together, and of each."""


@dataclass(frozen=True)
class Scenario:
    """A version's truth, and the traffic that it gets."""

    name: str
    good: bool
    """Whether the candidate ought to be promoted."""
    rate: float = 100.0
    """Calls a second on both pools together."""
    errors: float = 0.005
    """Share of stable's calls that fail."""
    more_errors: float = 0.0
    """Points that the candidate's share is above it."""
    slower: float = 1.0
    """Factor on the candidate's latencies."""
    more_noise: float = 0.0
    """Points that the candidate's share of noise rows is above stable's 10 %."""
    bursty: bool = False
    """Traffic comes in bursts: ten times the rate in one look of ten, none in the others."""
    neighbours: bool = False
    """Each pod suffers once in ten minutes for ten seconds: latency x3, 5 % of its calls fail."""


class Traffic:
    """One rollout's traffic, look by look."""

    def __init__(self, scenario: Scenario, seed: int, look_seconds: float) -> None:
        self._scenario = scenario
        self._seconds = look_seconds
        self._random = np.random.default_rng(seed)
        self._suffering = np.zeros(PODS)

    def draw(self, weight: float) -> tuple[Look, Look]:
        """Return what stable and candidate served in the next look, the candidate having this share of the pods."""
        scenario, random = self._scenario, self._random
        rate = scenario.rate * self._seconds
        if scenario.bursty:
            rate *= 10 * (random.random() < 0.1)
        weather = random.normal(0, _WEATHER)
        shocks = weather + random.normal(0, _POD, PODS)
        ill = np.zeros(PODS)
        if scenario.neighbours:
            struck = random.random(PODS) < self._seconds / 600
            self._suffering = np.where(struck, 10.0, np.maximum(0.0, self._suffering - self._seconds))
            ill = (self._suffering > 0).astype(float)
        noise = np.full(PODS, _NOISE)
        mine = round(PODS * weight)
        calls = random.poisson(rate / PODS, PODS)
        failing = scenario.errors + 0.05 * ill
        factor = np.exp(shocks) * np.where(ill > 0, 3.0, 1.0)
        failing[:mine] += scenario.more_errors
        factor[:mine] *= scenario.slower
        noise[:mine] += scenario.more_noise
        return (
            self._serve(calls[mine:], failing[mine:], factor[mine:], noise[mine:]),
            self._serve(calls[:mine], failing[:mine], factor[:mine], noise[:mine]),
        )

    def _serve(
        self,
        calls: NDArray[np.int64],
        failing: NDArray[np.float64],
        factor: NDArray[np.float64],
        noise: NDArray[np.float64],
    ) -> Look:
        errors = int(self._random.binomial(calls, np.minimum(1.0, failing)).sum())
        seconds = self._random.lognormal(np.log(_MEDIAN), _SPREAD, int(calls.sum())) * np.repeat(factor, calls)
        counts = np.bincount(np.searchsorted(_BOUNDS, seconds), minlength=len(_BOUNDS))
        middles = [(low + high) / 2 for low, high in zip((0.0, *_BOUNDS[:-2]), _BOUNDS[:-1], strict=True)]
        squares = float(counts @ (np.array([*middles, _BOUNDS[-2]]) ** 2))
        durations = dict(zip(_BOUNDS, counts.tolist(), strict=True))
        answered = int(calls.sum()) - errors
        # The rows of a call are alike: all of them are noise, or none.
        noisy = int(self._random.binomial(answered, float(noise.mean()))) if len(calls) else 0
        return Look(int(calls.sum()), errors, float(seconds.sum()), squares, durations, ROWS * answered, ROWS * noisy)
