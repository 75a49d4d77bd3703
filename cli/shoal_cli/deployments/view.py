"""What is shown of one deployment, derived from its object and its pods; pure, the time is an argument.

Used by every verb that shows or judges a deployment. Invariant: any object gives a view, whichever release wrote it;
what cannot be read is left out. JSON and picture show the same view.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic.alias_generators import to_camel

from shoal_cli.deployments import rules
from shoal_cli.deployments.eta import Eta, estimate
from shoal_cli.kube import Object
from shoal_operator.api.deployment import ClusteringDeploymentSpec, ClusteringDeploymentStatus
from shoal_operator.api.meta import Reason

Role = Literal["stable", "candidate", "standing by", "going"]
_HELD = (Reason.PAUSED_BY_USER, Reason.PAUSED_BY_FAILURE)


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a pool."""

    name: str
    ready: bool
    state: str
    routed: bool
    restarts: int
    created: datetime | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """The pods of one revision; share is the percent of the calls that they get."""

    role: Role
    version: int
    revision: str
    share: int
    replicas: int
    ready: int
    pods: tuple[Pod, ...] = ()
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """What a gate says, and what it saw."""

    name: str
    verdict: str
    message: str
    stable: float | None = None
    candidate: float | None = None
    stable_calls: int | None = None
    candidate_calls: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """One step of the strategy."""

    weight: int
    hold_seconds: float | None
    state: Literal["done", "now", "next"]


@dataclass(frozen=True, slots=True)
class Blocked:
    """A version that is not tried again."""

    version: int
    reason: str
    message: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a scaling metric says; the value is what its target is held to."""

    name: str
    value: float | None
    target: float
    wants: int | None
    problem: str


@dataclass(frozen=True, slots=True)
class Scaling:
    """What the scaler wants, and why."""

    least: int
    most: int
    wanted: int
    readings: tuple[Reading, ...]
    notes: tuple[str, ...]
    """What holds it back, or what it cannot read."""


@dataclass(frozen=True, slots=True)
class View:
    """One deployment at one time."""

    namespace: str
    name: str
    time: datetime
    created: datetime | None
    model: str
    follows: str
    strategy: str
    router: str
    phase: str
    message: str
    degraded_reason: str
    behind: str
    """What the operator has not yet seen; empty where it is up to date."""
    waiting_commands: tuple[str, ...]
    """Commands that the operator has not yet acted on."""
    stable_version: int | None
    candidate_version: int | None
    weight: int
    actual_weight: int
    step: int | None
    step_count: int | None
    replicas: int
    paused: bool
    """Whether a rollout waits for a person or for calls."""
    user_paused: bool
    """Whether the pause command holds this rollout, or the next one."""
    paused_by_spec: bool
    pending_version: int | None
    going_back: Literal["", "at once", "by steps"]
    """How it goes back to a version that served before; empty while it does not."""
    steps: tuple[Place, ...] = ()
    pools: tuple[Pool, ...] = ()
    gates: tuple[Gate, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    eta: Eta = field(default_factory=Eta)
    scaling: Scaling | None = None

    def pool(self, role: Role) -> Pool | None:
        """Return the first pool in a role."""
        return next((each for each in self.pools if each.role == role), None)

    def to_json(self) -> dict[str, Any]:
        """Return the view for programs: camelCase names, RFC 3339 times."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


def build_view(deployment: Object, pods: Sequence[Object], now: datetime) -> View:
    """Derive what is shown of a deployment."""
    metadata = deployment.get("metadata", {})
    spec, status = rules.read_spec(deployment), rules.status_of(deployment)
    raw: Object = deployment.get("spec") or {}
    reference, traffic = raw.get("modelRef") or {}, raw.get("traffic") or {}
    paused = next((each for each in status.conditions if each.type == "Paused" and each.status == "True"), None)
    degraded = next((each for each in status.conditions if each.type == "Degraded" and each.status == "True"), None)
    schedule = rules.build_schedule(spec).steps if spec is not None else ()
    trial = status.candidate is not None and status.stable is not None
    step = status.step if trial else None
    began = rules.instant(status.step_started_at)
    given = metadata.get("annotations") or {}
    waiting = tuple(each for each in rules.COMMANDS if given.get(rules.command_annotation(each)))
    return View(
        namespace=metadata.get("namespace", ""),
        name=metadata.get("name", ""),
        time=now,
        created=rules.instant(metadata.get("creationTimestamp")),
        model=str(reference.get("name", "")),
        follows=str(reference.get("version", "latest")),
        strategy="blueGreen" if "blueGreen" in (raw.get("strategy") or {}) else "canary",
        router=str(traffic.get("router", "Service")),
        phase=status.phase or "Pending",
        message=status.message,
        degraded_reason=degraded.reason if degraded else "",
        behind=_behind(deployment, status, waiting),
        waiting_commands=waiting,
        stable_version=status.stable.version if status.stable else None,
        candidate_version=status.candidate.version if status.candidate else None,
        weight=status.weight,
        actual_weight=status.actual_weight,
        step=step,
        step_count=status.step_count if trial else None,
        replicas=_replicas(spec, status),
        paused=paused is not None,
        user_paused=status.user_paused,
        paused_by_spec=bool(raw.get("paused")),
        pending_version=status.pending_version,
        going_back=_going_back(status),
        steps=_places(schedule, step) if trial and _going_back(status) != "at once" else (),
        pools=_pools(status, [_read_pod(each) for each in pods]),
        gates=tuple(_gates(status)),
        blocked=tuple(
            Blocked(each.version, each.reason, each.message, rules.instant(each.since))
            for each in status.blocked_versions
        ),
        eta=estimate(schedule, step, began, now, held=paused is not None and paused.reason in _HELD),
        scaling=_scaling(spec, status),
    )


