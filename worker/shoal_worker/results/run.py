"""One run in the store: begun with a plan, filled part by part, finished with a manifest; called by the batch's verbs.

Invariant: plan, records and manifest are created once, each after what it tells of. So a process may die after any
write: what it began is complete or counts as absent, and doing it again finishes it, however many do it at once.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pyarrow as pa

from shoal_worker.errors import ObjectMissing, ResultInvalid
from shoal_worker.results import layout
from shoal_worker.results.dataset import RunRows
from shoal_worker.results.layout import (
    MANIFEST_NAME,
    PLAN_NAME,
    RECORD_NAME,
    RunKey,
    record_name,
    rows_name,
    run_folder,
)
from shoal_worker.results.record import (
    MANIFEST_LIMIT,
    PLAN_LIMIT,
    RECORD_LIMIT,
    ManifestPart,
    PartRecord,
    RunManifest,
    RunPlan,
    decode,
    encode,
    told,
)
from shoal_worker.results.summing import sum_up
from shoal_worker.results.writer import RowsFile
from shoal_worker.store.objects import Location, ObjectInfo, Store

Clock = Callable[[], datetime]
_READERS = 16
_SHOWN = 10


class ResultRun:
    """One run of a batch."""

    def __init__(self, store: Store, base: Location, key: RunKey, *, clock: Clock = lambda: datetime.now(UTC)) -> None:
        self.key = key
        self._store = store
        self._folder = run_folder(base, key)
        self._clock = clock

    @property
    def uri(self) -> str:
        """Where the run lies."""
        return self._folder.uri

    def begin(self, plan: RunPlan) -> RunPlan:
        """Write the plan; where one is there already, return that one: all parts must follow the same."""
        if (plan.namespace, plan.batch, plan.run) != (*self.key.batch, self.key.run):
            raise ValueError(f"the plan is not one of {self.key}")
        content = encode(plan)
        if len(content) > PLAN_LIMIT:
            raise ResultInvalid(
                f"the plan has {len(content):,} bytes, more than {PLAN_LIMIT:,}",
                field="spec.input",
                remedy="Name a folder of fewer and larger files",
            )
        return plan if self._store.create(self._folder.child(PLAN_NAME), content) else self.plan()

    def plan(self) -> RunPlan:
        """Read the plan; raise ObjectMissing where there is none."""
        place = self._folder.child(PLAN_NAME)
        found = decode(RunPlan, self._store.read(place, PLAN_LIMIT), place.uri)
        _check_owned(found, self.key, place)
        return found

    def part(self, number: int) -> PartRecord | None:
        """Read the record of a part that is complete; None where it is not."""
        place = self._folder.child(record_name(number))
        try:
            found = decode(PartRecord, self._store.read(place, RECORD_LIMIT), place.uri)
        except ObjectMissing:
            return None
        if found.part != number:
            raise _not_its_own(place)
        return found

    @contextlib.contextmanager
    def write_part(self, number: int, schema: pa.Schema) -> Iterator["PartWriter"]:
        """Write a part; it is there after `finish`, and not at all when the context is left without."""
        with RowsFile(schema) as file:
            yield PartWriter(self, number, file)

    def finish(self) -> RunManifest:
        """Write the manifest of a run all of whose parts are there, and return it; the first one stays.

        Raises ResultInvalid with the reason PartsMissing where parts are not there.
        """
        if (there := self.manifest()) is not None:
            return there
        plan = self.plan()
        numbers = range(plan.parts) if not plan.input.is_stream else self._recorded()
        with ThreadPoolExecutor(_READERS) as readers:
            found = list(readers.map(self.part, numbers))
        records = [each for each in found if each is not None]
        if missing := [number for number, each in enumerate(found) if each is None]:
            raise ResultInvalid(
                f"{len(missing)} of {plan.parts} parts are missing: "
                f"{', '.join(map(str, missing[:_SHOWN]))}{', ...' if len(missing) > _SHOWN else ''}",
                reason="PartsMissing",
                field="run",
                value=self.uri,
                remedy="Let the shards of these numbers run, then finish again",
                transient=True,
            )
        self._check_sizes(records)
        manifest = sum_up(plan, records, self._clock())
        self._remove_strays({each.file for each in records})
        if self._store.create(self._folder.child(MANIFEST_NAME), encode(manifest)):
            return manifest
        there = self.manifest()
        if there is None:
            raise _not_its_own(self._folder.child(MANIFEST_NAME))
        return there

    def manifest(self) -> RunManifest | None:
        """Read the manifest; None where the run is not complete."""
        place = self._folder.child(MANIFEST_NAME)
        try:
            found = decode(RunManifest, self._store.read(place, MANIFEST_LIMIT), place.uri)
        except ObjectMissing:
            return None
        _check_owned(found, self.key, place)
        return found

    def parts(self) -> tuple[PartRecord | ManifestPart, ...]:
        """Return the parts whose rows count now: of a complete run all, of a stream's what it has grown to.

        Raises ResultInvalid with the reason ResultMissing for a batch that is not complete.
        """
        if (manifest := self.manifest()) is not None:
            return manifest.parts
        if not self.grows():
            raise ResultInvalid(
                "the run is not complete",
                reason="ResultMissing",
                field="run",
                value=self.key,
                remedy="Let the batch finish; `shoal results ls` tells how far it is",
            )
        with ThreadPoolExecutor(_READERS) as readers:
            found = readers.map(self.part, self._recorded())
            return tuple(each for each in found if each is not None)

    def grows(self) -> bool:
        """Tell whether it is a stream's run, which can be read before it is complete."""
        try:
            return self.plan().input.is_stream
        except ObjectMissing:
            return False

    def read_rows(self, part: PartRecord | ManifestPart) -> Iterator[memoryview]:
        """Read the Parquet bytes of a part in chunks; raise ResultInvalid at their end if they are not its own."""
        place = self._folder.child(part.file)
        digest, size = hashlib.sha256(), 0
        try:
            for chunk in self._store.read_chunks(place, part.bytes):
                digest.update(chunk)
                size += len(chunk)
                yield chunk
        except ObjectMissing:
            raise _damaged(place, "the file of the part is gone") from None
        if (size, digest.hexdigest()) != (part.bytes, part.sha256):
            raise _damaged(place, f"the file has not the sha256 {part.sha256} of its record")

    def rows(self, parts: Sequence[PartRecord | ManifestPart]) -> RunRows:
        """Open the rows of complete parts; nothing is read but what a scan asks for."""
        return RunRows(self._store, self.files(parts))

    def files(self, parts: Sequence[PartRecord | ManifestPart]) -> list[ObjectInfo]:
        """Where the rows of complete parts lie, and how many bytes they have."""
        return [ObjectInfo(self._folder.child(part.file), part.bytes, "") for part in parts]

    def _recorded(self) -> range:
        """Numbers of the parts that are there, which in a run that grows have no gaps."""
        return range(sum(1 for name in self._store.list_names(self._folder) if RECORD_NAME.fullmatch(name)))

    def _record(self, number: int, file: RowsFile, seconds: float) -> PartRecord:
        """Upload a part's file, then create its record; where another attempt was faster, its record counts."""
        if (there := self.part(number)) is not None:
            return there
        record = PartRecord(
            part=number,
            file=rows_name(number, file.sha256),
            rows=file.tally.rows,
            bytes=file.bytes,
            sha256=file.sha256,
            noise=file.tally.noise,
            counts=file.tally.counts,
            ranges=file.tally.ranges,
            seconds=round(seconds, 3),
            written=told(self._clock()),
        )
        self._store.upload(self._folder.child(record.file), file.path)
        if self._store.create(self._folder.child(record_name(number)), encode(record)):
            return record
        there = self.part(number)
        if there is None:
            raise _not_its_own(self._folder.child(record_name(number)))
        if there.file != record.file:
            self._store.delete(self._folder.child(record.file))
        return there

    def _check_sizes(self, records: list[PartRecord]) -> None:
        """Raise ResultInvalid unless every part's file is there in its size."""

        def check(record: PartRecord) -> None:
            place = self._folder.child(record.file)
            try:
                size = self._store.size(place)
            except ObjectMissing:
                raise _damaged(place, "the file of the part is gone") from None
            if size != record.bytes:
                raise _damaged(place, f"the file has {size} bytes, and {record.bytes} were written")

        with ThreadPoolExecutor(_READERS) as readers:
            list(readers.map(check, records))

    def _remove_strays(self, known: set[str]) -> None:
        """Remove rows that no record names: whoever reads all Parquet files of the folder must see each row once."""
        for name in self._store.list_names(self._folder):
            if layout.ROWS_NAME.fullmatch(name) and name not in known:
                self._store.delete(self._folder.child(name))


class PartWriter:
    """What a shard does with its part."""

    def __init__(self, run: ResultRun, number: int, file: RowsFile) -> None:
        self._run, self._number, self._file = run, number, file
        self._begun = time.monotonic()

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows, with exactly the columns of the part's schema."""
        self._file.add(batch)

    def finish(self) -> PartRecord:
        """Store the part and return its record; seconds count from the opening of the part."""
        self._file.close()
        return self._run._record(self._number, self._file, time.monotonic() - self._begun)

    def wrote(self, record: PartRecord) -> bool:
        """Tell whether a part's record is of the rows that were written here, and not of another attempt's."""
        return record.sha256 == self._file.sha256


def _check_owned(found: RunPlan | RunManifest, key: RunKey, place: Location) -> None:
    if (found.namespace, found.batch, found.run) != (*key.batch, key.run):
        raise _not_its_own(place)


def _not_its_own(place: Location) -> ResultInvalid:
    return _damaged(place, "the file is not one of this run")


def _damaged(place: Location, message: str) -> ResultInvalid:
    return ResultInvalid(
        message,
        field="run",
        value=place.uri,
        remedy="Run the batch again; `shoal results prune` removes what is left of this run",
    )
