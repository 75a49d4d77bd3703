"""Plans one pass over a ClusteringDeployment: what to remember, what to build, in which order.

`plan_deployment` is called by runtime.controller, `required_secrets` by runtime.store. Invariant: create new, verify,
move weight, drain, delete; a plan that is cut off anywhere leaves the served version served.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from shoal_operator.api.canary import HeaderMatch
from shoal_operator.api.deployment import ClusteringDeploymentSpec, ClusteringDeploymentStatus, Revision
from shoal_operator.api.meta import Reason
from shoal_operator.core import facts, gateway_router, names, service_router, stream_router
from shoal_operator.core.approval import approve, describe_pending
from shoal_operator.core.bluegreen import build_blue_green
from shoal_operator.core.canary import build_canary
from shoal_operator.core.commands import Commands, clear_commands, read_commands
from shoal_operator.core.conditions import Problem, build_conditions, override
from shoal_operator.core.contest import Standoff, find_standoff
from shoal_operator.core.decided import Moment
from shoal_operator.core.decision import Decision, Facts
from shoal_operator.core.desired import Scene, build_objects, find_removals, pool_sizes
from shoal_operator.core.farewell import plan_farewell, prepare_farewell
from shoal_operator.core.gates.job import build_gate_tasks
from shoal_operator.core.group import find_problem
from shoal_operator.core.hooks import begin_hooks, build_hook_tasks, follow_hooks
from shoal_operator.core.manifests.task_job import Task
from shoal_operator.core.manifests.workload import pool_selector
from shoal_operator.core.plan import Action, Emit, Label, Plan, StatusWrite
from shoal_operator.core.pools import supported_weight
from shoal_operator.core.progress import Progress, read_progress, read_record, read_status, write_record
from shoal_operator.core.records import (
    build_records,
    keep_unrecorded,
    last_decision,
    name_records,
    remove_oldest,
    write_records,
)
from shoal_operator.core.retiring import keep_retiring
from shoal_operator.core.revision import Selection, select_revision
from shoal_operator.core.routing import Arrangement, Question, live_pods, ready_pods
from shoal_operator.core.scaling import Recommendation, foresee, resize, scale
from shoal_operator.core.snapshot import Defaults, DeploymentSnapshot, RawObject
from shoal_operator.core.steps import Schedule
from shoal_operator.core.summary import Standing, build_events, find, summarise, was_held, was_ready
from shoal_operator.core.tasks import build_tasks
from shoal_operator.core.transitions import decide
from shoal_operator.core.versions import known_versions

_KIND = "ClusteringDeployment"
_LOOK_AGAIN_SECONDS = 10.0
_RECORDING_SECONDS = 2.0
_LEAST_SECONDS = 0.05
_OVERDUE_SECONDS = 2.0


def plan_deployment(snapshot: DeploymentSnapshot, now: datetime) -> Plan:
    """Plan one pass over a ClusteringDeployment."""
    deployment = snapshot.deployment
    if facts.is_deleting(deployment):
        return plan_farewell(snapshot, now)
    status = read_status(deployment)
    progress = read_progress(deployment, status, known_versions(snapshot.versions))
    try:
        spec = ClusteringDeploymentSpec.model_validate(facts.at(deployment, "spec"))
    except ValidationError as error:
        return _refuse(snapshot, status, progress, Problem(Reason.INVALID_SPEC, facts.refusal(error)), now)
    scaling = scale(snapshot, spec, status, progress, now)
    plan = _Pass(snapshot, now, resize(spec, scaling), status, progress, build_schedule(spec), scaling).plan()
    return replace(plan, actions=(*prepare_farewell(deployment, spec.ingestion), *plan.actions))


def required_secrets(deployment: RawObject, defaults: Defaults) -> frozenset[str]:
    """Return the names of the Secrets that serving this deployment needs."""
    ingestion = facts.mapping_at(deployment, "spec", "ingestion")
    named = (
        defaults.store_secret_name,
        facts.text_at(ingestion, "nats", "secretRef", "name"),
        facts.text_at(ingestion, "output", "store", "secretRef", "name"),
    )
    return frozenset(filter(None, named))


def build_schedule(spec: ClusteringDeploymentSpec) -> Schedule:
    """Return the spec's strategy as steps; the spec has exactly one."""
    if spec.strategy.blue_green is not None:
        return build_blue_green(spec.strategy.blue_green)
    if spec.strategy.canary is not None:
        return build_canary(spec.strategy.canary)
    raise AssertionError("Strategy validates that exactly one of its fields is set")