def _replicas(spec: ClusteringDeploymentSpec | None, status: ClusteringDeploymentStatus) -> int:
    if spec is None:
        return status.replicas
    return status.scaling.replicas if spec.scaling is not None and status.scaling is not None else spec.worker.replicas


def _scaling(spec: ClusteringDeploymentSpec | None, status: ClusteringDeploymentStatus) -> Scaling | None:
    if spec is None or spec.scaling is None or status.scaling is None:
        return None
    readings = tuple(
        Reading(each.name, each.value, each.target, each.wants, each.problem) for each in status.scaling.metrics
    )
    bad = {("AbleToScale", "False"), ("ScalingActive", "False"), ("ScalingLimited", "True")}
    notes = tuple(
        f"{each.reason}: {each.message}"
        for each in status.conditions
        if (each.type, each.status) in bad and each.message
    )
    return Scaling(spec.scaling.min_replicas, spec.scaling.max_replicas, status.scaling.replicas, readings, notes)


def _behind(deployment: Object, status: ClusteringDeploymentStatus, waiting: Sequence[str]) -> str:
    metadata = deployment.get("metadata", {})
    if metadata.get("deletionTimestamp"):
        return "It is being deleted."
    if status.observed_generation < metadata.get("generation", 0):
        return "The operator has not seen the newest spec yet."
    return f"The operator has not acted on {', '.join(waiting)} yet." if waiting else ""


def _going_back(status: ClusteringDeploymentStatus) -> Literal["", "at once", "by steps"]:
    if status.rollback is None:
        return ""
    return "at once" if status.rollback.at_once else "by steps"


def _places(steps: Sequence[rules.Step], step: int | None) -> tuple[Place, ...]:
    here = -1 if step is None else step
    return tuple(
        Place(each.weight, each.hold_seconds, "done" if place < here else "now" if place == here else "next")
        for place, each in enumerate(steps)
    )


def _gates(status: ClusteringDeploymentStatus) -> list[Gate]:
    gates = []
    for each in status.verdicts:
        stable, candidate = each.stable, each.candidate
        gates.append(
            Gate(
                each.gate,
                each.verdict,
                each.message,
                stable.value if stable else None,
                candidate.value if candidate else None,
                stable.calls if stable else None,
                candidate.calls if candidate else None,
            )
        )
    return gates


def _pools(status: ClusteringDeploymentStatus, pods: list[tuple[str, int, Pod]]) -> tuple[Pool, ...]:
    """Return stable, candidate, what stands by, and pods of any other revision that are still there."""
    of: dict[str, list[Pod]] = {}
    versions: dict[str, int] = {}
    for revision, version, pod in pods:
        of.setdefault(revision, []).append(pod)
        versions[revision] = version
    shares = {"stable": 100 - status.actual_weight, "candidate": status.actual_weight}
    told: list[tuple[Role, str, int, datetime | None]] = []
    if status.stable:
        told.append(("stable", status.stable.revision, status.stable.version, None))
    if status.candidate:
        told.append(("candidate", status.candidate.revision, status.candidate.version, None))
    told += [("standing by", each.revision, each.version, rules.instant(each.until)) for each in status.retiring]
    known = {revision for _, revision, _, _ in told}
    told += [("going", revision, versions[revision], None) for revision in of if revision not in known]
    pools = []
    for role, revision, version, until in told:
        mine = tuple(sorted(of.get(revision, []), key=lambda pod: pod.name))
        present = [pod for pod in mine if pod.state != "Terminating"]
        share = shares.get(role, 0) if status.stable else 0
        ready = sum(pod.ready for pod in present)
        pools.append(Pool(role, version, revision, share, len(present), ready, mine, until))
    return tuple(pools)


def _read_pod(pod: Object) -> tuple[str, int, Pod]:
    """Return a pod with its revision and version."""
    metadata, status = pod.get("metadata", {}), pod.get("status") or {}
    labels = metadata.get("labels") or {}
    ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in status.get("conditions") or ())
    restarts = sum(int(each.get("restartCount", 0)) for each in status.get("containerStatuses") or ())
    problem = None if ready else rules.diagnose_pod(status)
    deleting = bool(metadata.get("deletionTimestamp"))
    state = "Terminating" if deleting else str(problem.reason) if problem else str(status.get("phase", "Unknown"))
    version = str(labels.get(rules.VERSION, ""))
    found = Pod(
        name=metadata.get("name", ""),
        ready=ready and not deleting,
        state=state,
        routed=labels.get(rules.ROUTED) == "true",
        restarts=restarts,
        created=rules.instant(metadata.get("creationTimestamp")),
        problem=problem.message if problem and not deleting else "",
    )
    return str(labels.get(rules.REVISION, "")), int(version) if version.isdigit() else 0, found


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, dict):
        return {to_camel(name): _plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
