"""The one form that both strategies take: steps that give the candidate its share of the calls and then hold it.

Built by core.bluegreen and core.canary, walked by core.transitions. Invariant: weights never fall from step to step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shoal_operator.api.canary import HeaderMatch, SetScale
from shoal_operator.api.replacement import Replacement, Standby
from shoal_operator.core.pools import least_pods, pods_needed

Share = tuple[int, int, HeaderMatch | None]
"""A candidate's part of the calls: percent by weight, percent of copies, metadata whose calls it gets in any case."""

NOTHING: Share = (0, 0, None)
"""What a candidate gets before its first step."""


@dataclass(frozen=True, slots=True)
class Step:
    """Reach a share of the calls, then hold it."""

    weight: int
    hold_seconds: float | None
    """Seconds to hold; None holds until the promote command."""
    patience_seconds: float | None = None
    """Seconds in which every gate must pass, else onInconclusive decides; None: the gates are asked after the hold."""
    shadow: bool = False
    """Whether it is at weight 0 and the candidate is judged nevertheless, without any call to it."""
    mirror: int = 0
    """Percent of the calls that the candidate gets copies of."""
    header: HeaderMatch | None = None
    """Metadata whose calls the candidate gets whatever its weight."""
    scale: SetScale | None = None
    """The candidate's pods, at least; None: what its calls need."""

    @property
    def share(self) -> Share:
        """What the candidate gets of the calls."""
        return self.weight, self.mirror, self.header

    @property
    def compared(self) -> bool:
        """Whether both revisions get calls."""
        return compares(self.share)

    @property
    def judged(self) -> bool:
        """Whether the gates decide at its end: it takes time, and the candidate gets calls, or is in shadow.

        Gates that compare calls do so below 100 % only, where stable gets calls too.
        """
        takes_time = bool(self.hold_seconds) or self.patience_seconds is not None
        return takes_time and (self.shadow or self.compared or self.weight > 0)

    @property
    def has_window(self) -> bool:
        """Whether versions are compared while it holds, if only until the promote command."""
        return (self.hold_seconds != 0 or self.patience_seconds is not None) and (self.shadow or self.compared)


PROMOTION = Step(100, 0.0)
"""What follows the last step of every schedule."""


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

    def step_at(self, index: int | None) -> Step:
        """Return the step at an index, the promotion after the last one."""
        place = index or 0
        return self.steps[place] if place < len(self.steps) else PROMOTION

    def pods_for(self, step: Step, replicas: int) -> int:
        """Return the candidate's pods in a step: what its calls need, or more where the step says so."""
        needed = pods_needed(max(step.weight, step.mirror), replicas, full_pool=self.full_pool)
        return max(needed, least_pods(step.scale, replicas))

    def windows_up_to(self, step: int, *, of_calls: bool = False) -> int:
        """Return how many times the gates that compare (or those of them that compare calls) began anew.

        These are the steps that hold, this included.
        """
        held = [item for item in self.steps[: step + 1] if item.has_window]
        return sum(item.compared for item in held) if of_calls else len(held)


def close_schedule(steps: tuple[Step, ...], end: Replacement, *, full_pool: bool) -> Schedule:
    """Close a strategy's own steps with what both strategies say of the replaced version.

    >>> from shoal_operator.api.replacement import PostPromotion
    >>> end = Replacement(post_promotion=PostPromotion(duration_seconds=60))
    >>> [(step.weight, step.hold_seconds) for step in close_schedule((), end, full_pool=True).steps]
    [(100, 60.0)]
    """
    last = () if end.post_promotion is None else (Step(100, float(end.post_promotion.duration_seconds)),)
    window = end.rollback_window.revisions if end.rollback_window else 0
    return Schedule((*steps, *last), end.scale_down_delay_seconds, full_pool, end.standby, window)


def compares(share: Share) -> bool:
    """Tell whether both revisions get calls at a share: stable some, and the candidate some of any kind."""
    weight, mirror, header = share
    return weight < 100 and (weight > 0 or mirror > 0 or header is not None)


def describe_share(share: Share) -> str:
    """Tell what a candidate gets.

    >>> describe_share((20, 0, None))
    '20 %'
    >>> describe_share((0, 50, HeaderMatch(name="x-tester", value="yes")))
    '0 %, copies of 50 %, calls with x-tester: yes'
    """
    weight, mirror, header = share
    copies = f", copies of {mirror} %" if mirror else ""
    return f"{weight} %{copies}" + (f", calls with {header.name}: {header.value}" if header else "")
