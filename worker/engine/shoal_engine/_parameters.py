"""What a constructor's parameters may be, and the sentence that says so: scikit-learn's words.

Every estimator declares its rules by parameter name and checks them at the start of `fit`.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

METRICS = ("chebyshev", "cosine", "euclidean", "haversine", "manhattan")


class InvalidParameterError(ValueError, TypeError):
    """A parameter has a type or value that it cannot have; the bases are those of scikit-learn's own error."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A set of allowed values and its description, which continues "must be"."""

    words: str
    accepts: Callable[[object], bool]


def positive_float() -> Rule:
    """Any finite number above zero."""
    return Rule("a float in the range (0.0, inf)", lambda value: _is(value, Real) and 0 < value <= sys.float_info.max)  # type: ignore[operator]


def integer(least: int | None = None) -> Rule:
    """Any integer, or any from `least` on; a bool is not one."""
    if least is None:
        return Rule("an int", lambda value: _is(value, Integral))
    return Rule(f"an int in the range [{least}, inf)", lambda value: _is(value, Integral) and value >= least)  # type: ignore[operator]


def one_of(*names: str) -> Rule:
    """One of these words."""
    return Rule(
        f"a str among {{{', '.join(map(repr, names))}}}", lambda value: isinstance(value, str) and value in names
    )


NONE = Rule("None", lambda value: value is None)
BOOLEAN = Rule("a bool", lambda value: isinstance(value, bool | np.bool_))
CALLABLE = Rule("a callable", callable)
Rules = Mapping[str, tuple[Rule, ...]]


def check(owner: str, rules: Rules, values: Mapping[str, object]) -> None:
    """Refuse the first parameter that none of its rules accepts."""
    for name, allowed in rules.items():
        value = values[name]
        if any(rule.accepts(value) for rule in allowed):
            continue
        wanted = " or ".join(rule.words for rule in allowed)
        raise InvalidParameterError(f"The {name!r} parameter of {owner} must be {wanted}. Got {value!r} instead.")


def _is(value: object, kind: type[Real] | type[Integral]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool | np.bool_)
