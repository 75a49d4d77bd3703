"""Versions come, wait, are pinned, retired, archived, brought back and deleted; what is served goes on all along."""

from __future__ import annotations

import re
import shlex
import uuid

import numpy as np
import obstore
from obstore.store import S3Store

from hack.lab.install import DATA_BUCKET, STORE_BUCKET, STORE_SECRET, open_bucket
from hack.lab.kube import Object, condition, wait_for
from hack.lab.objects import build_deployment, build_model
from tests.e2e.scene import ANALYSIS, BLUE_GREEN, NAME, Scene, await_calls, infer

QUICK = {"canary": {"steps": [{"setWeight": 50}, {"pause": {"durationSeconds": 1}}], "scaleDownDelaySeconds": 1}}


class Life:
    """A model whose trainings no other test has made: artifacts are shared by content within a store."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.eps = 0.5 + int(uuid.uuid4().hex[:6], 16) / 2**24 / 10
        self.spec: Object = {}

    def model(self, **spec: object) -> Object:
        model = build_model(NAME, f"s3://{DATA_BUCKET}/e2e/blobs.parquet", columns=["x", "y"], eps=self.eps)
        self.spec |= spec
        model["spec"] |= self.spec
        return model

    def train(self, **spec: object) -> None:
        """Apply the model with another eps."""
        self.eps += 1e-4
        self.scene.kube.apply(self.scene.namespace, self.model(**spec))

    def apply(self, **spec: object) -> None:
        """Apply the model with other fields and the same data and parameters."""
        self.scene.kube.apply(self.scene.namespace, self.model(**spec))

    def deploy(self, version: str = "latest", **reference: object) -> None:
        deployment = build_deployment(NAME, NAME, strategy=QUICK, version=version, analysis=ANALYSIS | HASTY)
        deployment["spec"]["modelRef"] |= reference
        self.scene.kube.apply(self.scene.namespace, deployment)

    def version(self, number: int) -> Object | None:
        plural, namespace = "clusteringmodelversions", self.scene.namespace
        return self.scene.kube.get(plural, namespace, f"{NAME}-v{number}", missing_ok=True)

    def digest(self, number: int) -> str:
        found = self.version(number)
        assert found is not None
        return str(found["spec"]["artifact"]["digest"])

    def await_state(self, number: int, state: str, seconds: float = 60) -> Object:
        def look() -> Object | None:
            found = self.version(number) or {}
            return found if found.get("status", {}).get("state") == state else None

        return wait_for(f"version {number} {state}", look, seconds)

    def wish(self, number: int, state: str) -> None:
        self.run(f"kubectl annotate cmv {NAME}-v{number} shoal.dev/state={state} --overwrite")

    def run(self, command: str) -> None:
        """Run a kubectl command as it was printed."""
        words = shlex.split(command)
        assert words[0] == "kubectl"
        where = () if "--namespace" in words else ("--namespace", self.scene.namespace)
        self.scene.kube.kubectl(*words[1:], *where)

    def events(self, reason: str) -> list[Object]:
        found = self.scene.kube.find("events", self.scene.namespace)
        return [event for event in found if event["reason"] == reason]


HASTY = {"onInconclusive": "Proceed"}


def files(bucket: S3Store, folder: str) -> list[str]:
    """Return the paths under a folder of the store."""
    return sorted(item["path"] for batch in obstore.list(bucket, f"models/{folder}/") for item in batch)


def printed_command(message: str) -> str:
    """Return the command that a message tells to run."""
    found = re.search("`(kubectl [^`]+)`", message)
    assert found is not None, message
    return found.group(1)


def test_versions_are_archived_brought_back_and_deleted_while_another_serves(scene: Scene) -> None:
    """keep: 1 archives what nobody uses, in the store too; a pinned one is never touched; calls never fail."""
    life = Life(scene)
    life.apply(retention={"keep": 1})
    life.deploy("1")
    scene.await_stable(1)
    with scene.callers() as callers, open_bucket(scene.kube, STORE_BUCKET) as bucket:
        await_calls(callers, 30)
        life.train()
        scene.await_version(2)
        life.train()
        scene.await_version(3)
        life.await_state(2, "Archived")
        life.await_state(1, "Active", seconds=1)
        archived = life.digest(2).replace(":", "-")
        assert files(bucket, f"artifacts/{archived}") == []
        assert any(path.endswith("manifest.json") for path in files(bucket, f"archive/{scene.namespace}/{NAME}/2"))

        life.deploy("2")
        found = scene.await_condition("clusteringdeployments", NAME, "Degraded", "VersionArchived")
        assert scene.status()["stable"]["version"] == 1
        life.run(printed_command(found["message"]))
        scene.await_stable(2, seconds=120)
        life.await_state(1, "Archived")
        assert any(path.endswith("manifest.json") for path in files(bucket, f"artifacts/{archived}"))

        life.wish(2, "Archived")
        refused = scene.await_condition("clusteringmodelversions", f"{NAME}-v2", "Degraded", "VersionInUse")
        assert f"ClusteringDeployment {NAME}" in refused["message"]
        assert wait_for("an event", lambda: life.events("VersionInUse"), 20)
        scene.await_stable(2)

        first = life.digest(1).replace(":", "-")
        life.apply(retention={"keep": 1, "deleteAfterDays": 0})
        wait_for("version 1 deleted", lambda: life.version(1) is None or None, 60)
        assert files(bucket, f"archive/{scene.namespace}/{NAME}/1") == []
        assert files(bucket, f"artifacts/{first}") == []
        assert life.version(2) is not None
        assert life.version(3) is not None
        await_calls(callers, 60)
    assert callers.last["failed"] == 0, callers.last


def test_a_newer_version_waits_for_its_approval_and_a_digest_pins(scene: Scene) -> None:
    """Manual: version 2 waits, says how to go on, and is rolled out by the printed command; then a digest goes back."""
    life = Life(scene)
    life.apply()
    life.deploy(policy="Manual")
    scene.await_stable(1)
    life.train()
    scene.await_version(2)
    found = scene.await_condition("clusteringdeployments", NAME, "Pending", "AwaitingApproval")
    status = scene.status()
    assert (status["stable"]["version"], status["pendingVersion"], status.get("candidate")) == (1, 2, None)
    life.run(printed_command(found["message"]))
    status = scene.await_stable(2, seconds=120)
    assert "pendingVersion" not in status
    refused = scene.kube.kubectl(
        *("patch", "cdep", NAME, "--type=merge", "--namespace", scene.namespace),
        *("-p", '{"spec": {"modelRef": {"version": "1"}}}'),
        check=False,
    )
    assert "patched" not in refused, "policy Manual goes with latest only"
    life.deploy(life.digest(1), policy="Automatic")
    scene.await_stable(1, seconds=120)


def test_retired_it_serves_on_but_is_offered_no_more(scene: Scene) -> None:
    """Retiring takes nothing from who serves; an older version doesn't take over; a new deployment gets another."""
    life = Life(scene)
    life.apply()
    scene.await_version(1)
    life.train()
    scene.await_version(2)
    life.deploy()
    scene.await_stable(2)
    pods = scene.pod_uids(2)
    life.wish(2, "Retired")
    life.await_state(2, "Retired")
    scene.kube.apply(scene.namespace, build_deployment("other", NAME, strategy=BLUE_GREEN))
    scene.await_status(
        "the other deployment on version 1",
        lambda status: (status.get("stable") or {}).get("version") == 1,
        name="other",
    )
    assert scene.await_stable(2)["stable"]["version"] == 2
    assert scene.pod_uids(2) == pods


