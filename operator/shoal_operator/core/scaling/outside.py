"""The metrics that a Prometheus server gives: what is asked, and what a number of the whole deployment asks for.

`wanted_queries` is called by runtime.loads, `propose_number` by `proposal`. Semantics are those of the
HorizontalPodAutoscaler's External metrics. Invariant: what is no number, or none that can be, asks for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from shoal_operator.api.scaling import MetricReading, PrometheusMetric, Scaling
from shoal_operator.core.facts import at, name_of, namespace_of
from shoal_operator.core.gates.outside import Request, describe_denial, is_name
from shoal_operator.core.gates.promql import (
    MOST_SECONDS_OFF,
    NoAnswerError,
    NoNumberError,
    build_query,
    fill_in,
    read_number,
)
from shoal_operator.core.snapshot import Answer, RawObject

_LARGEST = 9e15
"""More does not fit into the thousandths of a Kubernetes quantity, and nothing that a pod does is counted so far."""


class UnreadableError(Exception):
    """Why a metric asks for nothing."""


def metric_name(metric: PrometheusMetric) -> str:
    """Return the name of the metric's readings."""
    return f"prometheus/{metric.name}"


def wanted_queries(deployment: RawObject, allowed: tuple[str, ...]) -> tuple[tuple[Request, ...], Mapping[str, str]]:
    """Return the queries of a look, and metric -> why it must not be asked."""
    try:
        scaling = Scaling.model_validate(at(deployment, "spec", "scaling"))
    except ValidationError:
        return (), {}
    values = {"deployment": name_of(deployment), "namespace": namespace_of(deployment)}
    if not all(is_name(value) for value in values.values()):
        return (), {}
    requests = [
        build_query(
            metric_name(metric),
            metric.address,
            fill_in(metric.query, values),
            metric.timeout_seconds,
            # Without it a series that ended is told as it was for five minutes more.
            lookback_delta=f"{MOST_SECONDS_OFF:.0f}s",
        )
        for metric in scaling.metrics.prometheus
    ]
    denials = {request.key: describe_denial(request.url, allowed) for request in requests}
    permitted = tuple(request for request in requests if not denials[request.key])
    return permitted, {name: denial for name, denial in denials.items() if denial}


def propose_number(
    metric: PrometheusMetric, answer: Answer | None, ready: int, current: int, within: Callable[[float], bool]
) -> tuple[MetricReading, int]:
    """Return what a metric reads and how many pods it asks for. Raises UnreadableError.

    ready: the ready pods of all pools. within: whether a ratio to the target is near enough to 1. For an average the
    pods that are wanted count, not those that exist: what starts already is not asked for again.
    """
    number = _read(answer)
    name = metric_name(metric)
    if metric.average_value is not None:
        target, value = metric.average_value, number / max(1, current)
        near = current > 0 and within(value / target)
        wants = current if near else math.ceil(number / target)
        return MetricReading(name=name, target=target, value=round(value, 3), wants=wants), wants
    target = metric.value or 1.0
    ratio = number / target
    if current > 0 and not ready:
        raise UnreadableError("no pod is ready, so nothing follows from the number")
    # Pods of a candidate are beside those for all calls: they must not count twice.
    counted = min(ready, current) if current else 1
    wants = current if current > 0 and within(ratio) else math.ceil(ratio * counted)
    return MetricReading(name=name, target=target, value=round(number, 3), wants=wants), wants


def _read(answer: Answer | None) -> float:
    try:
        number = read_number(answer)
    except (NoNumberError, NoAnswerError) as reason:
        raise UnreadableError(str(reason)) from None
    if number < 0:
        raise UnreadableError(f"the query gives {number:g}, and nothing can be done less than not at all")
    if number > _LARGEST:
        raise UnreadableError(f"the query gives {number:g}, which is more than can be ({_LARGEST:g})")
    return number
