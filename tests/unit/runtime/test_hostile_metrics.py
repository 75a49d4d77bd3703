"""Metrics that are missing, wrong, old or hostile: a stated verdict each, and no traffic that moves for it.

A real HTTP server says what it should not, the operator's own client and gates read it, and the core decides a rollout
that is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from shoal_operator.api.analysis import Analysis
from shoal_operator.core.gates import describe_denial, judge_outside, wanted_requests
from shoal_operator.core.gates.window import AnalysisWindow, analysis_window
from shoal_operator.core.scaling import wanted_queries
from shoal_operator.runtime.answers import Answers, HttpSend
from shoal_operator.runtime.figures import parse
from shoal_operator.runtime.loads import Loads
from shoal_operator.runtime.resources import BY_KIND
from shoal_operator.runtime.samples import HttpScrape, Sampler
from shoal_operator.runtime.store import Store
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import good_calls, served, trying
from tests.unit.runtime.fakes import ManualClock, owned, raw

Handler = Callable[[web.Request], Any]
Sample = Callable[[], dict[str, Any]]


def now() -> float:
    return datetime.now(UTC).timestamp()


def number(value: object, *, time: float | None = None) -> Sample:
    """Return a sample of that time, or of the moment when it is asked for."""
    return lambda: {"metric": {}, "value": [now() if time is None else time, str(value)]}


def vector(*samples: Sample | dict[str, Any]) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        result = [sample() if callable(sample) else sample for sample in samples]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})

    return handler


def text(body: str, status: int = 200) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(text=body, status=status)

    return handler


async def slow(_request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response(text="too late")


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(1000):
        await response.write(b'{"status":' * 1000)
    return response


async def away(_request: web.Request) -> web.Response:
    raise web.HTTPFound("http://169.254.169.254/latest/meta-data")


@dataclass
class Hostile:
    """The server: it answers each path as told."""

    url: str = ""
    handler: Handler = field(default_factory=lambda: vector())
    asked: list[str] = field(default_factory=list)


@pytest.fixture
async def server() -> AsyncIterator[Hostile]:
    hostile = Hostile()

    async def answer(request: web.Request) -> web.StreamResponse:
        form = await request.post() if request.method == "POST" else {}
        hostile.asked.append(str(form.get("query", "")))
        found: web.StreamResponse = await hostile.handler(request)
        return found

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hostile.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield hostile
    await runner.cleanup()


@dataclass
class Asked:
    """What came of one question in the middle of a rollout."""

    verdict: str
    message: str
    cluster: FakeCluster


async def ask(server: Hostile, **limits: Any) -> Asked:
    """Ask the server by a gate of a rollout at 25 %, and let the operator decide by what it says."""
    host = server.url.removeprefix("http://")
    query = 'sum(rate(x{namespace="$(namespace)", pod=~"$(deployment)-$(revision)-.*"}[1m]))'
    gate = {"name": "x", "address": server.url, "query": query, "timeoutSeconds": 1, "minSamples": 0}
    gate |= limits or {"max": 5}
    cluster = trying(analysis={"prometheus": [gate], "onInconclusive": "Hold"})
    cluster.defaults = replace(cluster.defaults, analysis_allowed_hosts=(host,))
    store = Store()
    deployment = {"apiVersion": "shoal.dev/v1alpha1", **cluster.deployment}
    store.put(deployment, BY_KIND["ClusteringDeployment"])
    send = HttpSend(lambda url: describe_denial(url, (host,)))
    answers = Answers(
        store,
        analysis_window,
        lambda item, _: wanted_requests(item, (host,), cluster.now),
        send,
        lambda _: None,
        lambda: datetime.now(UTC),
    )
    try:
        answers.tick()
        await answers.settle()
    finally:
        await send.close()
    cluster.answers = dict(answers.of(deployment))
    analysis = Analysis.model_validate(cluster.deployment["spec"]["analysis"])
    [verdict] = judge_outside(analysis, cluster.answers, (host,), 500)
    good_calls(cluster)
    cluster.reconcile()
    return Asked(verdict.verdict, verdict.message, cluster)


@pytest.mark.parametrize(
    ("handler", "verdict", "told"),
    [
        pytest.param(vector(), "inconclusive", "no data", id="missing"),
        pytest.param(vector(number("NaN")), "inconclusive", "NaN", id="NaN"),
        pytest.param(vector(number(1), number(1)), "error", "2 series", id="duplicated"),
        pytest.param(vector(number(1, time=1.0)), "error", "another time", id="stale"),
        pytest.param(vector(number(1, time=1e12)), "error", "another time", id="from the future"),
        pytest.param(vector(number("-Inf")), "error", "infinite", id="infinite"),
        pytest.param(vector(number("1e999")), "error", "infinite", id="too large for a number"),
        pytest.param(vector({"metric": {}, "value": [None, {}]}), "error", "something else", id="no number"),
        pytest.param(text('{"status": "success"}'), "error", "gives nothing", id="no data at all"),
        pytest.param(text("<html>login</html>"), "error", "no JSON", id="a login page"),
        pytest.param(text("", 503), "error", "503", id="unavailable"),
        pytest.param(text("{" * 100_000), "error", "no JSON", id="nested for ever"),
        pytest.param(slow, "error", "none within 1 s", id="slow"),
        pytest.param(hang_up, "error", "no answer", id="hangs up"),
        pytest.param(endless, "error", "larger than", id="endless"),
        pytest.param(away, "error", "302", id="leads elsewhere"),
    ],
)
async def test_a_server_that_does_not_answer_well_moves_no_traffic(
    server: Hostile, handler: Handler, verdict: str, told: str
) -> None:
    server.handler = handler
    asked = await ask(server)
    assert (asked.verdict, told in asked.message) == (verdict, True), asked.message
    status = asked.cluster.status
    assert (status["actualWeight"], status["stable"]["version"], status.get("blockedVersions", [])) == (25, 1, [])
    found = next(item for item in status["verdicts"] if item["gate"] == "prometheus/x")
    assert found["verdict"] == verdict
    assert len(found["message"]) < 600


@pytest.mark.parametrize(
    ("limits", "verdict"), [({"max": 5}, "pass"), ({"min": 0}, "fail"), ({"maxRatio": 1.5}, "error")]
)
async def test_a_negative_number_is_a_number_but_no_base_of_a_ratio(
    server: Hostile, limits: dict[str, float], verdict: str
) -> None:
    server.handler = vector(number(-3))
    asked = await ask(server, **limits)
    assert asked.verdict == verdict, asked.message
    assert bool(asked.cluster.status.get("blockedVersions")) == (verdict == "fail")


async def test_errors_that_last_hold_the_rollout_with_a_reason_and_heal(server: Hostile) -> None:
    server.handler = text("<html>")
    asked = await ask(server, max=5, consecutiveErrorLimit=0)
    cluster = asked.cluster
    cluster.wait(61)
    cluster.settle()
    assert cluster.condition("Paused")["reason"] == "GateError"
    assert cluster.status["actualWeight"] == 25


@pytest.mark.parametrize("name", ['x"}) or vector(1) or ({a="', "a\nb", "$(revision)"])
async def test_a_name_that_is_none_gets_into_no_query(server: Hostile, name: str) -> None:
    cluster = trying(analysis={"prometheus": [{"name": "x", "address": server.url, "query": "$(namespace)", "max": 1}]})
    cluster.deployment["metadata"]["namespace"] = name
    host = server.url.removeprefix("http://")
    assert wanted_requests(cluster.deployment, (host,), cluster.now) == ()
    assert server.asked == []


async def look(server: Hostile, metrics: dict[str, Any]) -> tuple[FakeCluster, dict[str, Any]]:
    """Let the operator look at a deployment with four pods and decide; return it and the metric's reading."""
    host = server.url.removeprefix("http://")
    scaling = {"minReplicas": 1, "maxReplicas": 9, "metrics": metrics}
    cluster = served(scaling=scaling)
    cluster.now = datetime.now(UTC)
    store = Store()
    deployment = {"apiVersion": "shoal.dev/v1alpha1", **cluster.deployment}
    store.put(deployment, BY_KIND["ClusteringDeployment"])
    send = HttpSend(lambda url: describe_denial(url, (host,)))
    loads = Loads(
        store,
        no_scrape,
        NoApi(),
        lambda item: wanted_queries(item, (host,)),
        send,
        lambda _: None,
        lambda: datetime.now(UTC),
        no_backlog,
    )
    try:
        loads.tick()
        await loads.settle()
    finally:
        await send.close()
    cluster.load = loads.of(deployment)
    cluster.now = datetime.now(UTC)
    cluster.reconcile()
    return cluster, cluster.status["scaling"]["metrics"][0]


