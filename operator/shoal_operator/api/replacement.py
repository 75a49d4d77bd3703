"""What both strategies say of the version that is replaced: how long it stays, and how one goes back to it.

Read by core.steps, core.retiring and core.rollback. No decision lives here.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule

MOST_PREVIOUS = 10
"""Revisions that were stable before which a deployment remembers."""


class PostPromotion(ApiModel):
    """Hold all traffic on the candidate before it becomes stable; the stable pool stays complete."""

    duration_seconds: int = Field(
        ge=1, le=86_400, description="Seconds at 100 percent in which readiness and the gates that ask others decide."
    )


class Standby(ApiModel):
    """Replaced versions whose pods are kept, to go back to them at once."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.replicas) || (has(self.revisions) && self.revisions > 0)",
            message="standby.replicas has no effect while standby.revisions is 0; set revisions to 1, 2 or 3, or "
            "remove replicas",
        ),
    )

    revisions: int = Field(
        default=0, ge=0, le=3, description="How many of the versions that were stable last keep their pods."
    )
    replicas: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Pods of each, at most worker.replicas, which it is when absent. With fewer, going back waits for "
        "the rest of them.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.replicas is not None and self.revisions == 0:
            raise ValueError(self.cel_rules[0].message)
        return self


class RollbackWindow(ApiModel):
    """How far back the steps are skipped, once the pods are ready."""

    revisions: int = Field(
        ge=1,
        le=MOST_PREVIOUS,
        description="How many of the versions that were stable last are gone back to without steps.",
    )


class Replacement(ApiModel):
    """The end of a rollout, and the way back from it."""

    scale_down_delay_seconds: int = Field(
        default=30, ge=0, le=86_400, description="Seconds that the replaced pool stays complete after the promotion."
    )
    post_promotion: PostPromotion | None = Field(
        default=None, description="Hold and judge the candidate at 100 percent before it becomes stable."
    )
    standby: Standby = Field(
        default_factory=Standby, description="Replaced versions whose pods stay after scaleDownDelaySeconds."
    )
    rollback_window: RollbackWindow | None = Field(
        default=None, description="Versions that are gone back to without steps although their pods are gone."
    )
