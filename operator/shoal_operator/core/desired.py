"""Builds what should exist for a deployment, and finds what should not any more.

Called by core.rollout once the decision is made. Invariants: a pool is never smaller than its routed weight needs;
nothing is deleted that the router may still send calls to.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shoal_operator.api.deployment import ClusteringDeploymentSpec, Revision
from shoal_operator.core import names
from shoal_operator.core.facts import is_deleting, key_of, label_of, name_of, text_at, uid_of
from shoal_operator.core.manifests.budget import build_budget
from shoal_operator.core.manifests.preview import build_preview
from shoal_operator.core.manifests.route import redirect_route
from shoal_operator.core.manifests.workload import build_workload, pool_selector
from shoal_operator.core.plan import Action, Apply, Delete
from shoal_operator.core.pools import Foresight, pods_needed
from shoal_operator.core.progress import Progress
from shoal_operator.core.retiring import retiring_pools
from shoal_operator.core.routing import Arrangement
from shoal_operator.core.snapshot import DeploymentSnapshot, RawObject
from shoal_operator.core.steps import Schedule


@dataclass(frozen=True, slots=True)
class Scene:
    """What building needs to know."""

    snapshot: DeploymentSnapshot
    spec: ClusteringDeploymentSpec
    schedule: Schedule
    progress: Progress
    arrangement: Arrangement | None
    candidate_pods: int = 0
    """Pods that the candidate's own calls ask for, where that is more than its share."""
    foresight: Foresight = field(default_factory=Foresight)
    """What its calls will need at another weight."""
    held: frozenset[str] = frozenset()
    """Revisions whose pools are left as they are in this pass."""


def pool_sizes(scene: Scene) -> dict[str, int]:
    """Return revision -> the pods that its pool should have."""
    return {revision.revision: size for revision, size in _sizes(scene)}


def build_objects(scene: Scene) -> tuple[Action, ...]:
    """Return every wanted object; pools before a weight that rises, a weight that falls before anything else."""
    deployment = scene.snapshot.deployment
    pools: list[Action] = []
    for revision, size in _sizes(scene):
        workload = build_workload(
            deployment,
            revision,
            size,
            scene.spec.model_ref.name,
            scene.spec.progress_deadline_seconds,
            scene.snapshot.defaults,
        )
        if revision.revision not in scene.held:
            pools.append(Apply(workload))
        if size > 1:
            pools.append(Apply(build_budget(deployment, revision.revision)))
    left = _left_routes(scene)
    if scene.arrangement is None:
        return (*left, *pools)
    routing = (*left, *scene.arrangement.actions)
    progress, arrangement = scene.progress, scene.arrangement
    rising = progress.weight > arrangement.actual_weight or progress.mirror > arrangement.mirror
    # The preview comes last: no caller waits for it.
    return (*pools, *routing, *_previews(scene)) if rising else (*routing, *pools, *_previews(scene))


def _previews(scene: Scene) -> tuple[Action, ...]:
    """Return the Service in front of the candidate's pods while there is one beside stable."""
    candidate, deployment = scene.progress.candidate, scene.snapshot.deployment
    if candidate is None or scene.progress.stable is None:
        return ()
    return (Apply(build_preview(deployment, pool_selector(deployment, candidate.revision))),)


def _left_routes(scene: Scene) -> tuple[Action, ...]:
    """Return the route of a Gateway router that was left, with all weight on stable.

    It stays until the Service router is in force, and no gate holds its old weights any more.
    """
    stable = scene.progress.stable
    if scene.spec.traffic.router == "Gateway" or stable is None:
        return ()
    deployment = scene.snapshot.deployment
    pool = names.pool(name_of(deployment), stable.revision)
    return tuple(
        Apply(redirect_route(deployment, route, pool)) for route in scene.snapshot.routes if not is_deleting(route)
    )


