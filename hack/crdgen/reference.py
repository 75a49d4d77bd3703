"""Writes docs/api.md, the reference of every kind's fields, from the same schemas as the CRDs.

Called by hack/generate_crds.py. Pure: schemas in, Markdown out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from hack.crdgen.definition import Kind, build_schema
from shoal_operator.api.meta import GROUP, VERSION

_INTRODUCTION = f"""\
# API reference

Group `{GROUP}/{VERSION}`. All kinds are namespaced. `kubectl explain` shows the same texts, for example
`kubectl explain cdep.spec.strategy.canary`. An unknown field is refused by `kubectl apply`, never ignored.

This page is generated from the types in `operator/shoal_operator/api`.
"""
_RANGES = (
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
    ("minProperties", "maxProperties", " entries"),
)


def build_reference(kinds: Iterable[Kind]) -> str:
    """Build the whole page."""
    return "\n".join([_INTRODUCTION, *(_section(kind) for kind in kinds)])


def _section(kind: Kind) -> str:
    schema = build_schema(kind)
    lines = [f"## {kind.kind}", "", f"`{kind.plural}.{GROUP}`, short name `{kind.short}`. {kind.description}", ""]
    rules = sorted({rule["message"] for _, node in _nodes("", schema) for rule in _rules(node)})
    for part in ("spec", *(() if kind.status is None else ("status",))):
        lines += [f"### {kind.kind} {part}", "", "| Field | Type | Meaning |", "|---|---|---|"]
        lines += [_row(path, node, required) for path, node, required in _fields(part, schema["properties"][part])]
        lines.append("")
    if rules:
        lines += [f"### {kind.kind} rules", "", "Refused at admission:", "", *(f"- {rule}" for rule in rules), ""]
    return "\n".join(lines)


def _fields(path: str, node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    required = node.get("required", ())
    for name, field in node.get("properties", {}).items():
        where = f"{path}.{name}"
        yield where, field, name in required
        inner = field.get("items", field)
        yield from _fields(f"{where}[]" if "items" in field else where, inner)


def _nodes(path: str, node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, field in node.get("properties", {}).items():
        yield from _nodes(f"{path}.{name}", field)
    if "items" in node:
        yield from _nodes(f"{path}[]", node["items"])


def _rules(node: dict[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = node.get("x-kubernetes-validations", [])
    return found


def _row(path: str, node: dict[str, Any], required: bool) -> str:
    meaning = node["description"]
    if "enum" in node:
        meaning += f" One of {', '.join(f'`{value}`' for value in node['enum'])}."
    if limits := list(_limits(node)):
        meaning += f" ({', '.join(limits)})"
    cells = (f"`{path}`", _type(node) + (", required" if required else ""), meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _limits(node: dict[str, Any]) -> Iterator[str]:
    for low, high, unit in _RANGES:
        least, most = node.get(low), node.get(high)
        if node.get("exclusiveMinimum") and low == "minimum":
            yield f"above {least:g}"
            least = None
        if least is not None and most is not None:
            yield f"{least} to {most}{unit}"
        elif least is not None or most is not None:
            yield f"at least {least}{unit}" if most is None else f"at most {most}{unit}"
    if "pattern" in node:
        yield f"matches `{node['pattern']}`"


def _type(node: dict[str, Any]) -> str:
    if "items" in node:
        return f"list of {_type(node['items'])}"
    if "additionalProperties" in node:
        return f"map of {_type(node['additionalProperties'])}"
    if node.get("x-kubernetes-int-or-string"):
        return "quantity"
    return str(node["type"])
