"""Going back: where the rollback command leads, and when traffic returns without steps.

Called by core.transitions. Invariant: only a revision that was stable before is gone back to without steps, and nothing
that is blocked is gone back to.
"""

from __future__ import annotations

from shoal_operator.api.deployment import ClusteringDeploymentSpec, Revision, Rollback
from shoal_operator.api.meta import Reason
from shoal_operator.core.conditions import Problem
from shoal_operator.core.facts import printable
from shoal_operator.core.progress import Progress, revision_only
from shoal_operator.core.revision import build_revision
from shoal_operator.core.snapshot import DeploymentSnapshot
from shoal_operator.core.steps import Schedule
from shoal_operator.core.versions import KnownVersion, known_versions

_PREVIOUS = ("true", "yes")


def find_target(
    spec: ClusteringDeploymentSpec, snapshot: DeploymentSnapshot, progress: Progress, stable: Revision, value: str
) -> Revision | Problem:
    """Return where the rollback command leads: to the revision before, or to the named version.

    A trial of a new revision is taken back: it leads to stable itself. Else the whole bundle that served before is
    meant, settings and image included; a version that is not remembered gets the present ones.
    """
    wanted = value.strip()
    back, trial = progress.rollback, progress.candidate
    if wanted in _PREVIOUS:
        if back is not None and trial is not None:
            return _refuse(value, f"the deployment is going back to version {trial.version} already")
        if trial is not None:
            return stable
        before = _before(spec, snapshot, progress, stable)
        return before or _refuse(value, "no version that served before can be served")
    if not wanted.isdecimal() or len(wanted) > 9:
        return _refuse(value, "it is neither yes nor the number of a version")
    number = int(wanted)
    if number == stable.version and trial is not None and back is None:
        return stable
    if back is not None and trial is not None and number == trial.version:
        return _refuse(value, f"the deployment is going back to version {number} already")
    if number == stable.version and back is not None:
        return _refuse(value, f"version {number} is being left; set shoal.dev/abort to stay with it")
    blocked = next((item for item in progress.blocked if item.version == number), None)
    found = next((item for item in reversed(_candidates(snapshot, progress)) if item.version == number), None)
    if found is None and blocked is not None:
        return _refuse(value, f"version {number} is blocked ({blocked.reason}); set shoal.dev/retry first")
    if found is not None:
        return found
    if number == stable.version:
        return _refuse(value, f"version {number} serves already")
    known = next((item for item in _servable(snapshot) if item.number == number), None)
    if known is None or number > stable.version:
        choice = sorted({item.number for item in _servable(snapshot) if item.number < stable.version})[-10:]
        told = ", ".join(map(str, choice)) or "none"
        return _refuse(value, f"version {number} did not serve before; versions to go back to: {told}")
    return build_revision(spec, known, snapshot.defaults.worker_image)


def returns_at_once(schedule: Schedule, progress: Progress, revision: str) -> bool:
    """Tell whether a revision is gone back to without steps: it was stable, and stands by or is in the window."""
    previous = [item.revision for item in progress.previous]
    if revision not in previous:
        return False
    standing = {item.revision for item in (*progress.retiring, progress.candidate) if item}
    window = previous[-schedule.rollback_window :] if schedule.rollback_window else []
    return revision in standing or revision in window


def tell_of_rollback(progress: Progress, rollback: Rollback, stable: Revision, target: Revision) -> str:
    """Tell that the deployment begins to go back, and how."""
    way = "without steps, as soon as its pods are ready" if rollback.at_once else "by the strategy's steps"
    asked = "the rollback command" if rollback.by == "Command" else "the spec"
    known = any(item.revision == target.revision for item in progress.previous)
    why = "it neither stands by nor is in rollbackWindow" if known else "it is not among those that served last"
    return (
        f"Going back from version {stable.version} to version {target.version} ({target.revision}), as {asked} asks, "
        f"{way}{'' if rollback.at_once else f': {why}'}."
    )


def _before(
    spec: ClusteringDeploymentSpec, snapshot: DeploymentSnapshot, progress: Progress, stable: Revision
) -> Revision | None:
    """Return the revision that was stable before, else the newest servable version before stable's."""
    candidates = _candidates(snapshot, progress)
    if candidates:
        return candidates[-1]
    blocked = {item.version for item in progress.blocked}
    older = [item for item in _servable(snapshot) if item.number < stable.version and item.number not in blocked]
    return build_revision(spec, older[-1], snapshot.defaults.worker_image) if older else None


def _candidates(snapshot: DeploymentSnapshot, progress: Progress) -> list[Revision]:
    """Return the previous revisions that can be served again, newest last.

    A retired version is offered to no new pod, but its pods that stand by go on.
    """
    blocked = {item.revision for item in progress.blocked}
    standing = {item.revision for item in progress.retiring}
    known = known_versions(snapshot.versions)
    servable = {(item.number, item.digest) for item in known if item.servable}
    held = {(item.number, item.digest) for item in known if item.held}
    return [
        revision_only(item)
        for item in progress.previous
        if item.revision not in blocked
        and (item.version, item.digest) in (held if item.revision in standing else servable)
    ]


def _servable(snapshot: DeploymentSnapshot) -> list[KnownVersion]:
    return [item for item in known_versions(snapshot.versions) if item.servable]


def _refuse(value: str, why: str) -> Problem:
    return Problem(Reason.ROLLBACK_REFUSED, f"shoal.dev/rollback={printable(value, 40)} has no effect: {why}.")
