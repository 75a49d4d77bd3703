"""A real Argo CD beside the cluster: its controller, repo server and API server as processes on loopback.

Started by the opt-in test. It finds the cluster by the kubeconfig, keeps its own objects in the namespace argocd, and
takes them away at the end. All listen on loopback, but the controller's metrics: they know no address but any.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster.binaries import ARGOCD_SOURCE, ensure_argocd, module_folder
from hack.cluster.layout import default_layout
from hack.cluster.progress import Steps
from hack.lab.install import helm
from hack.lab.kube import REPOSITORY, DeadlineMissedError, Kube, Object, wait_for

NAMESPACE = "argocd"
MODULE = "github.com/argoproj/argo-cd/v3"
CONFIG_MAPS = ("argocd-cm", "argocd-rbac-cm", "argocd-gpg-keys-cm", "argocd-ssh-known-hosts-cm", "argocd-tls-certs-cm")


@dataclass(frozen=True)
class Application:
    """One application, by its name."""

    kube: Kube
    server: str
    name: str

    def refresh(self) -> None:
        """Have Git and cluster compared now."""
        command = ("annotate", "application", self.name, "argocd.argoproj.io/refresh=normal", "--overwrite")
        self.kube.kubectl(*command, "--namespace", NAMESPACE)

    def status(self) -> Object:
        """Return what Argo CD says of the application."""
        read = ("get", "application", self.name, "--namespace", NAMESPACE, "--output", "json")
        found: Object = json.loads(self.kube.kubectl(*read)).get("status", {})
        return found

    def await_status(self, what: str, holds: Callable[[Object], Any], seconds: float = 120) -> Object:
        """Wait until Argo CD says what is expected; returns all that it says."""

        def look() -> Object | None:
            status = self.status()
            return status if holds(status) else None

        try:
            return wait_for(f"Argo CD to say {what}", look, seconds)
        except DeadlineMissedError as missed:
            missed.add_note(f"It says {json.dumps(self.status(), indent=2)}")
            raise

    def await_health(self, health: str, revision: str, seconds: float = 120) -> Object:
        """Wait until a commit is synced and the application has a health."""

        def holds(status: Object) -> bool:
            sync = status.get("sync", {})
            return (sync.get("status"), sync.get("revision"), status.get("health", {}).get("status")) == (
                "Synced",
                revision,
                health,
            )

        return self.await_status(f"Synced at {revision[:7]} and {health}", holds, seconds)

    def actions(self, kind: str, resource: str, namespace: str) -> dict[str, bool]:
        """Return the actions that Argo CD offers for an object, and whether each is enabled."""
        query = f"group=shoal.dev&version=v1alpha1&kind={kind}&resourceName={resource}&namespace={namespace}"
        answer = self._call("GET", f"resource/actions?{query}")
        return {item["name"]: not item.get("disabled", False) for item in answer.get("actions", [])}

    def run_action(self, action: str, kind: str, resource: str, namespace: str) -> None:
        """Run an action, as a click on it does."""
        body = {"group": "shoal.dev", "version": "v1alpha1", "kind": kind, "namespace": namespace}
        whole = {**body, "name": self.name, "resourceName": resource, "action": action}
        self._call("POST", "resource/actions/v2", whole)

    def _call(self, method: str, path: str, body: Object | None = None) -> Object:
        url = f"{self.server}/api/v1/applications/{self.name}/{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: Object = json.loads(response.read() or b"{}")
        return answer


@dataclass(frozen=True)
class ArgoCD:
    """The running programs."""

    kube: Kube
    server: str

    def apply(self, name: str, repository: Path, namespace: str) -> Application:
        """Create an application of a folder's Git repository that syncs by itself."""
        self.kube.apply(
            NAMESPACE,
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Application",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {
                    "project": "default",
                    "source": {"repoURL": f"file://{repository}", "targetRevision": "main", "path": "."},
                    "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
                    "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
                },
            },
        )
        return Application(self.kube, self.server, name)


