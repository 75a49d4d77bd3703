"""Builds the preview Service: the candidate's pods, for stable pods that compare and for people who want to try it.

Called by core.desired. Invariant: it selects one revision's pods and never those of stable; its name is the same in
every rollout, so that the pods that ask it are told once, when they are made.
"""

from __future__ import annotations

from shoal_operator.core import names
from shoal_operator.core.facts import name_of, namespace_of
from shoal_operator.core.manifests.service import build_service
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import RawObject


def build_preview(deployment: RawObject, selector: dict[str, str]) -> Manifest:
    """Build the Service in front of the candidate's ready pods, which the selector picks."""
    service = build_service(deployment, names.preview(name_of(deployment)), selector)
    port = {"name": "internal", "port": names.INTERNAL_PORT, "targetPort": names.INTERNAL_PORT, "protocol": "TCP"}
    service["spec"]["ports"].append(port)
    return service


def preview_url(deployment: RawObject) -> str:
    """Return where the candidate's pods answer for comparisons: a name, told before there is a candidate."""
    return f"http://{names.preview(name_of(deployment))}.{namespace_of(deployment)}.svc:{names.INTERNAL_PORT}"
