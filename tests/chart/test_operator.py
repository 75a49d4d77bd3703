"""The operator's Deployment and what stands around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from shoal_operator.settings import PREFIX, Settings, load
from tests.chart.conftest import CHART, Rendered

VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]


def container(rendered: Rendered) -> dict[str, Any]:
    (only,) = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    return only


def environment(rendered: Rendered) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container(rendered)["env"]}


def test_the_pod_keeps_the_restricted_pod_security_standard(render: Callable[..., Rendered]) -> None:
    rendered = render()
    pod = rendered.one("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(rendered)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {*pod["volumes"][0]} == {"name", "emptyDir"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & {*pod}


def test_images_default_to_the_charts_version(render: Callable[..., Rendered]) -> None:
    rendered = render()
    assert container(rendered)["image"] == f"docker.io/shoal/operator:{VERSION}"
    assert environment(rendered)["SHOAL_OPERATOR_WORKER_IMAGE"] == f"docker.io/shoal/worker:{VERSION}"


def test_images_can_be_set(render: Callable[..., Rendered]) -> None:
    rendered = render("operator.image.tag=abc", "worker.image.repository=registry.test/worker", "worker.image.tag=def")
    assert container(rendered)["image"] == "docker.io/shoal/operator:abc"
    assert environment(rendered)["SHOAL_OPERATOR_WORKER_IMAGE"] == "registry.test/worker:def"


def test_every_variable_is_a_setting_that_the_operator_knows(render: Callable[..., Rendered]) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    told = set(environment(render()))
    assert told - known == {"POD_ID"}, "kopf's, not ours"


def test_the_operator_accepts_what_the_chart_tells_it(
    render: Callable[..., Rendered], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = environment(render("rbac.scope=namespaced", "rbac.watchNamespaces={team-a,team-b}"))
    told |= {"SHOAL_OPERATOR_IDENTITY": "pod", "SHOAL_OPERATOR_LEASE_NAMESPACE": "shoal-system"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.watch_namespaces == ("team-a", "team-b")
    assert settings.store_uri == "file:///var/lib/shoal/store"
    assert settings.store_claim_name == "shoal-store"
    assert settings.store_secret_name is None


def test_probes_and_metrics_have_their_ports(render: Callable[..., Rendered]) -> None:
    rendered = render()
    ports = {port["name"]: port["containerPort"] for port in container(rendered)["ports"]}
    assert ports == {"metrics": 8080, "probes": 8081}
    assert container(rendered)["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "probes"}
    assert container(rendered)["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "probes"}
    service = rendered.one("Service")
    labels = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_a_standby_brings_a_disruption_budget(render: Callable[..., Rendered]) -> None:
    assert render().of("PodDisruptionBudget") == []
    rendered = render("operator.replicas=2")
    assert rendered.one("PodDisruptionBudget")["spec"]["minAvailable"] == 1
    assert rendered.one("Deployment")["spec"]["replicas"] == 2


def test_the_network_policy_lets_in_metrics_and_probes_only(render: Callable[..., Rendered]) -> None:
    assert render().of("NetworkPolicy") == []
    spec = render("networkPolicy.enabled=true").one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert [port["port"] for port in spec["ingress"][0]["ports"]] == ["metrics", "probes"]


def test_the_default_store_is_a_claim_that_outlives_the_release(render: Callable[..., Rendered]) -> None:
    claim = render().one("PersistentVolumeClaim")
    assert claim["metadata"]["name"] == "shoal-store"
    assert claim["metadata"]["namespace"] == "shoal-system"
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert "storageClassName" not in claim["spec"]


@pytest.mark.parametrize(
    ("settings", "namespaces"),
    [
        (("store.claim.namespaces={default,team-a}",), ["default", "team-a"]),
        (("rbac.scope=namespaced", "rbac.watchNamespaces={team-a,team-b}"), ["team-a", "team-b"]),
    ],
)
def test_there_is_a_claim_in_each_namespace_that_is_used(
    render: Callable[..., Rendered], settings: tuple[str, ...], namespaces: list[str]
) -> None:
    claims = render(*settings).of("PersistentVolumeClaim")
    assert [claim["metadata"]["namespace"] for claim in claims] == namespaces


def test_an_object_store_needs_no_claim(render: Callable[..., Rendered]) -> None:
    rendered = render("store.uri=s3://models/shoal", "store.secretName=store-credentials")
    assert rendered.of("PersistentVolumeClaim") == []
    told = environment(rendered)
    assert told["SHOAL_OPERATOR_STORE_URI"] == "s3://models/shoal"
    assert told["SHOAL_OPERATOR_STORE_SECRET_NAME"] == "store-credentials"
    assert told["SHOAL_OPERATOR_STORE_CLAIM_NAME"] == ""


def test_two_releases_do_not_meet(render: Callable[..., Rendered]) -> None:
    def names(rendered: Rendered) -> set[tuple[str, str]]:
        return {(m["kind"], m["metadata"]["name"]) for m in rendered if m["kind"] != "CustomResourceDefinition"}

    assert names(render(name="one")).isdisjoint(names(render(name="two")))
