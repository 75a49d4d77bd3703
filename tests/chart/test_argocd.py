"""What the chart prints for Argo CD's own ConfigMap: every script, under the key that Argo CD looks for."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from tests.chart.conftest import CHART, Rendered

SCRIPTS = CHART / "argocd" / "shoal.dev"
PREFIX = "resource.customizations"


def printed(render: Callable[..., Rendered]) -> dict[str, str]:
    (found,) = [
        each for each in render("argocd.enabled=true").of("ConfigMap") if each["metadata"]["name"] == "argocd-cm"
    ]
    assert found["metadata"]["namespace"] == "argocd"
    assert found["metadata"]["labels"]["app.kubernetes.io/part-of"] == "argocd", "Argo CD reads no other"
    data: dict[str, str] = found["data"]
    return data


def test_a_release_has_nothing_of_it(render: Callable[..., Rendered]) -> None:
    assert render().of("ConfigMap") == []


def test_every_kinds_health_is_there_word_for_word(render: Callable[..., Rendered]) -> None:
    data = printed(render)
    kinds = {file.parent.name: file.read_text(encoding="utf-8") for file in SCRIPTS.glob("*/health.lua")}
    held = {key.rpartition("_")[2]: text for key, text in data.items() if key.startswith(f"{PREFIX}.health.shoal.dev_")}
    assert held == kinds


def test_every_action_is_there_word_for_word(render: Callable[..., Rendered]) -> None:
    data = printed(render)
    folders = {file.parents[1].name: file.parent for file in SCRIPTS.glob("*/actions/discovery.lua")}
    keys = {key for key in data if key.startswith(f"{PREFIX}.actions.")}
    assert keys == {f"{PREFIX}.actions.shoal.dev_{kind}" for kind in folders}
    for kind, folder in folders.items():
        actions = yaml.safe_load(data[f"{PREFIX}.actions.shoal.dev_{kind}"])
        assert actions["discovery.lua"] == (folder / "discovery.lua").read_text(encoding="utf-8")
        scripts = {file.parent.name: file.read_text(encoding="utf-8") for file in folder.glob("*/action.lua")}
        assert {item["name"]: item["action.lua"] for item in actions["definitions"]} == scripts


def test_replicas_of_an_autoscaler_are_no_drift(render: Callable[..., Rendered]) -> None:
    ignored = yaml.safe_load(printed(render)[f"{PREFIX}.ignoreDifferences.shoal.dev_ClusteringDeployment"])
    assert ignored == {"managedFieldsManagers": ["kube-controller-manager"]}


def test_it_goes_where_argo_cd_lives(render: Callable[..., Rendered]) -> None:
    rendered = render("argocd.enabled=true", "argocd.namespace=gitops")
    assert rendered.one("ConfigMap")["metadata"]["namespace"] == "gitops"
