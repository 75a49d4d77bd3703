"""The one form that both strategies take: steps that reach a weight and then hold it.

Built by core.bluegreen and core.canary, walked by core.transitions. Invariant: weights never fall from step to step.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """Reach a weight, then hold it."""

    weight: int
    hold_seconds: float | None
    """Seconds to hold; None holds until the promote command."""

    @property
    def judged(self) -> bool:
        """Whether the gates that compare calls decide at its end: it takes time, and both sides get calls."""
        return bool(self.hold_seconds) and 0 < self.weight < 100


@dataclass(frozen=True, slots=True)
class Schedule:
    """A strategy as steps; after the last one the candidate is promoted."""

    steps: tuple[Step, ...]
    scale_down_delay_seconds: int
    full_pool: bool
    """Whether the candidate has as many pods as stable from the start."""

    def windows_up_to(self, step: int) -> int:
        """Return how many times the gates that compare calls began anew: steps that hold a weight, this included."""
        return sum(item.hold_seconds != 0 and 0 < item.weight < 100 for item in self.steps[: step + 1])
