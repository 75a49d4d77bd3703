"""The own node: a complete Kubernetes node of ordinary programs, without Docker and without systemd. Called by cli.py.

Every start first removes what an earlier one left, however that ended; a healthy node of the same inputs is left alone.
"""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import subprocess
import time
from pathlib import Path

from cluster import addons, api, binaries, cgroups, leftovers, namespaces, network, pki, programs, runtime, storage
from cluster import layout as names
from cluster import system_images
from cluster.binaries import Binaries
from cluster.layout import Layout
from cluster.process import ClusterError, run, tail, wait_until
from cluster.progress import Steps

PROGRAMS = frozenset(
    {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "containerd"}
)
CNI_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin")
API_SECONDS = 90.0
NODE_SECONDS = 60.0


def stamp(layout: Layout, built: Binaries) -> str:
    """Hash what the running programs were started from, so that a change of it starts them anew."""
    sources = [Path(module.__file__ or "").read_bytes() for module in (programs, namespaces, network, names, pki)]
    return binaries.digest([*sources, *(str(getattr(built, field)).encode() for field in ("node", "pause"))])


def running(layout: Layout) -> frozenset[str]:
    """Name the node's programs that run."""
    return frozenset(leftovers.marked_processes(layout).values()) & PROGRAMS


def healthy(layout: Layout, wanted: str) -> bool:
    """Say whether the whole node runs, from the same inputs, and answers."""
    file = layout.state / "stamp"
    if not file.exists() or file.read_text() != wanted or running(layout) != PROGRAMS:
        return False
    return api.ready(layout) and api.node_ready(layout)


def up(layout: Layout, steps: Steps) -> None:
    """Bring the node and its add-ons up; where they are, only check them."""
    require_root()
    run([layout.repository / "hack" / "toolchain.sh"])
    built = binaries.build_all(layout, steps)
    wanted = stamp(layout, built)
    if healthy(layout, wanted):
        steps.say("the node is up")
    else:
        with steps.step("removing what an earlier node left"):
            leftovers.remove(layout)
        start(layout, steps, built)
        (layout.state / "stamp").write_text(wanted)
    images = system_images.names(built)
    storage.prepare(layout, steps)
    addons.install(addons.for_node(layout, images), layout, steps)
    steps.say(f"the cluster is up; export KUBECONFIG={layout.kubeconfig}")


def require_root() -> None:
    """Refuse early what needs the rights of root."""
    if os.geteuid() != 0:
        raise ClusterError("the local node needs root; install Docker and kind, or use CLUSTER=current, to do without")


def start(layout: Layout, steps: Steps, built: Binaries) -> None:
    """Start every program of the node, in the order in which they need each other."""
    with steps.step("making keys, the network and the namespaces"):
        pki.prepare(layout)
        write_config(layout, system_images.names(built).pause)
        for folder in (layout.run, layout.containerd_root):
            folder.mkdir(parents=True, exist_ok=True)
        namespaces.prepare(layout)
        network.prepare(layout)
        cgroups.prepare()
    started: dict[str, subprocess.Popen[bytes]] = {}

    def launch(name: str, command: list[str]) -> None:
        started[name] = namespaces.start(layout, name, command)

    def alive() -> None:
        for name, process in started.items():
            if process.poll() is not None:
                log = layout.log(name)
                raise ClusterError(f"{name} ended with status {process.returncode} ({log}):\n{tail(log.read_text())}")

    with steps.step("starting etcd, the API server and containerd"):
        launch("etcd", programs.etcd(layout, built.node))
        launch("kube-apiserver", programs.apiserver(layout, built.node))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            loading = pool.submit(start_containerd, layout, steps, built, started)
            wait_until(lambda: api.ready(layout), seconds=API_SECONDS, what="an answer of the API server", check=alive)
            launch("kube-controller-manager", programs.controller_manager(layout, built.node))
            launch("kube-scheduler", programs.scheduler(layout, built.node))
            loading.result()
    with steps.step("waiting for the node to be ready"):
        launch("kubelet", programs.kubelet(layout, built.node))
        launch("kube-proxy", programs.kube_proxy(layout, built.node))
        wait_until(lambda: api.node_ready(layout), seconds=NODE_SECONDS, what="readiness of the node", check=alive)


def write_config(layout: Layout, pause: str) -> None:
    """Write every program's configuration."""
    runc = shutil.which("runc")
    cni = next((folder for folder in CNI_FOLDERS if Path(folder, "bridge").exists()), None)
    if runc is None or cni is None:
        raise ClusterError("runc or the CNI plugins are not installed; run hack/toolchain.sh as root")
    for file, text in programs.files(layout, runc, cni, pause).items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def start_containerd(
    layout: Layout, steps: Steps, built: Binaries, started: dict[str, subprocess.Popen[bytes]]
) -> None:
    """Start containerd without the last cluster's containers, and bring the node's own images in."""

    def launch() -> None:
        process = namespaces.start(layout, "containerd", programs.containerd(layout))
        started["containerd"] = process
        wait_until(lambda: runtime.answers(layout), seconds=30.0, what="an answer of containerd")

    launch()
    if runtime.purge_containers(layout):
        process = started.pop("containerd")
        process.terminate()
        process.wait()
        launch()
    archives = layout.state / "archives"
    archives.mkdir(exist_ok=True)
    for package in system_images.packages(built, runtime.images(layout)):
        name = package.images[0].name
        begun = time.monotonic()
        archive = system_images.write(package, archives)
        runtime.import_archive(layout, archive)
        archive.unlink()
        steps.say(f"  loaded {name} ({time.monotonic() - begun:.1f} s)")


def down(layout: Layout, steps: Steps) -> None:
    """Remove the node; images, keys and logs stay in the cache for the next one."""
    require_root()
    with steps.step("removing the node"):
        leftovers.remove(layout)
    rest = leftovers.find(layout).lines()
    if rest:
        raise ClusterError("the node is gone, but these are left:\n" + "\n".join(rest))
    steps.say("nothing of the node is left")


def kubeconfig(layout: Layout) -> str:
    """Return the administrator's kubeconfig."""
    if not layout.kubeconfig.exists():
        raise ClusterError("there is no local cluster; `make cluster-up` makes one")
    return str(layout.kubeconfig)


def status(layout: Layout) -> str:
    """Name the programs that run and the readiness of the node."""
    found = running(layout)
    if not found:
        return "the local node does not run"
    missing = PROGRAMS - found
    state = "ready" if api.node_ready(layout) else "not ready"
    lines = [f"the local node is {state}; KUBECONFIG={layout.kubeconfig}", f"running: {', '.join(sorted(found))}"]
    return "\n".join([*lines, *([f"missing: {', '.join(sorted(missing))}"] if missing else [])])