def test_a_schedule_trains_once_a_tick_and_says_that_nothing_changed(scene: Scene) -> None:
    """Each minute one training; the data is the same, so there's one version only, and the schedule goes on."""
    life = Life(scene)
    life.apply(retrain={"schedule": "* * * * *"})
    scene.await_version(1)
    jobs: set[str] = set()
    ticks: set[str] = set()

    def look() -> bool | None:
        found = scene.kube.find("jobs", scene.namespace, f"shoal.dev/model={NAME}")
        jobs.update(job["metadata"]["uid"] for job in found)
        model = scene.kube.get("clusteringmodels", scene.namespace, NAME) or {}
        status = model.get("status", {})
        scheduled = (status.get("retrain") or {}).get("lastScheduled")
        progress = condition(model, "Progressing")
        # The tick is told before its training begins; until then the condition is that of the last one.
        if scheduled and progress.get("reason") == "Unchanged" and progress["lastTransitionTime"] > scheduled:
            ticks.add(scheduled)
        return len(ticks) == 2 or None

    wait_for("two ticks", look, 200, every=0.3)
    assert len(jobs) == 3, "the first training, and one for each tick"

    def told() -> bool:
        return sum(int(event.get("count") or 1) for event in life.events("Unchanged")) >= 2

    # The event follows the status.
    wait_for("an event for each tick", told, 20)
    assert life.version(2) is None
    life.apply(retrain={"schedule": "61 * * * *"})
    scene.await_condition("clusteringmodels", NAME, "Degraded", "InvalidSpec")


