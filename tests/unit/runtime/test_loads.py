from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.core.gates.outside import Request
from shoal_operator.core.scaling import wanted_queries
from shoal_operator.core.snapshot import Answer, LoadSample
from shoal_operator.errors import ApiError
from shoal_operator.runtime.loads import Loads
from shoal_operator.runtime.resources import BY_KIND
from shoal_operator.runtime.store import Store
from tests.unit.runtime.fakes import ManualClock, owned, raw

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEY = ObjectKey("ClusteringDeployment", "ns", "serve")
ALL: dict[str, Any] = {name: {} for name in ("queue", "requestsPerSecond", "cpu", "memory")}

INGESTION: dict[str, Any] = {
    "nats": {"url": "nats://nats:4222", "monitoringUrl": "http://nats:8222"},
    "stream": "readings",
    "output": {"subject": "labels"},
    "deadLetterSubject": "dead",
}


class Bench:
    """Loads over pods whose metrics a test sets, and an API server that answers as it says."""

    def __init__(self, metrics: Mapping[str, Any] = ALL, **more: Any) -> None:
        self.clock = ManualClock()
        self.store = Store()
        self.counters: dict[str, tuple[float, float] | Exception] = {}
        self.answers: dict[str, dict[str, Any] | Exception] = {"pods": {"items": []}, "autoscalers": {"items": []}}
        self.looked: list[ObjectKey] = []
        self.loads = Loads(
            self.store,
            self.scrape,
            self,
            lambda raw: wanted_queries(raw, ("prometheus",)),
            self.send,
            self.looked.append,
            lambda: NOW,
            self.ask,
            self.clock,
        )
        self.backlogs: dict[str, str] = {}
        self.serving: dict[str, float] = {}
        self.monitored: int | Exception = 0
        self.asked: list[tuple[str, str, str]] = []
        spec = {"scaling": {"maxReplicas": 5, "metrics": metrics, "intervalSeconds": 10}, **more}
        self.deployment = raw("ClusteringDeployment", "serve", spec=spec)
        self.put(self.deployment)

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        answer = self.answers["pods" if "metrics.k8s.io" in path else "autoscalers"]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def send(self, request: Request) -> tuple[int, str]:
        return 200, f"answer to {dict(request.form)['query']}"

    async def scrape(self, ip: str) -> str:
        value = self.counters[ip]
        if isinstance(value, Exception):
            raise value
        calls, seconds = value
        return (
            f'# TYPE shoal_requests counter\nshoal_requests_total{{code="OK"}} {calls}\n'
            "# TYPE shoal_request_duration_seconds histogram\n"
            f'shoal_request_duration_seconds_bucket{{le="+Inf"}} {calls}\n'
            f"shoal_request_duration_seconds_count {calls}\nshoal_request_duration_seconds_sum {seconds}\n"
            + (f"shoal_stream_backlog {self.backlogs[ip]}\n" if ip in self.backlogs else "")
            + (f"shoal_serving_seconds {self.serving[ip]}\n" if ip in self.serving else "")
        )

    async def ask(self, url: str, stream: str, consumer: str) -> int:
        self.asked.append((url, stream, consumer))
        if isinstance(self.monitored, Exception):
            raise self.monitored
        return self.monitored

    def put(self, item: dict[str, Any]) -> None:
        self.store.put(item, BY_KIND[item["kind"]])

    def pod(self, name: str) -> None:
        metadata = {"labels": {names.REVISION: "r"}, "creationTimestamp": "2026-02-01T00:00:00Z"}
        self.put(owned("Pod", name, self.deployment, metadata=metadata, status={"podIP": name}))

    async def look(self, **counters: tuple[float, float] | Exception) -> dict[str, dict[str, float]]:
        """Look once, ten seconds after the look before; return metric -> pod -> figure."""
        self.counters |= counters
        self.loads.tick()
        await self.loads.settle()
        self.clock.seconds += 10
        load = self.loads.of(self.deployment)
        assert load is not None
        return {
            metric: {uid.removeprefix("uid-Pod-"): sample.value / 1000 for uid, sample in samples.items()}
            for metric, samples in load.samples.items()
        }


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.pod("one")
    bench.pod("two")
    return bench


async def test_figures_are_differences_between_two_looks(bench: Bench) -> None:
    first = await bench.look(one=(100, 10), two=(0, 0))
    second = await bench.look(one=(300, 60), two=(10, 1))

    assert (first["queue"], first["requestsPerSecond"]) == ({}, {})
    assert second["requestsPerSecond"] == {"one": 20, "two": 1}
    # 50 seconds of calls in 10 seconds: 5 at once on average.
    assert second["queue"] == {"one": 5, "two": 0.1}
    assert bench.looked == [KEY, KEY]


