"""The chart on the real cluster: an upgrade does not disturb what is served; a release leaves behind what it should."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from hack.lab.install import SYSTEM_NAMESPACE, helm, install_chart
from hack.lab.kube import REPOSITORY, Kube, wait_for
from tests.e2e.scene import Scene

OPERATOR = "app.kubernetes.io/name=shoal,app.kubernetes.io/component=operator"


@pytest.fixture
def standby(kube: Kube) -> Iterator[None]:
    """Upgrade the release to two replicas, and back afterwards."""
    install_chart(kube, "operator.replicas=2")
    yield
    install_chart(kube)


@pytest.mark.alone
def test_an_upgrade_leaves_serving_pods_alone_and_the_next_leader_goes_on(scene: Scene, standby: None) -> None:
    scene.serve()
    before = scene.pod_uids(1)
    install_chart(scene.kube, "operator.replicas=2", "operator.logLevel=DEBUG")
    assert len(scene.kube.find("pods", SYSTEM_NAMESPACE, OPERATOR)) >= 2
    assert scene.kube.find("poddisruptionbudgets", SYSTEM_NAMESPACE)
    assert scene.pod_uids(1) == before
    scene.apply_model(eps=0.6)
    scene.await_version(2)
    scene.await_status(
        "version 2 to get its share",
        lambda status: status.get("candidate", {}).get("version") == 2 and status["weight"],
    )


def test_a_release_leaves_its_store_and_the_crds_behind(kube: Kube) -> None:
    """A second release without pods, in a namespace of its own, by the rights of that namespace only."""
    namespace = f"e2e-chart-{uuid.uuid4().hex[:8]}"
    kube.kubectl("create", "namespace", namespace)
    try:
        chart = str(REPOSITORY / "helm" / "shoal")
        values = (
            "crds.install=false",
            "operator.replicas=0",
            "rbac.scope=namespaced",
            f"rbac.watchNamespaces={{{namespace}}}",
            "rbac.userRoles=false",
        )
        flags = [part for value in values for part in ("--set", value)]
        notes = helm(kube, "install", "second", chart, "--namespace", namespace, *flags)
        assert f"serves the namespaces {namespace}" in notes
        account = f"system:serviceaccount:{namespace}:second-shoal"

        def may(verb: str, resource: str, where: str) -> bool:
            asked = ("auth", "can-i", verb, resource, "--as", account, "--namespace", where)
            return kube.kubectl(*asked, check=False).splitlines()[0] == "yes"

        assert wait_for("the rights", lambda: may("patch", "clusteringdeployments.shoal.dev", namespace), 10)
        assert may("get", "secrets", namespace)
        assert not may("list", "secrets", namespace)
        assert not may("get", "secrets", SYSTEM_NAMESPACE)
        helm(kube, "uninstall", "second", "--namespace", namespace)
        kept = kube.kubectl("get", "pvc,deployment,role", "--output", "name", "--namespace", namespace).split()
        assert kept == ["persistentvolumeclaim/second-shoal-store"]
        kube.kubectl("get", "crd", "clusteringdeployments.shoal.dev")
    finally:
        kube.kubectl("delete", "namespace", namespace, "--wait=false")
