"""The command line on the real cluster: a canary walked by its verbs alone, rights, predictions, lint and diff."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

from hack.lab.install import SYSTEM_NAMESPACE, port_forward
from hack.lab.kube import REPOSITORY, Object
from hack.lab.objects import build_deployment
from tests.e2e.scene import ANALYSIS, HELD_CANARY, NAME, Scene, infer

SHOAL = Path(sys.executable).with_name("shoal")
POINTS = np.array([[-5.0, -5.0], [5.0, 5.0], [0.0, 0.0]])


class Shoal:
    """The program as a user runs it, in the scene's namespace."""

    def __init__(self, scene: Scene, kubeconfig: Path | None = None) -> None:
        self.scene = scene
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig or scene.kube.kubeconfig), "COLUMNS": "140"}

    def run(self, *words: str, code: int = 0, where: bool = True) -> str:
        """Run a verb, which must end with this code; returns what it printed, on failure on standard error."""
        place = ["--namespace", self.scene.namespace] if where else []
        # Rows may begin with a minus sign, so options come first.
        command = [str(SHOAL), words[0], *place, *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=self._environment)
        told = f"{' '.join(command)}: {done.returncode}, not {code}\n{done.stdout}{done.stderr}"
        assert done.returncode == code, told
        return done.stdout if code == 0 else done.stdout + done.stderr

    def json(self, *words: str, code: int = 0) -> Any:
        """Run a verb that reads and return its JSON."""
        return json.loads(self.run(*words, "-o", "json", code=code))


@pytest.fixture
def shoal(scene: Scene) -> Shoal:
    """The program with all rights."""
    return Shoal(scene)


def test_a_canary_is_walked_with_these_verbs_only(scene: Scene, shoal: Shoal, tmp_path: Path) -> None:
    """Version 2 is watched, held, promoted and rolled back, then aborted, tried again and promoted at once."""
    scene.apply_model()
    scene.apply_deployment(HELD_CANARY)
    shoal.run("status", NAME, "--wait", "--version", "1", "--timeout", "90s")
    assert shoal.json("get")[0]["stableVersion"] == 1
    assert "no version is on trial" in shoal.run("promote", NAME, code=2)

    scene.apply_model(eps=0.6)
    lines = shoal.run("watch", NAME, "--version", "2", "--timeout", "30s", code=4)
    assert re.search(r"Paused  stable=v1  candidate=v2  step=2/2  weight=50%  actual=50%", lines), lines
    shown = shoal.run("status", NAME)
    assert "until promoted" in shown
    assert "readiness ✔ pass" in shown
    assert [pool["share"] for pool in shoal.json("status", NAME)["pools"]] == [50, 50]
    assert "Paused by the pause command" in shoal.run("pause", NAME, "--wait")
    assert "until the annotation" in shoal.run("resume", NAME, "--wait")
    assert "promote done." in shoal.run("promote", NAME, "--wait")
    done = shoal.json("status", NAME, "--wait", "--version", "2", "--timeout", "60s")
    assert (done["stableVersion"], done["candidateVersion"], done["phase"]) == (2, None, "Healthy")

    assert shoal.run("rollback", NAME, "--dry-run") == f'spec: {{modelRef: {{name: {NAME}, version: "1"}}}}\n'
    assert "go back from version 2 to version 1" in shoal.run("rollback", NAME, "--full", "--wait")
    scene.await_status("version 1", lambda status: status["stable"]["version"] == 1)
    assert "led back to version 1" in shoal.run("status", NAME, "--wait", "--timeout", "30s", code=3)
    assert "blocked (RolledBack)" in shoal.run("rollback", NAME, "--to", "2", code=2)
    shoal.run("retry", NAME, "--wait")
    scene.await_status("version 2 on trial", lambda status: (status.get("candidate") or {}).get("version") == 2)
    assert "abort done. Degraded" in shoal.run("abort", NAME, "--wait")
    assert "rolled back (Aborted)" in shoal.run("status", NAME, "--wait", "--timeout", "30s", code=3)
    assert "rolled back" in shoal.run("watch", NAME, "--timeout", "30s", code=3)
    shoal.run("retry", NAME, "--wait")
    scene.await_status("version 2 on trial again", lambda status: (status.get("candidate") or {}).get("version") == 2)
    shoal.run("promote", NAME, "--full", "--wait")
    shoal.run("status", NAME, "--watch", "--version", "2", "--timeout", "60s")

    history = shoal.json("history", NAME)
    assert history["servableVersions"] == [1, 2]
    assert {"Promoted", "RolledBack", "PausedByUser"} <= {event["reason"] for event in history["events"]}
    assert "v2" in shoal.run("history", NAME)


def test_logs_tell_of_pods_and_of_the_operator_about_one_deployment(scene: Scene, shoal: Shoal) -> None:
    scene.serve()
    records = [json.loads(line) for line in shoal.run("logs", NAME, "--version", "1", "-o", "json").splitlines()]
    assert {record["pod"] for record in records} == {pod["metadata"]["name"] for pod in scene.pods(1)}
    assert [record["event"] for record in records].count("serving") == 2
    times = [record["timestamp"] for record in records]
    assert times == sorted(times)
    told = shoal.run("logs", NAME, "--operator").splitlines()
    assert any("Version 1 serves." in line for line in told)
    assert all(scene.namespace in line for line in told)
    assert "There are pods of: v1" in shoal.run("logs", NAME, "--version", "9", code=1)


