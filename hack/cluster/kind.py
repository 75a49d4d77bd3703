"""kind, where Docker answers: the same verbs and the same add-ons, with released images. Called by cli.py.

Thin on purpose: kind makes the node, DNS and storage; only what kind lacks is added.
"""

from __future__ import annotations

import json
from pathlib import Path

from hack.cluster import addons
from hack.cluster.layout import Layout
from hack.cluster.process import ClusterError, run
from hack.cluster.progress import Steps

NAME = "shoal"


def clusters() -> list[str]:
    """Name the kind clusters on this machine."""
    return run(["kind", "get", "clusters"]).split()


def file(layout: Layout) -> Path:
    """Return the kubeconfig that kind writes for us."""
    return layout.cache / "kind.kubeconfig"


def up(layout: Layout, steps: Steps) -> None:
    """Make the kind cluster unless it is there, then its add-ons."""
    layout.cache.mkdir(parents=True, exist_ok=True)
    if NAME not in clusters():
        with steps.step("making the kind cluster"):
            run(["kind", "create", "cluster", "--name", NAME, "--kubeconfig", file(layout), "--wait", "120s"])
    else:
        run(["kind", "export", "kubeconfig", "--name", NAME, "--kubeconfig", file(layout)])
    addons.install(addons.for_kind(layout, file(layout)), steps)
    steps.say(f"the cluster is up; export KUBECONFIG={file(layout)}")


def down(layout: Layout, steps: Steps) -> None:
    """Delete the kind cluster."""
    with steps.step("deleting the kind cluster"):
        run(["kind", "delete", "cluster", "--name", NAME, "--kubeconfig", file(layout)])
    file(layout).unlink(missing_ok=True)


def kubeconfig(layout: Layout) -> str:
    """Return the kubeconfig that kind wrote."""
    if not file(layout).exists():
        raise ClusterError("there is no kind cluster named shoal; `make cluster-up` makes one")
    return str(file(layout))


def status(layout: Layout) -> str:
    """Say whether the cluster exists and its node is ready."""
    if NAME not in clusters():
        return "there is no kind cluster named shoal"
    listed = json.loads(run(["kubectl", "--kubeconfig", file(layout), "get", "nodes", "--output", "json"]))
    nodes = ", ".join(entry["metadata"]["name"] for entry in listed["items"])
    return f"kind cluster {NAME}: {nodes}; KUBECONFIG={file(layout)}"
