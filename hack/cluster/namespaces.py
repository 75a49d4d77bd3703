"""The node's two namespaces, kept by files: a network of its own and a private view of the mounts.

Called by node.py. Whatever the node's programs mount, and what they write below /run, /var/lib and /var/log, stays in
that view and goes with it; kernel settings that the kubelet insists on are shown to it without being changed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hack.cluster import layout as names
from hack.cluster.layout import Layout
from hack.cluster.process import run

# The kubelet refuses other values; it reads these files and writes them only where they differ.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
PRIVATE_FOLDERS = ("/run", "/var/lib", "/var/log")


def binds(layout: Layout) -> list[tuple[Path, str]]:
    """List what the node sees in other places: folders on disk and the shown kernel settings."""
    shown = [(layout.state / "kernel" / name.replace("/", "_"), f"/proc/sys/{name}") for name in KERNEL_SETTINGS]
    return [
        (layout.state / "kubelet", "/var/lib/kubelet"),
        (layout.state / "cni" / "results", "/var/lib/cni"),
        (layout.state / "pods", "/var/log/pods"),
        *[(source, target) for source, target in shown if Path(target).exists()],
    ]


def enter(layout: Layout, *command: str | Path) -> list[str]:
    """Prefix a command to run inside the node."""
    into = ["nsenter", f"--net={layout.network_namespace}", f"--mount={layout.mount_namespace}"]
    return [*into, *(str(word) for word in command)]


def prepare(layout: Layout) -> None:
    """Make both namespaces; their files' folder is a private mount, as the kernel demands."""
    for folder in ("kubelet", "cni/results", "pods", "kernel"):
        (layout.state / folder).mkdir(parents=True, exist_ok=True)
    for name, value in KERNEL_SETTINGS.items():
        (layout.state / "kernel" / name.replace("/", "_")).write_text(value + "\n")
    layout.namespaces.mkdir(parents=True, exist_ok=True)
    run(["mount", "--bind", layout.namespaces, layout.namespaces])
    run(["mount", "--make-private", layout.namespaces])
    for file in (layout.network_namespace, layout.mount_namespace):
        file.touch()
    run(["unshare", f"--net={layout.network_namespace}", "true"])
    run(["unshare", f"--mount={layout.mount_namespace}", "--propagation", "private", "true"])
    inside = ["nsenter", f"--mount={layout.mount_namespace}", "mount"]
    for folder in PRIVATE_FOLDERS:
        run([*inside, "-t", "tmpfs", "-o", "mode=755", "shoal", folder])
    for source, target in binds(layout):
        if source.is_dir():
            run(["nsenter", f"--mount={layout.mount_namespace}", "mkdir", "-p", target])
        run([*inside, "--bind", str(source), target])
    run([*inside, "--make-rshared", "/"])


def start(layout: Layout, name: str, command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
    """Start a program inside the node: in a session of its own, marked as ours, its output in its log."""
    layout.logs.mkdir(parents=True, exist_ok=True)
    # Nothing else of the caller's environment: a proxy of its shell is none of the node's business.
    marked = {"PATH": os.defpath + ":/usr/sbin:/sbin:/usr/local/bin", "HOME": "/root"}
    marked |= {names.MARK: str(layout.state), names.PROGRAM_MARK: name}
    with layout.log(name).open("wb") as log:
        return subprocess.Popen(
            enter(layout, *command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=marked,
            cwd="/",
            start_new_session=True,
        )
