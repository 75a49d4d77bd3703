"""What Git holds is applied again and again, by client and by server: nothing differs, and no spec is written to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from hack.lab.install import DATA_BUCKET, helm
from hack.lab.kube import REPOSITORY, Object, wait_for
from hack.lab.objects import build_deployment, build_model
from tests.e2e.scene import ANALYSIS, CANARY, HELD_CANARY, NAME, Scene, await_calls

OPERATOR = "shoal-operator"
CLIENT: tuple[str, ...] = ()
SERVER = ("--server-side", "--field-manager=argocd-controller", "--force-conflicts")


@dataclass(frozen=True)
class Git:
    """What is in Git, and how it is applied."""

    scene: Scene
    how: tuple[str, ...]

    def sync(self, *manifests: Object) -> None:
        """Apply manifests, and see that nothing is left to do."""
        self._kubectl("apply", *manifests)
        self.assert_synced(*manifests)

    def assert_synced(self, *manifests: Object) -> None:
        """See that a diff is empty, and that applying once more is no change of any spec."""
        before = self._generations()
        # kubectl reads twice, what is and what would be: a status that is written in between differs, for once.
        wait_for("a diff that is empty", lambda: not self._differs(*manifests), 10)
        self._kubectl("apply", *manifests)
        assert self._generations() == before

    def _differs(self, *manifests: Object) -> bool:
        try:
            self._kubectl("diff", *manifests)
        except RuntimeError as difference:
            print(difference)
            return True
        return False

    def _kubectl(self, verb: str, *manifests: Object) -> str:
        documents = "\n---\n".join(json.dumps(each) for each in manifests)
        namespace = ("--namespace", self.scene.namespace)
        return self.scene.kube.kubectl(verb, *namespace, *self.how, "--filename", "-", stdin=documents)

    def _generations(self) -> list[int]:
        kinds = ("clusteringmodels", "clusteringdeployments")
        things = [thing for kind in kinds for thing in self.scene.kube.find(kind, self.scene.namespace)]
        return [thing["metadata"]["generation"] for thing in things]


def model(eps: float, columns: tuple[str, ...] = ("x", "y")) -> Object:
    uri = f"s3://{DATA_BUCKET}/e2e/blobs.parquet"
    return build_model(NAME, uri, columns=list(columns), eps=eps, minSamples=5)


def deployment(strategy: Object, **spec: Any) -> Object:
    return build_deployment(NAME, NAME, strategy=strategy, **{"analysis": ANALYSIS, **spec})


def fields_of(thing: Object, manager: str) -> set[str]:
    """Return the top fields of an object that a manager has written, annotations by their names."""
    written: set[str] = set()
    for entry in thing["metadata"]["managedFields"]:
        if entry["manager"] == manager:
            fields = entry["fieldsV1"]
            written |= {name.removeprefix("f:") for name in fields if name != "f:metadata"}
            written |= {f"metadata.{name.removeprefix('f:')}" for name in fields.get("f:metadata", {})}
    return written


@pytest.mark.parametrize("how", [CLIENT, SERVER], ids=["client-side", "server-side"])
def test_nothing_differs_from_git_all_through_a_rollout(scene: Scene, how: tuple[str, ...]) -> None:
    git = Git(scene, how)
    # Nobody calls, so there is nothing to judge by.
    endpoint = deployment(CANARY, analysis={**ANALYSIS, "onInconclusive": "Proceed"})
    git.sync(model(0.5), endpoint)
    scene.await_stable(1)
    git.assert_synced(model(0.5), endpoint)
    git.sync(model(0.6), endpoint)
    moments: dict[str, Callable[[Object], Any]] = {
        "a candidate": lambda status: (status.get("candidate") or {}).get("version") == 2,
        "the first weight": lambda status: status.get("actualWeight", 0) > 0,
        "the second weight": lambda status: status.get("weight", 0) >= 50 or not status.get("candidate"),
    }
    for moment, holds in moments.items():
        scene.await_status(moment, holds, seconds=120)
        git.assert_synced(model(0.6), endpoint)
    scene.await_stable(2, seconds=120)
    git.assert_synced(model(0.6), endpoint)
    for kind in ("clusteringmodels", "clusteringdeployments"):
        thing = scene.kube.get(kind, scene.namespace, NAME)
        assert thing is not None
        assert fields_of(thing, OPERATOR) <= {"status", "metadata.annotations"}, kind
    assert fields_of(scene.kube.get("clusteringdeployments", scene.namespace, NAME) or {}, OPERATOR)


def test_what_was_rolled_back_stays_so_until_git_says_otherwise(scene: Scene) -> None:
    """Version 2 is pinned by a commit and breaks callers; syncs change nothing, and a revert makes all well."""
    git = Git(scene, SERVER)
    first = (model(0.5), deployment(HELD_CANARY, version="1"))
    git.sync(*first)
    scene.await_stable(1)
    second = (model(0.5, ("x", "y", "z")), deployment(HELD_CANARY, version="2"))
    with scene.callers() as callers:
        await_calls(callers, 60)
        git.sync(*second)
        scene.await_status("a blocked version", lambda status: status.get("blockedVersions"), seconds=150)
    scene.await_condition("clusteringdeployments", NAME, "Degraded", "RolledBack")
    git.assert_synced(*second)
    seen = scene.status()
    scene.command("pause")
    scene.await_status("the command's end", lambda status: status.get("userPaused"))
    assert scene.status()["stable"] == seen["stable"]
    assert "candidate" not in scene.status()
    git.assert_synced(*second)
    scene.command("resume")
    git.sync(*first)
    scene.await_stable(1)


def test_an_object_says_from_the_first_moment_that_nobody_has_seen_it(scene: Scene) -> None:
    """For kstatus, by which Flux and Helm wait, an object without a status would be done."""
    path = f"/apis/shoal.dev/v1alpha1/namespaces/{scene.namespace}/clusteringmodels"
    listed = json.loads(scene.kube.kubectl("get", "--raw", path))["metadata"]["resourceVersion"]
    scene.apply_model()
    since = f"{path}?watch=1&resourceVersion={listed}&timeoutSeconds=1"

    def first_event() -> Object | None:
        lines = scene.kube.kubectl("get", "--raw", since).splitlines()
        return json.loads(lines[0]) if lines else None

    event = wait_for("the news of the model", first_event, 10)
    assert event["type"] == "ADDED"
    assert event["object"]["status"] == {"observedGeneration": -1}


def test_the_customizations_are_merged_into_what_argo_cd_owns_and_are_no_part_of_a_release(scene: Scene) -> None:
    kube, chart = scene.kube, str(REPOSITORY / "helm" / "shoal")
    owned: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": {"url": "x"}}
    kube.apply(scene.namespace, owned)
    settings = ("--set", "argocd.enabled=true", "--set", f"argocd.namespace={scene.namespace}")
    printed = helm(kube, "template", "shoal", chart, *settings, "--show-only", "templates/argocd-cm.yaml")
    merge = ("--type", "merge", "--patch-file", "/dev/stdin")
    kube.kubectl("patch", "configmap", "argocd-cm", "--namespace", scene.namespace, *merge, stdin=printed)
    read = ("get", "configmap", "argocd-cm", "--namespace", scene.namespace, "--output", "json")
    data = json.loads(kube.kubectl(*read))["data"]
    assert data["url"] == "x"
    assert "resource.customizations.health.shoal.dev_ClusteringDeployment" in data
    with pytest.raises(RuntimeError, match="argocd-cm belongs to Argo CD"):
        helm(kube, "install", "other", chart, "--namespace", scene.namespace, "--set", "crds.install=false", *settings)
