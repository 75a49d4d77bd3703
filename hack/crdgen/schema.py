"""Turns one pydantic type into the structural OpenAPI schema that a CustomResourceDefinition may hold.

Called by crdgen.definition. Invariant: a schema means to the API server what the type means to the operator; whatever
cannot be said in a structural schema is refused by name, never dropped, but for bounds beyond int64. Defaults never
change a meaning: they are left out of status, below a choice of exactly one field, and wherever they would be more than
a value or an empty object.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticUndefined, core_schema

from shoal_operator.api.meta import ApiModel, CelRule, Condition

Json = dict[str, Any]

_EXACTLY_ONE = "x-shoal-exactly-one"
_LIST_MAP = "x-shoal-list-map"
_KEPT = (
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-validations",
)
_LARGEST_BOUND = 2**63 - 1
"""The API server turns a bound into an int64 where it is given a whole number, so `eps: 5` would be above 1e300. Larger
bounds are left to the operator, which reads each spec by its own types."""
_SCALARS = ("string", "integer", "number", "boolean")


class InexpressibleError(Exception):
    """A type says something that a structural schema cannot; the message names the field."""


def structural_schema(model: type[ApiModel], path: str, *, defaults: bool) -> Json:
    """Return the structural schema of a type; `defaults` is False for a status."""
    source = model.model_json_schema(by_alias=True, mode="validation", schema_generator=_Annotated)
    return _object(source, source.get("$defs", {}), path, told=defaults, filled=defaults)


class _Annotated(GenerateJsonSchema):
    """pydantic's generator, which also tells of CEL rules, choices and the values of default factories."""

    def model_schema(self, schema: core_schema.ModelSchema) -> Json:
        result = super().model_schema(schema)
        cls = schema["cls"]
        if issubclass(cls, ApiModel):
            rules = [_validation(rule) for rule in cls.cel_rules]
            if cls.exactly_one:
                result[_EXACTLY_ONE] = True
                rules = [*_choice(list(result["properties"])), *rules]
            if rules:
                result["x-kubernetes-validations"] = rules
        if issubclass(cls, Condition):
            result[_LIST_MAP] = ["type"]
        return result

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        result = super().default_schema(schema)
        factory = schema.get("default_factory")
        value: Any = factory() if factory is not None else schema.get("default", PydanticUndefined)  # type: ignore[call-arg]
        if value is not PydanticUndefined and value is not None:
            result = {**result, "default": _given(value)}
        return result


def _given(value: Any) -> Any:
    """Reduce a default to what its author wrote, so that a type's own defaults are not said twice."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, ApiModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    if isinstance(value, list):
        return [_given(item) for item in value]
    return value


def _validation(rule: CelRule) -> Json:
    found = {"rule": rule.rule, "message": rule.message}
    if rule.message_expression is not None:
        found["messageExpression"] = rule.message_expression
    return found


def _choice(fields: list[str]) -> list[Json]:
    """Build the rule that exactly one of the fields is set; a single field is simply required."""
    if len(fields) < 2:
        return []
    names = f"{', '.join(fields[:-1])} and {fields[-1]}"
    count = " + ".join(f"(has(self.{field}) ? 1 : 0)" for field in fields)
    return [
        {
            "rule": f"{count} == 1",
            "message": f"exactly one of {names} must be set; keep the one that you want",
            "messageExpression": f"'exactly one of {names} must be set, not %d; keep the one that you want'"
            f".format([{count}])",
        }
    ]


def _convert(node: Json, definitions: Json, path: str, *, told: bool, filled: bool) -> Json:
    node = _fold(node, definitions, path)
    if "properties" in node:
        return _object(node, definitions, path, told=told, filled=filled)
    result = {key: node[key] for key in _KEPT if key in node}
    for bound, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if bound in node:
            result |= {inclusive: node[bound], bound: True}
    for bound in ("minimum", "maximum"):
        if abs(result.get(bound, 0)) > _LARGEST_BOUND:
            del result[bound]
    if node.get("type") == "array":
        items = _fold(node["items"], definitions, path)
        result["items"] = _convert(items, definitions, f"{path}[]", told=told, filled=filled)
        if _LIST_MAP in items:
            result |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": items[_LIST_MAP]}
    elif node.get("type") == "object":
        values = node.get("additionalProperties")
        if not isinstance(values, dict):
            raise InexpressibleError(f"{path}: an object of unknown fields; give its values a type")
        result["additionalProperties"] = _convert(values, definitions, f"{path}{{}}", told=told, filled=filled)
    elif node.get("type") not in _SCALARS and "x-kubernetes-int-or-string" not in node:
        raise InexpressibleError(f"{path}: {json.dumps(node)} has no structural form; give it one type")
    known = {*_KEPT, "title", "default", "description", "items", "additionalProperties", "nullable", "const"}
    strange = set(node) - known - {"exclusiveMinimum", "exclusiveMaximum"}
    if strange:
        raise InexpressibleError(f"{path}: {', '.join(sorted(strange))} cannot be said in a structural schema")
    return result


def _object(node: Json, definitions: Json, path: str, *, told: bool, filled: bool) -> Json:
    """Convert an object with named fields; a default may be told in the description without the server filling it."""
    below = filled and _EXACTLY_ONE not in node
    properties = {}
    for name, raw in node["properties"].items():
        where = f"{path}.{name}"
        field = _fold(raw, definitions, where)
        if not field.get("description"):
            raise InexpressibleError(f"{where}: no description; kubectl explain would show nothing")
        default = field.get("default")
        converted = {"description": _described(field["description"], default) if told else field["description"]}
        converted |= _convert(raw, definitions, where, told=told, filled=below)
        if below and _harmless(default, converted):
            converted["default"] = default
            if field.get("nullable"):
                converted["nullable"] = True
        properties[name] = converted
    result: Json = {"type": "object"}
    if node.get("required"):
        result["required"] = node["required"]
    result["properties"] = properties
    if "x-kubernetes-validations" in node:
        result["x-kubernetes-validations"] = node["x-kubernetes-validations"]
    return result


def _harmless(default: Any, converted: Json) -> bool:
    """Tell a default that the server may fill in: a value, or an object whose own fields bring theirs."""
    if default == {}:
        return "properties" in converted
    return isinstance(default, (str, int, float))


def _described(description: str, default: Any) -> str:
    """Append the default, which kubectl explain does not show."""
    if default in (None, "", {}, []):
        return description
    shown = default if isinstance(default, str) else json.dumps(default)
    return f"{description} Defaults to {shown}."


def _fold(node: Json, definitions: Json, path: str) -> Json:
    """Resolve references and fold `T | None`, keeping what the field itself says over what its type says."""
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/$defs/")]
        return {**_fold(target, definitions, path), **{key: value for key, value in node.items() if key != "$ref"}}
    if "anyOf" in node:
        branches = [branch for branch in node["anyOf"] if branch != {"type": "null"}]
        if len(branches) != 1:
            raise InexpressibleError(f"{path}: a choice between types; use one optional field for each instead")
        own = {key: value for key, value in node.items() if key != "anyOf"}
        return {**_fold(branches[0], definitions, path), **own, "nullable": True}
    if "oneOf" in node or "allOf" in node or "prefixItems" in node:
        raise InexpressibleError(f"{path}: tagged unions, mixtures and tuples cannot be said in a structural schema")
    return node
