"""The one form that both strategies take: steps that reach a weight and then hold it.

Built by core.bluegreen and core.canary, walked by core.transitions. Invariant: weights never fall from step to step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shoal_operator.api.replacement import Replacement, Standby


@dataclass(frozen=True, slots=True)
class Step:
    """Reach a weight, then hold it."""

    weight: int
    hold_seconds: float | None
    """Seconds to hold; None holds until the promote command."""

    @property
    def judged(self) -> bool:
        """Whether the gates decide at its end: it takes time, and the candidate gets calls.

        Gates that compare calls only do so below 100 %, where stable gets some too.
        """
        return bool(self.hold_seconds) and self.weight > 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """A strategy as steps; after the last one the candidate is promoted."""

    steps: tuple[Step, ...]
    scale_down_delay_seconds: int
    full_pool: bool
    """Whether the candidate has as many pods as stable from the start."""
    standby: Standby = field(default_factory=Standby)
    """What is kept of replaced revisions after the scale-down delay."""
    rollback_window: int = 0
    """How many of the revisions that were stable last are gone back to without steps, standing by or not."""

    def windows_up_to(self, step: int) -> int:
        """Return how many times the gates that compare calls began anew: steps that hold a weight, this included."""
        return sum(item.hold_seconds != 0 and 0 < item.weight < 100 for item in self.steps[: step + 1])


def close_schedule(steps: tuple[Step, ...], end: Replacement, *, full_pool: bool) -> Schedule:
    """Close a strategy's own steps with what both strategies say of the replaced version.

    >>> from shoal_operator.api.replacement import PostPromotion
    >>> close_schedule((), Replacement(post_promotion=PostPromotion(duration_seconds=60)), full_pool=True).steps
    (Step(weight=100, hold_seconds=60.0),)
    """
    last = () if end.post_promotion is None else (Step(100, float(end.post_promotion.duration_seconds)),)
    window = end.rollback_window.revisions if end.rollback_window else 0
    return Schedule((*steps, *last), end.scale_down_delay_seconds, full_pool, end.standby, window)
