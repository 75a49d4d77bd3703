"""Versions as rows of a table, whether a store or a cluster told of them; used by the verbs of `shoal models`.

Invariant: table and JSON show the same versions.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic.alias_generators import to_camel
from rich.console import Console

from shoal_cli.console import make_table
from shoal_cli.quantities import show_bytes
from shoal_worker.models.record import ModelKey, StoredVersion

_COLUMNS = ("Model", "Version", "State", "Created", "Clusters", "Noise", "Rows", "Size", "Digest", "Labels")
_RIGHT = frozenset({"Version", "Clusters", "Noise", "Rows", "Size"})
_DIGEST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Row:
    """One version."""

    namespace: str
    model: str
    version: int
    state: str
    created: str
    digest: str
    bytes: int
    rows: int | None
    clusters: int | None
    noise_ratio: float | None
    labels: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The version for programs."""
        return {to_camel(name): value for name, value in asdict(self).items()}


def row_of(key: ModelKey, version: StoredVersion) -> Row:
    """Return the row of a version in a store."""
    return Row(
        namespace=key.namespace,
        model=key.name,
        version=version.number,
        state=version.state,
        created=version.created,
        digest=version.digest,
        bytes=version.bytes,
        rows=version.rows,
        clusters=version.clusters,
        noise_ratio=version.noise_ratio,
        labels=dict(version.labels),
    )


def row_of_object(found: dict[str, Any]) -> Row:
    """Return the row of a ClusteringModelVersion."""
    metadata, spec = found["metadata"], found["spec"]
    metrics, passed = spec["metrics"], spec["validation"]["verdict"] == "pass"
    own = {name: value for name, value in metadata.get("labels", {}).items() if not _is_ours(name)}
    return Row(
        namespace=metadata["namespace"],
        model=spec["modelRef"]["name"],
        version=spec["version"],
        state=(found.get("status") or {}).get("state") or ("Active" if passed else "Rejected"),
        created=metadata["creationTimestamp"],
        digest=spec["artifact"]["digest"],
        bytes=spec["artifact"]["bytes"],
        rows=metrics.get("rows"),
        clusters=metrics.get("clusters"),
        noise_ratio=metrics.get("noiseRatio"),
        labels=own,
    )


def print_rows(console: Console, rows: Sequence[Row]) -> None:
    """Print a table, or that there is nothing to show."""
    if not rows:
        console.print("No versions.")
        return
    table = make_table(_COLUMNS, _RIGHT)
    for row in rows:
        table.add_row(
            f"{row.namespace}/{row.model}",
            str(row.version),
            row.state,
            row.created[:16].replace("T", " "),
            "" if row.clusters is None else f"{row.clusters:,}",
            "" if row.noise_ratio is None else f"{row.noise_ratio:.1%}",
            "" if row.rows is None else f"{row.rows:,}",
            show_bytes(row.bytes),
            row.digest.removeprefix("sha256:")[:_DIGEST_SHOWN],
            " ".join(f"{name}={value}" for name, value in sorted(row.labels.items())),
        )
    console.print(table)


def _is_ours(label: str) -> bool:
    return label.startswith("shoal.dev/") or label == "app.kubernetes.io/managed-by"
