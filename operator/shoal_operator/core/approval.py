"""Reads the approve command of modelRef.policy Manual: which newer version may be rolled out.

Called by core.rollout before the revision is chosen. Invariant: only a version that waits for approval can be
approved, an approval is forgotten once the version serves, and beside abort it has no effect.
"""

from __future__ import annotations

from dataclasses import replace

from shoal_operator.api.deployment import ClusteringDeploymentSpec
from shoal_operator.api.meta import Reason
from shoal_operator.core.commands import Commands
from shoal_operator.core.conditions import Problem
from shoal_operator.core.facts import printable
from shoal_operator.core.plan import Emit
from shoal_operator.core.progress import Progress

_PENDING_ONE = ("true", "yes")


def approve(
    spec: ClusteringDeploymentSpec, progress: Progress, commands: Commands, pending: int | None
) -> tuple[Progress, tuple[Emit, ...]]:
    """Return what is approved after the commands; `pending` is the version that waits."""
    manual = spec.model_ref.policy == "Manual" and spec.model_ref.version == "latest"
    served = progress.stable.version if progress.stable else 0
    if progress.approved is not None and (not manual or progress.approved <= served):
        progress = replace(progress, approved=None)
    if "approve" not in commands or "abort" in commands:
        return progress, ()
    value = commands.value("approve").strip()
    if pending is not None and (value in _PENDING_ONE or value == str(pending)):
        told = Emit("Normal", Reason.APPROVED, f"Version {pending} is approved.")
        return replace(progress, approved=pending), (told,)
    waits = f"version {pending} does" if pending is not None else "no version does"
    message = f"shoal.dev/approve={printable(value, 40)} has no effect: it waits for no approval; {waits}."
    return progress, (Emit("Warning", Reason.AWAITING_APPROVAL, message),)


def describe_pending(name: str, namespace: str, pending: int) -> Problem:
    """Tell how a version that waits is approved."""
    return Problem(
        Reason.AWAITING_APPROVAL,
        f"Version {pending} waits for approval. Run `kubectl annotate cdep {name} "
        f"shoal.dev/approve={pending} --overwrite --namespace {namespace}` to roll it out.",
    )
