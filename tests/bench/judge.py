"""What the figures mean: equal labels, ratios, ARI, and goals met or not. Pure arithmetic."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


def compare(labels: Labels, cores: Labels | None, reference: Labels, reference_cores: Labels) -> str:
    """How one clustering relates to the reference: in words, the strongest statement that holds.

    "equal": every label. "renumbered": the same clusters under other numbers. "borders differ: N": cores, noise and the
    partition of the cores are the same, N border rows are in another cluster (the definition leaves that open, noise it
    does not). "wrong: N": N rows are core, noise, or together with other cores where the reference has it otherwise.
    """
    if np.array_equal(labels, reference) and (cores is None or np.array_equal(cores, reference_cores)):
        return "equal"
    is_core = np.zeros(len(reference), dtype=bool)
    is_core[reference_cores] = True
    wrong = (labels < 0) != (reference < 0)
    if cores is not None:
        said = np.zeros(len(reference), dtype=bool)
        said[cores] = True
        wrong |= said != is_core
    renumbered = _renumber(labels, reference, is_core)
    wrong |= is_core & (renumbered != reference)
    if wrong.any():
        return f"wrong: {int(wrong.sum()):,}"
    borders = int((renumbered != reference).sum())
    return f"borders differ: {borders:,}" if borders else "renumbered"


def _renumber(labels: Labels, reference: Labels, among: NDArray[np.bool_]) -> Labels:
    """Give each cluster the number of the reference cluster with which it shares its first row of `among`.

    A cluster that is two in the reference, or half of one, keeps a number that disagrees on some of its rows.
    """
    rows = np.flatnonzero(among & (labels >= 0))
    numbers, first = np.unique(labels[rows], return_index=True)
    renumbered = np.full_like(labels, -1)
    if len(numbers):
        targets = reference[rows[first]].copy()
        # Only the first of several clusters may take the number of one reference cluster.
        order = np.argsort(rows[first])
        taken: set[int] = set()
        for at in order:
            if int(targets[at]) in taken:
                targets[at] = -2
            taken.add(int(targets[at]))
        position = np.minimum(np.searchsorted(numbers, labels), len(numbers) - 1)
        known = numbers[position] == labels
        renumbered[known] = targets[position[known]]
        renumbered[~known & (labels >= 0)] = -2
    return renumbered


def ari(truth: Labels, labels: Labels) -> tuple[float, float]:
    """Adjusted Rand index over all rows, noise being one more class on both sides, and over rows that are no noise."""
    from sklearn.metrics import adjusted_rand_score

    clean = truth >= 0
    return float(adjusted_rand_score(truth, labels)), float(adjusted_rand_score(truth[clean], labels[clean]))


@dataclass(frozen=True)
class Goal:
    """One goal of the engine and what was measured; `met` is None where the run has no figure for it."""

    what: str
    target: str
    measured: str
    met: bool | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def at_least(what: str, target: float, value: float | None, unit: str = "x") -> Goal:
    """A goal that larger figures meet."""
    return _goal(what, f"≥ {target:g}{unit}", value, unit, None if value is None else value >= target)


def at_most(what: str, target: float, value: float | None, unit: str = "x") -> Goal:
    """A goal that smaller figures meet."""
    return _goal(what, f"≤ {target:g}{unit}", value, unit, None if value is None else value <= target)


def _goal(what: str, target: str, value: float | None, unit: str, met: bool | None) -> Goal:
    return Goal(what, target, "not measured" if value is None else f"{value:.3g}{unit}", met)


def lowest(values: list[float]) -> float | None:
    """Smallest of the values, None if there are none."""
    return min(values) if values else None


def highest(values: list[float]) -> float | None:
    """Largest of the values, None if there are none."""
    return max(values) if values else None
