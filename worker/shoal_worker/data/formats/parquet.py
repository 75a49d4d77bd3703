"""Parquet files, by row groups; called by `dataset`.

Invariant: pages are read and decoded one by one, so a large row group takes no more memory than a small one; texts stay
coded, so one long text that is repeated does not multiply.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet

from shoal_worker.data.formats.format import COLUMNS_FIELD, Span, miscounted
from shoal_worker.data.range_file import RangeFile
from shoal_worker.errors import SourceInvalid

_PAGE_BUFFER_BYTES = 4 << 20


class ParquetRows:
    """An open Parquet file."""

    def __init__(self, file: RangeFile) -> None:
        self._file = file
        self._metadata = pa.parquet.read_metadata(file.as_arrow())
        self.schema: pa.Schema = self._metadata.schema.to_arrow_schema()
        self.rows: int = self._metadata.num_rows
        counts = [self._metadata.row_group(index).num_rows for index in range(self._metadata.num_row_groups)]
        if self.rows != sum(counts) or any(count < 0 for count in counts):
            raise miscounted(self.rows)

    def spans(self) -> list[Span]:
        """One for each row group; sizes are shares of the file's, by what the groups take when they are read."""
        groups = [self._metadata.row_group(index) for index in range(self._metadata.num_row_groups)]
        weights = [max(group.total_byte_size, 0) for group in groups]
        total = sum(weights) or 1
        return [
            Span(at, at + 1, group.num_rows, self._file.size * weight // total)
            for at, (group, weight) in enumerate(zip(groups, weights, strict=True))
        ]

    def batches(self, spans: Sequence[Span], names: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Rows of these row groups."""
        groups = [index for span in spans for index in range(span.start, span.stop)]
        self._check_pages(groups, names)
        file = pa.parquet.ParquetFile(
            self._file.as_arrow(),
            metadata=self._metadata,
            read_dictionary=[name for name in names if pa.types.is_string(self.schema.field(name).type)],
            pre_buffer=False,
            buffer_size=_PAGE_BUFFER_BYTES,
            page_checksum_verification=True,
        )
        expected = sum(self._metadata.row_group(index).num_rows for index in groups)
        read = 0
        for batch in file.iter_batches(batch_rows, row_groups=groups, columns=list(names)):
            read += batch.num_rows
            if read > expected:
                raise miscounted(expected)
            yield batch
        if read != expected:
            raise miscounted(expected)

    def _check_pages(self, groups: Sequence[int], names: Sequence[str]) -> None:
        """Refuse texts of which a few may fill the memory, before they are read."""
        for index in groups:
            group = self._metadata.row_group(index)
            # Many rows are many pages, and those are read one by one.
            bearable = max(self._file.largest_read, self._file.largest_read // 1024 * group.num_rows)
            # Only where it matters: of a damaged footer Arrow's C++ ends the process when it is asked for columns.
            if group.total_byte_size <= bearable:
                continue
            for chunk in (group.column(position) for position in range(group.num_columns)):
                if chunk.path_in_schema in names and chunk.total_uncompressed_size > bearable:
                    raise SourceInvalid(
                        f"row group {index} holds {chunk.total_uncompressed_size} bytes in {group.num_rows} values, "
                        "and single values may not fit into the memory",
                        field=COLUMNS_FIELD,
                        value=chunk.path_in_schema,
                        remedy="Leave the column out, shorten its values, or raise spec.training.resources",
                    )
