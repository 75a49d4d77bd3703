"""ClusteringDeployment: the endpoint that serves a model's versions, and how a new version takes over.

Read by core.rollout and its neighbours and by the CRD generator. No decision lives here. Defaults are the seed's:
blue-green in 5 steps of 60 s, canary 10 % for 1 h, error rate x1.05, mean latency x1.2.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from shoal_operator.api.agreement import AgreementFigures
from shoal_operator.api.analysis import JUDGES_IN_SHADOW, Analysis
from shoal_operator.api.bluegreen import BlueGreen
from shoal_operator.api.canary import Canary, HeaderMatch
from shoal_operator.api.decision import DecisionRecord, LastDecision
from shoal_operator.api.group import Group
from shoal_operator.api.hook import Hook, HookRecord
from shoal_operator.api.ingestion import Ingestion
from shoal_operator.api.meta import ApiModel, CelRule, Condition, ResourceRequirements, StatusModel
from shoal_operator.api.replacement import MOST_PREVIOUS
from shoal_operator.api.scaling import Contest, Scaling, ScalingStatus
from shoal_operator.api.traffic import Traffic

RevisionHash = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]


class ModelVersionReference(ApiModel):
    """Which model and which of its versions to serve."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="self.name == oldSelf.name",
            message="modelRef.name cannot change; create another ClusteringDeployment for the other model",
            message_expression="'modelRef.name cannot change from %s to %s; create another ClusteringDeployment "
            "for the other model'.format([oldSelf.name, self.name])",
        ),
        CelRule(
            rule="!has(self.policy) || self.policy == 'Automatic' || !has(self.version) || self.version == 'latest'",
            message="modelRef.policy Manual has no effect with a pinned modelRef.version; set the version to latest, "
            "or leave the policy out",
        ),
    )

    name: str = Field(min_length=1, max_length=253, description="Name of a ClusteringModel in the same namespace.")
    version: str = Field(
        default="latest",
        pattern=r"^(latest|[1-9][0-9]{0,8}|sha256:[0-9a-f]{64})$",
        max_length=71,
        description="A version number, the digest of a version's artifact (sha256:...), or latest: the newest Active "
        "version.",
    )
    policy: Literal["Automatic", "Manual"] = Field(
        default="Automatic",
        description="Automatic: a newer version is rolled out at once. Manual: it waits for the approve command; the "
        "first version does not wait, for nothing serves yet. Only with version latest.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.policy == "Manual" and self.version != "latest":
            raise ValueError(self.cel_rules[1].message)
        return self


class WorkerSettings(StatusModel):
    """What shapes a serving pod besides its image: a change of these is rolled out as a new revision."""

    resources: ResourceRequirements = Field(
        default_factory=ResourceRequirements, description="CPU and memory of each pod."
    )
    max_in_flight: int = Field(
        default=64, ge=1, le=10_000, description="Requests at once in a pod; more are refused as RESOURCE_EXHAUSTED."
    )
    drain_delay_seconds: int = Field(
        default=8, ge=0, le=300, description="Seconds that a stopping pod serves on while routes forget it."
    )
    drain_grace_seconds: int = Field(
        default=20,
        ge=1,
        le=3600,
        description="Seconds that calls in flight get to end once the drain delay is over and the clients have left, "
        "which they do within 1.1 times maxConnectionAgeSeconds, or are left behind after 300 s.",
    )
    max_connection_age_seconds: int = Field(
        default=60,
        ge=1,
        le=86_400,
        description="Age at which a connection is asked to reconnect, so that long-lived clients follow the weights.",
    )


class Worker(WorkerSettings):
    """The pods that serve."""

    model_config = ConfigDict(extra="forbid")

    image: str | None = Field(
        default=None, min_length=1, description="Worker image; the operator's own default when absent."
    )
    replicas: int = Field(
        default=2, ge=0, le=1000, description="Pods that serve the stable version; with spec.scaling those at first."
    )


class Strategy(ApiModel):
    """Exactly one of blueGreen and canary."""

    exactly_one: ClassVar[bool] = True

    blue_green: BlueGreen | None = Field(default=None, description="A full second pool, then equal steps.")
    canary: Canary | None = Field(default=None, description="A small share first, then more, step by step.")

    @property
    def shadows(self) -> bool:
        """Whether it has a step at weight 0 in which the candidate is judged."""
        early = self.blue_green is not None and self.blue_green.pre_promotion is not None
        return early or (self.canary is not None and any(step.shadow is not None for step in self.canary.steps))


class ClusteringDeploymentSpec(ApiModel):
    """What to serve, and how a new version takes over."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!(has(self.strategy) && ((has(self.strategy.blueGreen) && has(self.strategy.blueGreen.prePromotion)) "
            "|| (has(self.strategy.canary) && has(self.strategy.canary.steps) "
            f"&& self.strategy.canary.steps.exists(s, has(s.shadow))))) || {JUDGES_IN_SHADOW}",
            message="spec.strategy has a shadow step, in which no gate would judge; set analysis.agreement: {}, or "
            "silhouette, clusterCount, a Job, or an outside gate with minSamples: 0",
        ),
        CelRule(
            rule="!has(self.hooks) || self.hooks.all(a, self.hooks.exists_one(b, b.name == a.name))",
            message="two of spec.hooks have the same name; give each its own",
        ),
        CelRule(
            rule="!has(self.strategy) || !has(self.strategy.canary) || !has(self.strategy.canary.steps) || "
            "!self.strategy.canary.steps.exists(s, has(s.mirror) || has(s.setHeader)) || "
            "(has(self.traffic) && has(self.traffic.router) && self.traffic.router == 'Gateway')",
            message="strategy.canary.steps has a mirror or a setHeader, which traffic.router Service cannot do; remove "
            "them, or use router Gateway",
        ),
        CelRule(
            rule="!has(self.ingestion) || !has(self.traffic) || !has(self.traffic.router) || "
            "self.traffic.router == 'Service'",
            message="traffic.router Gateway has no effect with ingestion, where the weights share leases; remove it",
        ),
        CelRule(
            rule="!has(self.ingestion) || !has(self.worker) || !(has(self.worker.maxInFlight) && "
            "self.worker.maxInFlight != 64 || has(self.worker.drainDelaySeconds) && self.worker.drainDelaySeconds != 8 "
            "|| has(self.worker.maxConnectionAgeSeconds) && self.worker.maxConnectionAgeSeconds != 60)",
            message="worker.maxInFlight, drainDelaySeconds and maxConnectionAgeSeconds have no effect with ingestion; "
            "remove them, and see ingestion.maxInFlight",
        ),
        CelRule(
            rule="!has(self.scaling) || !has(self.scaling.minReplicas) || self.scaling.minReplicas > 0 || "
            "(has(self.ingestion) && has(self.ingestion.nats.monitoringUrl) && has(self.scaling.metrics.queue))",
            message="scaling.minReplicas 0 needs ingestion, with ingestion.nats.monitoringUrl and "
            "scaling.metrics.queue, for something must tell when a pod is wanted again; set them, or minReplicas 1",
        ),
        CelRule(
            rule="has(self.ingestion) == has(oldSelf.ingestion)",
            message="ingestion can be neither added nor removed; create another ClusteringDeployment",
        ),
    )

    model_ref: ModelVersionReference = Field(description="The model and its version.")
    worker: Worker = Field(default_factory=Worker, description="The pods that serve.")
    strategy: Strategy = Field(
        default_factory=lambda: Strategy(canary=Canary()), description="How a new version takes over."
    )
    analysis: Analysis = Field(default_factory=Analysis, description="The gates between the steps.")
    traffic: Traffic = Field(default_factory=Traffic, description="How calls reach the pods.")
    ingestion: Ingestion | None = Field(
        default=None, description="Label the messages of a stream instead of serving calls; there is no Service then."
    )
    scaling: Scaling | None = Field(
        default=None, description="Let the load choose the number of pods; worker.replicas pods when absent."
    )
    progress_deadline_seconds: int = Field(
        default=600, ge=1, le=86_400, description="Seconds in which a step must make progress, pauses excluded."
    )
    on_failure: Literal["Rollback", "Pause"] = Field(
        default="Rollback", description="What a failed gate or a missed deadline leads to."
    )
    paused: bool = Field(default=False, description="true: hold the rollout where it is; traffic flows on.")
    group: Group | None = Field(
        default=None, description="Other deployments of the model that take new versions over with this one, or before."
    )
    hooks: list[Hook] = Field(
        default_factory=list, max_length=8, description="What is told or run before and after a rollout."
    )
    decisions_limit: int = Field(
        default=50,
        ge=1,
        le=1000,
        description="Newest ClusteringDecisions of this deployment that are kept; older ones are deleted.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.strategy.shadows and not self.analysis.judges_in_shadow:
            raise ValueError(self.cel_rules[0].message)
        if len({hook.name for hook in self.hooks}) < len(self.hooks):
            raise ValueError(self.cel_rules[1].message)
        steps = self.strategy.canary.steps if self.strategy.canary else []
        if self.traffic.router == "Service" and any(step.mirror or step.set_header for step in steps):
            raise ValueError(self.cel_rules[2].message)
        self._check_ingestion()
        return self

    def _check_ingestion(self) -> None:
        worker, defaults = self.worker, WorkerSettings()
        of_calls = ("max_in_flight", "drain_delay_seconds", "max_connection_age_seconds")
        monitored = self.ingestion is not None and self.ingestion.nats.monitoring_url is not None
        broken = (
            self.ingestion is not None and self.traffic.router != "Service",
            self.ingestion is not None and any(getattr(worker, name) != getattr(defaults, name) for name in of_calls),
            self.scaling is not None
            and self.scaling.min_replicas == 0
            and not (monitored and self.scaling.metrics.queue is not None),
        )
        for rule, fails in zip(self.cel_rules[3:6], broken, strict=True):
            if fails:
                raise ValueError(rule.message)


class Revision(StatusModel):
    """One immutable bundle: version, artifact, image and configuration, replicas excluded."""

    revision: RevisionHash = Field(description="Hash of the bundle, the name of its objects.")
    version: int = Field(ge=1, description="Number of the ClusteringModelVersion.")
    digest: str = Field(default="", description="Digest of the artifact.")
    uri: str = Field(default="", description="Folder of the artifact in the model store.")
    image: str = Field(default="", description="Worker image of the pods.")
    settings: WorkerSettings = Field(
        default_factory=WorkerSettings, description="Resources and limits of the pods, replicas excluded."
    )
    ingestion: Ingestion | None = Field(default=None, description="The stream that its pods consume.")


class RetiringRevision(Revision):
    """A replaced revision that still stands by."""

    since: str = Field(default="", description="When it was replaced, RFC 3339.")
    until: str | None = Field(
        default=None, description="When its pods are removed, RFC 3339; absent while it is kept as a standby."
    )


class BlockedRevision(Revision):
    """A revision that failed; it is not tried again until the retry command."""

    reason: str = Field(description="Why it was rolled back.")
    message: str = Field(default="", description="The same, for people.")
    since: str = Field(description="When it was rolled back, RFC 3339.")


class Rollback(StatusModel):
    """How the deployment goes back to a revision that was stable before: the candidate of the status."""

    by: Literal["Command", "Spec"] = Field(
        description="Command: the rollback command asked for it. Spec: spec.modelRef or spec.worker leads back."
    )
    at_once: bool = Field(
        description="true: without steps and analysis, as soon as its pods are ready. false: by the strategy's steps."
    )


class PoolFigures(StatusModel):
    """What a gate saw of one pool."""

    calls: int = Field(description="Calls in the window.")
    value: float | None = Field(default=None, description="The gate's figure: a ratio, or milliseconds.")


class Interval(StatusModel):
    """Where what a gate's limit is held against surely lies, at all looks of the window together."""

    low: float | None = Field(default=None, description="Lower end; absent where only the upper one decides.")
    high: float | None = Field(default=None, description="Upper end; absent where only the lower one decides.")


class Verdict(StatusModel):
    """What a gate says."""

    gate: str = Field(description="Name of the gate, such as readiness or errorRate.")
    verdict: Literal["pass", "fail", "inconclusive", "error"] = Field(description="pass, fail, inconclusive or error.")
    message: str = Field(default="", description="The figures and the limit in a sentence.")
    stable: PoolFigures | None = Field(default=None, description="What the gate saw of the stable pool.")
    candidate: PoolFigures | None = Field(default=None, description="What the gate saw of the candidate pool.")
    dry_run: bool = Field(default=False, description="The verdict is told, but has no effect.")
    interval: Interval | None = Field(
        default=None, description="The interval that decides: of candidate's figure over stable's, or less stable's."
    )
    limit: float | None = Field(
        default=None, description="What it is held against: a ratio, a difference, or a bound of candidate's figure."
    )


class PastVerdict(StatusModel):
    """What a gate said at an earlier look."""

    at: str = Field(description="When it was looked, RFC 3339.")
    verdict: Literal["pass", "fail", "inconclusive", "error"] = Field(description="pass, fail, inconclusive or error.")
    stable: float | None = Field(default=None, description="The gate's figure of the stable pool.")
    candidate: float | None = Field(default=None, description="The gate's figure of the candidate pool.")


class GateRecord(StatusModel):
    """What a gate said so far in this rollout."""

    gate: str = Field(description="Name of the gate.")
    window: str = Field(default="", description="Beginning of the window that the counts are of, RFC 3339.")
    failed: int = Field(default=0, ge=0, description="Looks in this window that failed.")
    inconclusive: int = Field(default=0, ge=0, description="Looks in this window that were inconclusive.")
    errors_in_a_row: int = Field(default=0, ge=0, description="Errors since the last look that was none.")
    history: list[PastVerdict] = Field(default_factory=list, description="The last looks, newest last; at most 10.")


class ClusteringDeploymentStatus(StatusModel):
    """Where the deployment stands."""

    observed_generation: int = Field(default=0, description="The spec generation that this status tells of.")
    phase: str = Field(default="", description="Summary: Pending, Progressing, Paused, Healthy or Degraded.")
    message: str = Field(default="", description="The summary in a sentence, with the remedy where there is one.")
    stable: Revision | None = Field(default=None, description="The revision that serves.")
    candidate: Revision | None = Field(default=None, description="The revision on trial.")
    retiring: list[RetiringRevision] = Field(default_factory=list, description="Replaced revisions that stand by.")
    previous: list[Revision] = Field(
        default_factory=list,
        description=f"Revisions that were stable before and can be gone back to, newest last; at most {MOST_PREVIOUS}.",
    )
    rollback: Rollback | None = Field(
        default=None, description="Present while the candidate is a revision that is gone back to."
    )
    blocked_versions: list[BlockedRevision] = Field(
        default_factory=list, description="Revisions that failed and are not tried again until the retry command."
    )
    weight: int = Field(default=0, ge=0, le=100, description="Percent of the traffic that the candidate should get.")
    actual_weight: int = Field(default=0, ge=0, le=100, description="Percent of the traffic that the router gives it.")
    measured_weight: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Percent of a stream's leases that it took since windowStartedAt, as its pods and those of stable "
        "counted them; absent where nothing was counted.",
    )
    mirror: int = Field(default=0, ge=0, le=100, description="Percent of the calls that the candidate gets copies of.")
    header: HeaderMatch | None = Field(
        default=None, description="Metadata whose calls the candidate gets whatever its weight."
    )
    step: int | None = Field(
        default=None, ge=0, description="Index of the rollout's present step, from 0; the step count while promoting."
    )
    step_count: int | None = Field(default=None, description="Steps of the rollout.")
    step_started_at: str | None = Field(default=None, description="When the step's weight was reached, RFC 3339.")
    window_started_at: str | None = Field(
        default=None, description="When the calls that the gates compare began to be counted, RFC 3339."
    )
    progressed_at: str | None = Field(default=None, description="When the rollout last made progress, RFC 3339.")
    user_paused: bool = Field(default=False, description="The pause command holds the rollout.")
    failure_paused: str | None = Field(default=None, description="Why onFailure Pause holds the rollout.")
    pending_version: int | None = Field(
        default=None, description="Newer version that waits for the approve command (modelRef.policy Manual)."
    )
    approved_version: int | None = Field(
        default=None, description="Version that the approve command asked for, until it serves."
    )
    handled_commands: list[str] = Field(
        default_factory=list, description="Commands whose effect is recorded and whose annotation is to be removed."
    )
    verdicts: list[Verdict] = Field(default_factory=list, description="What the gates said last.")
    gates: list[GateRecord] = Field(
        default_factory=list, description="What the gates said at the looks of this rollout; kept until the next one."
    )
    stage: Literal["Walking", "Passed", "Decided", "Alone"] | None = Field(
        default=None,
        description="How far a rollout is beyond its steps: absent before it may begin, Walking, Passed (only its "
        "group holds the promotion), Decided (by the group) or Alone (by the promote command, or going back, without "
        "the group).",
    )
    hooks: list[HookRecord] = Field(
        default_factory=list, description="What became of the hooks of this rollout; kept until the next one."
    )
    agreement: AgreementFigures | None = Field(
        default=None, description="How far the candidate agreed with stable; kept until the next rollout."
    )
    agreement_history: list[AgreementFigures] = Field(
        default_factory=list,
        description="How far each promoted version agreed with the one before it, newest last; at most 10. The "
        "agreement gate learns its limit from it.",
    )
    last_decision: LastDecision | None = Field(
        default=None, description="The newest decision; its ClusteringDecision has everything."
    )
    unrecorded: list[DecisionRecord] = Field(
        default_factory=list, description="Decisions whose ClusteringDecision is being written; else empty."
    )
    replicas: int = Field(default=0, description="Pods of the stable revision.")
    ready_replicas: int = Field(default=0, description="Ready pods of the stable revision.")
    candidate_replicas: int = Field(default=0, description="Pods of the candidate revision.")
    candidate_ready_replicas: int = Field(default=0, description="Ready pods of the candidate revision.")
    scaling: ScalingStatus | None = Field(default=None, description="Where the scaler stands (spec.scaling).")
    contest: Contest | None = Field(
        default=None, description="Who else set the number of pods in the last five minutes, in vain."
    )
    selector: str = Field(default="", description="Label selector of the stable revision's pods, for scale clients.")
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Ready, Progressing, Degraded and Paused; Pending with modelRef.policy Manual.",
    )
