"""The canary strategy: a small share first, then more, by steps of the user's.

Read by api.deployment and core.canary. No decision lives here. The default is the seed's: 10 % for 1 h.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule, StatusModel
from shoal_operator.api.replacement import Replacement
from shoal_operator.api.shadow import Shadow

_LONGEST_SECONDS = 31_536_000
_RESERVED = ("content-type", "host", "te")
_PATIENCE_SECONDS = 3600


class SetScale(ApiModel):
    """Exactly one of replicas, percent and matchWeight; the pods never are fewer than the candidate's calls need."""

    exactly_one: ClassVar[bool] = True
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.matchWeight) || self.matchWeight",
            message="setScale.matchWeight false says nothing; set it to true, or use replicas or percent",
        ),
    )

    replicas: int | None = Field(default=None, ge=1, le=1000, description="Least pods of the candidate.")
    percent: int | None = Field(
        default=None, ge=1, le=100, description="The same as a percentage of worker.replicas, rounded up."
    )
    match_weight: bool | None = Field(
        default=None, description="true: as many pods as the weight needs, which ends an earlier setScale."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.match_weight is False:
            raise ValueError(self.cel_rules[0].message)
        return self


class AnalysisStep(ApiModel):
    """Hold the weight until every gate passes with enough samples."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule=f"(has(self.minSeconds) ? self.minSeconds : 0) <= "
            f"(has(self.maxSeconds) ? self.maxSeconds : {_PATIENCE_SECONDS})",
            message="analysis.minSeconds is above analysis.maxSeconds; raise maxSeconds or lower minSeconds",
        ),
    )

    min_seconds: int = Field(default=0, ge=0, le=_LONGEST_SECONDS, description="Least seconds to hold.")
    max_seconds: int = Field(
        default=_PATIENCE_SECONDS,
        ge=1,
        le=_LONGEST_SECONDS,
        description="Seconds after which analysis.onInconclusive decides what a missing verdict means.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_seconds > self.max_seconds:
            raise ValueError(self.cel_rules[0].message)
        return self


class Mirror(ApiModel):
    """Copy calls to the candidate, whose answers are dropped: no user depends on it yet."""

    percent: int = Field(ge=1, le=100, description="Percent of the calls that are copied.")
    duration_seconds: int = Field(ge=1, le=_LONGEST_SECONDS, description="Seconds to copy, and to judge the candidate.")


class HeaderMatch(StatusModel):
    """One metadata entry of a call, by its exact value."""

    name: str = Field(
        pattern=r"^[a-z0-9_][a-z0-9_.-]*$", max_length=128, description="Metadata key, in lower case: x-tester."
    )
    value: str = Field(pattern=r"^[!-~]([ -~]*[!-~])?$", max_length=1024, description="Its value, compared exactly.")


class SetHeader(HeaderMatch):
    """Send calls with this metadata to the candidate."""

    model_config = ConfigDict(extra="forbid")
    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!self.name.startsWith('grpc-') && !self.name.endsWith('-bin') && "
            f"!(self.name in [{', '.join(repr(name) for name in _RESERVED)}])",
            message="setHeader.name is metadata that gRPC itself sends, or binary; choose a name of your own, such as "
            "x-tester",
            message_expression="'setHeader.name %s is metadata that gRPC itself sends, or binary; choose a name of "
            "your own, such as x-tester'.format([self.name])",
        ),
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.name.startswith("grpc-") or self.name.endswith("-bin") or self.name in _RESERVED:
            raise ValueError(self.cel_rules[0].message)
        return self


class Pause(ApiModel):
    """Hold the weight."""

    duration_seconds: int | None = Field(
        default=None, ge=0, le=31_536_000, description="Seconds to hold; until the promote command when absent."
    )


class CanaryStep(ApiModel):
    """Exactly one thing to do."""

    exactly_one: ClassVar[bool] = True

    set_weight: int | None = Field(
        default=None, ge=0, le=100, description="Percent of the traffic for the candidate from here on."
    )
    pause: Pause | None = Field(default=None, description="Hold the weight and judge the candidate.")
    shadow: Shadow | None = Field(
        default=None, description="Judge the candidate at weight 0, before the first setWeight."
    )
    analysis: AnalysisStep | None = Field(
        default=None, description="Hold the weight until every gate passes with enough samples."
    )
    set_scale: SetScale | None = Field(default=None, description="The candidate's pods from here on, at least.")
    mirror: Mirror | None = Field(
        default=None, description="Copy calls to the candidate and drop its answers, at weight 0; router Gateway only."
    )
    set_header: SetHeader | None = Field(
        default=None,
        description="Send calls with this metadata to the candidate from here on, the rest by weight; router Gateway "
        "only.",
    )


class Canary(Replacement):
    """A small share first, then more, step by step; after the last step the candidate is promoted."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.steps) || self.steps.size() == 0 || !has(self.steps[0].pause)",
            message="canary.steps[0] is a pause at weight 0, which judges nothing; begin with a setWeight or a shadow",
        ),
        CelRule(
            rule="!has(self.steps) || self.steps.filter(s, has(s.setWeight)).map(s, s.setWeight).isSorted()",
            message="the setWeight of canary.steps must never fall; put them in rising order",
            message_expression="'the setWeight of canary.steps must never fall, they are %s; put them in rising order'"
            ".format([self.steps.filter(s, has(s.setWeight)).map(s, s.setWeight)])",
        ),
        CelRule(
            rule="!has(self.steps) || self.steps.filter(s, has(s.mirror) || (has(s.setWeight) && s.setWeight > 0))"
            ".map(s, has(s.mirror) ? 0 : 1).isSorted()",
            message="a mirror of canary.steps follows a setWeight above 0 and would copy calls that the candidate "
            "answers already; put it before",
        ),
        CelRule(
            rule="!has(self.steps) || !self.steps.exists(s, has(s.analysis)) || (!has(self.steps.filter(s, "
            "has(s.analysis) || has(s.setHeader) || (has(s.setWeight) && s.setWeight > 0))[0].analysis) && "
            "self.steps.filter(s, has(s.analysis) || (has(s.setWeight) && s.setWeight == 100))"
            ".map(s, has(s.analysis) ? 0 : 1).isSorted())",
            message="an analysis of canary.steps has no calls of both versions to compare; put it after a setWeight "
            "from 1 to 99 or a setHeader",
        ),
        CelRule(
            rule="!has(self.steps) || self.steps.filter(s, has(s.shadow) || has(s.setHeader) || "
            "(has(s.setWeight) && s.setWeight > 0)).map(s, has(s.shadow) ? 0 : 1).isSorted()",
            message="a shadow of canary.steps cannot follow a setHeader or a setWeight above 0, by which users see the "
            "candidate; put it before",
        ),
    )

    steps: list[CanaryStep] = Field(
        default_factory=lambda: [CanaryStep(set_weight=10), CanaryStep(pause=Pause(duration_seconds=3600))],
        min_length=1,
        max_length=64,
        description="What to do, in order; weights never fall.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        weights = [step.set_weight for step in self.steps if step.set_weight is not None]
        copied = [step.mirror is None for step in self.steps if step.mirror is not None or step.set_weight]
        judged = [
            step.analysis is not None for step in self.steps if step.analysis or step.set_header or step.set_weight
        ]
        seen = [step.shadow is None for step in self.steps if step.shadow or step.set_header or step.set_weight]
        ended = [step.analysis is None for step in self.steps if step.analysis or step.set_weight == 100]
        broken = (
            self.steps[0].pause is not None,
            weights != sorted(weights),
            copied != sorted(copied),
            any(judged) and (judged[0] or ended != sorted(ended)),
            seen != sorted(seen),
        )
        for rule, fails in zip(self.cel_rules, broken, strict=True):
            if fails:
                raise ValueError(rule.message)
        return self