class NoApi:
    """An API server without any autoscaler."""

    async def request(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"items": []}


async def no_scrape(ip: str) -> str:
    raise ConnectionRefusedError(ip)


async def no_backlog(url: str, stream: str, consumer: str) -> int:
    raise ConnectionRefusedError(url)


class TestScaling:
    """What a server says of a scaling metric."""

    @pytest.mark.parametrize(
        "handler",
        [
            pytest.param(vector(), id="missing"),
            pytest.param(vector(number("NaN")), id="NaN"),
            pytest.param(vector(number("Inf")), id="infinite"),
            pytest.param(vector(number(-1)), id="negative"),
            pytest.param(vector(number("1e300")), id="1e300"),
            pytest.param(vector(number(1), number(1)), id="duplicated"),
            pytest.param(vector(number(1, time=1.0)), id="stale"),
            pytest.param(text('{"status": "error", "error": "overloaded"}', 500), id="500"),
            pytest.param(text("<html>login</html>"), id="garbage"),
            pytest.param(slow, id="slow"),
            pytest.param(hang_up, id="hangs up"),
            pytest.param(endless, id="endless"),
            pytest.param(away, id="leads elsewhere"),
        ],
    )
    async def test_what_is_no_number_removes_no_pod_and_is_told(self, server: Hostile, handler: Handler) -> None:
        server.handler = handler
        query = {"name": "jobs", "address": server.url, "query": "jobs", "averageValue": 10, "timeoutSeconds": 1}

        cluster, reading = await look(server, {"prometheus": [query]})

        assert cluster.status["scaling"]["replicas"] == 4
        assert reading["problem"]
        active = cluster.condition("ScalingActive")
        assert (active["status"], active["reason"]) == ("False", "FailedGetExternalMetric")
        assert reading["problem"][:100] in active["message"]

    async def test_a_number_adds_pods_and_the_question_names_the_deployment(self, server: Hostile) -> None:
        server.handler = vector(number(75))
        query = {"name": "jobs", "address": server.url, "query": 'jobs{of="$(deployment)"}', "averageValue": 10}

        cluster, reading = await look(server, {"prometheus": [query]})

        assert server.asked == ['jobs{of="cities"}']
        assert (cluster.status["scaling"]["replicas"], reading["wants"]) == (8, 8)

    async def test_a_host_that_is_not_allowed_is_not_asked(self, server: Hostile) -> None:
        query = {"name": "jobs", "address": "http://169.254.169.254", "query": "jobs", "value": 1}

        cluster, reading = await look(server, {"prometheus": [query]})

        assert "analysis.allowedHosts" in reading["problem"]
        assert cluster.status["scaling"]["replicas"] == 4


