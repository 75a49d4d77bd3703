"""What is recorded of a version's cluster ids: counts, and the most important events; in the report and the store.

Invariant: bounded, whatever the number of clusters; every share lies between 0 and 1.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shoal_worker.artifact.manifest import MAX_ID

MOST_EVENTS = 64
MOST_PARTS = 8

PublicId = Annotated[int, Field(ge=-1, le=MAX_ID)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=1 << 40)]
EventKind = Literal["Born", "Died", "Split", "Merged"]


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


class Portion(_Part):
    """A cluster of the other version, -1 for noise, and the share of the event's cluster that lies in it."""

    cluster: PublicId
    share: Share


class ClusterEvent(_Part):
    """What became of a cluster; `rows`: its share of all rows.

    Split and Died are of a cluster of the earlier version, Merged and Born of one of this version.
    """

    kind: EventKind
    cluster: PublicId
    rows: Share
    portions: tuple[Portion, ...] = Field(default=(), max_length=MOST_PARTS)


class IdentityRecord(_Part):
    """How a version's clusters continue those of the earlier version."""

    baseline: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """The earlier version; None where there is none."""
    kept: Count
    born: Count
    died: Count
    split: Count
    merged: Count
    next_id: Annotated[int, Field(ge=0, le=MAX_ID)]
    """No cluster of this version or an earlier one has this id or a higher one."""
    rows: Count = 0
    """Rows that were compared."""
    problem: str = Field(default="", max_length=500)
    """Why nothing could be continued, though there is an earlier version."""
    events: tuple[ClusterEvent, ...] = Field(default=(), max_length=MOST_EVENTS)
    """The largest first."""
