"""How a pass that fails again and again shows on its object: the condition Degraded with reason ReconcileFailed.

Used by runtime.controller. Pure: the next pass that succeeds computes all conditions anew, so this one goes by itself.
The message holds nothing that changes from try to try, or each write would provoke the next.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shoal_operator.api.meta import Reason
from shoal_operator.core.snapshot import RawObject
from shoal_operator.errors import ApiError

_TRANSIENT_FAILURES = 4
_LONGEST_MESSAGE = 1024


def worth_telling(error: Exception, in_a_row: int) -> bool:
    """Return whether people should hear of it: at once if it cannot pass by itself, else after a few tries."""
    if isinstance(error, ApiError):
        return error.permanent or in_a_row >= _TRANSIENT_FAILURES
    return True


def status_with_failure(raw: RawObject, error: Exception, now: datetime) -> dict[str, Any]:
    """Return the object's status with the condition Degraded, all else as it is."""
    status = dict(raw.get("status") or {})
    conditions = [dict(item) for item in status.get("conditions") or ()]
    known = next((item for item in conditions if item.get("type") == "Degraded"), None)
    changed = known is None or known.get("status") != "True"
    condition = {
        "type": "Degraded",
        "status": "True",
        "reason": Reason.RECONCILE_FAILED.value,
        "message": _explain(error),
        "observedGeneration": int(raw["metadata"].get("generation", 0)),
        "lastTransitionTime": (
            now.strftime("%Y-%m-%dT%H:%M:%SZ") if changed or known is None else known.get("lastTransitionTime", "")
        ),
    }
    others = [item for item in conditions if item.get("type") != "Degraded"]
    return {**status, "conditions": [*others, condition]}


def _explain(error: Exception) -> str:
    if not isinstance(error, ApiError):
        return (
            f"The operator could not decide about this object ({type(error).__name__}); what runs goes on. "
            "This is a defect of the operator: see its log, and report it."
        )
    text = f"The API server refused a change: {error.reason}: {error.message}"
    match error.status:
        case 0:
            text = f"The API server does not answer; what runs goes on. {error.message}"
        case 403:
            text += ". Grant the operator this permission, or raise the quota that the message names."
        case 400 | 422:
            text += ". Correct the field in this object's spec that the message names."
    return text[:_LONGEST_MESSAGE]