def test_an_exported_artifact_is_imported_and_served(scene: Scene) -> None:
    """An artifact copied to another bucket becomes version 1 of another model and gives the same labels."""
    life = Life(scene)
    life.apply()
    life.deploy()
    scene.await_stable(1)
    digest, export = life.digest(1), f"exports/{scene.namespace}"
    with open_bucket(scene.kube, STORE_BUCKET) as store:
        copies = {
            path.rsplit("/", 1)[1]: bytes(obstore.get(store, path).bytes())
            for path in files(store, f"artifacts/{digest.replace(':', '-')}")
        }
    with open_bucket(scene.kube, DATA_BUCKET) as data:
        for name, content in copies.items():
            obstore.put(data, f"{export}/{name}", content)
    artifact = {"uri": f"s3://{DATA_BUCKET}/{export}", "digest": digest, "secretRef": {"name": STORE_SECRET}}
    model = {
        "apiVersion": "shoal.dev/v1alpha1",
        "kind": "ClusteringModel",
        "metadata": {"name": "twin"},
        "spec": {"artifact": artifact},
    }
    scene.kube.apply(scene.namespace, model, build_deployment("twin", "twin", strategy=BLUE_GREEN))
    scene.await_status(
        "the imported model served",
        lambda status: status.get("phase") == "Healthy" and status["stable"]["digest"] == digest,
        name="twin",
    )
    points = np.array([[-5.0, -5.0], [5.0, 5.0], [100.0, 100.0]])
    with scene.client() as client, scene.client("twin") as twin:
        assert infer(client, points).tolist() == infer(twin, points, "twin").tolist()
    wrong = {**artifact, "digest": f"sha256:{'0' * 64}"}
    scene.kube.apply(scene.namespace, {**model, "metadata": {"name": "wrong"}, "spec": {"artifact": wrong}})
    refused = wait_for(
        "a refusal",
        lambda: (
            found
            if (found := condition(scene.kube.get("clusteringmodels", scene.namespace, "wrong"), "Degraded")).get(
                "status"
            )
            == "True"
            else None
        ),
        60,
    )
    assert "digest" in refused["message"].lower(), refused
    denied = {**artifact, "uri": "https://models.example.org/blobs"}
    scene.kube.apply(scene.namespace, {**model, "metadata": {"name": "denied"}, "spec": {"artifact": denied}})
    told = scene.await_condition("clusteringmodels", "denied", "Degraded", "ImportDenied")
    assert "import.allowedHosts" in told["message"]
