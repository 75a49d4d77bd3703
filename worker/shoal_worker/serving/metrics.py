"""All metrics of a serving worker, in one registry of its own; written by `servicer` and `dispatch`, read by `probes`.

Invariant: the number of time series is fixed. No label ever takes its value from a request.
"""

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from shoal_worker.model import Model
from shoal_worker.serving.admission import REASONS
from shoal_worker.serving.arrivals import Arrivals

DURATION_BUCKETS = (
    0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0,
)  # fmt: skip
_WAIT_BUCKETS = (0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_CODES = (
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "UNAVAILABLE",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    "CANCELLED",
    "INTERNAL",
)


class Load(Protocol):
    """What tells how much is to do."""

    @property
    def in_flight(self) -> int:
        """Calls admitted and not yet ended."""

    @property
    def queue_length(self) -> int:
        """Calls admitted that wait for a thread."""

    @property
    def tenants(self) -> int:
        """Tenants with calls admitted and not yet ended."""


class _ArrivalCollector(Collector):
    """Counters that are kept elsewhere."""

    def __init__(self, read: Callable[[], Arrivals]) -> None:
        self._read = read

    def collect(self) -> Iterator[CounterMetricFamily]:
        arrivals = self._read()
        yield CounterMetricFamily(
            "shoal_transport_calls", "Calls of any method that the transport received.", value=arrivals.received
        )
        yield CounterMetricFamily(
            "shoal_transport_answers",
            "Those that were answered; the transport refused the rest, but for what is open now.",
            value=arrivals.answered,
        )


class Metrics:
    """The worker's counters, gauges and histograms."""

    def __init__(self) -> None:
        # One more series per counter would only tell when this process started.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "shoal_requests_total", "ModelInfer calls by gRPC status.", ["code"], registry=self.registry
        )
        # Series that exist from the start make a rate() over the first error correct.
        self._by_code = {code: self._requests.labels(code) for code in _CODES}
        self._duration = Histogram(
            "shoal_request_duration_seconds",
            "Time from a ModelInfer call's arrival to its answer, on the server.",
            buckets=DURATION_BUCKETS,
            registry=self.registry,
        )
        self._rows = Counter("shoal_rows_total", "Rows labelled.", registry=self.registry)
        self._noise_rows = Counter("shoal_noise_rows_total", "Rows labelled as noise.", registry=self.registry)
        self._out_of_reach: Counter | None = None
        self._compared = Counter(
            "shoal_compared_rows_total", "Rows compared with a candidate's answers.", registry=self.registry
        )
        self._reservoir_rows = Gauge(
            "shoal_reservoir_rows", "Rows of recent requests kept for comparisons.", registry=self.registry
        )
        self._reservoir_bytes = Gauge(
            "shoal_reservoir_bytes", "Bytes of recent requests kept for comparisons.", registry=self.registry
        )
        self._in_flight = Gauge(
            "shoal_in_flight", "ModelInfer calls admitted, not yet answered.", registry=self.registry
        )
        self._queue = Gauge("shoal_queue_length", "Admitted calls that wait for a thread.", registry=self.registry)
        self._wait = Histogram(
            "shoal_queue_seconds",
            "Time that admitted calls waited for a thread.",
            buckets=_WAIT_BUCKETS,
            registry=self.registry,
        )
        refusals = Counter(
            "shoal_refusals_total",
            "ModelInfer calls refused with RESOURCE_EXHAUSTED, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self._refusals = {reason: refusals.labels(reason) for reason in REASONS}
        self._tenants = Gauge("shoal_tenants", "Tenants with calls admitted to the threads.", registry=self.registry)
        self._lag = Gauge("shoal_loop_lag_seconds", "How late the event loop's last turn came.", registry=self.registry)
        self._clusters = Gauge("shoal_model_clusters", "Clusters of the loaded model.", registry=self.registry)
        self._serving_seconds = Gauge(
            "shoal_serving_seconds", "Seconds since the model was ready for calls; 0 before.", registry=self.registry
        )
        self._info = Gauge(
            "shoal_model_info", "Always 1: the loaded model.", ["model", "version", "digest"], registry=self.registry
        )

    def watch_load(self, load: Load, lag: Callable[[], float]) -> None:
        """Read the load gauges at scrape time."""
        self._in_flight.set_function(lambda: load.in_flight)
        self._queue.set_function(lambda: load.queue_length)
        self._tenants.set_function(lambda: load.tenants)
        self._lag.set_function(lag)

    def watch_arrivals(self, read: Callable[[], Arrivals]) -> None:
        """Read at scrape time what came, refused calls included."""
        self.registry.register(_ArrivalCollector(read))

    def watch_reservoir(self, rows: Callable[[], float], size: Callable[[], float]) -> None:
        """Read the two gauges of the reservoir at scrape time."""
        self._reservoir_rows.set_function(rows)
        self._reservoir_bytes.set_function(size)

    def record_compared(self, rows: int) -> None:
        """Count the rows of one comparison."""
        self._compared.inc(rows)

    def record_model(self, model: Model) -> None:
        """Tell which model is served, and count rows beyond its training data where it knows how far they reach."""
        self._info.labels(model.name, model.version, model.digest).set(1)
        self._clusters.set(model.clusters)
        since = time.monotonic()
        self._serving_seconds.set_function(lambda: time.monotonic() - since)
        if model.ranges is not None and self._out_of_reach is None:
            self._out_of_reach = Counter(
                "shoal_out_of_reach_rows_total",
                "Rows with a feature outside the range of the training data.",
                registry=self.registry,
            )

    def record_call(self, code: str, seconds: float) -> None:
        """Count one ModelInfer call, whatever its outcome."""
        self._by_code[code].inc()
        self._duration.observe(seconds)

    def record_refusal(self, reason: str) -> None:
        """Count one call for which there was no room or no time."""
        self._refusals[reason].inc()

    def record_wait(self, seconds: float) -> None:
        """Count one call that waited for a thread, however short."""
        self._wait.observe(seconds)

    def record_rows(self, rows: int, noise: int, out_of_reach: int | None) -> None:
        """Count the rows of one answered call."""
        self._rows.inc(rows)
        if noise:
            self._noise_rows.inc(noise)
        if out_of_reach and self._out_of_reach is not None:
            self._out_of_reach.inc(out_of_reach)

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
