"""How many CPUs and how much memory a container may use."""

import os
from pathlib import Path

import pytest

from shoal_worker.resources import available_cpus, available_memory

ALL = len(os.sched_getaffinity(0))
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000\n", ALL),
        ("50000 100000\n", 1),
        ("100000 100000\n", 1),
        ("150000 100000\n", min(2, ALL)),
        ("99900000 100000\n", ALL),
        ("nonsense\n", ALL),
        ("100000 0\n", ALL),
    ],
)
def test_the_quota_of_the_container_counts(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert available_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1\n", ALL), ("50000\n", 1)])
def test_the_quota_of_version_1_counts(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cpus(tmp_path) == cpus


@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
@pytest.mark.parametrize(
    ("limit", "memory"), [("536870912\n", 1 << 29), ("max\n", MEMORY), (f"{2**63 - 4096}\n", MEMORY), ("?\n", MEMORY)]
)
def test_the_limit_of_the_container_counts(tmp_path: Path, file: str, limit: str, memory: int) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(limit)
    assert available_memory(tmp_path) == memory


def test_without_a_limit_the_machine_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path) == ALL
    assert available_memory(tmp_path) == MEMORY
