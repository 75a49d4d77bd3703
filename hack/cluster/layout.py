"""Where everything of the local cluster lies, and its fixed names and addresses. Pure values; touches no disk.

Everything that the cluster writes is below one cache folder, so that removing that folder removes it all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

NODE_NAME = "shoal-node"
BRIDGE = "shoal0"
HOST_LINK = "shoal0-node"
HOST_ADDRESS = "172.30.0.1"
NODE_ADDRESS = "172.30.0.11"
NODE_PREFIX = 24
NODE_SUBNET = "172.30.0.0/24"
CLUSTER_SUBNET = "10.244.0.0/16"
POD_SUBNET = "10.244.1.0/24"
SERVICE_SUBNET = "10.96.0.0/16"
API_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
API_PORT = 6443
CGROUP = "shoal"

PROGRAMS = frozenset(
    {"containerd", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"}
)

# Every program of the node carries this variable: it tells our processes from all others, whatever their pids.
MARK = "SHOAL_CLUSTER"
PROGRAM_MARK = "SHOAL_PROGRAM"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders and files of one cluster."""

    cache: Path
    repository: Path

    @property
    def state(self) -> Path:
        """The cluster's own folder."""
        return self.cache / "cluster"

    @property
    def bin(self) -> Path:
        """Built programs, one file per hash of inputs, and the links kubectl and helm."""
        return self.cache / "bin"

    @property
    def tools(self) -> Path:
        """The Python tools that hack/toolchain.sh installs."""
        return self.cache / "tools" / "bin"

    @property
    def images_file(self) -> Path:
        """The names of the images built last; the demo and the tests read it."""
        return self.cache / "images.json"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.state / "pki"

    @property
    def config(self) -> Path:
        """Configuration files of the programs."""
        return self.state / "config"

    @property
    def logs(self) -> Path:
        """One log file per program, kept after down."""
        return self.state / "logs"

    @property
    def run(self) -> Path:
        """Sockets."""
        return self.state / "run"

    @property
    def namespaces(self) -> Path:
        """Files on which the node's namespaces are mounted."""
        return self.state / "namespaces"

    @property
    def network_namespace(self) -> Path:
        """The node's network namespace."""
        return self.namespaces / "net"

    @property
    def mount_namespace(self) -> Path:
        """The node's mount namespace."""
        return self.namespaces / "mnt"

    @property
    def containerd_root(self) -> Path:
        """Images; kept from one cluster to the next."""
        return self.state / "containerd"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd listens."""
        return self.run / "containerd.sock"

    @property
    def volumes(self) -> Path:
        """Folders behind the ready-made persistent volumes."""
        return self.state / "volumes"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "kubeconfig"

    def lock(self, what: str) -> Path:
        """Return the file that whoever changes a part of it holds."""
        return self.cache / f"{what}.lock"

    def log(self, program: str) -> Path:
        """Return the log file of a program."""
        return self.logs / f"{program}.log"


def default_layout() -> Layout:
    """Return the layout below SHOAL_CACHE, by default ~/.cache/shoal."""
    cache = os.environ.get("SHOAL_CACHE") or str(Path.home() / ".cache" / "shoal")
    return Layout(cache=Path(cache).resolve(), repository=Path(__file__).resolve().parents[2])
