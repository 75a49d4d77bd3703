from typing import Any

import pytest

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.core.plan import Adjust, Emit, Finalize, Label
from shoal_operator.errors import ApiError, Conflict, LeaseLost
from shoal_operator.runtime.gateway import AioGateway
from shoal_operator.runtime.resources import SERVICE
from shoal_operator.runtime.store import Store
from tests.unit.runtime.fakes import FakeApi, ManualClock, raw

OWNER = ObjectKey("ClusteringDeployment", "ns", "owner")
KEY = ObjectKey("Service", "ns", "pool")
PATH = SERVICE.path("ns", "pool")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def gateway(api: FakeApi, store: Store, clock: ManualClock) -> AioGateway:
    return AioGateway(api, store, lambda: 5.0, clock)


def manifest(**spec: Any) -> dict[str, Any]:
    labels = {names.MANAGED_BY: names.MANAGER}
    metadata = {"name": "pool", "namespace": "ns", "labels": labels, "ownerReferences": [{"uid": "owner-uid"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


async def test_an_unchanged_object_is_applied_once(gateway: AioGateway, api: FakeApi) -> None:
    for _ in range(3):
        await gateway.apply(OWNER, manifest(a=1))
    assert api.writes() == [("PATCH", PATH)]


async def test_a_new_manifest_a_foreign_change_and_a_resync_are_applied(
    gateway: AioGateway, api: FakeApi, store: Store
) -> None:
    await gateway.apply(OWNER, manifest(a=1))
    await gateway.apply(OWNER, manifest(a=2))
    api.objects[PATH]["spec"] = {"a": 3}
    api.objects[PATH]["metadata"]["resourceVersion"] = "900"
    store.put(api.objects[PATH], SERVICE)
    await gateway.apply(OWNER, manifest(a=2))
    gateway.forget(OWNER)
    await gateway.apply(OWNER, manifest(a=2))
    assert len(api.writes()) == 4


async def test_a_change_of_status_alone_sends_nothing(gateway: AioGateway, api: FakeApi, store: Store) -> None:
    await gateway.apply(OWNER, manifest(a=1))
    api.writes()
    store.put({**api.objects[PATH], "status": {"ready": 1}}, SERVICE)
    await gateway.apply(OWNER, manifest(a=1))
    assert api.writes() == []


async def test_an_object_that_was_deleted_is_applied_again(gateway: AioGateway, api: FakeApi, store: Store) -> None:
    await gateway.apply(OWNER, manifest(a=1))
    store.remove(KEY, api.objects.pop(PATH)["metadata"]["uid"])
    api.writes()
    await gateway.apply(OWNER, manifest(a=1))
    assert api.writes() == [("PATCH", PATH)]


@pytest.mark.parametrize(
    "existing",
    [
        raw("Service", "pool"),
        raw(
            "Service",
            "pool",
            metadata={"labels": {names.MANAGED_BY: names.MANAGER}, "ownerReferences": [{"uid": "another"}]},
        ),
    ],
    ids=["a stranger's", "a deleted namesake's"],
)
async def test_an_object_that_is_not_ours_is_neither_seized_nor_taken_for_ours(
    gateway: AioGateway, api: FakeApi, existing: dict[str, Any]
) -> None:
    api.objects[PATH] = existing
    with pytest.raises(ApiError, match="NameTaken"):
        await gateway.apply(OWNER, manifest(a=1))
    with pytest.raises(ApiError, match="NameTaken"):
        await gateway.create(manifest(a=1))
    assert api.objects[PATH] is existing


class Allocating(FakeApi):
    """Refuses cluster IPs that are taken, as the API server does."""

    taken: str = ""

    async def request(self, method: str, path: str, **parts: Any) -> dict[str, Any]:
        address = ((parts.get("body") or {}).get("spec") or {}).get("clusterIP")
        if address and address == self.taken:
            self.requests.append((method, path))
            why = f'spec.clusterIPs: Invalid value: ["{address}"]: failed to allocate IP {address}: already allocated'
            raise ApiError(422, "Invalid", f'Service "pool" is invalid: {why}')
        return await super().request(method, path, **parts)


@pytest.mark.parametrize(("taken", "after"), [("", "10.96.0.7"), ("10.96.0.7", None)], ids=["free", "taken"])
async def test_a_service_that_was_deleted_comes_back_where_its_clients_call_it_if_it_can(
    store: Store, clock: ManualClock, taken: str, after: str | None
) -> None:
    api = Allocating()
    gateway = AioGateway(api, store, lambda: 5.0, clock)
    await gateway.apply(OWNER, manifest(a=1))
    api.objects[PATH]["spec"]["clusterIP"] = "10.96.0.7"
    store.put(api.objects[PATH], SERVICE)
    await gateway.apply(OWNER, manifest(a=1))
    api.taken = taken
    store.remove(KEY, api.objects.pop(PATH)["metadata"]["uid"])
    api.writes()
    await gateway.apply(OWNER, manifest(a=1))
    assert api.writes() == [("PATCH", PATH)] * (2 if taken else 1)
    assert api.objects[PATH]["spec"] == {"a": 1, **({"clusterIP": after} if after else {})}
    await gateway.apply(OWNER, manifest(a=1))
    assert api.writes() == []


async def test_nothing_is_written_without_the_lease(api: FakeApi, store: Store) -> None:
    def fence() -> float:
        raise LeaseLost("gone")

    gateway = AioGateway(api, store, fence)
    with pytest.raises(LeaseLost):
        await gateway.apply(OWNER, manifest(a=1))
    with pytest.raises(LeaseLost):
        await gateway.delete(KEY, "uid")
    with pytest.raises(LeaseLost):
        await gateway.emit(raw("ClusteringModel"), Emit("Normal", "Trained", "x"))
    assert api.writes() == []


async def test_the_answers_to_writes_are_in_the_store_at_once(gateway: AioGateway, store: Store) -> None:
    await gateway.create(manifest(a=1))
    created = store.get(KEY)
    assert created is not None
    await gateway.label(Label(KEY, created["metadata"]["uid"], {"x": "1"}))
    labelled = store.get(KEY)
    assert labelled is not None
    assert labelled["metadata"]["labels"]["x"] == "1"


async def test_events_within_five_seconds_are_one_and_later_ones_are_counted(
    gateway: AioGateway, api: FakeApi, clock: ManualClock
) -> None:
    event = Emit("Warning", "RolledBack", "Errors rose.")
    await gateway.emit(raw("ClusteringDeployment"), event)
    await gateway.emit(raw("ClusteringDeployment"), event)
    clock.seconds += 6
    await gateway.emit(raw("ClusteringDeployment"), event)
    (stored,) = api.objects.values()
    assert stored["count"] == 2
    assert stored["involvedObject"]["uid"] == "uid-ClusteringDeployment-one"


async def test_an_event_names_the_record_of_its_decision(gateway: AioGateway, api: FakeApi) -> None:
    event = Emit("Normal", "Promoted", "x" * 2000, record="one-1a2b-00007")
    await gateway.emit(raw("ClusteringDeployment"), event)
    (stored,) = api.objects.values()
    assert stored["message"].endswith("x (record: one-1a2b-00007)")
    assert len(stored["message"]) == 1024
    assert (stored["related"]["kind"], stored["related"]["name"]) == ("ClusteringDecision", "one-1a2b-00007")


async def test_a_missing_secret_is_asked_for_again_soon_and_a_found_one_late(
    gateway: AioGateway, api: FakeApi, clock: ManualClock
) -> None:
    assert not await gateway.secret_exists("ns", "s")
    api.objects["/api/v1/namespaces/ns/secrets/s"] = raw("Secret", "s")
    assert not await gateway.secret_exists("ns", "s")
    clock.seconds += 2.1
    assert await gateway.secret_exists("ns", "s")
    clock.seconds += 20
    assert await gateway.secret_exists("ns", "s")
    assert len(api.requests) == 2


async def test_a_cron_job_is_remembered_for_some_seconds_and_a_missing_one_for_fewer(
    gateway: AioGateway, api: FakeApi, clock: ManualClock
) -> None:
    assert await gateway.find_cron_job("ns", "c") is None
    api.objects["/apis/batch/v1/namespaces/ns/cronjobs/c"] = {"metadata": {"name": "c"}}
    assert await gateway.find_cron_job("ns", "c") is None
    clock.seconds += 2.1
    assert await gateway.find_cron_job("ns", "c") == {"metadata": {"name": "c"}}
    clock.seconds += 9
    await gateway.find_cron_job("ns", "c")
    assert len(api.requests) == 2
    clock.seconds += 2
    await gateway.find_cron_job("ns", "c")
    assert len(api.requests) == 3


async def test_fields_of_a_spec_are_merged_and_the_rest_stays(gateway: AioGateway, api: FakeApi) -> None:
    await gateway.create(manifest(a=1, b=2))
    uid = api.objects[PATH]["metadata"]["uid"]
    await gateway.adjust(Adjust(KEY, uid, {"b": 3}))
    assert api.objects[PATH]["spec"] == {"a": 1, "b": 3}
    with pytest.raises(Conflict):
        await gateway.adjust(Adjust(KEY, "another", {"b": 4}))
    await gateway.delete(KEY, uid)
    await gateway.adjust(Adjust(KEY, uid, {"b": 4}))


async def test_an_object_that_goes_with_its_last_finalizer_does_not_stay_in_the_store(
    gateway: AioGateway, api: FakeApi, store: Store
) -> None:
    await gateway.create(manifest(a=1))
    uid, version = (api.objects[PATH]["metadata"][name] for name in ("uid", "resourceVersion"))
    held = await gateway.finalize(Finalize(KEY, uid, ("theirs", "ours")), version)
    assert held is not None
    assert store.get(KEY)["metadata"]["finalizers"] == ["theirs", "ours"]  # type: ignore[index]
    with pytest.raises(Conflict):
        await gateway.finalize(Finalize(KEY, uid, ()), version)
    api.objects[PATH]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    # The watch is faster than the answer.
    store.remove(KEY, uid)
    await gateway.finalize(Finalize(KEY, uid, ()), held)
    assert store.get(KEY) is None
