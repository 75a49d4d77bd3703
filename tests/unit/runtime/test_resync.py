from typing import Any

import pytest

from shoal_operator.api.meta import ObjectKey
from shoal_operator.errors import NotFound
from shoal_operator.runtime.resources import BY_KIND, WATCHED
from shoal_operator.runtime.resync import Resync
from shoal_operator.runtime.store import Store
from tests.unit.runtime.fakes import ManualClock, owned, raw

OWNER = raw("ClusteringDeployment", "serve")
CHILD = owned("Service", "child", OWNER)


class ListApi:
    """Answers lists from what it is given, one object a page."""

    def __init__(self, *objects: dict[str, Any], gateway: bool = False) -> None:
        self.objects = list(objects)
        self.gateway = gateway

    async def request(self, method: str, path: str, *, query: Any = None, **_: Any) -> dict[str, Any]:
        if path == "/apis/gateway.networking.k8s.io/v1":
            if not self.gateway:
                raise NotFound(404, "NotFound", path)
            return {"resources": [{"name": "grpcroutes"}]}
        found = [item for item in self.objects if path == BY_KIND[item["kind"]].path("ns")]
        index = int(query.get("continue", 0))
        following = {"continue": str(index + 1)} if index + 1 < len(found) else {}
        return {"items": found[index : index + 1], "metadata": following}


class Bench:
    def __init__(self, api: ListApi, *known: dict[str, Any]) -> None:
        self.store = Store()
        for item in known:
            self.store.put(item, BY_KIND[item["kind"]])
        self.enqueued: list[tuple[str, float]] = []
        self.restarts = 0
        self.clock = ManualClock()
        self.resync = Resync(api, self.store, ("ns",), self.enqueue, self.restart, 60, self.clock)

    def enqueue(self, key: ObjectKey, after: float) -> None:
        self.enqueued.append((key.name, after))

    def restart(self) -> None:
        self.restarts += 1


async def test_every_object_is_enqueued_within_half_the_period() -> None:
    others = [raw("ClusteringModel", f"m{number}") for number in range(5)]
    bench = Bench(ListApi(OWNER, *others), OWNER, *others)
    await bench.resync.round()
    assert {name for name, _ in bench.enqueued} == {"serve", "m0", "m1", "m2", "m3", "m4"}
    assert all(0 <= after < 30 for _, after in bench.enqueued)
    assert len({after for _, after in bench.enqueued}) == 6
    assert bench.restarts == 0


async def test_an_object_that_was_deleted_unseen_is_dropped_and_its_owner_comes_at_once() -> None:
    bench = Bench(ListApi(OWNER), OWNER, CHILD)
    await bench.resync.round()
    assert bench.store.of_kind("Service") == ()
    assert ("serve", 0.0) in bench.enqueued


async def test_a_namesake_with_another_uid_is_not_taken_for_the_known_object() -> None:
    reborn = owned("Service", "child", OWNER, uid="reborn", metadata={"resourceVersion": "5"})
    bench = Bench(ListApi(OWNER, reborn), OWNER, CHILD)
    await bench.resync.round()
    assert bench.store.of_kind("Service") == ()


async def test_a_watch_that_stays_behind_is_started_anew_and_shows_its_age() -> None:
    newer = owned("Service", "child", OWNER, metadata={"resourceVersion": "7"})
    bench = Bench(ListApi(OWNER, newer), OWNER, CHILD)
    await bench.resync.round()
    assert (bench.restarts, bench.resync.behind_since) == (0, None), "it may be just about to tell"
    bench.clock.seconds += 60
    await bench.resync.round()
    assert (bench.restarts, bench.resync.behind_since) == (1, bench.clock.seconds)
    bench.store.put(newer, BY_KIND["Service"])
    await bench.resync.round()
    assert bench.resync.behind_since is None


async def test_an_installed_gateway_api_is_noticed_once() -> None:
    api = ListApi(OWNER)
    bench = Bench(api, OWNER)
    await bench.resync.discover()
    assert (bench.store.gateway_api_installed, bench.restarts) == (False, 0)
    api.gateway = True
    await bench.resync.discover()
    await bench.resync.discover()
    assert (bench.store.gateway_api_installed, bench.restarts) == (True, 1)
    assert bench.enqueued == [("serve", 0.0)]


@pytest.mark.parametrize("gateway", [False, True])
async def test_kinds_of_an_absent_api_are_not_listed(gateway: bool) -> None:
    asked: list[str] = []

    class Recorder(ListApi):
        async def request(self, method: str, path: str, **named: Any) -> dict[str, Any]:
            asked.append(path)
            return await super().request(method, path, **named)

    bench = Bench(Recorder())
    bench.store.gateway_api_installed = gateway
    await bench.resync.round()
    assert len(asked) == len(WATCHED) - (0 if gateway else 2)
