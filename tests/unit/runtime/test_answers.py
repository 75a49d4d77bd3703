import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core.gates.outside import Request
from shoal_operator.core.gates.window import AnalysisWindow
from shoal_operator.runtime.answers import LARGEST_ANSWER, Answers, HttpSend
from shoal_operator.runtime.resources import BY_KIND
from shoal_operator.runtime.store import Store
from tests.unit.runtime.fakes import ManualClock, raw

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DEPLOYMENT = raw("ClusteringDeployment", "serve", spec={"analysis": {"intervalSeconds": 5}})
KEY = ObjectKey("ClusteringDeployment", "ns", "serve")


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = Store()
        self.store.put(DEPLOYMENT, BY_KIND["ClusteringDeployment"])
        self.window: AnalysisWindow | None = AnalysisWindow("first", "s", "c")
        self.requests = (Request("one", "http://a/"), Request("two", "http://b/", seconds=0.01))
        self.reply: Callable[[Request], Awaitable[tuple[int, str]]] = self.echo
        self.sent: list[str] = []
        self.told: list[ObjectKey] = []
        self.answers = Answers(
            self.store,
            lambda _: self.window,
            lambda _, __: self.requests,
            self.send,
            self.told.append,
            lambda: NOW,
            self.clock,
        )

    async def send(self, request: Request) -> tuple[int, str]:
        self.sent.append(request.key)
        return await self.reply(request)

    async def echo(self, request: Request) -> tuple[int, str]:
        return 200, request.url

    async def look(self, seconds: float = 5) -> dict[str, str]:
        self.answers.tick()
        await self.answers.settle()
        self.clock.seconds += seconds
        return {key: answer.body or answer.error for key, answer in self.answers.of(DEPLOYMENT).items()}


async def test_answers_are_kept_and_told() -> None:
    bench = Bench()
    assert bench.answers.of(DEPLOYMENT) == {}
    assert await bench.look() == {"one": "http://a/", "two": "http://b/"}
    assert bench.told == [KEY]


async def test_nothing_is_asked_before_its_interval() -> None:
    bench = Bench()
    await bench.look(seconds=4)
    await bench.look(seconds=1)
    assert bench.sent == ["one", "two"]
    await bench.look()
    assert bench.sent == ["one", "two"] * 2


async def test_a_slow_server_is_an_error_of_its_own_gate_only() -> None:
    bench = Bench()

    async def reply(request: Request) -> tuple[int, str]:
        if request.key == "two":
            await asyncio.Event().wait()
        return 200, "quick"

    bench.reply = reply
    assert await bench.look() == {"one": "quick", "two": "none within 0.01 s"}


async def test_a_server_that_cannot_be_reached_is_an_error() -> None:
    bench = Bench()

    async def reply(request: Request) -> tuple[int, str]:
        raise ConnectionRefusedError("refused")

    bench.reply = reply
    assert (await bench.look())["one"] == "ConnectionRefusedError: refused"


async def test_a_new_window_has_no_answers_of_the_old_one() -> None:
    bench = Bench()
    await bench.look()
    bench.window = AnalysisWindow("second", "s", "c")
    assert bench.answers.of(DEPLOYMENT) == {}
    assert (await bench.look()).keys() == {"one", "two"}
    bench.window = None
    assert await bench.look() == {}
    assert bench.answers.of(DEPLOYMENT) == {}


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async def query(request: web.Request) -> web.Response:
        form = await request.post()
        return web.Response(text=f"asked {form['query']}")

    async def hook(request: web.Request) -> web.Response:
        told = {"seen": await request.json(), "type": request.content_type}
        key = request.headers.get("Idempotency-Key")
        return web.json_response(told if key is None else {**told, "key": key})

    async def away(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.1:1/")

    async def flood(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * (LARGEST_ANSWER + 1))

    application = web.Application()
    for path, handler in {"/query": query, "/hook": hook, "/away": away, "/flood": flood}.items():
        application.router.add_post(path, handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_requests_go_out_as_forms_and_as_json(server: str) -> None:
    send = HttpSend(lambda url: "" if url.startswith(server) else "not allowed")
    try:
        assert await send(Request("q", f"{server}/query", form=(("query", "up{}"),))) == (200, "asked up{}")
        status, body = await send(Request("h", f"{server}/hook", body='{"a": 1}'))
        assert (status, body) == (200, '{"seen": {"a": 1}, "type": "application/json"}')
        status, body = await send(Request("h", f"{server}/hook", body="{}", idempotency_key="abc"))
        assert body == '{"seen": {}, "type": "application/json", "key": "abc"}'
        assert (await send(Request("r", f"{server}/away", body="{}")))[0] == 302, "a redirect is not followed"
        with pytest.raises(ValueError, match="larger than"):
            await send(Request("f", f"{server}/flood", body="{}"))
        with pytest.raises(ValueError, match="not allowed"):
            await send(Request("x", "http://127.0.0.1:1/", body="{}"))
    finally:
        await send.close()


def test_settings_take_hosts_and_refuse_what_is_none(monkeypatch: Any) -> None:
    from shoal_operator.errors import SettingsError
    from shoal_operator.settings import load

    found = load(worker_image="w", analysis_allowed_hosts="prometheus.monitoring:9090, hooks.example.org")
    assert found.defaults.analysis_allowed_hosts == ("prometheus.monitoring:9090", "hooks.example.org")
    with pytest.raises(SettingsError, match="ANALYSIS_ALLOWED_HOSTS contains 'http://x'"):
        load(worker_image="w", analysis_allowed_hosts="http://x")
