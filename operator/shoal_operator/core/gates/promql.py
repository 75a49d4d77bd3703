"""Asks a Prometheus server for one number, and reads it from what came of that.

Called by the prometheus gate and by core.scaling. Invariant: what cannot be an answer to the question is never a
number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime

from shoal_operator.core.facts import at, instant, items_at, printable, text_at
from shoal_operator.core.gates.outside import Request
from shoal_operator.core.snapshot import Answer

MOST_SECONDS_OFF = 60.0
"""How far a sample's time may be from that of the question."""


class NoNumberError(Exception):
    """There is no number, and that is no error."""


class NoAnswerError(Exception):
    """What came is no answer to the question."""


def build_query(key: str, address: str, query: str, seconds: int, **more: str) -> Request:
    """Return the request of an instant query; `more` are further parameters of the server's API."""
    form = {"query": query, "timeout": f"{seconds}s", **more}
    return Request(key=key, url=f"{address.rstrip('/')}/api/v1/query", form=tuple(form.items()), seconds=seconds)


def fill_in(query: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders of a query.

    >>> fill_in('jobs{queue="$(deployment)"}', {"deployment": "towns"})
    'jobs{queue="towns"}'
    """
    for name, value in values.items():
        query = query.replace(f"$({name})", value)
    return query


def read_number(answer: Answer | None) -> float:
    """Read the one number of an instant query's answer. Raises NoNumberError or NoAnswerError."""
    if answer is None:
        raise NoNumberError("the server has not been asked yet")
    if answer.error:
        raise NoAnswerError(f"no answer: {printable(answer.error, 200)}")
    try:
        parsed = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise NoAnswerError(f"status {answer.status} and no JSON, so it is no Prometheus server") from None
    if answer.status != 200 or text_at(parsed, "status") != "success":
        told = text_at(parsed, "error") or "no success"
        raise NoAnswerError(f"status {answer.status}: {printable(told, 200)}")
    match text_at(parsed, "data", "resultType"):
        case "scalar":
            samples = [at(parsed, "data", "result")]
        case "vector":
            samples = [item.get("value") for item in items_at(parsed, "data", "result")]
        case kind:
            told = printable(kind, 20) or "nothing"
            raise NoAnswerError(f"the query gives {told}; it must give an instant vector or a scalar")
    if not samples:
        raise NoNumberError("the query gives no data")
    if len(samples) > 1:
        raise NoAnswerError(f"the query gives {len(samples)} series; aggregate them to one, for example by sum()")
    return _read(samples[0], instant(answer.at))


def _read(sample: object, asked: datetime | None) -> float:
    if not isinstance(sample, list) or len(sample) != 2:
        raise NoAnswerError("the query gives something else than a number at a time")
    try:
        time, value = float(sample[0]), float(sample[1])
    except (TypeError, ValueError):
        raise NoAnswerError("the query gives something else than a number") from None
    if asked is not None and not abs(time - asked.timestamp()) <= MOST_SECONDS_OFF:
        raise NoAnswerError(f"the number is of another time than the question (more than {MOST_SECONDS_OFF:.0f} s)")
    if math.isnan(value):
        raise NoNumberError("the query gives NaN, which is no data")
    if math.isinf(value):
        raise NoAnswerError("the query gives an infinite number; guard its division by zero")
    return value
