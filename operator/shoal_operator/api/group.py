"""A group of ClusteringDeployments of one model: which of them take a new version over first, or all at once.

Part of a ClusteringDeployment's spec; read by core.group. No decision lives here.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule

_NAME = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
MemberName = Annotated[str, Field(pattern=_NAME, max_length=253)]


class Group(ApiModel):
    """The group that this deployment is a member of, and what it waits for."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.together) || !self.together || !has(self.promoteAfter) || self.promoteAfter.size() == 0",
            message="group.together and group.promoteAfter exclude each other: who begins after others cannot be "
            "promoted at once with them; leave one of them out",
        ),
    )

    name: str = Field(
        pattern=_NAME,
        max_length=63,
        description="Name of the group; its members are the deployments of the same model and namespace that name it.",
    )
    promote_after: list[MemberName] = Field(
        default_factory=list,
        max_length=16,
        description="Members that must serve a version as stable before this one's rollout to it begins.",
    )
    together: bool = Field(
        default=False,
        description="true: promoted at once with all other members that have together: the last step holds until every "
        "one of them has passed its own, and when one rolls the version back, all do.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.together and self.promote_after:
            raise ValueError(self.cel_rules[0].message)
        return self
