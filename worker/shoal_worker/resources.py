"""What this process may use of the machine: CPUs and memory; read by `train` and `server` for plans and budgets.

Invariant: a container's limit counts, not what the node has; where there is none, the node's.
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


def available_cpus(quota: Path = _CGROUP / "cpu.max") -> int:
    """CPUs that this process may use: its affinity, cut by the container's quota where there is one."""
    cpus = len(os.sched_getaffinity(0))
    try:
        allowed, period = quota.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cpus
    return cpus if allowed == "max" else max(1, min(cpus, ceil(int(allowed) / int(period))))


def available_memory(limit: Path = _CGROUP / "memory.max") -> int:
    """Bytes of memory that this process may use: the machine's, cut by the container's limit where there is one."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(memory, int(limit.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return memory


def resident_bytes() -> int:
    """Bytes of this process that are in memory now."""
    return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
