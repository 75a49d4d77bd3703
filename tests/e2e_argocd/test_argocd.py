"""A real Argo CD syncs a Git repository through an install, a canary, an action, an automatic rollback and a revert."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hack.lab.kube import Object
from hack.lab.objects import build_deployment
from tests.e2e.scene import ANALYSIS, NAME, Scene, await_calls
from tests.e2e.test_gitops import model
from tests.e2e_argocd.argocd import Application, ArgoCD

STRATEGY = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}], "scaleDownDelaySeconds": 3}}
KIND = "ClusteringDeployment"


@dataclass(frozen=True)
class Repository:
    """A Git repository on this machine."""

    folder: Path

    def commit(self, subject: str, **manifests: Object) -> str:
        """Write manifests, one a file, and commit them; returns the commit's hash."""
        for name, manifest in manifests.items():
            (self.folder / f"{name}.json").write_text(json.dumps(manifest, indent=2))
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def revert(self) -> str:
        """Revert the last commit; returns the hash of the new one."""
        self.git("revert", "--no-edit", "HEAD")
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        """Run git and return what it printed."""
        who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.folder, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()


def assert_synced_once(application: Application, *commits: str) -> None:
    """See that each commit was synced once, and that nothing had to be healed since: no moment differed from Git."""
    status = application.status()
    assert status["sync"]["status"] == "Synced"
    assert [sync["revision"] for sync in status["history"]] == list(commits)
    last = status["operationState"]
    assert (last["phase"], last["syncResult"]["revision"]) == ("Succeeded", commits[-1])
    assert "autoHealAttemptsCount" not in last["operation"]["sync"]


def test_an_application_stays_synced_and_tells_the_truth(argocd: ArgoCD, scene: Scene, tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.git("init", "--quiet", "--initial-branch", "main")
    endpoint = build_deployment(NAME, NAME, strategy=STRATEGY, analysis=ANALYSIS)
    first = repository.commit("Serve blobs", model=model(0.5), deployment=endpoint)

    application = argocd.apply(scene.namespace, tmp_path, scene.namespace)
    application.await_health("Healthy", first, seconds=180)
    scene.await_stable(1)

    second = repository.commit("Widen eps", model=model(0.6))
    application.refresh()
    application.await_health("Suspended", second, seconds=180)
    assert scene.status()["candidate"]["version"] == 2
    assert_synced_once(application, first, second)
    offered = application.actions(KIND, NAME, scene.namespace)
    assert (offered["promote"], offered["abort"], offered["retry"]) == (True, True, False)
    application.run_action("promote-full", KIND, NAME, scene.namespace)
    application.await_health("Healthy", second)
    scene.await_stable(2)
    assert_synced_once(application, first, second)

    with scene.callers() as callers:
        await_calls(callers, 60)
        bad = repository.commit("Ask for three columns", model=model(0.6, ("x", "y", "z")))
        application.refresh()
        application.await_health("Degraded", bad, seconds=240)
    assert scene.status()["stable"]["version"] == 2
    assert scene.status()["blockedVersions"][0]["version"] == 3
    assert_synced_once(application, first, second, bad)

    good = repository.revert()
    application.refresh()
    application.await_health("Suspended", good, seconds=180)
    application.run_action("promote-full", KIND, NAME, scene.namespace)
    application.await_health("Healthy", good)
    scene.await_stable(4)
    assert_synced_once(application, first, second, bad, good)
