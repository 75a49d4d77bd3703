"""Lets the contestants of one role run on one data set after another. Used by the suites of fits.

A contestant that would surely pass its time limit, judged by a smaller size of the same data, is not started.
"""

from collections.abc import Collection, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.contestants import OURS, ROLES
from tests.bench.runner import Outcome, run_child

Row = dict[str, Any]
Step = str | list[Row]
"""What a suite yields: a line saying what it does next, or the rows of something finished."""


@dataclass(frozen=True)
class Settings:
    """What the user asked for, and where things lie."""

    quick: bool
    only: str
    peers: tuple[str, ...] | None
    """Peers to run against; None for the suite's own choice."""
    data: Path
    """Cache of the arrays."""
    wheels: Path
    """Folder of the engine's wheel."""

    @property
    def partial(self) -> bool:
        """Whether this run leaves things out, so that it must not replace the published figures."""
        return self.quick or bool(self.only) or self.peers is not None

    def contestants(self, role: str, quick: tuple[str, ...]) -> tuple[str, ...]:
        """Names of those that take part: ours, always, and peers; `quick` is a suite's short list."""
        if self.peers is not None:
            return OURS, *self.peers
        return quick if self.quick else tuple(ROLES[role])


@dataclass
class Race:
    """One role's contestants, and how they did so far."""

    role: str
    names: Collection[str]
    _last: dict[tuple[str, ...], tuple[int, float]] = field(default_factory=dict)

    def on(
        self, family: tuple[str, ...], points: Path, shape: tuple[int, int], metric: str, arguments: Row
    ) -> Generator[Step, None, dict[str, Outcome]]:
        """Run all that can take this shape and metric; `family` names data that differ in their size only."""
        n, d = shape
        outcomes: dict[str, Outcome] = {}
        for each in ROLES[self.role].values():
            if each.name not in self.names or d > each.max_d or metric not in each.metrics:
                continue
            yield f"{points.stem}, {', '.join(family)}: {each.name}"
            expected = expected_seconds(self._last.get((each.name, *family)), n)
            if expected > each.seconds:
                outcomes[each.name] = Outcome("not run", detail=f"about {expected:.3g} s expected")
                continue
            job = {"role": self.role, "contestant": each.name, "points": str(points), "arguments": arguments}
            outcome = outcomes[each.name] = run_child({**job, "repeats": 3}, each.seconds)
            spent = {"ok": outcome.seconds, "time limit": each.seconds * 2, "memory limit": float("inf")}
            if outcome.status in spent:
                self._last[each.name, *family] = n, spent[outcome.status]
        return outcomes


def expected_seconds(smaller: tuple[int, float] | None, n: int) -> float:
    """Seconds that a fit of n rows takes at the least, from (rows, seconds) of the size before: linear or worse."""
    return 0.0 if smaller is None else smaller[1] * n / smaller[0]


def limit_words(status: str, seconds: float) -> str:
    """What a table shows for a run without figures: brackets say that it was not even started."""
    known = {"time limit": f"> {seconds:g} s", "memory limit": "> memory limit", "not run": f"(> {seconds:g} s)"}
    return known.get(status, status)
