"""A stream's run, which grows part by part until it is sealed; used by `shoal-worker consume`.

    part 0, 1, 2, ...      the rows of some messages each, in the order of their numbers
    the last part          no rows: the seal
    manifest.json          the whole run

Invariant: a part's record is created once, under the number behind the last one. So whoever seals a run, its writer or
another after it, takes the number that the writer would take next, and nothing is ever appended to a sealed run: what
the writer was told to be stored is in the manifest, and what is not, it stores in another run.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from shoal_worker.results.layout import MOST_PARTS, BatchKey, RunKey
from shoal_worker.results.record import PartRecord, RunInput, RunManifest, RunModel, RunPlan, told
from shoal_worker.results.run import ResultRun
from shoal_worker.results.schema import STREAM_SCHEMA, columns_of
from shoal_worker.results.store import ResultStore

_NAME = re.compile(r"(\d{8}t\d{6})-v\d+-[0-9a-f]{8}")
_TIME = "%Y%m%dt%H%M%S"
_READERS = 16
_LOOK_BACK = timedelta(days=2)
"""Runs that began before are not looked at again and again."""


class GrowingRun:
    """A run of one writer. Use: append until it returns None or `full`, then seal."""

    def __init__(self, results: ResultStore, stream: BatchKey, model: RunModel, source: RunInput) -> None:
        """Nothing is written yet, so that a stream without messages leaves nothing."""
        self.created = datetime.now(UTC)
        self.key = RunKey(stream, f"{self.created:{_TIME}}-v{model.version}-{secrets.token_hex(4)}")
        self.parts = 0
        self._run = results.run(self.key)
        self._plan = RunPlan(
            namespace=stream.namespace,
            batch=stream.name,
            run=self.key.run,
            created=told(self.created),
            model=model,
            input=source,
            columns=columns_of(STREAM_SCHEMA),
            parts=MOST_PARTS,
        )

    @property
    def full(self) -> bool:
        """Whether there is room for the seal only."""
        return self.parts >= MOST_PARTS - 1

    def append(self, rows: Sequence[pa.RecordBatch]) -> PartRecord | None:
        """Store rows of STREAM_SCHEMA as the next part; None where somebody has sealed the run.

        Raises StoreError, or ResultInvalid; then the same rows may be appended again.
        """
        if not self.parts:
            self._run.begin(self._plan)
        record = _write(self._run, self.parts, rows)
        if record is not None:
            self.parts += 1
        return record

    def seal(self) -> RunManifest | None:
        """Complete the run; None where nothing was appended to it."""
        return seal(self._run) if self.parts else None


def seal(run: ResultRun) -> RunManifest:
    """Complete a run that grows, whoever wrote to it and whoever else does this at once."""
    while (manifest := run.manifest()) is None:
        parts = run.parts()
        if (parts and not parts[-1].rows) or _write(run, len(parts), ()) is not None:
            return run.finish()
    return manifest


def find_abandoned(results: ResultStore, stream: BatchKey, now: datetime, lifetime: timedelta) -> list[ResultRun]:
    """Return the runs that began more than a lifetime ago and are not complete: their writers are gone."""
    names = [name for name in results.run_names(stream) if _began_between(name, now - _LOOK_BACK, now - lifetime)]

    def look(name: str) -> ResultRun | None:
        run = results.run(RunKey(stream, name))
        return run if run.manifest() is None and run.grows() else None

    with ThreadPoolExecutor(_READERS) as readers:
        return [run for run in readers.map(look, names) if run is not None]


def _write(run: ResultRun, number: int, rows: Iterable[pa.RecordBatch]) -> PartRecord | None:
    """Write a part; None where the number is taken by other rows."""
    with run.write_part(number, STREAM_SCHEMA) as part:
        for batch in rows:
            part.write(batch)
        record = part.finish()
        return record if part.wrote(record) else None


def _began_between(name: str, begin: datetime, end: datetime) -> bool:
    found = _NAME.fullmatch(name)
    if found is None:
        return False
    try:
        return begin <= datetime.strptime(found[1], _TIME).replace(tzinfo=UTC) < end
    except ValueError:
        return False
