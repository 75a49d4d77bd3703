"""CLUSTER=current: the cluster of the current kube context, which is not ours to make or remove. Called by cli.py."""

from __future__ import annotations

import os
from pathlib import Path

from hack.cluster.layout import Layout
from hack.cluster.process import run
from hack.cluster.progress import Steps


def up(layout: Layout, steps: Steps) -> None:
    """Check that the current context answers; change nothing."""
    del layout
    run(["kubectl", "get", "--raw", "/readyz"], timeout=20)
    context = run(["kubectl", "config", "current-context"]).strip()
    steps.say(f"using the current context {context} as it is")
    steps.say(
        "images are not loaded into it: push them (SHOAL_IMAGE_REPOSITORY names where); "
        "the Gateway router needs a Gateway API implementation there"
    )


def down(layout: Layout, steps: Steps) -> None:
    """Leave the cluster alone."""
    del layout
    steps.say("CLUSTER=current: the cluster is not ours to remove; nothing was done")


def kubeconfig(layout: Layout) -> str:
    """Return the kubeconfig in force."""
    del layout
    return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def status(layout: Layout) -> str:
    """Name the context."""
    del layout
    return f"current context: {run(['kubectl', 'config', 'current-context']).strip()}"
