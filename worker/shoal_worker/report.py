"""The report that a verb leaves for the operator: one JSON object in the pod's termination message.

Written by `train` and, when the model cannot be loaded, by `serve`. Invariant: at most 4000 bytes, whatever goes in
(Kubernetes cuts at 4096, and half a JSON object is none); never a secret.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from shoal_worker.errors import WorkerError, shorten

REPORT_LIMIT = 4000
_TEXT_LIMITS = (1000, 300, 80)

_log = structlog.get_logger(__name__)


def failure_report(error: WorkerError) -> dict[str, Any]:
    """The failure as the operator reads it."""
    return {
        "outcome": "Failed",
        "reason": error.reason,
        "field": error.field,
        "value": error.value,
        "message": error.message,
        "remedy": error.remedy,
        "transient": error.transient,
    }


def encode_report(report: Mapping[str, Any]) -> bytes:
    """Serialize within the limit: texts are cut first, then a long list of columns."""
    for limit in _TEXT_LIMITS:
        encoded = json.dumps(_cut(report, limit), ensure_ascii=True, separators=(",", ":")).encode("ascii")
        if len(encoded) <= REPORT_LIMIT:
            return encoded
    # Only a schema of very many columns gets here: the manifest in the store has the whole of it.
    schema = {"columns": list(report.get("schema", {}).get("columns", []))[:16], "truncated": True}
    return json.dumps(_cut({**report, "schema": schema}, _TEXT_LIMITS[-1]), separators=(",", ":")).encode("ascii")


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Leave the report; a verb must not fail because nobody can read it."""
    try:
        path.write_bytes(encode_report(report))
    except OSError as error:
        _log.warning("report not written", path=str(path), message=str(error))


def clear_report(path: Path) -> None:
    """Drop a report of a failure that is over."""
    try:
        if path.exists():
            path.write_bytes(b"")
    except OSError as error:
        _log.warning("report not cleared", path=str(path), message=str(error))


def _cut(value: Any, limit: int) -> Any:
    if isinstance(value, str):
        return shorten(value, limit)
    if isinstance(value, Mapping):
        return {key: _cut(item, limit) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(item, limit) for item in value]
    return value
