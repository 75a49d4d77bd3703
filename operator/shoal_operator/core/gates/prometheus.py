"""The gate on a query to a Prometheus server: is its number within absolute limits, or within a ratio to stable's?

`build_queries` is called by runtime.answers through core.gates, the judge by core.gates. Invariant: no number, no
failure: what is missing or NaN is inconclusive, what cannot be an answer is an error.
"""

from __future__ import annotations

from collections.abc import Mapping

from shoal_operator.api.analysis import PrometheusGate
from shoal_operator.api.deployment import PoolFigures, Revision, Verdict
from shoal_operator.core.gates.outside import Request, Trial, is_name
from shoal_operator.core.gates.promql import NoAnswerError, NoNumberError, build_query, fill_in, read_number
from shoal_operator.core.snapshot import Answer


def gate_name(gate: PrometheusGate) -> str:
    """Return the name of the gate's verdicts."""
    return f"prometheus/{gate.name}"


def build_queries(gate: PrometheusGate, trial: Trial) -> tuple[Request, ...]:
    """Return the queries for the candidate and, where it is compared, for stable; none with names that are no names."""
    sides = [("candidate", trial.candidate), *([("stable", trial.stable)] if gate.compares else [])]
    if not all(is_name(text) for text in (trial.namespace, trial.deployment)):
        return ()
    return tuple(
        build_query(f"{gate_name(gate)}/{side}", gate.address, fill(gate.query, trial, revision), gate.timeout_seconds)
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
    return fill_in(query, values)


def judge_prometheus(gate: PrometheusGate, answers: Mapping[str, Answer]) -> Verdict:
    """Judge the numbers that the server gave last."""
    name = gate_name(gate)
    try:
        candidate = read_number(answers.get(f"{name}/candidate"))
        stable = read_number(answers.get(f"{name}/stable")) if gate.compares else None
    except NoNumberError as reason:
        return Verdict(gate=name, verdict="inconclusive", message=f"{reason}.")
    except NoAnswerError as reason:
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
