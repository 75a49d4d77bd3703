"""The blue-green strategy: a full second pool, then traffic in equal steps.

Read by api.deployment and core.bluegreen. No decision lives here. The default is the seed's: 5 steps of 60 s.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import CelRule
from shoal_operator.api.replacement import Replacement
from shoal_operator.api.shadow import Shadow


class BlueGreen(Replacement):
    """A full second pool, then traffic in equal steps."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.autoPromotionSeconds) || self.autoPromotionSeconds == 0 || !has(self.autoPromotion) || "
            "self.autoPromotion",
            message="blueGreen.autoPromotionSeconds has no effect with autoPromotion false, which waits for the "
            "promote command; set autoPromotion to true, or remove autoPromotionSeconds",
            message_expression="'blueGreen.autoPromotionSeconds %d has no effect with autoPromotion false, which waits "
            "for the promote command; set autoPromotion to true, or remove autoPromotionSeconds'"
            ".format([self.autoPromotionSeconds])",
        ),
    )

    steps: int = Field(default=5, ge=1, le=100, description="Equal weight steps from 0 to 100 percent.")
    interval_seconds: int = Field(default=60, ge=0, le=86_400, description="Seconds at each step before the next.")
    pre_promotion: Shadow | None = Field(
        default=None, description="A shadow step before anything else; needs a gate that judges without calls."
    )
    auto_promotion: bool = Field(
        default=True, description="false: wait at weight 0 for the promote command before the first step."
    )
    auto_promotion_seconds: int = Field(
        default=0,
        ge=0,
        le=86_400,
        description="Seconds that the complete second pool stands at weight 0, to be looked at, before the first step; "
        "the promote command ends them.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.auto_promotion_seconds and not self.auto_promotion:
            raise ValueError(self.cel_rules[0].message)
        return self
