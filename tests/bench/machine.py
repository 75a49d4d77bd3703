"""What the figures were measured on and with."""

import os
import platform
import subprocess
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
        "machine": hardware(),
        "versions": {"shoal-engine": _engine()} | {name: _version(name) for name in sorted(packages)},
    }


def stamp() -> dict[str, Any]:
    """When, on which commit and on which machine something is measured."""
    described = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    commit = subprocess.run(described, capture_output=True, text=True, check=False).stdout.strip()
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {"date": date, "commit": commit or "no commit", "machine": hardware()}


def hardware() -> dict[str, Any]:
    """The machine, by what its figures depend on."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _engine() -> str:
    """Version of the engine and the commit of the checkout, with a + where that was changed."""
    import shoal_engine

    described = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    commit = subprocess.run(described, capture_output=True, text=True, check=False).stdout.strip()
    return f"{shoal_engine.__version__} ({commit or 'no commit'})"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