async def test_a_pod_that_restarted_or_does_not_answer_has_no_figure(bench: Bench) -> None:
    await bench.look(one=(100, 10), two=(100, 10))

    found = await bench.look(one=(3, 1), two=OSError("no route"))
    after = await bench.look(one=(13, 2), two=(200, 20))

    assert found["queue"] == {}
    assert after["requestsPerSecond"] == {"one": 1}


class TestNewPods:
    """A pod that began to serve between two looks has a figure at the second, over the time between them."""

    async def test_the_figures_of_all_add_up_to_the_load(self, bench: Bench) -> None:
        await bench.look(one=(100, 10), two=OSError("no route"))
        bench.serving = {"one": 300, "two": 4}

        found = await bench.look(one=(200, 20), two=(100, 2))

        assert found["requestsPerSecond"] == {"one": 10, "two": 10}
        assert found["queue"] == {"one": 1, "two": 0.2}

    @pytest.mark.parametrize("seconds", [0, 10.5, "NaN", "x"])
    async def test_one_that_began_before_or_does_not_tell_has_none(self, bench: Bench, seconds: float) -> None:
        await bench.look(one=(100, 10), two=OSError("no route"))
        bench.serving = {"two": seconds}
        assert (await bench.look(one=(200, 20), two=(100, 2)))["requestsPerSecond"] == {"one": 10}

    async def test_one_that_restarted_has_none_for_what_it_served_before_is_lost(self, bench: Bench) -> None:
        await bench.look(one=(100, 10), two=(100, 10))
        bench.serving = {"one": 5}
        assert (await bench.look(one=(50, 1), two=(150, 20)))["requestsPerSecond"] == {"two": 5}

    async def test_the_first_look_of_all_knows_no_pod_as_new(self, bench: Bench) -> None:
        bench.serving = {"one": 5, "two": 5}
        assert (await bench.look(one=(100, 10), two=(100, 2)))["requestsPerSecond"] == {}


async def test_cpu_and_memory_come_from_the_metrics_api(bench: Bench) -> None:
    usage = [{"usage": {"cpu": "250000000n", "memory": "1Gi"}}, {"usage": {"cpu": "10m", "memory": "1Ki"}}]
    item = {"timestamp": "2026-06-01T00:00:00Z", "window": "15.5s", "containers": usage}
    strangers = [{**item, "metadata": {"name": "stranger"}}, {**item, "metadata": {"name": "two"}, "timestamp": "?"}]
    bench.answers["pods"] = {"items": [{**item, "metadata": {"name": "one"}}, *strangers]}

    found = await bench.look(one=(0, 0), two=(0, 0))

    assert found["cpu"] == {"one": 0.26}
    assert found["memory"] == {"one": (1 << 30) + 1024}
    load = bench.loads.of(bench.deployment)
    assert load is not None
    assert load.samples["cpu"]["uid-Pod-one"] == LoadSample(260, NOW, timedelta(seconds=15.5))


async def test_a_metrics_api_that_fails_is_a_problem_of_its_metrics_only(bench: Bench) -> None:
    bench.answers["pods"] = ApiError(503, "ServiceUnavailable", "no endpoints")
    await bench.look(one=(0, 0), two=(0, 0))

    found = await bench.look(one=(10, 1), two=(10, 1))

    load = bench.loads.of(bench.deployment)
    assert load is not None
    assert set(load.problems) == {"cpu", "memory"}
    assert "no endpoints" in load.problems["cpu"]
    assert found["requestsPerSecond"] == {"one": 1, "two": 1}


async def test_another_autoscaler_of_the_deployment_is_seen(bench: Bench) -> None:
    targets = [{"kind": "Deployment", "name": "serve"}, {"kind": "ClusteringDeployment", "name": "serve"}]
    items = [
        {"metadata": {"name": f"hpa-{number}"}, "spec": {"scaleTargetRef": target}}
        for number, target in enumerate(targets)
    ]
    bench.answers["autoscalers"] = {"items": items}

    await bench.look(one=(0, 0), two=(0, 0))

    load = bench.loads.of(bench.deployment)
    assert load is not None
    assert load.rival == "HorizontalPodAutoscaler hpa-1"