@dataclass(frozen=True, slots=True)
class _Pass:
    """One pass: its facts, and the parts of its plan."""

    snapshot: DeploymentSnapshot
    now: datetime
    spec: ClusteringDeploymentSpec
    status: ClusteringDeploymentStatus
    observed: Progress
    schedule: Schedule
    scaling: Recommendation | None

    def plan(self) -> Plan:
        """Decide, then build everything that the decision wants to exist."""
        deployment = self.snapshot.deployment
        commands = read_commands(deployment, self.observed.handled_commands)
        before, told = approve(self.spec, self.observed, commands, self._select(self.observed).pending)
        before, hooked = follow_hooks(self.snapshot, self.spec.hooks, before, self.now)
        selection = self._select(before)
        wanted = self._available(selection.wanted)
        decision = decide(
            Facts(
                spec=self.spec,
                schedule=self.schedule,
                snapshot=self.snapshot,
                arrange=self._arrange,
                recorded=read_record(deployment),
                was_held=was_held(self.status),
                was_ready=was_ready(self.status),
                foresight=foresee(self.spec, self.status, self.scaling),
            ),
            before,
            wanted,
            commands,
            self.now,
        )
        arrangement = self._share(decision.progress)
        decision, due = self._retire(before, decision, arrangement)
        scene = self._scene(decision.progress, arrangement)
        standoff = find_standoff(self.snapshot, self.spec, self.status.contest, pool_sizes(scene), self.now)
        actions = self._build(replace(scene, held=standoff.held), due)
        if decision.recording is not None:
            # The record changes the object, so this pass's view of it is spent: the next one goes on from there.
            return Plan((*actions, self._record(decision.recording)), requeue_after=_RECORDING_SECONDS)
        pending = selection.pending if decision.progress.stable is not None else None
        return self._report(actions, decision, arrangement, wanted, commands, (*told, *hooked), pending, standoff)

    def _retire(
        self, before: Progress, decision: Decision, arrangement: Arrangement | None
    ) -> tuple[Decision, frozenset[str]]:
        """Return the decision without the replaced revisions that need not stand by any more, and these."""
        routed = arrangement.routed if arrangement else frozenset()
        progress = keep_retiring(decision.progress, self.schedule, routed, self.now)
        staying = {item.revision for item in progress.retiring}
        due = frozenset(item.revision for item in decision.progress.retiring) - staying
        return replace(decision, progress=self._follow_up(before, progress)), due

    def _scene(self, progress: Progress, arrangement: Arrangement | None) -> Scene:
        own = self.scaling.status.candidate_replicas if self.scaling else 0
        foresight = foresee(self.spec, self.status, self.scaling)
        return Scene(self.snapshot, self.spec, self.schedule, progress, arrangement, own, foresight)

    def _build(self, scene: Scene, due: frozenset[str]) -> tuple[Action, ...]:
        """Return what makes the cluster be as decided, in its order."""
        tasks = build_tasks(self.snapshot, self._tasks(scene.progress))
        return (*build_objects(scene), *find_removals(scene, due), *tasks)

    def _report(
        self,
        actions: tuple[Action, ...],
        decision: Decision,
        arrangement: Arrangement | None,
        wanted: Revision | Problem,
        commands: Commands,
        told: tuple[Emit, ...],
        pending: int | None,
        standoff: Standoff,
    ) -> Plan:
        """Return the plan with everything that people and tools are to know: status, records, events."""
        deployment, stable = self.snapshot.deployment, decision.progress.stable
        problem = find_problem(self.spec, self.snapshot)
        replicas = self.spec.worker.replicas
        standing = Standing(self.snapshot, replicas, decision, arrangement, wanted, self._tell(pending), problem)
        findings = find(standing)
        moment = Moment(deployment, self.spec, self.status, self.observed, decision, wanted, commands, self.now)
        records = build_records(moment, self.snapshot.decisions)
        unrecorded = keep_unrecorded(self.snapshot, self.status, records)
        told = (*told, *decision.events, *build_events(findings, self.status))
        scaled = override(self.scaling.findings if self.scaling else (), standoff.findings)
        generation = facts.generation_of(deployment)
        status = self._status(decision, arrangement, *summarise(findings)).model_copy(
            update={
                "pending_version": pending,
                "contest": standoff.contest,
                "unrecorded": list(unrecorded),
                "last_decision": last_decision(deployment, self.status, records),
                "conditions": build_conditions((*findings, *scaled), self.status.conditions, generation, self.now),
            }
        )
        stale_record = stable is not None and read_record(deployment) != stable
        return Plan(
            actions=actions,
            status=StatusWrite(facts.key_of(deployment, _KIND), status.to_wire()),
            requeue_after=self._requeue_after(decision, wanted, standoff.due, waits=bool(unrecorded)),
            clean_up=(
                *clear_commands(deployment, commands),
                *((self._record(stable),) if stale_record and stable else ()),
                *write_records(deployment, unrecorded),
                *name_records(deployment, told, self.status.last_decision, records),
                *(self.scaling.events if self.scaling else ()),
                *standoff.events,
                *remove_oldest(self.snapshot, self.spec),
            ),
        )

    def _select(self, progress: Progress) -> Selection:
        return select_revision(self.spec, self.snapshot, progress)

    def _available(self, wanted: Revision | Problem) -> Revision | Problem:
        """Return the wanted revision; nothing new starts while a Secret is missing."""
        missing = sorted(
            self.snapshot.missing_secrets & required_secrets(self.snapshot.deployment, self.snapshot.defaults)
        )
        running = {item.revision for item in (self.observed.stable, self.observed.candidate) if item}
        if isinstance(wanted, Problem) or not missing or wanted.revision in running:
            return wanted
        return Problem(
            Reason.SECRET_MISSING,
            f"Secret {', '.join(missing)} with the store's credentials does not exist in namespace "
            f"{facts.namespace_of(self.snapshot.deployment)}. Create it there; serving goes on by itself then.",
        )

    def _tell(self, pending: int | None) -> Problem | None:
        """Tell which version waits for approval; None where nothing ever waits."""
        if self.spec.model_ref.policy != "Manual":
            return None
        if pending is None:
            return Problem(Reason.IDLE, "")
        deployment = self.snapshot.deployment
        return describe_pending(facts.name_of(deployment), facts.namespace_of(deployment), pending)

    def _follow_up(self, before: Progress, after: Progress) -> Progress:
        """Begin the hooks that follow a promotion or a rollback; a first deployment is neither."""
        candidate, stable = before.candidate, before.stable
        if candidate is None or stable is None or after.candidate is not None or after.stable is None:
            return after
        if after.stable.revision == candidate.revision and before.rollback is not None:
            # What is left is what was rolled back, and the one that serves again is stable.
            return begin_hooks(self.spec.hooks, "AfterRollback", after, stable, candidate, self.now)
        if after.stable.revision == candidate.revision:
            return begin_hooks(self.spec.hooks, "AfterPromotion", after, candidate, stable, self.now)
        known = {item.revision for item in before.blocked}
        if any(item.revision == candidate.revision and item.revision not in known for item in after.blocked):
            return begin_hooks(self.spec.hooks, "AfterRollback", after, candidate, stable, self.now)
        return after

    def _tasks(self, progress: Progress) -> tuple[Task, ...]:
        """Return the Jobs that gates and hooks want now."""
        deployment = self.snapshot.deployment
        gates = build_gate_tasks(deployment, self.spec.analysis, progress, self.now)
        return (*gates, *build_hook_tasks(deployment, self.spec.hooks, progress.hooks))

    def _arrange(
        self,
        stable: Revision,
        candidate: Revision | None,
        weight: int,
        mirror: int = 0,
        header: HeaderMatch | None = None,
    ) -> Arrangement:
        question = Question(self.snapshot, self.spec, stable, candidate, weight, mirror, header)
        if self.spec.ingestion is not None:
            return stream_router.arrange(question)
        if self.spec.traffic.router == "Gateway":
            return gateway_router.arrange(question)
        return service_router.arrange(question)

    def _share(self, progress: Progress) -> Arrangement | None:
        """Ask the router for the share that the candidate's ready pods can bear; None while nothing is to serve."""
        if progress.stable is None:
            if progress.candidate is None:
                return None
            arrangement = self._arrange(progress.candidate, None, 0)
            others = arrangement.routed - {progress.candidate.revision}
            if others and not ready_pods(self.snapshot, progress.candidate):
                # Something serves that status has forgotten: it goes on until there is a pod to take over.
                return replace(arrangement, actions=())
            return arrangement
        ready = len(ready_pods(self.snapshot, progress.candidate))
        most = supported_weight(ready, self.spec.worker.replicas)
        return self._arrange(
            progress.stable,
            progress.candidate,
            min(progress.weight, most),
            min(progress.mirror, most),
            progress.header if ready else None,
        )

    def _status(
        self, decision: Decision, arrangement: Arrangement | None, phase: str, message: str
    ) -> ClusteringDeploymentStatus:
        """Write down what must be remembered, and what people want to see."""
        deployment, progress = self.snapshot.deployment, decision.progress
        selector = pool_selector(deployment, progress.stable.revision) if progress.stable else {}
        return ClusteringDeploymentStatus(
            observed_generation=facts.generation_of(deployment),
            phase=phase,
            message=facts.printable(message, 1500),
            **_remember(progress),
            actual_weight=arrangement.actual_weight if arrangement and progress.candidate else 0,
            measured_weight=arrangement.measured_weight if arrangement and progress.candidate else None,
            verdicts=list(decision.verdicts) if progress.candidate or decision.verdicts else [],
            replicas=len(live_pods(self.snapshot, progress.stable)),
            ready_replicas=len(ready_pods(self.snapshot, progress.stable)),
            candidate_replicas=len(live_pods(self.snapshot, progress.candidate)),
            candidate_ready_replicas=len(ready_pods(self.snapshot, progress.candidate)),
            scaling=self.scaling.status if self.scaling else None,
            selector=",".join(f"{name}={value}" for name, value in selector.items()),
        )

    def _requeue_after(
        self, decision: Decision, wanted: Revision | Problem, due: datetime | None, *, waits: bool
    ) -> float | None:
        """Return the seconds to the nearest moment at which this pass would decide otherwise by time alone."""
        progress = decision.progress
        times = (due, *(facts.instant(item.until) for item in progress.retiring))
        moments = [*decision.look_again, *filter(None, times)]
        if progress.window_started_at is not None or any(item.state == "Running" for item in progress.hooks):
            moments.append(self.now + timedelta(seconds=self.spec.analysis.interval_seconds))
        if isinstance(wanted, Problem) or waits:
            moments.append(self.now + timedelta(seconds=_LOOK_AGAIN_SECONDS))
        if not moments:
            return None
        seconds = (min(moments) - self.now).total_seconds()
        # What is due already waits for something else, such as the router: no reason to spin.
        return max(_LEAST_SECONDS, seconds) if seconds > 0 else _OVERDUE_SECONDS

    def _record(self, revision: Revision) -> Label:
        """Write the durable record of the stable revision, which outlives status."""
        deployment = self.snapshot.deployment
        return Label(
            facts.key_of(deployment, _KIND),
            facts.uid_of(deployment),
            annotations={names.STABLE_RECORD: write_record(revision)},
        )


