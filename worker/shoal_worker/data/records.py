"""What is known of a data set before its rows are read: files and the units they split into, as plain records.

Made by `dataset`; they go as JSON into a manifest or another pod, which reads the same units of the same files.
"""

from pydantic import Field

from shoal_worker.spec.part import Part
from shoal_worker.spec.source import SourceFormat


class DataFile(Part):
    """One file of a data set."""

    path: str = Field(min_length=1, max_length=4096)
    """Path in the bucket, or from the root of the file system, without a leading slash."""
    size: int = Field(ge=0)
    """Bytes."""
    etag: str = Field(default="", max_length=512)
    """The store's mark of these very bytes; empty where it gives none."""
    rows: int | None = Field(default=None, ge=0)
    """None: not known before the rows are read (CSV, Arrow streams)."""
    partition: dict[str, str] = Field(default_factory=dict)
    """Values by column that the folders of the file name, as hive writes them: year=2026."""


class Unit(Part):
    """The smallest part of a data set that is read on its own."""

    file: int = Field(ge=0)
    """Position of its file among the plan's files."""
    start: int = Field(ge=0)
    stop: int = Field(ge=0)
    """[start, stop) in the format's own terms: row groups, record batches, bytes, rows."""
    rows: int | None = Field(default=None, ge=0)
    """None: not known before it is read."""
    size: int = Field(ge=0)
    """Bytes of it in the file, estimated where the format does not tell."""


class DataPlan(Part):
    """A data set, ready to be read in parts."""

    format: SourceFormat
    files: tuple[DataFile, ...]
    units: tuple[Unit, ...]

    @property
    def rows(self) -> int | None:
        """Rows of all files; None where one does not tell them before it is read."""
        counts = [file.rows for file in self.files]
        return None if None in counts else sum(count for count in counts if count is not None)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)
