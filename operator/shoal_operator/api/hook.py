"""Hooks of a rollout: what is told, or run, before it begins, before and after the promotion, after a rollback.

Part of a ClusteringDeployment's spec and status; read by core.hooks. No decision lives here.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from shoal_operator.api.analysis import CRON_JOB_NAME
from shoal_operator.api.meta import ApiModel, CelRule, StatusModel
from shoal_operator.api.question import URL, QuestionName

HookAt = Literal["BeforeRollout", "BeforePromotion", "AfterPromotion", "AfterRollback"]


class Hook(ApiModel):
    """A service that is told, or a Job that is run, at a point of every rollout."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.url) != has(self.cronJob)",
            message="a hook has exactly one of url and cronJob; set one of them and leave the other out",
        ),
    )

    name: QuestionName = Field(description="Name of the hook, unique among spec.hooks.")
    at: HookAt = Field(
        description="BeforeRollout and BeforePromotion hold the rollout until they succeeded; AfterPromotion and "
        "AfterRollback follow it, and move no traffic whatever becomes of them."
    )
    url: str | None = Field(
        default=None,
        pattern=URL,
        max_length=1024,
        description="Where to send the facts by POST, until it answers 2xx; its host must be among the operator's "
        "allowed hosts (analysis.allowedHosts of the chart).",
    )
    cron_job: str | None = Field(
        default=None,
        pattern=CRON_JOB_NAME,
        max_length=253,
        description="CronJob of the same namespace, annotated shoal.dev/startable=true, whose Job is run once.",
    )
    timeout_seconds: int = Field(
        default=300, ge=1, le=86_400, description="Seconds after which a hook that has not succeeded has failed."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.url is None) == (self.cron_job is None):
            raise ValueError(self.cel_rules[0].message)
        return self


class HookRecord(StatusModel):
    """What became of a hook in this rollout."""

    name: str = Field(description="Name of the hook.")
    at: HookAt = Field(description="The point of the rollout that it belongs to.")
    state: Literal["Running", "Succeeded", "Failed", "Skipped"] = Field(
        description="Running, Succeeded, Failed, or Skipped: the promote command went on without it."
    )
    version: int = Field(description="The version on trial, or that was.")
    revision: str = Field(description="Its revision.")
    stable_version: int = Field(description="The version beside which it was on trial.")
    stable_revision: str = Field(description="Its revision.")
    started_at: str = Field(description="When it was begun, RFC 3339.")
    ended_at: str | None = Field(default=None, description="When it ended, RFC 3339.")
    message: str = Field(default="", description="What it said last, or why it has not succeeded.")
