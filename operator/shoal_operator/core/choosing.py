"""Chooses the version of a model that a reference means: a number, a digest or the newest; or says why there is none.

Called by core.revision for deployments and by core.batch_version for batches. Invariant: what is chosen is one of the
eligible versions.
"""

from __future__ import annotations

from collections.abc import Sequence

from shoal_operator.api.meta import Reason
from shoal_operator.core.conditions import Problem
from shoal_operator.core.facts import printable, text_at
from shoal_operator.core.snapshot import RawObject
from shoal_operator.core.versions import KnownVersion, activate_command


def choose_version(
    name: str,
    wanted: str,
    known: tuple[KnownVersion, ...],
    eligible: Sequence[KnownVersion],
    model: RawObject | None,
    namespace: str,
) -> KnownVersion | Problem:
    """Return the version, oldest first in `known` and `eligible`, that spec.modelRef with this name and version means.

    wanted: `latest`, a number or a digest, as the API's pattern lets it through.
    """
    if not known:
        return _no_version(name, wanted, model, namespace)
    if wanted == "latest":
        return eligible[-1] if eligible else _none_eligible(name, known[-1])

    def is_meant(version: KnownVersion) -> bool:
        return version.digest == wanted if wanted.startswith("sha256:") else version.number == int(wanted)

    chosen = next(filter(is_meant, reversed(eligible)), None)
    return chosen or _not_eligible(name, wanted, next(filter(is_meant, reversed(known)), None), known, namespace)


def _none_eligible(name: str, newest: KnownVersion) -> Problem:
    return Problem(
        Reason.VERSION_NOT_READY,
        f"no version of ClusteringModel {name} can be served; the newest, {newest.number}, is "
        f"{newest.state}{f': {newest.refusal}' if newest.refusal else ''}. Change the model's parameters or limits, "
        "or bring a retired version back.",
    )


def _not_eligible(
    name: str, wanted: str, found: KnownVersion | None, known: tuple[KnownVersion, ...], namespace: str
) -> Problem:
    if found is None:
        return Problem(
            Reason.VERSION_NOT_FOUND,
            f"spec.modelRef.version: ClusteringModel {name} has no version {wanted}. {_choice(known)}",
        )
    told = f"spec.modelRef.version: version {found.number} of ClusteringModel {name} is {found.state}"
    if found.passed:
        archived = found.state == "Archived"
        command = activate_command(found.name, namespace)
        return Problem(
            Reason.VERSION_ARCHIVED if archived else Reason.VERSION_RETIRED,
            f"{told}, so it is not offered. Run `{command}` to bring it back.",
        )
    why = f": {found.refusal}" if found.refusal else ""
    return Problem(Reason.VERSION_REJECTED, f"{told}{why}. {_choice(known)}")


def _no_version(name: str, wanted: str, model: RawObject | None, namespace: str) -> Problem:
    if model is None:
        return Problem(
            Reason.MODEL_NOT_FOUND,
            f"spec.modelRef.name: ClusteringModel {name} does not exist in namespace {namespace}. Create it, or "
            "correct the name.",
        )
    told = printable(text_at(model, "status", "message"), 400) or "its training has not begun"
    if wanted == "latest":
        return Problem(
            Reason.VERSION_NOT_READY,
            f"ClusteringModel {name} has no version yet: {told} This begins by itself once it has one.",
        )
    return Problem(
        Reason.VERSION_NOT_FOUND,
        f"spec.modelRef.version: ClusteringModel {name} has no version {wanted}, nor any other yet: {told}",
    )


def _choice(known: tuple[KnownVersion, ...]) -> str:
    servable = [str(version.number) for version in known if version.servable][-10:]
    if not servable:
        return "No version can be served yet."
    return f"Set it to latest or to one of: {', '.join(servable)}."
