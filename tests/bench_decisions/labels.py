"""Rollouts judged by the labels that both versions give to the same rows: what is drawn, and who judges.

Used by `__main__`. Figures are computed as the worker does and judged by the operator's gate; only AMI, silhouettes and
the gates on them are left out. Invariant: a scenario and a seed always give the same labels, whoever judges them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_operator.api.agreement import AgreementFigures
from shoal_operator.api.analysis import Analysis
from shoal_operator.core.comparison import Comparison, Estimate
from shoal_operator.core.gates import judge_comparison
from shoal_worker.agreement.resampling import RESAMPLES, Resamples
from tests.bench_decisions.rollout import LOOK_SECONDS, PATIENCE_SECONDS, STEP_SECONDS, STEPS, Outcome, count

SIZES = (0.27, 0.18, 0.14, 0.11, 0.08, 0.06, 0.04, 0.02)
"""Shares of the rows in each of stable's clusters; the rest, 10 %, is noise."""
ROWS = 4
"""Rows of a request; half of them lie in the same cluster as the first."""
_KEPT, _ASKED = 1000, 500
"""Requests that a stable pod keeps, and that are compared in one look."""
_PROMOTIONS = 10
_NOISE = -1


@dataclass(frozen=True)
class LabelScenario:
    """What the candidate makes of the rows; its labels are always numbered otherwise than stable's."""

    name: str
    good: bool
    """Whether the candidate ought to be promoted."""
    wrong: float = 0.0
    """Share of the rows that it puts elsewhere."""
    melts: bool = False
    """Whether two of the clusters (14 % and 11 % of the rows) are one."""
    rate: float = 10.0
    """Calls a second on the stable pod that is asked."""


SCENARIOS = (
    LabelScenario("as good, trained anew: 1 % of the rows elsewhere", good=True, wrong=0.01),
    LabelScenario("as good, trained anew, 1 call/s", good=True, wrong=0.01, rate=1),
    LabelScenario("as good, trained anew, 0.2 calls/s", good=True, wrong=0.01, rate=0.2),
    LabelScenario("2 % of the rows elsewhere, within the limit", good=True, wrong=0.02),
    LabelScenario("wrong labels on 5 % of the rows", good=False, wrong=0.05),
    LabelScenario("wrong labels on 5 % of the rows, 1 call/s", good=False, wrong=0.05, rate=1),
    LabelScenario("wrong labels on 10 % of the rows", good=False, wrong=0.10),
    LabelScenario("two of eight clusters melted into one", good=False, wrong=0.01, melts=True),
)

Labels = NDArray[np.int64]
Judge = Callable[["Look", int, int], str]
"""Judges a look by its number in the window, and the window's in the rollout: go, fail or wait."""


class Look:
    """What a stable pod compares at one moment: each row's request, and both versions' labels."""

    def __init__(self, requests: Labels, stable: Labels, candidate: Labels) -> None:
        self.requests = requests
        self.stable = stable
        self.candidate = candidate

    @cached_property
    def comparison(self) -> Comparison:
        """Return its figures, computed once for all judges."""
        return compare(self)


class Reservoir:
    """The requests that a stable pod keeps, some replaced between two looks, and what the candidate makes of them."""

    def __init__(self, scenario: LabelScenario, seed: int) -> None:
        self._scenario = scenario
        self._random = np.random.default_rng(seed)
        self._numbers = self._random.permutation(len(SIZES))
        # What stable pods served before the rollout is there when it begins, as far as it is at most 5 minutes old.
        kept = min(_KEPT, round(300 * scenario.rate))
        self._stable = self._draw_stable(kept)
        self._candidate = self._draw_candidate(self._stable)
        self._looks: list[Look] = []

    def look(self, index: int) -> Look:
        """Return the look of this index, the same to every judge."""
        while len(self._looks) <= index:
            self._looks.append(self._draw_look())
        return self._looks[index]

    def _draw_look(self) -> Look:
        """Replace what came since the look before, and compare some of what is kept."""
        fresh = min(len(self._stable), int(self._random.poisson(self._scenario.rate * LOOK_SECONDS)))
        places = self._random.choice(len(self._stable), fresh, replace=False)
        self._stable[places] = self._draw_stable(fresh)
        self._candidate[places] = self._draw_candidate(self._stable[places])
        asked = self._random.choice(len(self._stable), min(_ASKED, len(self._stable)), replace=False)
        requests = np.repeat(np.arange(len(asked)), ROWS)
        return Look(requests, self._stable[asked].ravel(), self._candidate[asked].ravel())

    def _draw_stable(self, requests: int) -> Labels:
        shares = [*SIZES, 1 - sum(SIZES)]
        labels = self._random.choice([*range(len(SIZES)), _NOISE], (requests, ROWS), p=shares)
        return np.where(self._random.random((requests, ROWS)) < 0.5, labels[:, :1], labels)

    def _draw_candidate(self, stable: Labels) -> Labels:
        labels = np.where(stable == 3, 2, stable) if self._scenario.melts else stable
        elsewhere = (labels + 1 + self._random.integers(1, len(SIZES) + 1, stable.shape)) % (len(SIZES) + 1) - 1
        labels = np.where(self._random.random(stable.shape) < self._scenario.wrong, elsewhere, labels)
        return np.where(labels == _NOISE, _NOISE, self._numbers[labels])


