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
    shadow: bool = False
    """Whether it is at weight 0 and the candidate is judged nevertheless, without any call to it."""

    @property
    def compared(self) -> bool:
        """Whether the candidate stands beside stable in it, by its calls or in shadow, so that gates have a window."""
        return self.shadow or 0 < self.weight < 100

    @property
    def judged(self) -> bool:
        """Whether the gates decide at its end: it takes time, and there is something to compare."""
        return bool(self.hold_seconds) and self.compared


@dataclass(frozen=True, slots=True)
class Schedule:
    """A strategy as steps; after the last one the candidate is promoted."""

    steps: tuple[Step, ...]
    scale_down_delay_seconds: int
    full_pool: bool
    """Whether the candidate has as many pods as stable from the start."""

    def at(self, step: int | None) -> Step | None:
        """Return the step of an index; None while promoting."""
        return None if step is None or step >= len(self.steps) else self.steps[step]

    def windows_up_to(self, step: int, *, of_calls: bool = False) -> int:
        """Return how many times the gates that compare (or those of them that compare calls) began anew.

        These are the steps that hold, this included.
        """
        held = [item for item in self.steps[: step + 1] if item.hold_seconds != 0]
        return sum(0 < item.weight < 100 if of_calls else item.compared for item in held)
