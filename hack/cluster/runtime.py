"""Talks to the node's containerd: which images it holds, bringing images in, clearing the last cluster's containers.

Called by node.py and by hack/images.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from hack.cluster.layout import Layout
from hack.cluster.process import run, succeeds

NAMESPACE = "k8s.io"


def ctr(layout: Layout, *arguments: str | Path) -> list[str]:
    """Prefix a command to containerd's client."""
    return ["ctr", "--address", str(layout.containerd_socket), "--namespace", NAMESPACE, *map(str, arguments)]


def answers(layout: Layout) -> bool:
    """Say whether containerd answers."""
    return layout.containerd_socket.exists() and succeeds(ctr(layout, "version"))


def images(layout: Layout) -> frozenset[str]:
    """Return the names of the images that the node holds."""
    return frozenset(run(ctr(layout, "images", "list", "--quiet")).split())


def blobs(layout: Layout) -> frozenset[str]:
    """Return the digests of the contents that the node holds."""
    return frozenset(run(ctr(layout, "content", "list", "--quiet")).split())


def import_archive(layout: Layout, archive: Path) -> None:
    """Bring an image archive in."""
    run(ctr(layout, "images", "import", archive))


def remove_images(layout: Layout, names: Iterable[str]) -> None:
    """Drop images; their content goes when nothing uses it."""
    doomed = sorted(names)
    if doomed:
        run(ctr(layout, "images", "remove", *doomed))


def purge_containers(layout: Layout) -> bool:
    """Clear the records of a cluster that is gone; says whether there were any, so that containerd must forget them."""
    containers = run(ctr(layout, "containers", "list", "--quiet")).split()
    if containers:
        run(ctr(layout, "containers", "delete", *containers))
    for kind in ("containers", "sandboxes"):
        shutil.rmtree(layout.containerd_root / "io.containerd.grpc.v1.cri" / kind, ignore_errors=True)
    return bool(containers)
