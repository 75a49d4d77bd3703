"""Starts the node's programs in the order in which they need each other. Called by node.py on a clean machine.

It starts and waits; what the programs are told is in programs.py, where they run in namespaces.py.
"""

from __future__ import annotations

import concurrent.futures
import json
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import api, binaries, cgroups, namespaces, network, pki, programs, runtime, system_images
from hack.cluster.binaries import Binaries
from hack.cluster.layout import Layout
from hack.cluster.process import ClusterError, tail, wait_until
from hack.cluster.progress import Steps
from hack.cluster.system_images import SystemImages

CNI_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin")
# Fixed, so that the node is the same whatever PATH its caller has.
PROGRAM_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONTAINERD_SECONDS = 30.0
API_SECONDS = 90.0
NODE_SECONDS = 60.0
OWN_IMAGES = "docker.io/shoal/"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a node is started from: the programs' argument lists and their configuration files."""

    commands: Mapping[str, list[str]]
    files: Mapping[Path, str]

    def stamp(self) -> str:
        """Hash the plan, so that a node of another plan is known for one."""
        settings = [f"{file}={text}" for file, text in sorted(self.files.items())]
        return binaries.digest(text.encode() for text in (*settings, *map(str, sorted(self.commands.items()))))


def plan(layout: Layout, built: Binaries, images: SystemImages) -> Plan:
    """Make the plan of this machine's node."""
    runc = shutil.which("runc", path=PROGRAM_FOLDERS)
    cni = next((folder for folder in CNI_FOLDERS if Path(folder, "bridge").exists()), None)
    if runc is None or cni is None:
        raise ClusterError("runc or the CNI plugins are not installed; run hack/toolchain.sh as root")
    return Plan(programs.commands(layout, built.node), programs.files(layout, runc, cni, images.pause))


def obsolete(present: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """List the images of ours that a new cluster has no use for; it has no pods yet that could need an old one.

    >>> obsolete(["docker.io/shoal/a:1", "docker.io/shoal/a:2", "docker.io/other/b:1"], ["docker.io/shoal/a:2"])
    ['docker.io/shoal/a:1']
    """
    return sorted({name for name in present if name.startswith(OWN_IMAGES)} - set(wanted))


class Boot:
    """One start of the node; watches that what it started stays alive."""

    def __init__(self, layout: Layout, steps: Steps, built: Binaries, images: SystemImages, plan: Plan) -> None:
        self._layout = layout
        self._steps = steps
        self._built = built
        self._images = images
        self._plan = plan
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> None:
        """Bring a node up where there is none."""
        with self._steps.step("making keys, namespaces and the network"):
            self._prepare()
        with self._steps.step("starting etcd, the API server and containerd"):
            self._launch("etcd", "kube-apiserver")
            with concurrent.futures.ThreadPoolExecutor() as pool:
                loading = pool.submit(self._start_containerd)
                self._wait(lambda: api.ready(self._layout), API_SECONDS, "an answer of the API server")
                self._launch("kube-controller-manager", "kube-scheduler")
                loading.result()
        with self._steps.step("waiting for the node to be ready"):
            self._launch("kubelet", "kube-proxy")
            self._wait(lambda: api.node_ready(self._layout), NODE_SECONDS, "readiness of the node")

    def _prepare(self) -> None:
        pki.prepare(self._layout)
        for file, text in self._plan.files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for folder in (self._layout.run, self._layout.containerd_root):
            folder.mkdir(parents=True, exist_ok=True)
        namespaces.prepare(self._layout)
        network.prepare(self._layout)
        cgroups.prepare()

    def _launch(self, *names: str) -> None:
        for name in names:
            self._started[name] = namespaces.start(self._layout, name, self._plan.commands[name])

    def _wait(self, condition: api.Condition, seconds: float, what: str) -> None:
        wait_until(condition, seconds=seconds, what=what, check=self._check_alive)

    def _check_alive(self) -> None:
        for name, process in list(self._started.items()):
            if process.poll() is not None:
                log = self._layout.log(name)
                raise ClusterError(f"{name} ended with status {process.returncode} ({log}):\n{tail(log.read_text())}")

    def _start_containerd(self) -> None:
        """Start containerd without the last cluster's containers, and bring the node's own images in."""
        self._launch("containerd")
        self._wait(lambda: runtime.answers(self._layout), CONTAINERD_SECONDS, "an answer of containerd")
        if runtime.purge_containers(self._layout):
            process = self._started.pop("containerd")
            process.terminate()
            process.wait()
            self._launch("containerd")
            self._wait(lambda: runtime.answers(self._layout), CONTAINERD_SECONDS, "an answer of containerd")
        self._load_images()

    def _load_images(self) -> None:
        present = runtime.images(self._layout)
        archives = self._layout.state / "archives"
        archives.mkdir(exist_ok=True)
        for package in system_images.packages(self._built, present):
            begun = time.monotonic()
            archive = system_images.write(package, archives)
            runtime.import_archive(self._layout, archive)
            archive.unlink()
            self._steps.say(f"  loaded {package.images[0].name} ({time.monotonic() - begun:.1f} s)")
        file = self._layout.images_file
        built_last: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        wanted = [*self._images.all(), *built_last.values()]
        runtime.remove_images(self._layout, obsolete(present, wanted))
