"""What the figures were measured on and with."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.bench.contestants import ADAPTIVE, EXACT


def describe() -> dict[str, Any]:
    """Machine, date, and versions of all that takes part."""
    packages = {each.package for each in (*EXACT.values(), *ADAPTIVE.values())} - {"shoal-engine"} | {"numpy", "scipy"}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": {
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": platform.platform(terse=True),
            "python": platform.python_version(),
        },
        "versions": {"shoal-engine": _engine()} | {name: _version(name) for name in sorted(packages)},
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _engine() -> str:
    import shoal_engine

    return str(shoal_engine.__version__)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
