"""Holds a manifest to the API's own types: what the API server would refuse, with file and line; pure.

Used by `lint` and `diff`. A rule across fields is told in the words of the CRD's CEL rule; both come from one type.
Invariant: what passes here is refused by the API server for no reason that the object alone tells.
"""

import json
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from shoal_cli.lint.documents import Document, Path_
from shoal_operator import api
from shoal_operator.api.meta import API_VERSION, GROUP, ApiModel, Quantity


def _find_specs() -> dict[str, type[ApiModel]]:
    """Return the spec type of each kind that the API package defines."""
    found = {}
    for place in pkgutil.iter_modules(api.__path__, f"{api.__name__}."):
        for name, each in vars(import_module(place.name)).items():
            if (match := _SPEC.fullmatch(name)) and isinstance(each, type) and issubclass(each, ApiModel):
                found[match[1]] = each
    return found


_SPEC = re.compile(r"(Clustering\w+)Spec")
SPECS = _find_specs()
Severity = Literal["error", "warning"]

_QUANTITY = re.compile(TypeAdapter(Quantity).json_schema()["pattern"])
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_TOP = ("apiVersion", "kind", "metadata", "spec", "status")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, or worth a look, at a field."""

    severity: Severity
    file: str
    line: int
    object: str
    field: str
    message: str
    rule: str = ""

    def __str__(self) -> str:
        place = f"{self.field}: " if self.field else ""
        return f"{self.file}:{self.line}: {self.severity}: {self.object}: {place}{self.message}"


def is_ours(document: Document) -> bool:
    """Tell whether a document is of Shoal's API group, of whatever version."""
    return str(document.value.get("apiVersion", "")).partition("/")[0] == GROUP


def read_spec(document: Document) -> ApiModel | None:
    """Return the spec with its defaults; None where it is refused."""
    kind = SPECS.get(document.kind)
    try:
        return kind.model_validate(document.value.get("spec")) if kind else None
    except ValidationError:
        return None


def check(document: Document) -> list[Finding]:
    """Return all that the API server would refuse in a document of Shoal's."""
    if document.value.get("apiVersion") != API_VERSION:
        value = document.value.get("apiVersion")
        return [finding("error", document, ("apiVersion",), f"unknown version {value}; write {API_VERSION}")]
    kind = SPECS.get(document.kind)
    if kind is None:
        near = get_close_matches(document.kind, SPECS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(SPECS)}"
        return [finding("error", document, ("kind",), f"unknown kind {document.kind or 'none'}{hint}")]
    found = list(_check_top(document))
    if "spec" not in document.value:
        return [*found, finding("error", document, (), "spec is missing")]
    try:
        # As JSON and strictly, as the API server reads it: "2" is no number.
        kind.model_validate_json(json.dumps(document.value["spec"]), strict=True)
    except ValidationError as error:
        found += [_explain(document, kind, each) for each in error.errors(include_url=False)]
    found += _check_quantities(document, document.value["spec"], ("spec",))
    return sorted(found, key=lambda each: each.line)


def finding(severity: Severity, document: Document, path: Path_, message: str, rule: str = "") -> Finding:
    """Return a finding at a field of a document."""
    return Finding(
        severity,
        document.file,
        document.line(path),
        f"{document.kind or 'object'}/{document.name or '?'}",
        spell(path),
        message,
        rule,
    )


def spell(path: Path_) -> str:
    """Write a path as the API server does.

    >>> spell(("spec", "strategy", "canary", "steps", 0, "setWeight"))
    'spec.strategy.canary.steps[0].setWeight'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _check_top(document: Document) -> Iterator[Finding]:
    for name in document.value:
        if name not in _TOP:
            yield finding("error", document, (name,), _unknown(name, list(_TOP)))
    if not document.name:
        yield finding("error", document, ("metadata",), "metadata.name is missing")
    elif len(document.name) > 253 or not _NAME.fullmatch(document.name):
        message = (
            "a name has lower case letters, digits, - and ., up to 253, and begins and ends with a letter or digit"
        )
        yield finding("error", document, ("metadata", "name"), f"{message} (it is {document.name})")


def _explain(document: Document, kind: type[ApiModel], error: ErrorDetails) -> Finding:
    path: Path_ = ("spec", *error["loc"])
    if error["type"] == "extra_forbidden":
        return finding("error", document, path, _unknown(str(path[-1]), _names_at(kind, error["loc"][:-1])))
    if error["type"] == "missing":
        return finding("error", document, path, "it is required")
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if message.startswith("exactly one of") and ";" not in message:
        message = f"{message}; keep the one that you want"
    given = error["input"]
    shown = (
        f" (it is {json.dumps(given)})" if isinstance(given, str | int | float) and not isinstance(given, bool) else ""
    )
    return finding("error", document, path, f"{message}{shown}")


def _unknown(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f'unknown field "{name}"; {hint}'


def _names_at(kind: type[ApiModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the names of the fields of the type at a path."""
    schema = _schema(kind)
    node = schema
    for part in path:
        node = _resolve(schema, node)
        node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
    return list(_resolve(schema, node).get("properties", {}))


@cache
def _schema(kind: type[ApiModel]) -> Any:
    return kind.model_json_schema(by_alias=True)


def _resolve(schema: Any, node: Any) -> Any:
    if "anyOf" in node:
        node = next((each for each in node["anyOf"] if each.get("type") != "null"), node)
    reference = node.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else node


def _check_quantities(document: Document, value: Any, path: Path_) -> Iterator[Finding]:
    """Check CPU and memory, whose form only the CRD's schema holds."""
    if isinstance(value, list):
        for place, each in enumerate(value):
            yield from _check_quantities(document, each, (*path, place))
    if not isinstance(value, dict):
        return
    for name, each in value.items():
        if path[-1] == "resources" and name in ("requests", "limits") and isinstance(each, dict):
            for resource, quantity in each.items():
                text = str(quantity)
                if isinstance(quantity, str | int) and not (len(text) <= 32 and _QUANTITY.fullmatch(text)):
                    message = f"it is no quantity such as 100m, 2 or 256Mi (it is {text})"
                    yield finding("error", document, (*path, name, resource), message)
        else:
            yield from _check_quantities(document, each, (*path, name))
