"""What the rollout's state machine looks at and what it answers.

Built by core.rollout, read and answered by core.transitions and core.stepping. Holds no decision itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shoal_operator.api.canary import HeaderMatch
from shoal_operator.api.deployment import ClusteringDeploymentSpec, Revision, Verdict
from shoal_operator.core.conditions import Problem
from shoal_operator.core.plan import Emit
from shoal_operator.core.pools import Foresight
from shoal_operator.core.progress import Progress, revision_only
from shoal_operator.core.routing import Arrangement
from shoal_operator.core.snapshot import DeploymentSnapshot
from shoal_operator.core.steps import Schedule, Step


class Arrange(Protocol):
    """Asks the router how calls are to be shared between stable and candidate."""

    def __call__(
        self,
        stable: Revision,
        candidate: Revision | None,
        weight: int,
        mirror: int = 0,
        header: HeaderMatch | None = None,
    ) -> Arrangement:
        """Return the router's answer for a weight, a share of copied calls and a header."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the state machine may look at."""

    spec: ClusteringDeploymentSpec
    schedule: Schedule
    snapshot: DeploymentSnapshot
    arrange: Arrange
    recorded: Revision | None
    """The durable record of the stable revision."""
    was_held: bool
    """Whether a person or a failure held the rollout when last looked at; that time is no lack of progress."""
    was_ready: bool
    """Whether the candidate's pods were ready when last looked at."""
    foresight: Foresight = field(default_factory=Foresight)
    """What the candidate's calls will need at another weight."""

    def needed(self, step: Step) -> int:
        """Return how many of the candidate's pods must be ready for a step: what its share, and its load, ask for.

        At a weight that it has already only the share holds the rollout; more pods come as the load asks for them.
        """
        replicas = self.spec.worker.replicas
        foreseen = self.foresight.pods_at(step.weight, replicas) if step.weight > self.foresight.weight else 0
        return max(self.schedule.pods_for(step, replicas), foreseen)

    def records(self, revision: Revision) -> bool:
        """Tell whether the durable record says that this revision is stable."""
        return self.recorded is not None and self.recorded == revision_only(revision)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to remember, and what to tell."""

    progress: Progress
    events: tuple[Emit, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    judged: tuple[Verdict, ...] = ()
    """What the gates said in this pass, also of a step that it left."""
    pause: Problem | None = None
    """Why the rollout does not go on by itself."""
    waiting: Problem | None = None
    """What the rollout waits for."""
    holds_until: datetime | None = None
    """When the time of the present step is over."""
    failure: Problem | None = None
    """Why the rollout has failed, apart from what gates say."""
    look_again: tuple[datetime, ...] = ()
    shadow: bool = False
    """Whether the candidate is being judged in shadow."""
    recording: Revision | None = None
    """The durable record must say this before the rollout goes on."""

    @property
    def stopped(self) -> bool:
        """Whether something holds the rollout, or has failed it, before it may go on."""
        return self.pause is not None or self.failure is not None