@contextmanager
def run_argocd(kube: Kube, folder: Path) -> Iterator[ArgoCD]:
    """Install Argo CD's objects and run its programs; their logs lie in the folder."""
    program = ensure_argocd(default_layout(), Steps())
    redis, repo, api = (f"127.0.0.1:{port}" for port in free_ports(3))
    metrics = free_ports(3)
    caches = ("--redis", redis)
    sources = ("--repo-server", repo, "--repo-server-plaintext")
    place = ("--kubeconfig", str(kube.kubeconfig), "--namespace", NAMESPACE)
    listen = ("--address", "127.0.0.1", "--metrics-address", "127.0.0.1")
    programs = {
        "redis": (redis,),
        "repo-server": (*listen, "--port", repo.split(":")[1], "--disable-tls", *caches, *metrics_port(metrics[0])),
        "application-controller": (*place, *caches, *sources, "--app-resync", "10", *metrics_port(metrics[1])),
        "server": (*place, *caches, *sources, *listen, "--port", api.split(":")[1], "--insecure", "--disable-auth",
                   *metrics_port(metrics[2])),
    }  # fmt: skip
    with ExitStack() as stack:
        # Fails where the namespace exists: an Argo CD of somebody else is neither changed nor removed.
        kube.kubectl("create", "namespace", NAMESPACE)
        stack.callback(uninstall, kube)
        install(kube)
        environment = settings(folder, kube.kubeconfig)
        for name, arguments in programs.items():
            stack.enter_context(run(name, [str(program), name, *arguments], environment, folder / f"{name}.log"))
        await_answer(f"http://{api}/healthz")
        yield ArgoCD(kube, f"http://{api}")


def install(kube: Kube) -> None:
    """Create the kinds and the settings that Argo CD needs, and merge the chart's part as docs/gitops.md says."""
    kinds = module_folder(MODULE, pinned_version()) / "manifests" / "crds"
    for kind in ("application", "appproject", "applicationset"):
        kube.kubectl("apply", "--server-side", "--filename", str(kinds / f"{kind}-crd.yaml"))
    kube.kubectl("wait", "--for=condition=Established", "crd/applications.argoproj.io", "crd/appprojects.argoproj.io")
    labels = {"app.kubernetes.io/part-of": "argocd"}
    settings = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}} for name in CONFIG_MAPS
    ]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "argocd-secret", "labels": labels}}
    project = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": "default"},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"namespace": "*", "server": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    }
    kube.apply(NAMESPACE, *settings, {**secret, "stringData": {"server.secretkey": "only-for-a-test"}}, project)
    chart = str(REPOSITORY / "helm" / "shoal")
    show = ("--set", "argocd.enabled=true", "--show-only", "templates/argocd-cm.yaml")
    printed = helm(kube, "template", "shoal", chart, *show)
    merge = ("--type", "merge", "--patch-file", "/dev/stdin")
    kube.kubectl("patch", "configmap", "argocd-cm", "--namespace", NAMESPACE, *merge, stdin=printed)


def uninstall(kube: Kube) -> None:
    """Remove what was installed; applications have no finalizer, so what they synced stays."""
    kube.kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=60s")
    names = ("applications", "appprojects", "applicationsets")
    kube.kubectl("delete", "crd", *(f"{name}.argoproj.io" for name in names), "--ignore-not-found", "--timeout=60s")


def pinned_version() -> str:
    """Return the version of Argo CD that is built."""
    lines = (ARGOCD_SOURCE / "go.mod").read_text(encoding="utf-8").splitlines()
    return next(line.split()[1] for line in lines if line.strip().startswith(f"{MODULE} "))


def settings(folder: Path, kubeconfig: Path) -> dict[str, str]:
    """Return the variables with which Argo CD's own developers run it outside a cluster."""
    names = {"TLS_DATA_": "tls", "SSH_DATA_": "ssh", "GPG_DATA_": "gpg", "PLUGINSOCKFILE": "plugins"}
    places = {f"ARGOCD_{name}PATH": str(folder / place) for name, place in names.items()}
    for place in places.values():
        Path(place).mkdir()
    own = {
        "ARGOCD_ASK_PASS_SOCK": str(folder / "ask-pass.sock"),
        "ARGOCD_FAKE_IN_CLUSTER": "true",  # reach it by the kubeconfig
        "ARGOCD_GPG_ENABLED": "false",
        "KUBECONFIG": str(kubeconfig),
        "TMPDIR": str(folder),
    }
    return {**os.environ, **places, **own}


@contextmanager
def run(name: str, command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run a program until the end of the context."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield
        if process.poll() is not None:
            raise AssertionError(f"{name} ended: {log.read_text(errors='replace')[-2000:]}")
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_answer(url: str, seconds: float = 90) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def metrics_port(port: int) -> tuple[str, str]:
    """Return the arguments that say where the figures are."""
    return ("--metrics-port", str(port))
