"""Stable pods are asked in time, no others and never too many; what fails is told and delays nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from shoal_operator.api.deployment import Revision
from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.core.gates.window import ComparisonWindow
from shoal_operator.runtime import comparison as module
from shoal_operator.runtime.comparison import LARGEST_ANSWER, Comparisons, HttpAsk
from shoal_operator.runtime.resources import BY_KIND
from shoal_operator.runtime.store import Store
from tests.unit.core.test_pod_comparison import CANDIDATE, STABLE, answer
from tests.unit.runtime.fakes import ManualClock, owned, raw

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DEPLOYMENT = raw("ClusteringDeployment", "serve")
KEY = ObjectKey("ClusteringDeployment", "ns", "serve")


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = Store()
        self.store.put(DEPLOYMENT, BY_KIND["ClusteringDeployment"])
        self.window: ComparisonWindow | None = ComparisonWindow("first", STABLE, CANDIDATE, 2, 600)
        self.reply: Callable[[str], Awaitable[tuple[int, str]]] = self.agree
        self.sent: list[tuple[str, Any]] = []
        self.told: list[ObjectKey] = []
        self.comparisons = Comparisons(
            self.store, lambda _: self.window, self.ask, self.told.append, lambda: NOW, self.clock
        )

    def pod(self, name: str, revision: Revision = STABLE, *, ready: bool = True, day: int = 1) -> None:
        status = {"podIP": name, "conditions": [{"type": "Ready", "status": str(ready)}]}
        metadata = {"labels": {names.REVISION: revision.revision}, "creationTimestamp": f"2026-02-{day:02d}T00:00:00Z"}
        self.store.put(owned("Pod", name, DEPLOYMENT, metadata=metadata, status=status), BY_KIND["Pod"])

    async def ask(self, ip: str, body: str) -> tuple[int, str]:
        self.sent.append((ip, json.loads(body)))
        return await self.reply(ip)

    async def agree(self, _: str) -> tuple[int, str]:
        return 200, json.dumps(answer())

    async def look(self, seconds: float = 5) -> list[str]:
        self.sent.clear()
        self.comparisons.tick()
        await self.comparisons.settle()
        self.clock.seconds += seconds
        return [ip for ip, _ in self.sent]

    @property
    def problem(self) -> str:
        found = self.comparisons.of(DEPLOYMENT)
        assert found is not None
        return found.problem


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.pod("s1")
    return bench


async def test_only_ready_stable_pods_are_asked_the_oldest_three(bench: Bench) -> None:
    for day in (5, 4, 3, 2):
        bench.pod(f"s{day}", day=day)
    bench.pod("unready", ready=False)
    bench.pod("candidate", CANDIDATE)
    assert await bench.look() == ["s1", "s2", "s3"]
    found = bench.comparisons.of(DEPLOYMENT)
    assert found is not None
    assert (found.rows, found.looks, found.asked_at) == (6000, 1, "2026-06-01T00:00:00.000Z")
    assert bench.told == [KEY]


async def test_the_pod_is_told_whom_to_expect_and_its_bounds(bench: Bench) -> None:
    await bench.look()
    [(_, body)] = bench.sent
    assert body == {"candidate": {"version": "5", "digest": "sha256:5"}, "maxRows": 2000, "deadlineSeconds": 10.0}


async def test_nothing_is_asked_before_five_seconds_whatever_the_interval(bench: Bench) -> None:
    await bench.look(seconds=4)
    assert await bench.look(seconds=1) == []
    assert await bench.look() == ["s1"]
    found = bench.comparisons.of(DEPLOYMENT)
    assert found is not None
    assert found.looks == 2


async def test_a_longer_interval_is_kept(bench: Bench) -> None:
    bench.window = ComparisonWindow("first", STABLE, CANDIDATE, 60, 600)
    await bench.look(seconds=59)
    assert await bench.look(seconds=1) == []
    assert await bench.look() == ["s1"]


@pytest.mark.parametrize("window", [None, ComparisonWindow("second", STABLE, CANDIDATE, 2, 600)])
async def test_another_window_has_nothing_of_the_old_one(bench: Bench, window: ComparisonWindow | None) -> None:
    await bench.look()
    bench.window = window
    assert bench.comparisons.of(DEPLOYMENT) is None
    assert len(await bench.look()) == (window is not None)


async def test_a_pod_that_does_not_answer_is_told_and_delays_only_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.01)
    monkeypatch.setattr(module, "_SPARE_SECONDS", 0.0)
    bench.pod("s2", day=2)

    async def reply(ip: str) -> tuple[int, str]:
        if ip == "s1":
            await asyncio.Event().wait()
        return await bench.agree(ip)

    bench.reply = reply
    await bench.look()
    found = bench.comparisons.of(DEPLOYMENT)
    assert found is not None
    assert (found.rows, found.problem) == (2000, "")


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (ConnectionRefusedError("refused"), "NoAnswer: pod s1: ConnectionRefusedError: refused"),
        (aiohttp.ServerDisconnectedError(), "NoAnswer: pod s1: ServerDisconnectedError"),
        (ValueError("too large"), "too large"),
        ((502, '{"reason": "CandidateUnreachable", "message": "no endpoint"}'), "CandidateUnreachable: no endpoint"),
        ((200, "nonsense"), "AnswerInvalid"),
    ],
)
async def test_a_failure_is_told(bench: Bench, outcome: Any, told: str) -> None:
    async def reply(_: str) -> tuple[int, str]:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    bench.reply = reply
    await bench.look()
    assert told in bench.problem
    assert bench.told == [KEY]


async def test_without_a_stable_pod_it_says_so() -> None:
    bench = Bench()
    await bench.look()
    assert "no stable pod is ready" in bench.problem


async def test_busy_pods_leave_what_was_told_before(bench: Bench) -> None:
    await bench.look()

    async def busy(_: str) -> tuple[int, str]:
        return 409, '{"reason": "Busy", "message": "another comparison runs"}'

    bench.reply = busy
    await bench.look()
    found = bench.comparisons.of(DEPLOYMENT)
    assert found is not None
    assert (found.rows, found.looks) == (2000, 1)
    assert bench.told == [KEY]


async def test_pods_that_are_too_slow_are_asked_for_fewer_rows_but_not_for_too_few(bench: Bench) -> None:
    asked = []

    async def slow(_: str) -> tuple[int, str]:
        asked.append(bench.sent[-1][1]["maxRows"])
        return 504, '{"reason": "DeadlinePassed", "message": "it took too long"}'

    bench.reply = slow
    for _ in range(4):
        await bench.look()
    assert asked == [2000, 1000, 600, 600]
    assert "DeadlinePassed" in bench.problem


async def test_a_window_that_cannot_be_read_stops_nothing(bench: Bench) -> None:
    def broken(_: object) -> ComparisonWindow:
        raise KeyError("spec")

    comparisons = Comparisons(bench.store, broken, bench.ask, bench.told.append, lambda: NOW, bench.clock)
    comparisons.tick()
    assert comparisons.of(DEPLOYMENT) is None


async def test_the_end_of_a_window_ends_what_is_on_its_way(bench: Bench) -> None:
    ended = asyncio.Event()

    async def hang(_: str) -> tuple[int, str]:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    bench.reply = hang
    bench.comparisons.tick()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    bench.window = None
    bench.comparisons.tick()
    await asyncio.wait_for(ended.wait(), 5)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def compare(request: web.Request) -> web.Response:
        what = (await request.json())["what"]
        if what == "flood":
            return web.Response(body=b"x" * (LARGEST_ANSWER + 1))
        if what == "away":
            raise web.HTTPFound("http://127.0.0.1:1/")
        return web.json_response({"reason": "Busy"}, status=409)

    application = web.Application()
    application.router.add_post("/compare", compare)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_over_http(port: int) -> None:
    ask = HttpAsk(port)
    assert await ask("127.0.0.1", '{"what": "x"}') == (409, '{"reason": "Busy"}')
    assert (await ask("127.0.0.1", '{"what": "away"}'))[0] == 302, "no redirect is followed"
    with pytest.raises(ValueError, match="larger than"):
        await ask("127.0.0.1", '{"what": "flood"}')
    await ask.close()
