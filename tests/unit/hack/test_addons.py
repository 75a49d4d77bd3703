"""The add-ons' manifests and values."""

import json
from pathlib import Path

import pytest
import yaml

from hack.cluster import addons
from hack.cluster.addons import Addons, Chart
from hack.cluster.system_images import SystemImages

IMAGES = SystemImages(
    node="docker.io/shoal/node:1",
    envoy_gateway="docker.io/shoal/envoy-gateway:1",
    metrics_server="docker.io/shoal/metrics-server:1",
    versitygw="docker.io/shoal/versitygw:1",
    envoy="docker.io/envoyproxy/envoy:1",
    pause="docker.io/shoal/pause:1",
)


def containers(text: str) -> list[dict[str, object]]:
    pods = [document["spec"]["template"]["spec"] for document in yaml.safe_load_all(text) if kind(document)]
    return [entry for pod in pods for entry in (*pod.get("initContainers", []), *pod["containers"])]


def kind(document: dict[str, object]) -> bool:
    return document["kind"] == "Deployment"


def test_manifests_take_their_images_and_never_pull_what_is_there() -> None:
    dns = addons.render("coredns.yaml", node_image=IMAGES.node, dns_address="10.96.0.10")
    store = addons.render("s3.yaml", versitygw_image=IMAGES.versitygw, access_key="a", secret_key="b")
    found = containers(dns) + containers(store)
    assert [entry["image"] for entry in found] == [IMAGES.node, IMAGES.versitygw, IMAGES.versitygw]
    assert {entry["imagePullPolicy"] for entry in found} == {"IfNotPresent"}


def test_a_forgotten_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="node_image"):
        addons.render("coredns.yaml", dns_address="10.96.0.10")


@pytest.mark.parametrize("image", [None, IMAGES.envoy])
def test_the_gateway_class_names_an_image_only_where_there_is_no_registry(image: str | None) -> None:
    proxy, gateway_class = yaml.safe_load_all(addons.gateway_class(image))
    container = proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"]["container"]
    assert container.get("image") == image
    assert gateway_class["spec"]["parametersRef"]["name"] == proxy["metadata"]["name"]


def test_all_images_of_envoy_gateway_are_ours_where_there_is_no_registry() -> None:
    ours, released = addons.envoy_gateway_values(IMAGES), addons.envoy_gateway_values(None)
    assert ours["global"]["images"]["envoyGateway"]["image"] == IMAGES.envoy_gateway
    assert IMAGES.envoy_gateway in json.dumps(ours["config"])
    assert "image" not in json.dumps(released)


def test_the_metrics_image_is_split_into_what_the_chart_asks_for() -> None:
    values = addons.metrics_server_values(IMAGES)
    assert values["image"] == {"repository": "docker.io/shoal/metrics-server", "tag": "1"}
    assert "image" not in addons.metrics_server_values(None)


def test_the_fingerprint_changes_with_values_and_manifests() -> None:
    def fingerprint(values: dict[str, object], manifest: str) -> str:
        charts = (Chart("r", "n", ("c",), values),)
        return Addons(("k",), ("h",), charts, (manifest,), (), (), Path("/stamp")).fingerprint()

    assert fingerprint({"a": 1}, "m") == fingerprint({"a": 1}, "m")
    assert len({fingerprint({"a": 1}, "m"), fingerprint({"a": 2}, "m"), fingerprint({"a": 1}, "n")}) == 3
