"""Finds and removes whatever a node left on the machine, however it ended. Called before every start and by down.

It trusts no record of pids: our programs carry a mark in their environment and our containers sit in our control group,
so a pid that was handed to somebody else is never touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import layout as names
from hack.cluster.layout import Layout
from hack.cluster.process import ClusterError, run, succeeds

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
KEPT = ("pki", "containerd", "logs", "credentials.json")
KILL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What of a node is on the machine."""

    processes: tuple[tuple[int, str], ...] = ()
    mounts: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Name each of them on a line."""
        found = [f"process {pid} ({name})" for pid, name in self.processes]
        for kind in ("mounts", "links", "routes", "cgroups"):
            found += [f"{kind[:-1]} {value}" for value in getattr(self, kind)]
        return found


def program_of(environment: bytes, mark: str) -> str | None:
    """Return the program's name if a process's environment (NUL-separated) carries our mark, else None."""
    values = dict(entry.partition(b"=")[::2] for entry in environment.split(b"\0"))
    if values.get(names.MARK.encode()) != mark.encode():
        return None
    return values.get(names.PROGRAM_MARK.encode(), b"?").decode()


def mounts_below(mountinfo: str, folder: str) -> tuple[str, ...]:
    """List the mount points at or below a folder, deepest first (text of /proc/self/mountinfo).

    >>> mounts_below("36 35 98:0 / /a/b rw - ext4 x rw\\n37 35 98:0 / /ab rw - ext4 x rw", "/a")
    ('/a/b',)
    """
    points = [line.split()[4].replace("\\040", " ") for line in mountinfo.splitlines() if line]
    return tuple(reversed([point for point in points if point == folder or point.startswith(folder + "/")]))


def our_cgroups(hierarchies: Iterable[Path]) -> list[Path]:
    """List our control group in each hierarchy where it exists (one hierarchy, or one per controller)."""
    return [hierarchy / names.CGROUP for hierarchy in hierarchies if (hierarchy / names.CGROUP).is_dir()]


def hierarchies(root: Path = CGROUPS) -> list[Path]:
    """List the roots of the control groups: version 2 has one, version 1 one per controller."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return [child for child in sorted(root.iterdir()) if child.is_dir() and not child.is_symlink()]


def marked_processes(layout: Layout, proc: Path = PROC) -> dict[int, str]:
    """Find the node's programs and what they started, by their environment."""
    found = {}
    for folder in proc.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                program = program_of((folder / "environ").read_bytes(), str(layout.state))
                if program is not None:
                    found[int(folder.name)] = program
    return found


def contained_processes() -> dict[int, str]:
    """Find the processes of our containers, by their control group."""
    found = {}
    for group in our_cgroups(hierarchies()):
        for file in group.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                found.update({int(pid): f"in {file.parent.relative_to(CGROUPS)}" for pid in file.read_text().split()})
    return found


def find(layout: Layout) -> Leftovers:
    """Look for everything a node can leave."""
    processes = {**contained_processes(), **marked_processes(layout)}
    links = json.loads(run(["ip", "-json", "link"]) or "[]")
    routes = json.loads(run(["ip", "-json", "route"]) or "[]")
    return Leftovers(
        processes=tuple(sorted(processes.items())),
        mounts=mounts_below(Path("/proc/self/mountinfo").read_text(), str(layout.state)),
        links=tuple(link["ifname"] for link in links if link["ifname"] in (names.BRIDGE, names.HOST_LINK)),
        routes=tuple(f"{route['dst']} dev {route['dev']}" for route in routes if route.get("dev") == names.BRIDGE),
        cgroups=tuple(str(group) for group in our_cgroups(hierarchies())),
    )


def kill_processes(layout: Layout) -> None:
    """Kill until none is left: the kubelet may start a pod, and containerd a shim, while they are being killed."""
    deadline = time.monotonic() + KILL_SECONDS
    while found := {**contained_processes(), **marked_processes(layout)}:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise ClusterError(f"these processes of the node do not die: {found}; a restart of the machine ends them")
        time.sleep(0.1)


def remove_cgroups() -> None:
    """Remove our control groups, innermost first; one empties a moment after its last process has died."""
    deadline = time.monotonic() + KILL_SECONDS
    while groups := our_cgroups(hierarchies()):
        for group in groups:
            for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
        if time.monotonic() > deadline:
            raise ClusterError(f"these control groups do not empty: {', '.join(map(str, groups))}")
        time.sleep(0.05)


def remove(layout: Layout) -> None:
    """Remove everything a node left; images, keys and logs stay."""
    kill_processes(layout)
    for point in mounts_below(Path("/proc/self/mountinfo").read_text(), str(layout.state)):
        if not succeeds(["umount", point]):
            run(["umount", "--lazy", point])
    for link in (names.BRIDGE, names.HOST_LINK):
        if Path(f"/sys/class/net/{link}").exists():
            run(["ip", "link", "delete", link])
    remove_cgroups()
    if layout.state.is_dir():
        for entry in layout.state.iterdir():
            if entry.name in KEPT:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def report(layout: Layout) -> int:
    """Print what is left and return 1 if anything is."""
    lines = find(layout).lines()
    for line in lines:
        print(line)
    print("nothing of the node is left on this machine" if not lines else f"{len(lines)} things are left")
    sys.stdout.flush()
    return 1 if lines else 0
