"""What an observed GRPCRoute says of the calls: by weight, by metadata, by copies.

Read by core.gateway_router. Invariant: every rule is looked at; what an observed route may send calls to is never
overlooked, and two routes that share calls otherwise never look alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal_operator.core.facts import items_at, number_at, text_at
from shoal_operator.core.snapshot import RawObject


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, as far as it decides where calls go."""

    backends: tuple[tuple[str, int], ...]
    """(Service, weight)."""
    matches: tuple[str, ...]
    """What a call must have, one text for each alternative; none: the rule takes every call."""
    copies: tuple[tuple[str, int], ...]
    """(Service, percent of the rule's calls that it gets copies of)."""
    other_filters: tuple[str, ...]
    """Types of filters that are not ours."""


def read_rules(route: RawObject | None) -> tuple[Rule, ...]:
    """Return the rules of a route, in order."""
    return tuple(_read_rule(rule) for rule in items_at(route, "spec", "rules"))


def weights_of(rules: tuple[Rule, ...]) -> dict[str, int]:
    """Return the weight of each Service among the calls that no match sends elsewhere."""
    return next((dict(rule.backends) for rule in rules if not rule.matches), {})


def copies_of(rules: tuple[Rule, ...]) -> dict[str, int]:
    """Return the highest percentage of calls that each Service gets copies of."""
    found: dict[str, int] = {}
    for service, percent in (copy for rule in rules for copy in rule.copies):
        found[service] = max(percent, found.get(service, 0))
    return found


def services_of(rules: tuple[Rule, ...]) -> tuple[str, ...]:
    """Return every Service that calls or copies may be sent to."""
    return tuple(name for rule in rules for name, _ in (*rule.backends, *rule.copies))


def _read_rule(rule: RawObject) -> Rule:
    filters = items_at(rule, "filters")
    return Rule(
        backends=tuple((text_at(item, "name"), number_at(item, "weight")) for item in items_at(rule, "backendRefs")),
        matches=tuple(_read_match(match) for match in items_at(rule, "matches")),
        copies=tuple(
            (text_at(item, "requestMirror", "backendRef", "name"), _percent(item))
            for item in filters
            if text_at(item, "type") == "RequestMirror"
        ),
        other_filters=tuple(kind for item in filters if (kind := text_at(item, "type")) != "RequestMirror"),
    )


def _read_match(match: RawObject) -> str:
    method = "/".join(text_at(match, "method", part) for part in ("service", "method"))
    headers = [
        f"{text_at(item, 'name')} {text_at(item, 'type') or 'Exact'} {text_at(item, 'value')}"
        for item in items_at(match, "headers")
    ]
    return "\n".join([method, *headers])


def _percent(item: RawObject) -> int:
    """Return the percentage of a mirror; all calls where none is given, which is the API's default."""
    mirror = item.get("requestMirror")
    given = mirror.get("percent") if isinstance(mirror, dict) else None
    return given if isinstance(given, int) else 100
