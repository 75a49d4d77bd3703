"""Makes the control group below which the kubelet keeps its pods. Called by node.py; leftovers.py removes it.

A group of our own tells our containers from those of any other kubelet on the machine.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from hack.cluster import layout as names
from hack.cluster.leftovers import hierarchies

# A new version-1 cpuset group is empty, and takes no process, until both are set.
CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")


def prepare() -> None:
    """Make our group in every hierarchy, usable at once."""
    for root in hierarchies():
        group = root / names.CGROUP
        if (root / "cgroup.controllers").exists():
            delegate(root)
        group.mkdir(exist_ok=True)
        for name in CPUSET_FILES:
            if (group / name).exists() and not (root / "cgroup.controllers").exists():
                (group / name).write_text((root / name).read_text())
        if (root / "cgroup.controllers").exists():
            delegate(group)
        claim_processors(group, os.cpu_count() or 1)


def claim_processors(group: Path, cores: int) -> None:
    """Give the group the weight of so many busy processes, as a node has; by that of one its pods would starve."""
    for name, each, most in (("cpu.shares", 1024, 262_144), ("cpu.weight", 100, 10_000)):
        if (group / name).exists():
            (group / name).write_text(str(min(each * cores, most)))


def delegate(group: Path) -> None:
    """Let the groups below use every controller that this one has (version 2)."""
    for controller in (group / "cgroup.controllers").read_text().split():
        # One that cannot be handed down, such as a threaded one, is the kubelet's to complain about if it needs it.
        with contextlib.suppress(OSError):
            (group / "cgroup.subtree_control").write_text(f"+{controller}")
