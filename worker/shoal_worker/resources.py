"""What this process may use of the machine: CPUs and memory; read by `train` and `server` for plans and budgets.

Invariant: a container's limit counts, not what the node has, in both versions of cgroups; where there is none, the
node's.
"""

import os
from dataclasses import dataclass
from math import ceil
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Machine:
    """CPUs and bytes of memory that a process may use."""

    cpus: int
    memory: int


def this_machine() -> Machine:
    """What this process may use."""
    return Machine(available_cpus(), available_memory())


def available_cpus(cgroup: Path = _CGROUP) -> int:
    """CPUs that this process may use: its affinity, cut by the container's quota where there is one."""
    cpus = len(os.sched_getaffinity(0))
    quota = _read(cgroup / "cpu.max") or [
        *_read(cgroup / "cpu" / "cpu.cfs_quota_us"),
        *_read(cgroup / "cpu" / "cpu.cfs_period_us"),
    ]
    # "max" (version 2) and -1 (version 1) say that there is none.
    if len(quota) != 2 or not all(part.isdecimal() for part in quota) or int(quota[1]) == 0:
        return cpus
    return max(1, min(cpus, ceil(int(quota[0]) / int(quota[1]))))


def available_memory(cgroup: Path = _CGROUP) -> int:
    """Bytes of memory that this process may use: the machine's, cut by the container's limit where there is one."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read(cgroup / "memory.max") or _read(cgroup / "memory" / "memory.limit_in_bytes")
    return min(memory, int(limit[0])) if limit and limit[0].isdecimal() else memory


def _read(file: Path) -> list[str]:
    """Return the words of a control file; none where this version of cgroups has no such file."""
    try:
        return file.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def resident_bytes() -> int:
    """Bytes of this process that are in memory now."""
    return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
