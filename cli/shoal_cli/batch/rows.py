"""Batches as rows of a table and as a page; used by the verbs of `shoal batch`.

Invariant: table, page and JSON show the same figures.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic.alias_generators import to_camel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shoal_cli.console import make_table
from shoal_cli.quantities import show_bytes

_COLUMNS = ("Name", "Phase", "Model", "Shards", "Rows", "Rows/s", "ETA", "Created")
_RIGHT = frozenset({"Shards", "Rows", "Rows/s", "ETA"})
_ENDS = ("Complete", "Failed")


@dataclass(frozen=True, slots=True)
class Row:
    """One batch."""

    namespace: str
    name: str
    created: str
    phase: str
    message: str
    model: str | None
    version: int | None
    shards: int
    done: int
    failed: int
    rows: int
    rows_total: int | None
    rows_per_second: int | None
    eta_seconds: int | None
    ended: bool

    def as_json(self) -> dict[str, Any]:
        """The batch for programs."""
        return {to_camel(name): value for name, value in asdict(self).items()}

    def progress(self) -> str:
        """How far it is, in a line."""
        parts = [self.phase]
        if self.shards:
            failed = f", {self.failed} failed" if self.failed else ""
            parts.append(f"{self.done} of {self.shards} shards{failed}")
        if self.rows:
            share = f" ({self.rows / self.rows_total:.0%})" if self.rows_total else ""
            parts.append(f"{self.rows:,} rows{share}")
        if self.rows_per_second:
            parts.append(f"{self.rows_per_second:,} rows/s")
        if self.eta_seconds is not None and not self.ended:
            parts.append(f"{show_seconds(self.eta_seconds)} left")
        return ", ".join(parts)


def row_of(found: dict[str, Any]) -> Row:
    """Return the row of a ClusteringBatch."""
    metadata, status = found["metadata"], found.get("status") or {}
    pinned, shards = status.get("pinned") or {}, status.get("shards") or {}
    phase = str(status.get("phase") or "Pending")
    # A status of an earlier spec tells nothing of the end of this one.
    current = status.get("observedGeneration") == metadata.get("generation")
    return Row(
        namespace=metadata["namespace"],
        name=metadata["name"],
        created=metadata["creationTimestamp"],
        phase=phase,
        message=str(status.get("message") or ""),
        model=pinned.get("model"),
        version=pinned.get("version"),
        shards=shards.get("total", 0),
        done=shards.get("done", 0),
        failed=shards.get("failed", 0),
        rows=status.get("rows", 0),
        rows_total=status.get("rowsTotal"),
        rows_per_second=status.get("rowsPerSecond"),
        eta_seconds=status.get("etaSeconds"),
        ended=current and phase in _ENDS,
    )


def print_rows(console: Console, rows: Sequence[Row], *, namespaces: bool) -> None:
    """Print a table, or that there is nothing to show."""
    if not rows:
        console.print("No batches.")
        return
    table = make_table((*(("Namespace",) if namespaces else ()), *_COLUMNS), _RIGHT)
    for row in rows:
        table.add_row(
            *((row.namespace,) if namespaces else ()),
            row.name,
            row.phase,
            f"{row.model} v{row.version}" if row.version else "",
            f"{row.done}/{row.shards}" if row.shards else "",
            f"{row.rows:,}",
            "" if row.rows_per_second is None else f"{row.rows_per_second:,}",
            "" if row.eta_seconds is None else show_seconds(row.eta_seconds),
            row.created[:16].replace("T", " "),
        )
    console.print(table)


def describe(console: Console, found: dict[str, Any]) -> None:
    """Print a batch as a page."""
    row, spec, status = row_of(found), found["spec"], found.get("status") or {}
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    lines = {
        "Batch": f"{row.namespace}/{row.name}",
        "Progress": row.progress(),
        "Message": row.message,
        "Model": f"{row.model} version {row.version}" if row.version else "",
        "Source": spec["source"]["uri"],
        "Run": status.get("run") or "",
        "Began": status.get("startedAt") or "",
        "Ended": status.get("completedAt") or "",
    }
    if result := status.get("result"):
        lines |= {
            "Result": result["uri"],
            "Size": show_bytes(result["bytes"]),
            "Clusters": f"{result['clusters']:,}, {result['noiseRatio']:.1%} noise",
            "Digest": result["digest"],
        }
    for heading, text in lines.items():
        if text:
            table.add_row(Text(heading), Text(str(text)))
    console.print(table)


def show_seconds(seconds: int) -> str:
    """Return a duration as people read it.

    >>> show_seconds(42), show_seconds(3725)
    ('42s', '1h02m')
    """
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"
