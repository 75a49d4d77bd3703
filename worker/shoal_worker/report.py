"""The report that a verb leaves for the operator: one JSON object in the pod's termination message.

Written by `train` and, when the model cannot be loaded, by `serve`. Invariant: at most 4000 bytes, whatever goes in
(Kubernetes cuts at 4096, and half a JSON object is none); never a secret.
"""

import json
from collections.abc import Callable, Mapping
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

    A failure's texts are cut. A success is shortened where it is told elsewhere in full, part by part in the order of
    `_SHORTENINGS`, until it fits: an artifact's URI or a column's name stays whole, since a cut one would be another.
    """
    if "schema" not in report:
        return next(encoded for limit in _TEXT_LIMITS if len(encoded := _encode(_cut(report, limit))) <= REPORT_LIMIT)
    encoded = _encode(report)
    shortened = json.loads(encoded)
    for path, shorten_part in _SHORTENINGS:
        while len(encoded) > REPORT_LIMIT and (part := _at(shortened, path)) and shorten_part(part):
            encoded = _encode(shortened)
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


def _at(report: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        report = report.get(key) or {}
    return report


def _drop_last(items: list[Any]) -> bool:
    """Drop the last item of a list."""
    items.pop()
    return True


def _drop_all(items: dict[str, Any]) -> bool:
    """Empty an object."""
    items.clear()
    return True


def _drop_last_column(schema: dict[str, Any]) -> bool:
    """Drop the last column, and tell that there are more."""
    if not schema["columns"]:
        return False
    schema["columns"].pop()
    schema["truncated"] = True
    return True


def _drop_figures(tests: list[dict[str, Any]]) -> bool:
    """Drop the figures and limits of the last test that has any, of passed tests first."""
    for test in (*reversed([test for test in tests if test["verdict"] == "pass"]), *reversed(tests)):
        if test.pop("figures", None) or test.pop("limits", None):
            return True
    return False


def _shorten_messages(tests: list[dict[str, Any]]) -> bool:
    """Halve the longest message, those of passed tests first."""
    for verdicts in (("pass",), ("warn", "fail")):
        found = [
            test for test in tests if test["verdict"] in verdicts and len(test.get("message", "")) > _SHORT_MESSAGE
        ]
        if found:
            longest = max(found, key=lambda test: len(test["message"]))
            longest["message"] = shorten(longest["message"], max(_SHORT_MESSAGE, len(longest["message"]) // 2))
            return True
    return False


def _drop_test(tests: list[dict[str, Any]]) -> bool:
    """Drop the last passed test, at last any."""
    tests.remove(next((test for test in reversed(tests) if test["verdict"] == "pass"), tests[-1]))
    return True


def _drop_late_column(columns: list[dict[str, Any]]) -> bool:
    """Drop the last column's figures, while there are more than a person reads."""
    if len(columns) <= _READ_COLUMNS:
        return False
    columns.pop()
    return True


_SHORT_MESSAGE = 60
_READ_COLUMNS = 8
_SHORTENINGS: tuple[tuple[tuple[str, ...], Callable[[Any], bool]], ...] = (
    (("data", "columns"), _drop_late_column),
    (("search", "best"), _drop_last),
    (("identity", "events"), _drop_last),
    (("validation", "tests"), _drop_figures),
    (("plan", "reasons"), _drop_all),
    (("validation", "tests"), _shorten_messages),
    (("validation", "warnings"), _drop_last),
    (("data", "columns"), _drop_last),
    (("schema", "features"), _drop_last),
    (("preprocessing",), _drop_last),
    (("schema",), _drop_last_column),
    (("validation", "tests"), _drop_test),
)
"""What of a success is told shorter, in this order; each call shortens a part in place and tells whether it could."""
