"""The command line: picks the kind of cluster and carries out one verb on it.

Called by make, the demo and the end-to-end tests. It decides only which backend answers; the backends do the work.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol

from hack.cluster import binaries, current, kind, leftovers, node
from hack.cluster.layout import Layout, default_layout
from hack.cluster.process import ClusterError
from hack.cluster.progress import Steps

KINDS = ("auto", "node", "kind", "current")


class Backend(Protocol):
    """What each kind of cluster can do."""

    def up(self, layout: Layout, steps: Steps) -> None:
        """Bring the cluster and its add-ons to the wanted state; a second call changes nothing."""

    def down(self, layout: Layout, steps: Steps) -> None:
        """Remove the cluster and everything it left on the machine."""

    def kubeconfig(self, layout: Layout) -> str:
        """Return the path of the kubeconfig that reaches the cluster."""

    def status(self, layout: Layout) -> str:
        """Describe the cluster in a few lines."""


def docker_answers() -> bool:
    """Say whether a Docker daemon is reachable: the client alone proves nothing."""
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def choose(wanted: str) -> str:
    """Resolve `auto`: kind where Docker answers and kind is installed, the own node elsewhere."""
    if wanted not in KINDS:
        raise ClusterError(f"CLUSTER={wanted!r} is not known; choose one of {', '.join(KINDS)}")
    if wanted != "auto":
        return wanted
    return "kind" if shutil.which("kind") and docker_answers() else "node"


def backend(name: str) -> Backend:
    """Return the backend's module for a resolved kind."""
    match name:
        case "kind":
            return kind
        case "current":
            return current
        case _:
            return node


@contextlib.contextmanager
def locked(layout: Layout, steps: Steps, what: str) -> Iterator[None]:
    """Let one process at a time change the cluster or the images; the next one waits its turn."""
    layout.cache.mkdir(parents=True, exist_ok=True)
    with layout.lock(what).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with steps.step(f"waiting for another change of the {what} to end"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def parser() -> argparse.ArgumentParser:
    """Describe the verbs."""
    root = argparse.ArgumentParser(prog="python3 hack/cluster", description="the local Kubernetes cluster")
    root.add_argument("--cluster", default=os.environ.get("CLUSTER") or "auto", help=f"one of {', '.join(KINDS)}")
    verbs = root.add_subparsers(dest="verb", required=True)
    verbs.add_parser("programs", help="build the node's programs, kubectl and helm among them; start nothing")
    verbs.add_parser("up", help="bring the cluster and its add-ons up; does nothing where they are")
    verbs.add_parser("down", help="remove the cluster and everything it left on the machine")
    verbs.add_parser("kubeconfig", help="print the path of the kubeconfig")
    verbs.add_parser("kind", help="print which kind of cluster the verbs act on: node, kind or current")
    status = verbs.add_parser("status", help="say what runs")
    status.add_argument("--assert-clean", action="store_true", help="fail if the node left anything on the machine")
    return root


def main(arguments: Sequence[str]) -> int:
    """Carry out one verb; the exit status is 0 on success, 1 with the reason on stderr."""
    options = parser().parse_args(arguments)
    layout = default_layout()
    steps = Steps()
    try:
        name = choose(options.cluster)
        chosen = backend(name)
        match options.verb:
            case "programs":
                # Where the cluster is not our own node, kubectl and helm are the user's.
                if name == "node":
                    with locked(layout, steps, "cluster"):
                        binaries.build_all(layout, steps)
            case "up":
                with locked(layout, steps, "cluster"):
                    chosen.up(layout, steps)
            case "down":
                with locked(layout, steps, "cluster"):
                    chosen.down(layout, steps)
            case "kubeconfig":
                print(chosen.kubeconfig(layout))
            case "kind":
                print(name)
            case "status" if options.assert_clean:
                return leftovers.report(layout)
            case _:
                print(chosen.status(layout))
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
