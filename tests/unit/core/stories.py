"""Reads records of decisions as a story, and holds it to be one: it begins, goes on and ends as rollouts do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shoal_operator.api.decision import ClusteringDecisionSpec

Raw = dict[str, Any]
ENDS = ("Promoted", "RolledBack", "Aborted", "Withdrawn")


def told(records: Iterable[Raw]) -> list[str]:
    """Return what was decided, in order."""
    return [item["spec"]["decision"] for item in records]


def replay(records: Iterable[Raw]) -> tuple[str | None, str | None, int]:
    """Replay a deployment's whole story; return stable's and candidate's revision and the weight as it ends.

    Fails where a record does not follow from those before it.
    """
    stable = candidate = None
    weight = 0
    for number, item in enumerate(records, start=1):
        spec = ClusteringDecisionSpec.model_validate(item["spec"])
        assert spec.number == number, "numbered without gaps"
        served = spec.stable.revision if spec.stable else None
        assert served == (None if spec.decision == "Restored" else stable), spec
        mine = spec.candidate.revision if spec.candidate else None
        if spec.decision == "Restored":
            stable = mine
        elif spec.decision == "Started":
            assert candidate is None, f"{spec} while {candidate} is on trial"
            candidate, weight = mine, 0
        elif spec.decision in ENDS:
            assert mine == candidate, spec
            assert spec.weight.before == weight, spec
            stable = candidate if spec.decision == "Promoted" else stable
            candidate, weight = None, 0
        elif spec.decision == "WeightSet":
            assert (mine, spec.weight.before) == (candidate, weight), spec
            assert spec.weight.after != weight, spec
            weight = spec.weight.after
        elif spec.decision not in ("Retried", "Approved"):
            assert mine == candidate, spec
            assert spec.weight.before == spec.weight.after == weight, spec
    return stable, candidate, weight
