"""What a manifest would change in the cluster, and what the operator would do then; pure. Used by `diff`.

Specs are compared with their defaults filled in. Invariant: whether there is a new revision is asked of the operator's
own rules, not told from the names of fields.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from shoal_cli.deployments import rules
from shoal_cli.deployments.figures import show_seconds
from shoal_cli.kube import Object
from shoal_operator.api.deployment import ClusteringDeploymentSpec, ClusteringDeploymentStatus, Revision
from shoal_operator.api.meta import ApiModel

_TRAINED_FROM = ("source", "algorithm", "preprocessing", "artifact", "validation")
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One field that would change, and what that does."""

    field: str
    before: Any
    after: Any
    effect: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One object: what would change, and what the operator would do."""

    object: str
    exists: bool
    changes: tuple[Change, ...]
    effects: tuple[str, ...]

    @property
    def different(self) -> bool:
        """Whether anything would change."""
        return not self.exists or bool(self.changes)

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a deployment's revision is chosen from: its model, where there is one, and the model's versions."""

    model: Object | None = None
    versions: Sequence[Object] = ()


def compare_deployment(
    told: str,
    live: Object | None,
    spec: ClusteringDeploymentSpec,
    raw: Object,
    around: Surroundings,
) -> Comparison:
    """Compare a deployment's manifest, its spec as read and as written, with the object in the cluster."""
    if live is None:
        return Comparison(told, False, (), (f"it is created and serves version {spec.model_ref.version}",))
    status, before = rules.status_of(live), rules.read_spec(live)
    if "replicas" not in (raw.get("worker") or {}) and before is not None:
        # Left to whoever scales it.
        spec = spec.model_copy(update={"worker": spec.worker.model_copy(update={"replicas": before.worker.replicas})})
    if before is None:
        return Comparison(told, True, (), ("the object in the cluster is of another release and cannot be compared",))
    trial = status.candidate is not None and status.stable is not None
    restarts = trial and len(rules.build_schedule(spec).steps) != status.step_count
    changes = tuple(
        Change(field, old, new, _effect_on_deployment(field, spec, old, trial=trial, restarts=restarts))
        for field, old, new in _differences(before, spec)
    )
    effects = tuple(_revision_effect(live, status, before, spec, around)) if changes else ()
    return Comparison(told, True, changes, effects)


def compare_model(told: str, live: Object | None, before: ApiModel | None, spec: ApiModel) -> Comparison:
    """Compare a model's manifest with the object in the cluster."""
    if live is None:
        return Comparison(told, False, (), ("it is created and trains its first version",))
    if before is None:
        return Comparison(told, True, (), ("the object in the cluster is of another release and cannot be compared",))
    changes = tuple(Change(field, old, new, _effect_on_model(field)) for field, old, new in _differences(before, spec))
    trains = any(each.field.split(".")[0] in _TRAINED_FROM for each in changes)
    effects = ("a new version is trained; deployments of the latest version then roll it out",) if trains else ()
    return Comparison(told, True, changes, effects)


def compare_other(told: str, live: Object | None, raw: Object) -> Comparison:
    """Compare an object of another kind of Shoal's, without knowing what a change does."""
    if live is None:
        return Comparison(told, False, (), ("it is created",))
    pairs = dict(_flatten(live.get("spec"), ""))
    changes = tuple(
        Change(field, pairs.get(field), new, "") for field, new in _flatten(raw, "") if pairs.get(field) != new
    )
    return Comparison(told, True, changes, ())


