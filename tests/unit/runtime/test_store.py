from typing import Any

import pytest

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.runtime import resources
from shoal_operator.runtime.resources import BY_KIND
from shoal_operator.runtime.store import Link, Store, key_of
from tests.unit.runtime.fakes import owned, raw


def task(kind: str, name: str) -> dict[str, Any]:
    return raw(kind, name, metadata={"labels": {names.MANAGED_BY: names.MANAGER, names.TASK_OF: "serve"}})


def fill(*objects: dict[str, Any]) -> Store:
    store = Store()
    for item in objects:
        store.put(item, BY_KIND[item["kind"]])
    return store


MODEL = raw("ClusteringModel", "cities")
SERVING = raw("ClusteringDeployment", "serve", spec={"modelRef": {"name": "cities"}})
MEMBER = raw("ClusteringDeployment", "berlin", spec={"modelRef": {"name": "rivers"}, "group": {"name": "eu"}})
WAITING = raw("ClusteringBatch", "nightly", spec={"modelRef": {"name": "cities"}})
LIVE = raw("ClusteringBatch", "live", spec={"deploymentRef": {"name": "serve"}}, status={"pinned": {"model": "cities"}})


def test_a_record_never_goes_back_to_an_older_version() -> None:
    store = fill(raw("Service", metadata={"resourceVersion": "10"}, spec={"new": True}))
    assert not store.put(raw("Service", metadata={"resourceVersion": "9"}), resources.SERVICE)
    assert store.put(raw("Service", metadata={"resourceVersion": "11"}), resources.SERVICE)


def test_a_distrusted_record_is_replaced_by_whatever_comes_next() -> None:
    store = fill(raw("Service", metadata={"resourceVersion": "10"}))
    store.distrust(ObjectKey("Service", "ns", "one"))
    assert store.put(raw("Service", metadata={"resourceVersion": "3"}), resources.SERVICE)
    assert not store.put(raw("Service", metadata={"resourceVersion": "2"}), resources.SERVICE)


def test_only_the_object_with_that_uid_is_removed() -> None:
    store = fill(raw("Service", uid="new"))
    key = ObjectKey("Service", "ns", "one")
    store.remove(key, "old")
    assert store.get(key) is not None
    store.remove(key, "new")
    assert store.get(key) is None
    assert store.of_kind("Service") == ()


def test_records_are_slim() -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "1"}
    store = fill(raw("Pod", metadata={"managedFields": [1], "annotations": annotations}, spec={"containers": []}))
    record = store.of_kind("Pod")[0]
    assert "managedFields" not in record["metadata"]
    assert record["metadata"]["annotations"] == {"kept": "1"}
    assert "spec" not in record


def test_of_a_deployment_it_is_known_which_other_programs_wrote_it() -> None:
    ours, theirs = {"manager": "shoal-operator"}, {"manager": "shoal-cli", "fieldsV1": {}}
    store = fill(raw("ClusteringDeployment", metadata={"managedFields": [ours, theirs]}))
    assert store.of_kind("ClusteringDeployment")[0]["metadata"]["managedFields"] == [theirs]


def test_of_a_pools_managers_those_stay_that_set_its_number_of_pods() -> None:
    scaler = {"manager": "kube-controller-manager", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    others = [{"manager": "shoal-operator", "fieldsV1": {"f:spec": {"f:replicas": {}}}}, {"manager": "kubectl"}]
    store = fill(raw("Deployment", metadata={"managedFields": [scaler, *others]}))

    assert store.of_kind("Deployment")[0]["metadata"]["managedFields"] == [scaler]


def test_of_a_decision_only_that_it_is_there_is_known() -> None:
    store = fill(raw("ClusteringDecision", spec={"gates": [{}] * 64}))
    assert "spec" not in store.of_kind("ClusteringDecision")[0]


def test_a_link_follows_the_object() -> None:
    store = fill(SERVING)
    moved = raw(
        "ClusteringDeployment",
        "serve",
        metadata={"resourceVersion": "2"},
        spec={"modelRef": {"name": "rivers"}},
    )
    store.put(moved, resources.CLUSTERING_DEPLOYMENT)
    assert store.linked("ClusteringDeployment", Link("model", "ns", "cities")) == ()
    assert len(store.linked("ClusteringDeployment", Link("model", "ns", "rivers"))) == 1


@pytest.mark.parametrize(
    ("changed", "concerned"),
    [
        (owned("Deployment", "serve-1", SERVING), ["serve"]),
        (owned("Pod", "serve-1-x", SERVING, metadata={"labels": {names.MODEL: "cities"}}), ["serve"]),
        (owned("ClusteringDecision", "serve-1a2b-00001", SERVING), ["serve"]),
        (owned("Job", "cities-train-1", MODEL), ["cities"]),
        (owned("Pod", "cities-train-1-x", MODEL), ["cities"]),
        (MODEL, ["cities", "serve", "nightly"]),
        (
            raw("ClusteringModelVersion", "cities-v1", spec={"modelRef": {"name": "cities"}}),
            ["cities-v1", "cities", "serve", "nightly"],
        ),
        (raw("Gateway", "public"), ["routed"]),
        (SERVING, ["serve", "live", "cities"]),
        (owned("Pod", "nightly-shard-x", WAITING), ["nightly"]),
        (WAITING, ["nightly"]),
        (LIVE, ["live", "cities"]),
        (task("Job", "serve-task-1"), ["serve"]),
        (task("Pod", "serve-task-1-x"), ["serve"]),
        (MEMBER, ["berlin", "paris"]),
        (raw("Pod", "stranger"), []),
        (owned("Pod", "elsewhere", raw("ClusteringDeployment", "serve", "other")), []),
    ],
    ids=lambda value: value["kind"] + " " + value["metadata"]["name"] if isinstance(value, dict) else None,
)
def test_a_change_concerns_its_owner_and_whoever_refers_to_it(changed: dict[str, Any], concerned: list[str]) -> None:
    routed = raw("ClusteringDeployment", "routed", spec={"traffic": {"gateway": {"name": "public"}}})
    elsewhere = raw("ClusteringDeployment", "rome", "other", spec={"group": {"name": "eu"}})
    paris = raw("ClusteringDeployment", "paris", spec={"group": {"name": "eu"}})
    store = fill(MODEL, SERVING, routed, WAITING, LIVE, MEMBER, paris, elsewhere)
    assert [key.name for key in store.owners_of(changed)] == concerned


def test_a_name_too_long_for_a_label_is_found_by_its_children() -> None:
    owner = raw("ClusteringDeployment", "x" * 80)
    child = owned("Service", "s", owner)
    store = fill(owner, child)
    assert list(store.owners_of(child)) == [key_of(owner)]


def test_malformed_references_are_no_links() -> None:
    store = fill(raw("ClusteringDeployment", "odd", spec={"modelRef": "text", "traffic": None}))
    assert [key.name for key in store.owners_of(store.of_kind("ClusteringDeployment")[0])] == ["odd"]