def compare(look: Look) -> Comparison:
    """Compute the adjusted Rand index and its variance as a worker does, for all its halves of the requests at once."""
    size = len(SIZES) + 1
    cells = (look.stable + 1) * size + look.candidate + 1
    requests = int(look.requests[-1]) + 1
    tables = np.zeros((requests, size * size))
    np.add.at(tables, (look.requests, cells), 1)
    resamples, halves = draw_halves(requests)
    whole = adjusted_rands(tables.sum(axis=0).reshape(1, size, size))[0]
    found = resamples.estimate(float(whole), adjusted_rands((halves @ tables).reshape(-1, size, size)))
    ari = Estimate(found.value, found.variance)
    return Comparison("", 1, rows=len(look.stable), requests=requests, ari=ari)


@cache
def draw_halves(requests: int) -> tuple[Resamples, NDArray[np.float64]]:
    """Return the worker's resamples of so many requests of `ROWS` rows, and which requests each has (0 or 1)."""
    resamples = Resamples(np.repeat(np.arange(requests), ROWS))
    rows = [resamples.rows(resample)[::ROWS] for resample in range(RESAMPLES)]
    return resamples, np.array(rows, dtype=np.float64)


def adjusted_rands(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the adjusted Rand index of each contingency table; as shoal_worker.agreement.tables has it for one."""
    pairs = [
        (counts * (counts - 1) / 2).sum(axis=1)
        for counts in (tables.reshape(len(tables), -1), tables.sum(axis=2), tables.sum(axis=1))
    ]
    total = tables.sum(axis=(1, 2))
    expected = pairs[1] * pairs[2] / (total * (total - 1) / 2)
    found: NDArray[np.float64] = (pairs[0] - expected) / ((pairs[1] + pairs[2]) / 2 - expected)
    return found


def judge_by_gate(limits: dict[str, float], history: Sequence[AgreementFigures] = ()) -> Judge:
    """Judge by the operator's gate."""
    analysis = Analysis.model_validate({"agreement": limits, "errorRate": None, "latency": None})

    def judge(look: Look, number: int, window: int) -> str:
        [verdict] = judge_comparison(analysis, replace(look.comparison, looks=number), history, window)
        return {"pass": "go", "fail": "fail"}.get(verdict.verdict, "wait")

    return judge


def judge_by_number(look: Look, _number: int, _window: int) -> str:
    """Compare labels as if their numbers meant something."""
    return "go" if float((look.stable == look.candidate).mean()) >= 0.95 else "fail"


@cache
def learnt_history() -> tuple[AgreementFigures, ...]:
    """Return what ten promotions of versions as good have taught."""
    found = [Reservoir(SCENARIOS[0], 10_000 + number).look(0).comparison.ari for number in range(_PROMOTIONS)]
    return tuple(
        AgreementFigures(
            version=number + 2, ari=ari.value, noise_agreement=1, label_agreement=1, rows=2000, requests=500
        )
        for number, ari in enumerate(found)
        if ari is not None
    )


JUDGES: dict[str, Callable[[], Judge]] = {
    "Shoal, agreement.min 0.95": lambda: judge_by_gate({"min": 0.95}),
    "Shoal, learnt from 10 promotions": lambda: judge_by_gate({}, learnt_history()),
    "Shoal, before 3 promotions (0.9)": lambda: judge_by_gate({}),
    "same numbers on 95 %": lambda: judge_by_number,
}


def run(reservoir: Reservoir, judge: Judge) -> Outcome:
    """Walk a rollout: a shadow step, then the weights, each compared anew at every look."""
    index = 0
    for step in range(1 + len(STEPS)):
        looks = 0
        while True:
            looks += 1
            said = judge(reservoir.look(index), looks, step + 1)
            index += 1
            lasted = looks * LOOK_SECONDS
            if said == "fail":
                return Outcome("failed", step, index * LOOK_SECONDS)
            if lasted >= STEP_SECONDS and said == "go":
                break
            if lasted >= PATIENCE_SECONDS:
                return Outcome("held", step, index * LOOK_SECONDS)
    return Outcome("promoted", 1 + len(STEPS), index * LOOK_SECONDS)


def tally(scenario: LabelScenario, rollouts: int) -> list[dict[str, Any]]:
    """Have every judge judge many rollouts of one scenario."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in JUDGES}
    for seed in range(rollouts):
        reservoir = Reservoir(scenario, seed)
        for name, judge in JUDGES.items():
            outcomes[name].append(run(reservoir, judge()))
    return [
        {"scenario": scenario.name, "good": scenario.good, "judge": name, **count(found)}
        for name, found in outcomes.items()
    ]
