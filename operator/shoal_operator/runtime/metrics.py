"""Every metric of the operator in one place.

Told by the controller and the transport, read by runtime.endpoints. Figures of objects are computed from the store at
the scrape, so a deleted object leaves no series behind. Labels are bounded: kinds, outcomes, verbs, codes and the
names of live objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from shoal_operator.core.snapshot import RawObject
from shoal_operator.runtime.store import Store

_PASS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The process's metrics in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._passes = Counter(
            "shoal_operator_reconciles",
            "Reconcile passes by kind and outcome (ok, gone, deleting, conflict, error).",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "shoal_operator_reconcile_seconds",
            "Duration of reconcile passes.",
            ("kind",),
            buckets=_PASS_SECONDS,
            registry=self.registry,
        )
        self._requests = Counter(
            "shoal_operator_api_requests",
            "Requests to the API server by verb and code; none: no answer, held: kept back as the server asked for.",
            ("verb", "code"),
            registry=self.registry,
        )

    def reconciled(self, kind: str, outcome: str, seconds: float) -> None:
        """Count one pass."""
        self._passes.labels(kind, outcome).inc()
        self._seconds.labels(kind).observe(seconds)

    def requested(self, verb: str, code: str) -> None:
        """Count one request to the API server."""
        self._requests.labels(verb, code).inc()

    def watch(self, store: Store, gauges: Mapping[tuple[str, str], Callable[[], float]]) -> None:
        """Add what is read at the scrape: the store's objects, and (name, help) -> function."""
        self.registry.register(_StoreCollector(store))
        for (name, text), read in gauges.items():
            Gauge(name, text, registry=self.registry).set_function(read)


class _StoreCollector(Collector):
    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        owner = ("namespace", "name")
        weight = GaugeMetricFamily(
            "shoal_deployment_weight", "Percent of the traffic that the candidate should get.", labels=owner
        )
        actual = GaugeMetricFamily(
            "shoal_deployment_actual_weight", "Percent of the traffic that the router gives it.", labels=owner
        )
        measured = GaugeMetricFamily(
            "shoal_deployment_measured_weight",
            "Percent of a stream's leases that the candidate took; absent where not counted.",
            labels=owner,
        )
        ready = GaugeMetricFamily("shoal_deployment_ready_replicas", "Ready pods of the stable revision.", labels=owner)
        serving = GaugeMetricFamily(
            "shoal_deployment_version", "Model version of the stable revision; absent without one.", labels=owner
        )
        phase = GaugeMetricFamily("shoal_phase", "1 for the object's phase.", labels=("kind", *owner, "phase"))
        latest = GaugeMetricFamily(
            "shoal_model_latest_version", "Newest version that passed its validation.", labels=owner
        )
        for raw in self._store.of_kind("ClusteringDeployment"):
            status, labels = raw.get("status") or {}, _owner_labels(raw)
            weight.add_metric(labels, _number(status.get("weight")))
            actual.add_metric(labels, _number(status.get("actualWeight")))
            if status.get("measuredWeight") is not None:
                measured.add_metric(labels, _number(status["measuredWeight"]))
            ready.add_metric(labels, _number(status.get("readyReplicas")))
            if status.get("stable"):
                serving.add_metric(labels, _number(status["stable"].get("version")))
            phase.add_metric(["ClusteringDeployment", *labels, str(status.get("phase") or "Pending")], 1)
        for raw in self._store.of_kind("ClusteringModel"):
            status, labels = raw.get("status") or {}, _owner_labels(raw)
            if status.get("latestVersion") is not None:
                latest.add_metric(labels, _number(status["latestVersion"]))
            phase.add_metric(["ClusteringModel", *labels, str(status.get("phase") or "Pending")], 1)
        yield from (weight, actual, measured, ready, serving, latest, *self._batches(phase), phase)

    def _batches(self, phase: GaugeMetricFamily) -> Iterator[Metric]:
        owner = ("namespace", "name")
        rows = GaugeMetricFamily("shoal_batch_rows", "Rows that the batch has labelled.", labels=owner)
        total = GaugeMetricFamily("shoal_batch_rows_expected", "Rows of its source, where it is known.", labels=owner)
        rate = GaugeMetricFamily("shoal_batch_rows_per_second", "Rows it labels in a second.", labels=owner)
        eta = GaugeMetricFamily("shoal_batch_eta_seconds", "Seconds that the rest will take.", labels=owner)
        clusters = GaugeMetricFamily("shoal_batch_clusters", "Clusters that have rows in its result.", labels=owner)
        noise = GaugeMetricFamily("shoal_batch_noise_ratio", "Share of noise in its result.", labels=owner)
        seconds = GaugeMetricFamily(
            "shoal_batch_processing_seconds", "Seconds from its plan to its result.", labels=owner
        )
        shards = GaugeMetricFamily("shoal_batch_shards", "Its shards by state.", labels=(*owner, "state"))
        for raw in self._store.of_kind("ClusteringBatch"):
            status, labels = raw.get("status") or {}, _owner_labels(raw)
            rows.add_metric(labels, _number(status.get("rows")))
            for family, field in ((total, "rowsTotal"), (rate, "rowsPerSecond"), (eta, "etaSeconds")):
                if status.get(field) is not None:
                    family.add_metric(labels, _number(status[field]))
            if result := status.get("result"):
                clusters.add_metric(labels, _number(result.get("clusters")))
                noise.add_metric(labels, _number(result.get("noiseRatio")))
                seconds.add_metric(labels, _number(result.get("processingSeconds")))
            for state in ("total", "done", "failed", "active"):
                shards.add_metric([*labels, state], _number((status.get("shards") or {}).get(state)))
            phase.add_metric(["ClusteringBatch", *labels, str(status.get("phase") or "Pending")], 1)
        yield from (rows, total, rate, eta, clusters, noise, seconds, shards)


def _owner_labels(raw: RawObject) -> list[str]:
    return [raw["metadata"]["namespace"], raw["metadata"]["name"]]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