class TestWorkers:
    """What a worker's own endpoint may say."""

    @pytest.mark.parametrize(
        "line",
        [
            'shoal_requests_total{code="OK"} NaN',
            'shoal_requests_total{code="OK"} -5',
            'shoal_requests_total{code="OK"} +Inf',
            'shoal_requests_total{code="OK"} 1e300',
            'shoal_requests_total{code="OK"} 5\nshoal_requests_total{code="OK"} 5',
            'shoal_requests_total{code="OK"} many',
            "shoal_noise_rows_total NaN",
            "shoal_request_duration_seconds_sum -1",
            "shoal_request_duration_seconds_bucket 5",
            'shoal_request_duration_seconds_bucket{le="far"} 5',
        ],
    )
    def test_what_cannot_be_a_count_is_no_reading(self, line: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            parse(f"shoal_rows_total 1\n{line}\n")

    def test_what_others_count_is_not_looked_at(self) -> None:
        assert parse('python_gc NaN\nshoal_requests_total{code="OK"} 2\n').calls == 2

    async def test_a_pod_that_lies_or_is_dead_is_no_data_and_the_others_are_counted(self, server: Hostile) -> None:
        deployment = raw("ClusteringDeployment", "serve", spec={"analysis": {"intervalSeconds": 5, "warmupSeconds": 0}})
        store, clock = Store(), ManualClock()
        store.put(deployment, BY_KIND["ClusteringDeployment"])
        for name, revision in (("s1", "s"), ("c1", "c"), ("c2", "c"), ("c3", "c")):
            status = {"podIP": name, "conditions": [{"type": "Ready", "status": "True"}]}
            metadata = {"labels": {"shoal.dev/revision": revision}, "creationTimestamp": "2026-01-01T00:00:00Z"}
            store.put(owned("Pod", name, deployment, metadata=metadata, status=status), BY_KIND["Pod"])
        calls = {"s1": 0, "c1": 0}
        port = int(server.url.rpartition(":")[2])
        scrape = HttpScrape(port)
        server.handler = text('shoal_requests_total{code="OK"} NaN\n')

        async def read(ip: str) -> str:
            if ip == "c2":
                return await scrape("127.0.0.1")
            if ip == "c3":
                raise ConnectionRefusedError(ip)
            return f'shoal_requests_total{{code="OK"}} {calls[ip]}\n'

        window = AnalysisWindow("first", "s", "c")
        sampler = Sampler(store, lambda _: window, read, lambda _: None, lambda: datetime.now(UTC), clock)
        try:
            sampler.tick()
            await sampler.settle()
            calls.update(s1=100, c1=20)
            clock.seconds += 5
            sampler.tick()
            await sampler.settle()
        finally:
            await scrape.close()
        found = sampler.windows(deployment)
        assert (found["s"].calls, found["c"].calls) == (100, 20)
