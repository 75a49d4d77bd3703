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
_TEXT_LIMITS = (1000, 500, 200)

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
    """Serialize within the limit.

    A failure's texts are cut. A success keeps each value whole, since a cut URI or column name would be another one;
    of a schema too long for it the first columns are told, and the manifest in the store has them all. The plan's
    reasons follow from its choices, so they go where even that is too long.
    """
    if "schema" not in report:
        return next(encoded for limit in _TEXT_LIMITS if len(encoded := _encode(_cut(report, limit))) <= REPORT_LIMIT)
    columns = list(report["schema"]["columns"])
    encoded = _encode(report)
    while len(encoded) > REPORT_LIMIT and columns:
        columns.pop()
        encoded = _encode({**report, "schema": {"columns": columns, "truncated": True}})
    if len(encoded) > REPORT_LIMIT and report.get("plan", {}).get("reasons"):
        return encode_report({**report, "plan": {**report["plan"], "reasons": {}}})
    return encoded


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


def _encode(report: Mapping[str, Any]) -> bytes:
    return json.dumps(report, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _cut(report: Mapping[str, Any], limit: int) -> dict[str, Any]:
    return {key: shorten(value, limit) if isinstance(value, str) else value for key, value in report.items()}
