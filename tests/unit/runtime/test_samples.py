from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.runtime.resources import BY_KIND
from shoal_operator.runtime.samples import Sampler
from shoal_operator.runtime.store import Store
from tests.unit.runtime.fakes import ManualClock, owned, raw

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DEPLOYMENT = raw("ClusteringDeployment", "serve", spec={"analysis": {"intervalSeconds": 5, "warmupSeconds": 0}})
WARMED = raw("ClusteringDeployment", "serve", spec={"analysis": {"intervalSeconds": 5, "warmupSeconds": 10}})
KEY = ObjectKey("ClusteringDeployment", "ns", "serve")


@dataclass(frozen=True)
class Window:
    identity: str = "first"
    stable: str = "s"
    candidate: str = "c"


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.began = self.clock.seconds
        self.store = Store()
        self.window: Window | None = Window()
        self.counters: dict[str, float | Exception] = {}
        self.looked: list[ObjectKey] = []
        self.sampler = Sampler(self.store, lambda _: self.window, self.scrape, self.looked.append, self.now, self.clock)
        self.put(DEPLOYMENT)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.clock.seconds - self.began)

    async def scrape(self, ip: str) -> str:
        value = self.counters[ip]
        if isinstance(value, Exception):
            raise value
        return f'# TYPE shoal_requests counter\nshoal_requests_total{{code="OK"}} {value}\n'

    def put(self, item: dict[str, Any]) -> None:
        self.store.put(item, BY_KIND[item["kind"]])

    def pod(
        self,
        name: str,
        revision: str,
        ready: bool = True,
        created: str = "2026-02-01T00:00:00Z",
        since: str = "2026-02-01T00:00:00Z",
    ) -> None:
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": since}
        status = {"podIP": name, "conditions": [condition]}
        metadata = {"labels": {names.REVISION: revision}, "creationTimestamp": created}
        self.put(owned("Pod", name, DEPLOYMENT, metadata=metadata, status=status))

    async def look(self, **counters: float | Exception) -> dict[str, int]:
        self.counters |= counters
        self.sampler.tick()
        await self.sampler.settle()
        self.clock.seconds += 5
        return {revision: figures.calls for revision, figures in self.sampler.windows(DEPLOYMENT).items()}


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.pod("s1", "s")
    bench.pod("c1", "c")
    return bench


async def test_the_first_look_is_the_baseline_and_later_ones_count_from_it(bench: Bench) -> None:
    assert dict(bench.sampler.windows(DEPLOYMENT)) == {}
    assert await bench.look(s1=100, c1=7) == {"s": 0, "c": 0}
    assert await bench.look(s1=130, c1=9) == {"s": 30, "c": 2}
    assert bench.looked == [KEY, KEY]


async def test_a_look_waits_for_its_interval(bench: Bench) -> None:
    await bench.look(s1=1, c1=1)
    bench.clock.seconds -= 1
    bench.sampler.tick()
    await bench.sampler.settle()
    assert len(bench.looked) == 1


async def test_a_failed_scrape_is_no_data(bench: Bench) -> None:
    await bench.look(s1=100, c1=TimeoutError())
    assert dict(bench.sampler.windows(DEPLOYMENT)).keys() == {"s"}
    assert len(bench.sampler.windows(DEPLOYMENT)["s"].looks) == 1
    assert await bench.look(s1=110, c1=50) == {"s": 10, "c": 0}, "an old pod counts from its first reading"
    assert await bench.look(s1=TimeoutError(), c1=55) == {"s": 10, "c": 5}


async def test_a_pod_born_in_the_window_counts_from_zero_and_a_gone_one_stays_counted(bench: Bench) -> None:
    await bench.look(s1=100, c1=0)
    bench.pod("c2", "c", created="2026-06-01T00:00:10Z")
    assert await bench.look(s1=100, c1=4, c2=6) == {"s": 0, "c": 10}
    bench.store.remove(ObjectKey("Pod", "ns", "c1"), "uid-Pod-c1")
    assert await bench.look(s1=100, c2=7) == {"s": 0, "c": 11}


async def test_a_new_window_begins_at_zero_and_none_keeps_nothing(bench: Bench) -> None:
    await bench.look(s1=100, c1=0)
    await bench.look(s1=150, c1=5)
    bench.window = Window("second")
    assert dict(bench.sampler.windows(DEPLOYMENT)) == {}, "the old window's figures are not the new one's"
    assert await bench.look(s1=160, c1=6) == {"s": 0, "c": 0}
    bench.window = None
    await bench.look()
    bench.window = Window("second")
    assert dict(bench.sampler.windows(DEPLOYMENT)) == {}


async def test_only_ready_pods_of_the_two_revisions_are_asked(bench: Bench) -> None:
    bench.pod("s2", "s", ready=False)
    bench.pod("x1", "other")
    assert await bench.look(s1=1, c1=1, s2=AssertionError(), x1=AssertionError()) == {"s": 0, "c": 0}


async def test_both_revisions_have_the_same_looks(bench: Bench) -> None:
    await bench.look(s1=100, c1=TimeoutError())
    await bench.look(s1=110, c1=50)
    await bench.look(s1=115, c1=52)
    windows = bench.sampler.windows(DEPLOYMENT)
    assert [look.calls for look in windows["s"].looks] == [0, 10, 5]
    assert [look.calls for look in windows["c"].looks] == [0, 0, 2]


async def test_a_pod_s_first_calls_do_not_count(bench: Bench) -> None:
    bench.put(WARMED)
    bench.pod("c2", "c", created="2026-06-01T00:00:01Z", since="2026-06-01T00:00:02Z")
    assert await bench.look(s1=100, c1=0, c2=AssertionError()) == {"s": 0, "c": 0}
    assert await bench.look(s1=100, c1=0, c2=AssertionError()) == {"s": 0, "c": 0}
    await bench.look(s1=100, c1=0, c2=AssertionError())
    assert await bench.look(s1=100, c1=0, c2=500) == {"s": 0, "c": 0}
    assert await bench.look(s1=100, c1=0, c2=507) == {"s": 0, "c": 7}


async def test_a_restarted_pod_warms_up_anew(bench: Bench) -> None:
    bench.put(WARMED)
    await bench.look(s1=100, c1=50)
    assert await bench.look(s1=100, c1=60) == {"s": 0, "c": 10}
    bench.pod("c1", "c", since="2026-06-01T00:00:11Z")
    assert await bench.look(s1=100, c1=AssertionError()) == {"s": 0, "c": 10}
    await bench.look(s1=100, c1=AssertionError())
    await bench.look(s1=100, c1=AssertionError())
    assert await bench.look(s1=100, c1=900) == {"s": 0, "c": 10}
    assert await bench.look(s1=100, c1=903) == {"s": 0, "c": 13}