def test_predictions_are_those_of_another_client_whatever_the_rows_come_from(
    scene: Scene, shoal: Shoal, tmp_path: Path
) -> None:
    scene.serve()
    with scene.client() as client:
        expected = infer(client, POINTS).tolist()
    table = pa.table({"y": POINTS[:, 1], "name": ["a", "b", "c"], "x": POINTS[:, 0]})
    pq.write_table(table, tmp_path / "rows.parquet")
    pyarrow.csv.write_csv(table, tmp_path / "rows.csv")
    np.save(tmp_path / "rows.npy", POINTS)
    typed = [",".join(map(str, row)) for row in POINTS.tolist()]
    for rows in (typed, *(["-f", str(tmp_path / f"rows.{suffix}")] for suffix in ("parquet", "csv", "npy"))):
        found = shoal.json("predict", NAME, *rows)
        assert [row["labels"] for row in found["rows"]] == expected
        assert [row["cluster_ids"] for row in found["rows"]] == expected
        assert [[row["x"], row["y"]] for row in found["rows"]] == POINTS.tolist()
        assert found["version"] == "1"
    with port_forward(scene.kube, scene.namespace, f"service/{NAME}", 8001) as port:
        told = shoal.run("predict", NAME, "--address", f"127.0.0.1:{port}", *typed)
    assert "3 rows by blobs version 1" in told
    assert "the model takes 2 columns (x, y)" in shoal.run("predict", NAME, "1,2,3", code=2)
    assert "NAN" in shoal.run("predict", NAME, "nan,2", code=2).upper()
    assert "no pod of version 7 is ready" in shoal.run("predict", NAME, "--version", "7", "1,2", code=1)


def test_a_version_that_waits_is_approved(scene: Scene, shoal: Shoal) -> None:
    scene.apply_model()
    settings = {"analysis": ANALYSIS, "modelRef": {"name": NAME, "policy": "Manual"}}
    scene.kube.apply(scene.namespace, build_deployment(NAME, NAME, strategy=HELD_CANARY, **settings))
    scene.await_stable(1)
    assert "no version waits for approval" in shoal.run("approve", NAME, code=2)
    scene.apply_model(eps=0.6)
    scene.await_status("a version that waits", lambda status: status.get("pendingVersion") == 2)
    assert "version 2 does" in shoal.run("approve", NAME, "3", code=2)
    assert "candidate=v2" in shoal.run("approve", NAME, "--wait")


