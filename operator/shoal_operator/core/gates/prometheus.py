"""The gate on a query to a Prometheus server: is its number within absolute limits, or within a ratio to stable's?

`build_queries` is called by runtime.answers through core.gates, the judge by core.gates. Invariant: no number, no
failure: what is missing or NaN is inconclusive, what cannot be an answer is an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime

from shoal_operator.api.analysis import PrometheusGate
from shoal_operator.api.deployment import PoolFigures, Revision, Verdict
from shoal_operator.core.facts import at, instant, items_at, printable, text_at
from shoal_operator.core.gates.outside import Request, Trial, is_name
from shoal_operator.core.snapshot import Answer

_MOST_SECONDS_OFF = 60.0
"""How far a sample's time may be from that of the question."""


class _NoNumberError(Exception):
    """There is no number, and that is no error."""


class _NoAnswerError(Exception):
    """What came is no answer to the question."""


def gate_name(gate: PrometheusGate) -> str:
    """Return the name of the gate's verdicts."""
    return f"prometheus/{gate.name}"


def build_queries(gate: PrometheusGate, trial: Trial) -> tuple[Request, ...]:
    """Return the queries for the candidate and, where it is compared, for stable; none with names that are no names."""
    sides = [("candidate", trial.candidate), *([("stable", trial.stable)] if gate.compares else [])]
    if not all(is_name(text) for text in (trial.namespace, trial.deployment)):
        return ()
    url = f"{gate.address.rstrip('/')}/api/v1/query"
    return tuple(
        Request(
            key=f"{gate_name(gate)}/{side}",
            url=url,
            form=(("query", fill(gate.query, trial, revision)), ("timeout", f"{gate.timeout_seconds}s")),
            seconds=gate.timeout_seconds,
        )
        for side, revision in sides
    )


def fill(query: str, trial: Trial, revision: Revision) -> str:
    """Replace the placeholders of a query."""
    values = {
        "revision": revision.revision,
        "version": str(revision.version),
        "deployment": trial.deployment,
        "namespace": trial.namespace,
        "seconds": str(max(1, round(trial.seconds))),
    }
    for name, value in values.items():
        query = query.replace(f"$({name})", value)
    return query


def judge_prometheus(gate: PrometheusGate, answers: Mapping[str, Answer]) -> Verdict:
    """Judge the numbers that the server gave last."""
    name = gate_name(gate)
    try:
        candidate = _number(answers.get(f"{name}/candidate"))
        stable = _number(answers.get(f"{name}/stable")) if gate.compares else None
    except _NoNumberError as reason:
        return Verdict(gate=name, verdict="inconclusive", message=f"{reason}.")
    except _NoAnswerError as reason:
        return Verdict(gate=name, verdict="error", message=f"{reason}.")
    limits = [("at least", gate.min), ("at most", gate.max)]
    broken = [gate.min is not None and candidate < gate.min, gate.max is not None and candidate > gate.max]
    if stable is not None and stable < 0 and not any(broken):
        message = f"stable {stable:g}: a ratio to a negative number tells nothing; use min and max."
        return Verdict(gate=name, verdict="error", message=message)
    if stable is not None:
        limits += [("at least stable x", gate.min_ratio), ("at most stable x", gate.max_ratio)]
        broken += [
            gate.min_ratio is not None and candidate < gate.min_ratio * stable,
            gate.max_ratio is not None and candidate > gate.max_ratio * stable,
        ]
    told = ", ".join(
        f"{word}{'' if word.endswith('x') else ' '}{limit:g}" for word, limit in limits if limit is not None
    )
    beside = "" if stable is None else f", stable {stable:g}"
    outside = any(broken)
    return Verdict(
        gate=name,
        verdict="fail" if outside else "pass",
        message=f"{candidate:g}{beside}, limit {told}: {'outside' if outside else 'within'}.",
        stable=None if stable is None else PoolFigures(calls=0, value=stable),
        candidate=PoolFigures(calls=0, value=candidate),
    )


def _number(answer: Answer | None) -> float:
    """Read the one number of an instant query's answer."""
    if answer is None:
        raise _NoNumberError("the server has not been asked yet")
    if answer.error:
        raise _NoAnswerError(f"no answer: {printable(answer.error, 200)}")
    try:
        parsed = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise _NoAnswerError(f"status {answer.status} and no JSON, so it is no Prometheus server") from None
    if answer.status != 200 or text_at(parsed, "status") != "success":
        told = text_at(parsed, "error") or "no success"
        raise _NoAnswerError(f"status {answer.status}: {printable(told, 200)}")
    match text_at(parsed, "data", "resultType"):
        case "scalar":
            samples = [at(parsed, "data", "result")]
        case "vector":
            samples = [item.get("value") for item in items_at(parsed, "data", "result")]
        case kind:
            told = printable(kind, 20) or "nothing"
            raise _NoAnswerError(f"the query gives {told}; it must give an instant vector or a scalar")
    if not samples:
        raise _NoNumberError("the query gives no data")
    if len(samples) > 1:
        raise _NoAnswerError(f"the query gives {len(samples)} series; aggregate them to one, for example by sum()")
    return _read(samples[0], instant(answer.at))


def _read(sample: object, asked: datetime | None) -> float:
    if not isinstance(sample, list) or len(sample) != 2:
        raise _NoAnswerError("the query gives something else than a number at a time")
    try:
        time, value = float(sample[0]), float(sample[1])
    except (TypeError, ValueError):
        raise _NoAnswerError("the query gives something else than a number") from None
    if asked is not None and not abs(time - asked.timestamp()) <= _MOST_SECONDS_OFF:
        raise _NoAnswerError(f"the number is of another time than the question (more than {_MOST_SECONDS_OFF:.0f} s)")
    if math.isnan(value):
        raise _NoNumberError("the query gives NaN, which is no data")
    if math.isinf(value):
        raise _NoAnswerError("the query gives an infinite number; guard its division by zero")
    return value