def _remember(progress: Progress) -> dict[str, Any]:
    """Return the remembered part of a status."""

    def text(moment: datetime | None) -> str | None:
        return None if moment is None else facts.timestamp(moment)

    return {
        "stable": progress.stable,
        "candidate": progress.candidate,
        "retiring": list(progress.retiring),
        "previous": list(progress.previous),
        "rollback": progress.rollback,
        "blocked_versions": list(progress.blocked),
        "weight": progress.weight,
        "mirror": progress.mirror,
        "header": progress.header,
        "step": progress.step,
        "step_count": progress.step_count,
        "step_started_at": text(progress.step_started_at),
        "window_started_at": text(progress.window_started_at),
        "progressed_at": text(progress.progressed_at),
        "user_paused": progress.user_paused,
        "failure_paused": progress.failure_paused,
        "approved_version": progress.approved,
        "handled_commands": list(progress.handled_commands),
        "gates": list(progress.gates),
        "agreement": progress.agreement,
        "agreement_history": list(progress.agreement_history),
        "stage": progress.stage,
        "hooks": list(progress.hooks),
    }


def _refuse(
    snapshot: DeploymentSnapshot,
    status: ClusteringDeploymentStatus,
    progress: Progress,
    problem: Problem,
    now: datetime,
) -> Plan:
    """Leave everything as it is under a spec that cannot be read, and say what is wrong with it."""
    deployment = snapshot.deployment
    standing = Standing(snapshot, max(1, status.replicas), Decision(progress), None, wanted=problem)
    findings = find(standing)
    generation = facts.generation_of(deployment)
    phase, message = summarise(findings)
    told = build_events(findings, status)
    status = status.model_copy(
        update={
            "observed_generation": generation,
            "phase": phase,
            "message": message,
            "conditions": build_conditions(findings, status.conditions, generation, now),
        }
    )
    return Plan(status=StatusWrite(facts.key_of(deployment, _KIND), status.to_wire()), clean_up=told)
