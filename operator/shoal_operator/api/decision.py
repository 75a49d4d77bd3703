"""ClusteringDecision: the immutable record of one decision about a ClusteringDeployment, with all that it rests on.

Built by core.records, written once by its plan, read by people, tools and auditors. Its spec never changes after
creation (a CEL rule says so), and it has no status.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from shoal_operator.api.meta import CelRule, StatusModel

DecisionKind = Literal[
    "Started",
    "WeightSet",
    "Held",
    "Paused",
    "Resumed",
    "Advanced",
    "FailurePaused",
    "Promoted",
    "RolledBack",
    "Aborted",
    "Withdrawn",
    "Retried",
    "Approved",
    "Restored",
]
ActorKind = Literal["Gates", "Deadline", "Schedule", "Version", "Spec", "Command", "Record"]
Figure = float | None

_KINDS = (
    "Started: a revision is on trial. WeightSet: it gets another share. Held: a step or a gate holds it. Paused, "
    "Resumed, Advanced, Retried, Approved, Aborted: a person's commands, or spec.paused. FailurePaused: a failure "
    "holds it. Promoted: it serves. RolledBack: it failed and is blocked. Withdrawn: it is no longer asked for."
)


class DecidedRevision(StatusModel):
    """A bundle that a decision is about."""

    version: int = Field(ge=1, description="Number of the ClusteringModelVersion.")
    revision: str = Field(max_length=64, description="Hash of the bundle, the name of its objects.")
    digest: str = Field(default="", max_length=128, description="Digest of the artifact.")


class DecidedWeight(StatusModel):
    """The candidate's share of the traffic, in percent."""

    before: int = Field(ge=0, le=100, description="Percent that it was to get before the decision.")
    after: int = Field(ge=0, le=100, description="Percent that it is to get from here on.")
    actual: int = Field(ge=0, le=100, description="Percent that the router gave it when this was decided.")


class DecisionActor(StatusModel):
    """Who or what moved the operator to decide."""

    kind: ActorKind = Field(
        description="Gates, Deadline, Schedule (the strategy's steps) and Version (a newer one that "
        "modelRef.version latest follows) are the operator itself, as is Record (the durable record of the stable "
        "version); Spec is a change of the object, Command an annotation.",
    )
    gate: str = Field(default="", max_length=128, description="The gate that decided, of Gates.")
    command: str = Field(default="", max_length=32, description="The command, of Command.")
    name: str = Field(
        default="",
        max_length=256,
        description="Who asked, as the command itself says (shoal.dev/promote=yes;by=NAME). Nobody has checked it: "
        "only the API server's audit log proves who wrote an annotation.",
    )
    manager: str = Field(
        default="",
        max_length=128,
        description="Field manager that wrote the annotation or the field, as metadata.managedFields had it: the "
        "program, such as shoal-cli, kubectl-annotate or argocd-controller.",
    )


class GateFinding(StatusModel):
    """What one gate said, and what it had seen."""

    gate: str = Field(max_length=128, description="Name of the gate, such as readiness or errorRate.")
    verdict: Literal["pass", "fail", "inconclusive", "error"] = Field(description="pass, fail, inconclusive or error.")
    dry_run: bool = Field(default=False, description="The verdict was told, but had no effect.")
    message: str = Field(default="", max_length=1000, description="The figures and the limit in a sentence.")
    at: str = Field(
        default="", max_length=64, description="When it last looked, RFC 3339, where it was not asked any more."
    )
    stable: Figure = Field(default=None, description="The gate's figure of the stable pool.")
    candidate: Figure = Field(default=None, description="The gate's figure of the candidate pool.")
    stable_samples: int | None = Field(default=None, description="Calls of the stable pool in the window.")
    candidate_samples: int | None = Field(default=None, description="Calls of the candidate pool in the window.")
    low: Figure = Field(
        default=None, description="Lower end of the interval of what the limit is held against; absent for none."
    )
    high: Figure = Field(default=None, description="Upper end of that interval.")
    limit: Figure = Field(default=None, description="The limit: beyond it the gate fails.")


class DecisionRecord(StatusModel):
    """One decision about a deployment."""

    deployment: str = Field(max_length=253, description="Name of the ClusteringDeployment.")
    number: int = Field(ge=1, description="Number of the decision; a deployment's decisions are numbered without gaps.")
    at: str = Field(max_length=64, description="When it was decided, RFC 3339.")
    decision: DecisionKind = Field(description=_KINDS)
    reason: str = Field(max_length=64, description="Why, as one CamelCase word, the same as in conditions and events.")
    message: str = Field(default="", max_length=1000, description="Why, in a sentence.")
    actor: DecisionActor = Field(description="Who or what moved the operator to decide.")
    stable: DecidedRevision | None = Field(
        default=None, description="What served before the decision; absent before the first deployment."
    )
    candidate: DecidedRevision | None = Field(default=None, description="What was, or is now, on trial.")
    weight: DecidedWeight = Field(description="The candidate's share of the traffic.")
    step: int | None = Field(
        default=None, ge=0, description="Index of the step that the rollout was at, from 0; the step count at the end."
    )
    step_count: int | None = Field(default=None, ge=0, description="Steps of the rollout.")
    window_started_at: str | None = Field(
        default=None, max_length=64, description="When the window of the gates' figures began, RFC 3339."
    )
    gates: list[GateFinding] = Field(
        default_factory=list, max_length=64, description="What each gate said at this decision."
    )


class ClusteringDecisionSpec(DecisionRecord):
    """The record itself."""

    model_config = ConfigDict(extra="forbid")

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="self == oldSelf",
            message="the spec of a ClusteringDecision is a record and never changes; the operator writes the next one",
        ),
    )


class LastDecision(StatusModel):
    """The newest decision, in short."""

    name: str = Field(description="Name of its ClusteringDecision.")
    number: int = Field(default=0, ge=0, description="Its number.")
    decision: str = Field(default="", description="What was decided.")
    step: int | None = Field(default=None, description="Index of the step that the rollout was at.")
    at: str = Field(default="", description="When it was decided, RFC 3339.")