def test_diff_tells_what_rolls_out_and_what_scales_in_place(scene: Scene, shoal: Shoal, tmp_path: Path) -> None:
    scene.serve(HELD_CANARY)
    live = scene.kube.get("clusteringdeployments", scene.namespace, NAME) or {}
    manifest: Object = {key: live[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": NAME}}
    path = tmp_path / "deployment.json"

    def differs(**worker: Any) -> Object:
        spec = manifest["spec"]
        path.write_text(json.dumps({**manifest, "spec": {**spec, "worker": {**spec["worker"], **worker}}}))
        found: Object = shoal.json("diff", str(path))[0]
        return found

    assert differs() == {"object": f"ClusteringDeployment/{NAME} in {scene.namespace}", "exists": True} | {
        "changes": [],
        "effects": [],
    }
    before = scene.status()["stable"]["revision"]
    scaled = differs(replicas=3)
    assert scaled["effects"] == ["no new revision", "pods scale in place from 2 to 3"]
    assert shoal.run("diff", str(path), "--exit-code", code=5).count("scales in place") == 1
    scene.kube.apply(scene.namespace, json.loads(path.read_text()))
    scene.await_status("three pods", lambda status: status.get("readyReplicas") == 3)
    assert scene.status()["stable"]["revision"] == before
    changed = differs(maxInFlight=65)
    assert [change["effect"] for change in changed["changes"]] == ["new revision", "scales in place"]
    revision = changed["effects"][0].split()[3]
    scene.kube.apply(scene.namespace, json.loads(path.read_text()))
    status = scene.await_status("a candidate", lambda status: status.get("candidate"))
    assert status["candidate"]["revision"] == revision


BAD = {
    "a pin with policy Manual": {"modelRef": {"name": NAME, "version": "3", "policy": "Manual"}},
    "a gateway that is missing": {"traffic": {"router": "Gateway"}},
    "a pause first": {"strategy": {"canary": {"steps": [{"pause": {}}]}}},
    "two strategies": {"strategy": {"canary": {"steps": [{"setWeight": 5}]}, "blueGreen": {}}},
}


@pytest.mark.parametrize("name", BAD)
def test_lint_refuses_in_the_api_server_s_words(scene: Scene, shoal: Shoal, tmp_path: Path, name: str) -> None:
    document = {"apiVersion": "shoal.dev/v1alpha1", "kind": "ClusteringDeployment", "metadata": {"name": NAME}}
    document |= {"spec": {"modelRef": {"name": NAME}, **BAD[name]}}
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(document))
    (found,) = json.loads(shoal.run("lint", str(path), "-o", "json", code=2, where=False))
    refusal = scene.kube.kubectl(
        "apply", "--dry-run=server", "--namespace", scene.namespace, "-f", str(path), check=False
    )
    # The server may tell how many there are; the remedy after the last semicolon is the same.
    assert found["message"].rpartition("; ")[2] in refusal, (found, refusal)
    assert found["field"] in refusal
    assert path.read_text().splitlines()[found["line"] - 1].strip().startswith(found["field"].rpartition(".")[2])


def test_whatever_lint_lets_through_the_api_server_takes(scene: Scene, shoal: Shoal) -> None:
    examples = REPOSITORY / "examples"
    assert " 0 errors" in shoal.run("lint", str(examples), where=False)
    for path in sorted(examples.rglob("*.yaml")):
        scene.kube.kubectl("apply", "--dry-run=server", "--namespace", scene.namespace, "-f", str(path))


def test_the_role_of_the_docs_is_enough_and_a_lesser_one_is_told(scene: Scene, shoal: Shoal, tmp_path: Path) -> None:
    """Who may only read is told which verb on which resource is missing; with the documented Role all verbs work."""
    scene.serve(HELD_CANARY)
    scene.kube.kubectl("create", "serviceaccount", "ci", "--namespace", scene.namespace)
    user = Shoal(scene, _kubeconfig_of(scene, "ci", tmp_path))
    refused = user.run("get", code=1)
    assert f"you may not list clusteringdeployments.shoal.dev in namespace {scene.namespace}" in refused

    _bind(scene, "looker", [{"apiGroups": ["shoal.dev"], "resources": ["clusteringdeployments"], "verbs": ["get"]}])
    assert "you may not list pods in namespace" in user.run("status", NAME)
    assert "you may not list events" in user.run("status", NAME) + _error_output(user, "history", NAME)
    assert "you may not patch clusteringdeployments.shoal.dev" in user.run("pause", NAME, code=1)

    _bind(scene, "releaser", _documented_role())
    shoal.run("get", NAME)
    user.run("get")
    user.run("pause", NAME, "--wait")
    user.run("resume", NAME, "--wait")
    user.run("history", NAME)
    user.run("logs", NAME)
    user.run("diff", str(REPOSITORY / "examples" / "quickstart" / "3-deployment.yaml"))
    assert len(user.json("predict", NAME, "5,5")["rows"]) == 1
    assert f"you may not list pods in namespace {SYSTEM_NAMESPACE}" in user.run("logs", "--operator", code=1)


def test_a_name_that_does_not_exist_is_answered_with_those_that_do(scene: Scene, shoal: Shoal) -> None:
    assert "There is none in namespace" in shoal.run("status", NAME, code=1)
    scene.apply_model()
    scene.apply_deployment(HELD_CANARY)
    assert f"The nearest name is {NAME}" in shoal.run("status", "blob", code=1)
    assert f"There are: {NAME}" in shoal.run("abort", "xyz", code=1)


def test_kubectl_runs_it_as_a_plugin(scene: Scene) -> None:
    scene.apply_model()
    scene.apply_deployment(HELD_CANARY)
    environment = {
        **os.environ,
        "KUBECONFIG": str(scene.kube.kubeconfig),
        "PATH": f"{SHOAL.parent}:{os.environ['PATH']}",
    }

    def run(*words: str) -> str:
        return subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout

    assert NAME in run("kubectl", "shoal", "get", "-n", scene.namespace)
    assert "Usage: kubectl shoal promote" in run("kubectl", "shoal", "promote", "--help")
    # kubectl's own completion asks the plugin's.
    assert NAME in run("kubectl", "__complete", "shoal", "status", "-n", scene.namespace, "").splitlines()


def _error_output(user: Shoal, *words: str) -> str:
    command = [str(SHOAL), words[0], "--namespace", user.scene.namespace, *words[1:]]
    return subprocess.run(command, capture_output=True, text=True, env=user._environment).stderr


def _documented_role() -> list[Object]:
    """Return the rules of the Role that docs/cli.md shows."""
    text = (REPOSITORY / "docs" / "cli.md").read_text()
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        document = yaml.safe_load(block.split("\n---\n")[0])
        if document.get("kind") == "Role":
            rules: list[Object] = document["rules"]
            return rules
    raise AssertionError("docs/cli.md shows no Role")


def _bind(scene: Scene, name: str, rules: list[Object]) -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "ci", "namespace": scene.namespace}],
    }
    scene.kube.apply(scene.namespace, role, binding)


def _kubeconfig_of(scene: Scene, account: str, folder: Path) -> Path:
    """Write a kubeconfig with nothing but a ServiceAccount's token."""
    config = yaml.safe_load(scene.kube.kubeconfig.read_text())
    token = scene.kube.kubectl("create", "token", account, "--namespace", scene.namespace).strip()
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path
