"""Reads what the trainings measured of two versions, for the gates that compare versions and not calls.

Used by the gates beside it and by core.transitions. Invariant: a record that cannot be read is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from shoal_operator.api.version import VersionMetrics
from shoal_operator.core.facts import at, number_at
from shoal_operator.core.snapshot import RawObject


@dataclass(frozen=True, slots=True)
class Records:
    """What the trainings of both versions measured; None where there is no record."""

    stable: VersionMetrics | None = None
    candidate: VersionMetrics | None = None


def read_records(versions: Iterable[RawObject], stable: int, candidate: int) -> Records:
    """Return the records of two versions by number."""
    found = {number_at(raw, "spec", "version"): raw for raw in versions}
    return Records(_metrics(found.get(stable)), _metrics(found.get(candidate)))


def _metrics(version: RawObject | None) -> VersionMetrics | None:
    try:
        return VersionMetrics.model_validate(at(version, "spec", "metrics"))
    except ValidationError:
        return None