@pytest.mark.parametrize(
    ("target", "owners", "told"),
    [
        ("serve", [{"kind": "ScaledObject", "name": "so"}], "ScaledObject so (by HorizontalPodAutoscaler hpa)"),
        ("serve-00000001", [], "HorizontalPodAutoscaler hpa"),
    ],
    ids=["of KEDA", "of a pool"],
)
async def test_a_rival_is_named_by_what_is_to_be_deleted(
    bench: Bench, target: str, owners: list[dict[str, str]], told: str
) -> None:
    bench.put(owned("Deployment", "serve-00000001", bench.deployment))
    kind = "ClusteringDeployment" if target == "serve" else "Deployment"
    item = {"metadata": {"name": "hpa", "ownerReferences": owners}}
    bench.answers["autoscalers"] = {"items": [{**item, "spec": {"scaleTargetRef": {"kind": kind, "name": target}}}]}

    await bench.look(one=(0, 0), two=(0, 0))

    load = bench.loads.of(bench.deployment)
    assert load is not None
    assert load.rival == told


async def test_servers_outside_are_asked_at_each_look_and_others_are_told_why_not() -> None:
    query = {"address": "http://prometheus", "query": "jobs", "value": 1}
    bench = Bench({"prometheus": [{"name": "jobs", **query}, {"name": "far", **query, "address": "http://far"}]})

    await bench.look()

    load = bench.loads.of(bench.deployment)
    assert load is not None
    assert load.answers == {"prometheus/jobs": Answer("2026-06-01T00:00:00.000Z", 200, "answer to jobs")}
    assert list(load.problems) == ["prometheus/far"]


async def test_a_look_waits_for_its_interval_and_ends_with_the_spec(bench: Bench) -> None:
    await bench.look(one=(0, 0), two=(0, 0))
    bench.clock.seconds -= 1
    bench.loads.tick()
    await bench.loads.settle()
    assert len(bench.looked) == 1

    bench.put(raw("ClusteringDeployment", "serve", metadata={"resourceVersion": "2"}, spec={}))
    bench.loads.tick()
    await bench.loads.settle()
    assert bench.loads.of(bench.deployment) is None


@pytest.mark.parametrize(
    "answer",
    [
        {"items": [{"metadata": {"name": "one"}, "timestamp": "2026-06-01T00:00:00Z", "containers": "none"}]},
        {"items": [{"metadata": {"name": "one"}, "timestamp": 7, "containers": [{"usage": {"cpu": "1"}}]}]},
        {"items": [{"metadata": {"name": "one"}, "timestamp": "2026-06-01T00:00:00Z", "containers": [{"usage": {}}]}]},
        {"items": "nothing"},
        {},
    ],
)
async def test_answers_of_another_shape_are_no_figures(bench: Bench, answer: dict[str, Any]) -> None:
    bench.answers["pods"] = answer

    found = await bench.look(one=(0, 0), two=(0, 0))

    assert found["cpu"] == {}


class TestStreams:
    """With spec.ingestion the queue is what nobody has answered of the stream."""

    def backlog(self, bench: Bench) -> int | None:
        load = bench.loads.of(bench.deployment)
        assert load is not None
        return load.backlog

    async def test_each_pod_counts_for_an_equal_part_of_what_all_tell(self) -> None:
        bench = Bench(ingestion=INGESTION)
        bench.pod("one")
        bench.pod("two")
        bench.backlogs = {"one": "90.0", "two": "100.0"}
        found = await bench.look(one=(0, 0), two=(0, 0))
        assert found["queue"] == {"one": 50, "two": 50}
        assert (self.backlog(bench), bench.asked) == (100, [])

    async def test_a_pod_that_does_not_know_tells_nothing(self) -> None:
        bench = Bench(ingestion=INGESTION)
        bench.pod("one")
        bench.pod("two")
        bench.backlogs = {"one": "NaN", "two": "30.0"}
        found = await bench.look(one=(0, 0), two=(0, 0))
        assert found["queue"] == {"two": 30}

    async def test_without_a_pod_the_server_is_asked(self) -> None:
        bench = Bench(ingestion=INGESTION)
        bench.monitored = 7
        assert (await bench.look())["queue"] == {}
        assert self.backlog(bench) == 7
        assert bench.asked == [("http://nats:8222", "readings", "shoal-ns-serve")]

    @pytest.mark.parametrize("error", [ValueError("no stream 'readings'"), TimeoutError(), OSError("refused")])
    async def test_a_server_that_does_not_tell_is_a_problem_and_no_zero(self, error: Exception) -> None:
        bench = Bench(ingestion=INGESTION)
        bench.monitored = error
        await bench.look()
        load = bench.loads.of(bench.deployment)
        assert load is not None
        assert load.backlog is None
        assert load.problems["queue"].startswith("the backlog is not known: ")

    async def test_without_a_server_to_ask_it_is_said(self) -> None:
        bench = Bench(ingestion={**INGESTION, "nats": {"url": "nats://nats:4222"}})
        await bench.look()
        load = bench.loads.of(bench.deployment)
        assert load is not None
        assert "ingestion.nats.monitoringUrl is not set" in load.problems["queue"]
