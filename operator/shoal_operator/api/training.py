"""spec.training of a ClusteringModel: how the training Job runs. No decision lives here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shoal_operator.api.meta import ApiModel, ResourceRequirements


class PlanOverrides(ApiModel):
    """What of the engine's plan a user decides; the labels are the same with each choice."""

    index: Literal["auto", "grid", "tree"] = Field(
        default="auto",
        description="Index of the fit: grid (cells, up to 3 columns) or tree; auto leaves it to the plan. Only for "
        "dbscan.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Threads of the fit; the CPUs that the pod may use when absent: its limit, or the whole node.",
    )


class Training(ApiModel):
    """How the training Job runs; a change here trains nothing anew."""

    resources: ResourceRequirements = Field(
        default_factory=ResourceRequirements, description="CPU and memory of the training pod."
    )
    active_deadline_seconds: int = Field(
        default=3600, ge=10, le=604_800, description="Seconds after which a training that has not ended is stopped."
    )
    retries: int = Field(
        default=2, ge=0, le=10, description="Tries again after a failure that may pass, such as a store out of reach."
    )
    plan: PlanOverrides = Field(
        default_factory=PlanOverrides, description="Overrides of the engine's plan; `shoal explain` shows the plan."
    )