def find_removals(scene: Scene, due: frozenset[str]) -> tuple[Delete, ...]:
    """Return the deletion of owned objects that nothing wants any more; routing first, then pools.

    `due` are the revisions that have just left the retiring ones.
    """
    progress, arrangement = scene.progress, scene.arrangement
    if arrangement is None:
        return ()
    living = {item.revision for item in (progress.stable, progress.candidate, *progress.retiring) if item}
    keep = living | arrangement.routed
    # Without a stable revision, pools that status does not know may be what serves: they stay until one is found.
    forgotten = progress.stable is None
    sizes = pool_sizes(scene)
    # A pool whose size is not ours to say keeps its budget until it goes.
    budgeted = {item.revision for item in progress.retiring if sizes.get(item.revision, 2) > 1}
    budgeted |= {revision for revision, size in sizes.items() if size > 1}

    def unwanted(raw: RawObject) -> bool:
        revision = label_of(raw, names.REVISION) or text_at(raw, "spec", "selector", names.REVISION)
        return revision not in keep and (not forgotten or revision in due)

    removals = [
        *_unused_routing(scene, unwanted_services=[item for item in scene.snapshot.services if unwanted(item)]),
        *(_delete(item, "Deployment") for item in scene.snapshot.workloads if unwanted(item)),
        *(
            _delete(item, "PodDisruptionBudget")
            for item in scene.snapshot.budgets
            if label_of(item, names.REVISION) not in budgeted
        ),
    ]
    return tuple(item for item in removals if item)


def _unused_routing(scene: Scene, unwanted_services: list[RawObject]) -> list[Delete | None]:
    """Return the Services and routes to remove; those of the other router go once this one is in force."""
    snapshot, arrangement, progress = scene.snapshot, scene.arrangement, scene.progress
    router, preview = (name(name_of(snapshot.deployment)) for name in (names.router, names.preview))
    trial = progress.candidate is not None and progress.stable is not None
    over = [_delete(item, "Service") for item in snapshot.services if name_of(item) == preview and not trial]
    pools = [item for item in snapshot.services if name_of(item) not in (router, preview)]
    if scene.spec.traffic.router == "Gateway":
        removals = [*over, *(_delete(item, "Service") for item in pools if item in unwanted_services)]
        if arrangement is not None and arrangement.settled:
            removals += [_delete(item, "Service") for item in snapshot.services if name_of(item) == router]
        return removals
    if arrangement is None or not arrangement.settled:
        return over
    routes = [_delete(item, "GRPCRoute") for item in snapshot.routes]
    # The route goes a pass before its backends.
    return [*over, *(routes or [_delete(item, "Service") for item in pools])]


def _sizes(scene: Scene) -> list[tuple[Revision, int]]:
    """Return how many pods each served revision should have, and each that is kept to go back to."""
    routed = scene.arrangement.routed if scene.arrangement else frozenset()
    kept = retiring_pools(scene.progress, scene.schedule, routed, scene.spec.worker.replicas)
    return [*_serving_sizes(scene), *kept]


def _serving_sizes(scene: Scene) -> list[tuple[Revision, int]]:
    progress, replicas = scene.progress, scene.spec.worker.replicas
    if progress.candidate is None:
        return [(progress.stable, replicas)] if progress.stable else []
    if progress.stable is None:
        return [(progress.candidate, replicas)]
    if not progress.begun:
        # What may wait for hours for others takes no room meanwhile.
        return [(progress.stable, replicas)]
    step = scene.schedule.step_at(progress.step)
    asked = max(scene.schedule.pods_for(step, replicas), scene.foresight.pods_at(step.weight, replicas))
    told = pods_needed(max(progress.weight, progress.mirror), replicas, full_pool=scene.schedule.full_pool)
    wanted = max(asked, told, _bearing(scene), scene.candidate_pods)
    return [(progress.stable, replicas), (progress.candidate, wanted)]


def _bearing(scene: Scene) -> int:
    """Return the candidate's pods that its present calls need.

    A share that a few pods only come near to (2 of 3 pods are 67 % for 60 %) is no reason for one more: with it the
    router would choose other pods, for which it is not needed, and so on without end.
    """
    arrangement, replicas = scene.arrangement, scene.spec.worker.replicas
    if arrangement is None:
        return 0
    if arrangement.candidate_pods is not None:
        return min(arrangement.candidate_pods, replicas)
    borne = max(arrangement.actual_weight, arrangement.mirror)
    return pods_needed(borne, replicas, full_pool=scene.schedule.full_pool)


def _delete(raw: RawObject, kind: str) -> Delete | None:
    return None if is_deleting(raw) else Delete(key_of(raw, kind), uid_of(raw))
