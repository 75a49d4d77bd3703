"""Reads single facts out of raw objects, which anybody with access to the API may have written.

Called by every decision that looks into a raw object. Invariant: any JSON gives an answer, none raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core.snapshot import RawObject

_MESSAGE_LIMIT = 800


def at(raw: object, *path: str) -> Any:
    """Return what lies at a path of fields, or None where any of them is missing."""
    for field in path:
        if not isinstance(raw, Mapping):
            return None
        raw = raw.get(field)
    return raw


def mapping_at(raw: object, *path: str) -> Mapping[str, Any]:
    """Return the mapping at a path; empty where there is none."""
    found = at(raw, *path)
    return found if isinstance(found, Mapping) else {}


def items_at(raw: object, *path: str) -> tuple[RawObject, ...]:
    """Return the mappings in the list at a path."""
    found = at(raw, *path)
    return tuple(item for item in found if isinstance(item, Mapping)) if isinstance(found, list | tuple) else ()


def text_at(raw: object, *path: str) -> str:
    """Return the text at a path; empty where there is none."""
    found = at(raw, *path)
    return found if isinstance(found, str) else ""


def number_at(raw: object, *path: str) -> int:
    """Return the integer at a path; 0 where there is none."""
    found = at(raw, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def name_of(raw: RawObject) -> str:
    """Return an object's name."""
    return text_at(raw, "metadata", "name")


def namespace_of(raw: RawObject) -> str:
    """Return an object's namespace."""
    return text_at(raw, "metadata", "namespace")


def uid_of(raw: RawObject) -> str:
    """Return an object's uid."""
    return text_at(raw, "metadata", "uid")


def generation_of(raw: RawObject) -> int:
    """Return an object's generation."""
    return number_at(raw, "metadata", "generation")


def annotation_of(raw: RawObject, name: str) -> str:
    """Return an annotation's value; empty where it is not set."""
    return text_at(raw, "metadata", "annotations", name)


def label_of(raw: RawObject, name: str) -> str:
    """Return a label's value; empty where it is not set."""
    return text_at(raw, "metadata", "labels", name)


def is_deleting(raw: RawObject) -> bool:
    """Tell whether an object is on its way out."""
    return bool(text_at(raw, "metadata", "deletionTimestamp"))


def key_of(raw: RawObject, kind: str) -> ObjectKey:
    """Return an object's key."""
    return ObjectKey(kind, namespace_of(raw), name_of(raw))


def condition_of(raw: object, kind: str) -> RawObject | None:
    """Return a condition of an object's status."""
    return next((item for item in items_at(raw, "status", "conditions") if item.get("type") == kind), None)


def instant(text: str | None) -> datetime | None:
    """Read an RFC 3339 time; None where it is absent or none.

    >>> instant("2026-01-02T03:04:05Z")
    datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    """
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def timestamp(moment: datetime) -> str:
    """Write a time as RFC 3339 in UTC, to the millisecond, so that short steps are timed well.

    >>> timestamp(datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC))
    '2026-01-02T03:04:05.678Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def printable(text: str, limit: int = _MESSAGE_LIMIT) -> str:
    """Cut a foreign text to a bounded printable line."""
    line = "".join(char if char.isprintable() else " " for char in text[: limit + 1])
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def refusal(error: ValidationError) -> str:
    """Tell the first thing that is wrong with a spec: its field, its value, the remedy.

    Further errors are counted only; one at a time is what a person can mend.
    """
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(["spec", *(str(part) for part in first["loc"])])
    message = first["msg"].removeprefix("Value error, ")
    value = "" if isinstance(first["input"], Mapping) else f" (it is {printable(repr(first['input']), 80)})"
    more = f"; and {error.error_count() - 1} more" if error.error_count() > 1 else ""
    return f"{field}: {message}{value}{more}. Correct the field and apply the object again."