def _revision_effect(
    live: Object,
    status: ClusteringDeploymentStatus,
    before: ClusteringDeploymentSpec,
    spec: ClusteringDeploymentSpec,
    around: Surroundings,
) -> Iterator[str]:
    """Tell what would be rolled out."""
    if before.model_ref.name != spec.model_ref.name:
        yield "the API server refuses it: modelRef.name cannot change"
        return
    # The operator's default image is that of the pods, where no image is asked for.
    image = status.stable.image if status.stable and before.worker.image is None else ""
    selection = rules.select(live, spec, around.model, around.versions, image)
    wanted = selection.wanted
    if not isinstance(wanted, Revision):
        yield f"nothing would roll out: {wanted.message}"
        return
    if selection.pending is not None:
        yield f"version {selection.pending} waits for: shoal approve"
    blocked = next((each for each in status.blocked_versions if each.revision == wanted.revision), None)
    if status.stable is not None and wanted.revision == status.stable.revision:
        undone = f"; version {status.candidate.version} on trial is taken back at once" if status.candidate else ""
        yield f"no new revision{undone}"
    elif blocked is not None:
        yield f"revision {wanted.revision} (version {wanted.version}) is blocked ({blocked.reason}) until: shoal retry"
    elif status.candidate is not None and wanted.revision == status.candidate.revision:
        yield f"no new revision; the rollout of version {wanted.version} goes on"
    else:
        known = wanted.image != ""
        name = f"{wanted.revision} " if known else ""
        yield f"a new revision {name}of version {wanted.version} rolls out: {describe_steps(spec)}"
    yield from _scaling_effect(status, before, spec)


def _scaling_effect(
    status: ClusteringDeploymentStatus, before: ClusteringDeploymentSpec, spec: ClusteringDeploymentSpec
) -> Iterator[str]:
    """Tell what becomes of the number of pods: worker.replicas, or what spec.scaling decides."""
    old, new = before.worker.replicas, spec.worker.replicas
    present = status.scaling.replicas if before.scaling and status.scaling else old
    if spec.scaling is None:
        if present != new:
            yield f"pods scale in place from {present} to {new}"
    elif new == 0:
        if old:
            yield f"pods scale in place from {present} to 0: worker.replicas 0 switches spec.scaling off"
    elif old == 0:
        yield "worker.replicas is no longer 0: pods come back, as many as spec.scaling decides"
    elif before.scaling is None:
        yield f"from {new} pods on, spec.scaling decides how many there are"
    elif old != new:
        yield f"the number of pods stays: spec.scaling decides it, and worker.replicas {new} is only where it begins"


def describe_steps(spec: ClusteringDeploymentSpec) -> str:
    """Return the strategy in a line.

    >>> from shoal_operator.api.deployment import ModelVersionReference
    >>> describe_steps(ClusteringDeploymentSpec(model_ref=ModelVersionReference(name="towns")))
    '10 %, hold 1 h, promote'
    """
    parts: list[str] = []
    share = None
    for step in rules.build_schedule(spec).steps:
        if step.share != share:
            parts.append(rules.describe_share(step.share))
        share = step.share
        if step.hold_seconds is None:
            parts.append("until promoted")
        elif step.hold_seconds:
            parts.append(f"hold {show_seconds(step.hold_seconds)}")
        if step.patience_seconds is not None:
            parts.append("until every gate passes")
    return ", ".join([*parts, "promote"])


def _effect_on_deployment(
    field: str, spec: ClusteringDeploymentSpec, old: object, *, trial: bool, restarts: bool
) -> str:
    head = field.split(".")[0]
    if field == "worker.replicas":
        switches = 0 in (old, spec.worker.replicas)
        return "scales in place" if spec.scaling is None or switches else "no effect beside spec.scaling"
    if head == "worker":
        return "new revision"
    if field in ("modelRef.version", "modelRef.policy"):
        return "chooses the version"
    if field == "modelRef.name":
        return "refused"
    if head == "strategy":
        if not trial:
            return "from the next rollout on"
        return "the rollout begins again at its first step" if restarts else "from the present step on"
    if head == "traffic":
        return "routes change at once, pods stay"
    return "from the next look on" if head == "analysis" else "at once"


def _effect_on_model(field: str) -> str:
    head = field.split(".")[0]
    if head in _TRAINED_FROM:
        return "trains a new version"
    return "for the next training" if head in ("training", "labels") else "at once"


def _differences(before: ApiModel, after: ApiModel) -> Iterator[tuple[str, Any, Any]]:
    old, new = dict(_flatten(before.to_wire(), "")), dict(_flatten(after.to_wire(), ""))
    for field in sorted({*old, *new}):
        if old.get(field, _ABSENT) != new.get(field, _ABSENT):
            yield field, old.get(field), new.get(field)


def _flatten(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a value by path; a list is a leaf unless it is one of objects."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _flatten(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for place, each in enumerate(value):
            yield from _flatten(each, f"{path}[{place}]")
    else:
        yield path, value
