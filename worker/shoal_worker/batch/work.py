"""What the shards of a run need to know beyond the run's plan: the data's files and units, cut, and the columns.

Written by `plan` into the run's plan.json, read by `shard`. Invariant: a shard reads what the plan saw, or fails: each
file is told with the store's mark of its bytes.
"""

import hashlib
import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from pydantic import Field

from shoal_worker.artifact.manifest import Column
from shoal_worker.data.records import DataPlan, Unit
from shoal_worker.spec.batch import BatchSpec
from shoal_worker.spec.part import Part


class BatchWork(Part):
    """The work of all shards."""

    data: DataPlan
    bounds: tuple[int, ...] = Field(min_length=2)
    """Where each shard begins among the data's units, and the end of the last."""
    columns: tuple[Column, ...]
    """What the model needs, with the types that the data has."""
    schema_: str = Field(alias="schema")
    """Schema of the results: Arrow IPC in base64."""

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return len(self.bounds) - 1

    def groups(self, shard: int) -> Iterator[tuple[int, int, list[Unit]]]:
        """Yield the shard's units by file: the file's position, the number of their first row in it, the units."""
        first, end = self.bounds[shard], self.bounds[shard + 1]
        for file, group in groupby(range(first, end), key=lambda at: self.data.units[at].file):
            places = list(group)
            yield file, self._first_row(places[0]), [self.data.units[at] for at in places]

    def _first_row(self, place: int) -> int:
        unit, row = self.data.units[place], 0
        for before in reversed(self.data.units[:place]):
            if before.file != unit.file:
                break
            row += before.rows or 0
        return row


def identify_run(spec: BatchSpec, work: BatchWork) -> str:
    """Name a run by what it does: equal data, model, cut and columns make the same run, whoever plans it and when."""
    identity: dict[str, Any] = {
        "model": spec.model.digest,
        "data": work.data.model_dump(mode="json", exclude_none=True),
        "bounds": work.bounds,
        "schema": work.schema_,
    }
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
