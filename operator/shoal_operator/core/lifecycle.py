"""The durable record of where a version stands in its life, kept on the version beside its status.

Written by core.maintenance, read by core.versions and core.retention. It outlives status, so that a restored cluster
never serves what its store has archived. Invariant: a version without a record, or with one that cannot be read, is
Active as far as the store knows.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError

from shoal_operator.api.meta import StatusModel
from shoal_operator.core import names
from shoal_operator.core.facts import annotation_of, printable
from shoal_operator.core.snapshot import RawObject

LifeState = Literal["Active", "Retired", "Archived", "Deleted"]

_MOST_TEXT = 2000


class Lifecycle(StatusModel):
    """What a version is to become, what the store knows of it, and why."""

    wanted: LifeState = "Active"
    stored: LifeState = "Active"
    """What the store has recorded; a maintenance Job brings it to `wanted`."""
    since: str = ""
    """When it ceased to be Active."""
    reason: str = ""
    message: str = Field(default="", max_length=_MOST_TEXT)
    problem: str = ""
    """Why not all that was asked for is done, as a reason; the message says it in full."""


def read_lifecycle(version: RawObject) -> Lifecycle:
    """Return a version's record; the default where there is none."""
    text = annotation_of(version, names.LIFECYCLE)
    if not text or len(text) > 2 * _MOST_TEXT:
        return Lifecycle()
    try:
        record = Lifecycle.model_validate_json(text)
    except ValidationError:
        return Lifecycle()
    texts = {"message": 800, "reason": 64, "problem": 64, "since": 64}
    return record.model_copy(update={name: printable(getattr(record, name), limit) for name, limit in texts.items()})


def write_lifecycle(record: Lifecycle) -> str | None:
    """Return the annotation's value; None where no record is needed."""
    return None if record == Lifecycle() else record.model_dump_json(by_alias=True, exclude_defaults=True)
