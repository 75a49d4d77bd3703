"""AioGateway against a real API server: what its invariants rest on cannot be faked."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from hack.lab.kube import Kube
from shoal_operator.api.meta import ObjectKey
from shoal_operator.core.plan import Emit, Label
from shoal_operator.errors import ApiError, Conflict, LeaseLost, NamespaceGoing, NotFound
from shoal_operator.runtime.gateway import AioGateway
from shoal_operator.runtime.lease import Lease
from shoal_operator.runtime.resources import BUDGET, EVENT, GATEWAY, LEASE, SERVICE
from shoal_operator.runtime.store import Store
from shoal_operator.runtime.transport import ApiTransport, load_configuration


@dataclass
class Bench:
    """A gateway in a namespace of its own, and the requests that it made."""

    namespace: str
    transport: ApiTransport
    store: Store
    gateway: AioGateway
    requests: list[tuple[str, str]]

    @property
    def owner(self) -> ObjectKey:
        return ObjectKey("ClusteringDeployment", self.namespace, "owner")

    def service(self, name: str = "pool", **ports: int) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {"app.kubernetes.io/managed-by": "shoal"},
            },
            "spec": {
                "selector": {"app": "x"},
                "ports": [{"name": port, "port": number, "protocol": "TCP"} for port, number in ports.items()],
            },
        }

    async def read(self, name: str = "pool") -> dict[str, Any]:
        return await self.transport.request("GET", SERVICE.path(self.namespace, name))

    def writes(self) -> list[tuple[str, str]]:
        found = [request for request in self.requests if request[0] != "GET"]
        self.requests.clear()
        return found


@pytest_asyncio.fixture
async def bench(kube: Kube) -> AsyncIterator[Bench]:
    requests: list[tuple[str, str]] = []
    configuration = await load_configuration(str(kube.kubeconfig))
    transport = ApiTransport(configuration, lambda verb, code: requests.append((verb, code)))
    namespace = f"gateway-{uuid.uuid4().hex[:8]}"
    await transport.request(
        "POST",
        "/api/v1/namespaces",
        body={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
    )
    requests.clear()
    store = Store()
    try:
        yield Bench(namespace, transport, store, AioGateway(transport, store, lambda: 10.0), requests)
    finally:
        with contextlib.suppress(Conflict, NotFound):  # A test may have deleted it.
            await transport.request("DELETE", f"/api/v1/namespaces/{namespace}")
        await transport.close()


async def test_apply_creates_and_the_same_apply_again_sends_nothing(bench: Bench) -> None:
    await bench.gateway.apply(bench.owner, bench.service(grpc=8001))
    assert bench.writes() == [("PATCH", "201")]
    await bench.gateway.apply(bench.owner, bench.service(grpc=8001))
    assert bench.writes() == []


async def test_an_apply_that_is_sent_anew_changes_nothing(bench: Bench) -> None:
    await bench.gateway.apply(bench.owner, bench.service(grpc=8001))
    before = (await bench.read())["metadata"]["resourceVersion"]
    bench.gateway.forget(bench.owner)
    await bench.gateway.apply(bench.owner, bench.service(grpc=8001))
    assert (await bench.read())["metadata"]["resourceVersion"] == before


async def test_apply_removes_what_the_manifest_no_longer_says(bench: Bench) -> None:
    await bench.gateway.apply(bench.owner, bench.service(grpc=8001, metrics=8002))
    await bench.gateway.apply(bench.owner, bench.service(grpc=8001))
    assert [port["name"] for port in (await bench.read())["spec"]["ports"]] == ["grpc"]


async def test_apply_undoes_a_foreign_change_once_the_watch_tells_of_it(bench: Bench) -> None:
    await bench.gateway.apply(bench.owner, bench.service(grpc=8001))
    changed = await bench.transport.request(
        "PATCH",
        SERVICE.path(bench.namespace, "pool"),
        body={"spec": {"selector": {"app": "y"}}},
        content_type="application/merge-patch+json",
    )
    bench.store.put(changed, SERVICE)
    await bench.gateway.apply(bench.owner, bench.service(grpc=8001))
    assert (await bench.read())["spec"]["selector"] == {"app": "x"}


async def test_apply_leaves_somebody_elses_object_of_that_name_alone(bench: Bench) -> None:
    foreign = bench.service(grpc=1)
    del foreign["metadata"]["labels"]
    await bench.transport.request("POST", SERVICE.path(bench.namespace), body=foreign)
    with pytest.raises(ApiError, match="is not Shoal's; delete it, or choose another name") as caught:
        await bench.gateway.apply(bench.owner, bench.service(grpc=8001))
    assert caught.value.permanent
    assert (await bench.read())["spec"]["ports"][0]["port"] == 1


async def test_create_leaves_an_existing_object_as_it_is(bench: Bench) -> None:
    await bench.gateway.create(bench.service(grpc=8001))
    await bench.gateway.create(bench.service(grpc=9))
    assert (await bench.read())["spec"]["ports"][0]["port"] == 8001


async def test_delete_spares_a_namesake_with_another_uid(bench: Bench) -> None:
    await bench.gateway.create(bench.service(grpc=8001))
    key = ObjectKey("Service", bench.namespace, "pool")
    await bench.gateway.delete(key, str(uuid.uuid4()))
    uid = (await bench.read())["metadata"]["uid"]
    await bench.gateway.delete(key, uid)
    with pytest.raises(ApiError) as caught:
        await bench.read()
    assert caught.value.status == 404
    await bench.gateway.delete(key, uid)
    assert bench.store.get(key) is None


async def test_label_merges_removes_and_guards_by_uid_and_resource_version(bench: Bench) -> None:
    await bench.gateway.create(bench.service(grpc=8001))
    key = ObjectKey("Service", bench.namespace, "pool")
    metadata = (await bench.read())["metadata"]
    uid, stale = metadata["uid"], metadata["resourceVersion"]
    written = await bench.gateway.label(Label(key, uid, {"a": "1"}, {"b": "2"}), stale)
    assert written == (await bench.read())["metadata"]["resourceVersion"] != stale
    assert await bench.gateway.label(Label(key, uid, {"a": "1"})) is None, "nothing to change, nothing sent"
    with pytest.raises(Conflict):
        await bench.gateway.label(Label(key, uid, {"a": "2"}), stale)
    with pytest.raises(Conflict):
        await bench.gateway.label(Label(key, str(uuid.uuid4()), {"a": "2"}))
    await bench.gateway.label(Label(key, uid, {"a": None}))
    assert "a" not in (await bench.read())["metadata"]["labels"]
    gone = ObjectKey("Service", bench.namespace, "absent")
    assert await bench.gateway.label(Label(gone, uid, {"a": "1"})) is None


async def test_status_is_replaced_as_a_whole_and_a_stale_write_is_refused(bench: Bench) -> None:
    # A Gateway of no class has a status that nobody else writes; our own kinds are the installed operator's.
    gateway = await bench.transport.request(
        "POST",
        GATEWAY.path(bench.namespace),
        body={
            "apiVersion": GATEWAY.api_version,
            "kind": GATEWAY.kind,
            "metadata": {"name": "g"},
            "spec": {"gatewayClassName": "nobodys", "listeners": [{"name": "x", "port": 80, "protocol": "HTTP"}]},
        },
    )
    key, uid = ObjectKey("Gateway", bench.namespace, "g"), gateway["metadata"]["uid"]
    first = gateway["metadata"]["resourceVersion"]
    address = {"type": "IPAddress", "value": "192.0.2.1"}
    second = await bench.gateway.write_status(key, {"addresses": [address]}, uid, first)
    with pytest.raises(Conflict):
        await bench.gateway.write_status(key, {"addresses": []}, uid, first)
    await bench.gateway.write_status(key, {"conditions": []}, uid, second)
    stored = await bench.transport.request("GET", GATEWAY.path(bench.namespace, "g"))
    assert stored["status"] == {"conditions": []}
    assert stored["spec"]["gatewayClassName"] == "nobodys"
    assert stored["metadata"]["generation"] == 1


async def test_an_event_that_happens_again_is_counted_up(bench: Bench) -> None:
    await bench.gateway.apply(bench.owner, bench.service(grpc=8001))
    about = bench.store.get(ObjectKey("Service", bench.namespace, "pool"))
    assert about is not None
    event = Emit("Normal", "Promoted", "Version 2 serves.")
    await bench.gateway.emit(about, event)
    await bench.gateway.emit(about, event)
    restarted = AioGateway(bench.transport, bench.store, lambda: 10.0)
    await restarted.emit(about, event)
    events = (await bench.transport.request("GET", EVENT.path(bench.namespace)))["items"]
    assert [(item["reason"], item["count"]) for item in events] == [("Promoted", 2)]


async def test_a_secret_is_found_by_its_metadata_only(bench: Bench) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "hidden"}}
    assert not await bench.gateway.secret_exists(bench.namespace, "s")
    await bench.transport.request("POST", f"/api/v1/namespaces/{bench.namespace}/secrets", body=secret)
    fresh = AioGateway(bench.transport, bench.store, lambda: 10.0)
    assert await fresh.secret_exists(bench.namespace, "s")


async def test_a_refused_budget_says_which_field(bench: Bench) -> None:
    budget = {
        "apiVersion": BUDGET.api_version,
        "kind": BUDGET.kind,
        "metadata": {"name": "b", "namespace": bench.namespace},
        "spec": {"minAvailable": -1},
    }
    with pytest.raises(ApiError, match=r"spec\.minAvailable") as caught:
        await bench.gateway.apply(bench.owner, budget)
    assert caught.value.permanent


async def test_a_namespace_that_is_being_deleted_is_recognised(bench: Bench) -> None:
    held = bench.service("held", grpc=8001)
    held["metadata"]["finalizers"] = ["shoal.dev/test"]
    await bench.transport.request("POST", SERVICE.path(bench.namespace), body=held)
    await bench.transport.request("DELETE", f"/api/v1/namespaces/{bench.namespace}")
    try:
        with pytest.raises(NamespaceGoing):
            await bench.gateway.create(bench.service(grpc=8001))
    finally:
        await bench.transport.request(
            "PATCH",
            SERVICE.path(bench.namespace, "held"),
            body={"metadata": {"finalizers": None}},
            content_type="application/merge-patch+json",
        )


async def test_the_lease_passes_from_hand_to_hand(bench: Bench) -> None:
    first = Lease(bench.transport, bench.namespace, "shoal", "first")
    second = Lease(bench.transport, bench.namespace, "shoal", "second")
    with pytest.raises(LeaseLost):
        first.fence()
    assert await first.attempt()
    assert not await second.attempt()
    assert await first.attempt()
    assert first.fence() > 10
    await first.release()
    assert await second.attempt()
    with pytest.raises(LeaseLost):
        first.fence()
    lease = await bench.transport.request("GET", LEASE.path(bench.namespace, "shoal"))
    assert lease["spec"]["holderIdentity"] == "second"
    assert lease["spec"]["leaseTransitions"] == 2
