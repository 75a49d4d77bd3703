"""What the converter makes of a type, and what it refuses to guess."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field

from hack.crdgen.schema import InexpressibleError, structural_schema
from shoal_operator.api.meta import ApiModel, CelRule


class Inner(ApiModel):
    size: int = Field(default=3, ge=1, description="Size.")


class Choice(ApiModel):
    exactly_one: ClassVar[bool] = True

    left: Inner | None = Field(default=None, description="Left.")
    right: Inner | None = Field(default=None, description="Right.")


def schema_of(**fields: Any) -> dict[str, Any]:
    model = type(
        "Probe",
        (ApiModel,),
        {"__annotations__": {name: kind for name, (kind, _) in fields.items()}}
        | {name: field for name, (_, field) in fields.items()},
    )
    return structural_schema(model, "probe", defaults=True)["properties"]


def test_a_strict_bound_takes_the_boolean_form_of_a_crd() -> None:
    field = schema_of(eps=(float, Field(gt=0, description="Reach.")))["eps"]
    assert field == {"description": "Reach.", "type": "number", "minimum": 0, "exclusiveMinimum": True}


def test_a_bound_that_the_api_server_would_misread_is_left_to_the_operator() -> None:
    field = schema_of(eps=(float, Field(gt=0, le=1e300, description="Reach.")))["eps"]
    assert field == {"description": "Reach.", "type": "number", "minimum": 0, "exclusiveMinimum": True}


def test_an_optional_field_is_simply_not_required() -> None:
    schema = structural_schema(Choice, "probe", defaults=True)
    assert "required" not in schema
    assert schema["properties"]["left"]["type"] == "object"
    assert "nullable" not in schema["properties"]["left"]


def test_a_default_is_told_and_filled() -> None:
    field = schema_of(mode=(Literal["a", "b"], Field(default="a", description="Mode.")))["mode"]
    assert field == {"description": "Mode. Defaults to a.", "type": "string", "enum": ["a", "b"], "default": "a"}


def test_an_object_default_leaves_its_values_to_its_own_fields() -> None:
    field = schema_of(inner=(Inner, Field(default_factory=Inner, description="Inner.")))["inner"]
    assert field["default"] == {}
    assert field["properties"]["size"]["default"] == 3


def test_null_stays_null_where_absence_means_something_else() -> None:
    field = schema_of(inner=(Inner | None, Field(default_factory=Inner, description="Inner.")))["inner"]
    assert field["nullable"] is True
    assert field["default"] == {}


def test_no_default_is_filled_for_or_below_a_choice() -> None:
    made = schema_of(choice=(Choice, Field(default_factory=lambda: Choice(left=Inner()), description="Choice.")))[
        "choice"
    ]
    assert "default" not in made
    size = made["properties"]["left"]["properties"]["size"]
    assert size["description"] == "Size. Defaults to 3."
    assert "default" not in size


def test_a_choice_becomes_a_rule_that_names_its_fields() -> None:
    (rule,) = structural_schema(Choice, "probe", defaults=True)["x-kubernetes-validations"]
    assert rule["rule"] == "(has(self.left) ? 1 : 0) + (has(self.right) ? 1 : 0) == 1"
    assert "left and right" in rule["message"]


def test_declared_rules_are_kept_with_their_messages() -> None:
    class Ruled(ApiModel):
        cel_rules: ClassVar[tuple[CelRule, ...]] = (CelRule("self.a > 0", "raise a", "'raise ' + string(self.a)"),)
        a: int = Field(description="A.")

    assert structural_schema(Ruled, "probe", defaults=True)["x-kubernetes-validations"] == [
        {"rule": "self.a > 0", "message": "raise a", "messageExpression": "'raise ' + string(self.a)"}
    ]


def test_a_status_has_no_defaults() -> None:
    assert structural_schema(Inner, "probe", defaults=False)["properties"]["size"] == {
        "description": "Size.",
        "type": "integer",
        "minimum": 1,
    }


@pytest.mark.parametrize(
    ("kind", "description", "named"),
    [
        (int, None, "no description"),
        (int | str, "Either.", "choice between types"),
        (dict[str, Any], "Anything.", "type"),
        (Any, "Anything.", "no structural form"),
        (tuple[int, str], "Pair.", "tuples"),
        (Literal["only"] | Inner, "Mixed.", "choice between types"),
    ],
)
def test_what_a_structural_schema_cannot_say_is_refused_by_name(kind: Any, description: str | None, named: str) -> None:
    with pytest.raises(InexpressibleError, match=named) as refusal:
        schema_of(odd=(kind, Field(description=description)))
    assert "probe.odd" in str(refusal.value)
