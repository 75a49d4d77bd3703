"""What is recorded of a run: its plan, each part, and the manifest of the whole; used all over `results`.

Invariant: whatever was read from a store passed through these types, so it is bounded, and a file that is named in it
is one of the run's own. Pure.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError, model_validator

from shoal_worker.errors import ResultInvalid
from shoal_worker.models.record import Digest, Number, Stored
from shoal_worker.results.layout import MOST_PARTS, rows_name

PLAN_LIMIT = 64 << 20
RECORD_LIMIT = 32 << 20
MANIFEST_LIMIT = 128 << 20
MOST_CLUSTERS = 1_000_000
STREAM_FORMAT = "jetstream"
"""Format of an input that is a stream: its run has no plan of its parts, it grows."""
_MOST_COLUMNS = 512

Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
"""A time, to the millisecond; of two of them the later one is the greater text."""
Rows = Annotated[int, Field(ge=0, le=1 << 50)]
Part = Annotated[int, Field(ge=0, lt=MOST_PARTS)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
ColumnName = Annotated[str, Field(min_length=1, max_length=256)]
Counts = Annotated[
    dict[Annotated[int, Field(ge=0, lt=1 << 63)], Annotated[int, Field(ge=1, le=1 << 50)]],
    Field(max_length=MOST_CLUSTERS),
]
"""Rows by public cluster id; noise is counted beside it."""

Kind = TypeVar("Kind", bound=Stored)


class RunModel(Stored):
    """The version that gives the labels."""

    name: str = Field(min_length=1, max_length=253)
    version: Number
    digest: Digest


class RunInput(Stored):
    """The rows that get labels, as far as they were known when the run was planned."""

    uri: str = Field(min_length=1, max_length=2048)
    format: str = Field(default="", max_length=32)
    rows: Rows | None = None
    bytes: Rows | None = None

    @property
    def is_stream(self) -> bool:
        """Whether the rows are messages, which come one after another."""
        return self.format == STREAM_FORMAT


class ResultColumn(Stored):
    """A column of the results, with its type as Arrow writes it."""

    name: ColumnName
    type: str = Field(min_length=1, max_length=1024)


Columns = Annotated[tuple[ResultColumn, ...], Field(min_length=1, max_length=_MOST_COLUMNS)]


class RunPlan(Stored):
    """What a run does; never changed once it is written."""

    format: Annotated[int, Field(ge=1, le=1)] = 1
    namespace: str = Field(max_length=63)
    batch: str = Field(max_length=253)
    run: str = Field(max_length=128)
    created: Moment
    model: RunModel
    input: RunInput
    columns: Columns
    parts: int = Field(ge=1, le=MOST_PARTS)
    """How many there will be; where the input is a stream, how many there may be at most."""
    work: dict[str, Any] = Field(default_factory=dict)
    """What the shards need to know beyond that; it means something to the batch alone."""


class Range(Stored):
    """Least and greatest value of a numeric column, missing and infinite ones left out."""

    min: int | float
    max: int | float


class PartRecord(Stored):
    """One part: written after its rows, created once."""

    format: Annotated[int, Field(ge=1, le=1)] = 1
    part: Part
    file: str = Field(max_length=64)
    rows: Rows
    bytes: int = Field(ge=0, le=1 << 50)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    noise: Rows
    counts: Counts
    ranges: dict[ColumnName, Range] = Field(default_factory=dict, max_length=_MOST_COLUMNS)
    seconds: Seconds
    written: Moment

    @model_validator(mode="after")
    def _check_consistent(self) -> "PartRecord":
        if self.file != rows_name(self.part, self.sha256):
            raise ValueError("the file is not named by its part and sha256")
        if self.noise + sum(self.counts.values()) != self.rows:
            raise ValueError("the counts do not add up to the rows")
        return self


class ManifestPart(Stored):
    """What the manifest tells of a part."""

    part: Part
    file: str = Field(max_length=64)
    rows: Rows
    bytes: int = Field(ge=0, le=1 << 50)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    seconds: Seconds

    @model_validator(mode="after")
    def _check_named(self) -> "ManifestPart":
        if self.file != rows_name(self.part, self.sha256):
            raise ValueError("the file is not named by its part and sha256")
        return self


class RunMetrics(Stored):
    """The run in four figures."""

    processing_time: Seconds
    """Seconds from the plan to the manifest."""
    data_size: Rows
    """Rows that got a label."""
    n_clusters: int = Field(ge=0, le=MOST_CLUSTERS)
    """Clusters that have any of the rows; noise is none."""
    noise_ratio: float = Field(ge=0, le=1)
    """Share of the rows that are noise; 0 where there are no rows."""


class RunManifest(Stored):
    """A whole run: written last, created once."""

    format: Annotated[int, Field(ge=1, le=1)] = 1
    namespace: str = Field(max_length=63)
    batch: str = Field(max_length=253)
    run: str = Field(max_length=128)
    model: RunModel
    input: RunInput
    columns: Columns
    parts: tuple[ManifestPart, ...] = Field(min_length=1, max_length=MOST_PARTS)
    rows: Rows
    noise: Rows
    counts: Counts
    ranges: dict[ColumnName, Range] = Field(default_factory=dict, max_length=_MOST_COLUMNS)
    metrics: RunMetrics
    created: Moment
    finished: Moment

    @model_validator(mode="after")
    def _check_consistent(self) -> "RunManifest":
        if [each.part for each in self.parts] != list(range(len(self.parts))):
            raise ValueError("the parts are not numbered from 0 on")
        if sum(each.rows for each in self.parts) != self.rows:
            raise ValueError("the parts do not add up to the rows")
        if self.noise + sum(self.counts.values()) != self.rows:
            raise ValueError("the counts do not add up to the rows")
        return self


def told(moment: datetime) -> str:
    """Write a time.

    >>> told(datetime(2026, 5, 1, 12, tzinfo=UTC))
    '2026-05-01T12:00:00.000Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(record: Stored) -> bytes:
    """Serialize a record."""
    return record.model_dump_json(by_alias=True, exclude_none=True).encode()


def decode(kind: type[Kind], content: bytes, place: str) -> Kind:
    """Parse a record, or raise ResultInvalid saying which field of which file is wrong."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in problem["loc"][:8])
        raise ResultInvalid(
            f"the file is not as it was written: {f'{field}: ' if field else ''}{problem['msg'][:200]}",
            field="run",
            value=place,
            remedy="Run the batch again; `shoal results prune` removes what is left of this run",
        ) from None
