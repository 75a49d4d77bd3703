"""What the operator's own pure core says about steps, names, pods, bundles and schedules; the only door to it here.

Invariant: nothing of a rollout's rules is written down a second time here; what cannot be read gives an empty answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from shoal_cli.kube import Object
from shoal_operator.api.deployment import ClusteringDeploymentSpec, ClusteringDeploymentStatus
from shoal_operator.api.ingestion import Ingestion
from shoal_operator.api.lifecycle import Retrain
from shoal_operator.core.conditions import Problem
from shoal_operator.core.diagnosis import diagnose_pod
from shoal_operator.core.facts import instant, mapping_at
from shoal_operator.core.group import find_problem
from shoal_operator.core.names import (
    COMMANDS,
    DEPLOYMENT,
    REVISION,
    ROUTED,
    STARTABLE,
    VERSION,
    command_annotation,
    label_value,
)
from shoal_operator.core.pools import pods_needed
from shoal_operator.core.progress import read_progress, read_status
from shoal_operator.core.revision import Selection, select_revision
from shoal_operator.core.rollback import find_target, returns_at_once
from shoal_operator.core.rollout import build_schedule
from shoal_operator.core.schedule import ScheduleError, next_time
from shoal_operator.core.service_router import split
from shoal_operator.core.snapshot import Defaults, DeploymentSnapshot
from shoal_operator.core.steps import Schedule, Step, describe_share
from shoal_operator.core.tasks import is_startable
from shoal_operator.core.versions import KnownVersion, known_versions

__all__ = [
    "COMMANDS",
    "DEPLOYMENT",
    "REVISION",
    "ROUTED",
    "STARTABLE",
    "VERSION",
    "KnownVersion",
    "Schedule",
    "Selection",
    "Step",
    "build_schedule",
    "command_annotation",
    "describe_share",
    "diagnose_pod",
    "instant",
    "is_startable",
    "known_versions",
]


def read_spec(deployment: Object) -> ClusteringDeploymentSpec | None:
    """Read a spec; None for one that this release does not understand."""
    try:
        return ClusteringDeploymentSpec.model_validate(dict(mapping_at(deployment, "spec")))
    except ValidationError:
        return None


def ingestion_of(deployment: Object) -> Ingestion | None:
    """Return the stream that a deployment labels instead of serving calls; None for one that serves."""
    try:
        found = mapping_at(deployment, "spec", "ingestion")
        return Ingestion.model_validate(dict(found)) if found else None
    except ValidationError:
        return None


def status_of(deployment: Object) -> ClusteringDeploymentStatus:
    """Read a status; one that cannot be read counts as absent."""
    return read_status(deployment)


def owned_selector(deployment: str) -> str:
    """Return the label selector of what a deployment owns: pods, records of decisions."""
    return f"{DEPLOYMENT}={label_value(deployment)}"


def share_by_pods(weight: int, replicas: int, *, full_pool: bool) -> int:
    """Return the percent that the router Service really gives at a weight, all wanted pods being ready.

    >>> [share_by_pods(weight, 2, full_pool=False) for weight in (10, 20, 50)]
    [33, 33, 50]
    >>> share_by_pods(10, 10, full_pool=False)
    10
    """
    if not 0 < weight < 100 or replicas == 0:
        return weight
    stable, candidate = split(weight, replicas, replicas, pods_needed(weight, replicas, full_pool=full_pool))
    return round(100 * candidate / (stable + candidate))


def select(
    deployment: Object, spec: ClusteringDeploymentSpec, model: Object | None, versions: Sequence[Object], image: str
) -> Selection:
    """Return the bundle that a spec asks for, given what the deployment serves; `image` is the operator's default."""
    snapshot = DeploymentSnapshot(
        deployment, model=model, versions=tuple(versions), defaults=Defaults(worker_image=image, store_uri="")
    )
    progress = read_progress(deployment, read_status(deployment), known_versions(versions))
    return select_revision(spec, snapshot, progress)


@dataclass(frozen=True, slots=True)
class WayBack:
    """Where the rollback command leads: to the version that serves when a trial is taken back, else to one before."""

    version: int
    at_once: bool
    """Without steps: it stands by, or is in the rollback window."""
    ends_trial: bool


def find_way_back(
    deployment: Object, spec: ClusteringDeploymentSpec, versions: Sequence[Object], value: str
) -> WayBack | str:
    """Return where the rollback command with this value leads, or why it leads nowhere."""
    snapshot = DeploymentSnapshot(
        deployment, versions=tuple(versions), defaults=Defaults(worker_image="", store_uri="")
    )
    progress = read_progress(deployment, read_status(deployment), known_versions(versions))
    if progress.stable is None:
        return "nothing serves yet"
    found = find_target(spec, snapshot, progress, progress.stable, value)
    if isinstance(found, Problem):
        return found.message
    ends_trial = found.revision == progress.stable.revision
    return WayBack(
        found.version, ends_trial or returns_at_once(build_schedule(spec), progress, found.revision), ends_trial
    )


def find_group_problem(
    name: str, spec: ClusteringDeploymentSpec, deployment: Object, peers: Mapping[str, Object]
) -> str:
    """Return why the operator would call a deployment's group invalid, given the others that are known, by name.

    A member that is named but not known may exist all the same; it is left out of account.
    """
    if spec.group is None:
        return ""
    after = [each for each in spec.group.promote_after if each in peers or each == name]
    known = spec.model_copy(update={"group": spec.group.model_copy(update={"promote_after": after})})
    others = tuple(raw for each, raw in peers.items() if each != name)
    snapshot = DeploymentSnapshot(deployment, peers=others, defaults=Defaults(worker_image="", store_uri=""))
    problem = find_problem(known, snapshot)
    return problem.message.removeprefix("spec.group.promoteAfter: ") if problem else ""


def schedule_problem(retrain: Retrain) -> str:
    """Return the field, and why a schedule names no time, whenever that is asked; nothing where it names one."""
    try:
        next_time(retrain, datetime(2026, 1, 1, tzinfo=UTC))
    except ScheduleError as error:
        return str(error)
    return ""
