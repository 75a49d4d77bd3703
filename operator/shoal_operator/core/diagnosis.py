"""Says why a pod does not do its work, from its status alone.

Called by core.training for training pods and by core.gates and core.summary for serving pods. Pure, and total over
any status: a pod that is fine, or merely young, gives None.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal_operator.api.meta import Reason
from shoal_operator.core.facts import items_at, mapping_at, number_at, printable, text_at
from shoal_operator.core.report import STREAM_REASONS, read_failure
from shoal_operator.core.snapshot import RawObject

_PULL_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
_CONFIG_REASONS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_CRASHES_THAT_ARE_NO_ACCIDENT = 3


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What keeps a pod from working."""

    reason: Reason
    message: str
    restarts: int = 0

    @property
    def hopeless(self) -> bool:
        """Whether waiting does not help: the container ended often enough for it to be no accident."""
        return self.restarts >= _CRASHES_THAT_ARE_NO_ACCIDENT and self.reason in (
            Reason.CRASH_LOOP,
            Reason.OUT_OF_MEMORY,
            Reason.ARTIFACT_REFUSED,
        )


def diagnose_pod(status: RawObject) -> Diagnosis | None:
    """Return the most telling cause that a pod's status holds."""
    for condition in items_at(status, "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return Diagnosis(
                Reason.UNSCHEDULABLE,
                f"no node takes the pod: {printable(text_at(condition, 'message'), 300)} "
                "Lower its resources.requests or add nodes.",
            )
    containers = (*items_at(status, "initContainerStatuses"), *items_at(status, "containerStatuses"))
    return next((found for found in map(_diagnose_container, containers) if found), None)


def termination_message(status: RawObject) -> str:
    """Return what the pod's container left when it ended last."""
    for container in items_at(status, "containerStatuses"):
        for state in ("state", "lastState"):
            message = text_at(container, state, "terminated", "message")
            if message:
                return message
    return ""


def _diagnose_container(container: RawObject) -> Diagnosis | None:
    waiting = mapping_at(container, "state", "waiting")
    reason = text_at(waiting, "reason")
    detail = printable(text_at(waiting, "message"), 300)
    if reason in _PULL_REASONS:
        image = printable(text_at(container, "image"), 200)
        return Diagnosis(
            Reason.IMAGE_PULL_FAILED,
            f"image {image} cannot be pulled ({reason}: {detail}). Correct the image's name or the pull credentials.",
        )
    if reason in _CONFIG_REASONS:
        return Diagnosis(Reason.NOT_AVAILABLE, f"the container cannot be created ({reason}: {detail}).")
    ended = mapping_at(container, "state", "terminated") or mapping_at(container, "lastState", "terminated")
    restarts = number_at(container, "restartCount")
    running_well = container.get("ready") is True
    if not ended or running_well or (text_at(ended, "reason") == "Completed" and number_at(ended, "exitCode") == 0):
        return None
    if text_at(ended, "reason") == "OOMKilled":
        return Diagnosis(
            Reason.OUT_OF_MEMORY,
            "the container was stopped for using more memory than its limit. Raise resources.limits.memory.",
            restarts,
        )
    failure = read_failure(text_at(ended, "message"))
    if failure is not None:
        artifact = failure.reason not in (Reason.STORE_UNAVAILABLE, Reason.CREDENTIALS_REJECTED, *STREAM_REASONS)
        return Diagnosis(Reason.ARTIFACT_REFUSED if artifact else failure.reason, failure.sentence, restarts)
    code = number_at(ended, "exitCode")
    if mapping_at(container, "state", "terminated") and restarts == 0:
        return Diagnosis(Reason.CRASH_LOOP, f"the container ended with exit code {code}. Read its logs.")
    if reason == "CrashLoopBackOff" or restarts > 0:
        return Diagnosis(
            Reason.CRASH_LOOP,
            f"the container ended with exit code {code} and was restarted {restarts} times. Read its logs.",
            restarts,
        )
    return None
