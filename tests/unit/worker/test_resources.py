"""How many CPUs a container may use."""

import os
from pathlib import Path

import pytest

from shoal_worker.resources import available_cpus

ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000\n", ALL),
        ("50000 100000\n", 1),
        ("100000 100000\n", 1),
        ("150000 100000\n", min(2, ALL)),
        ("99900000 100000\n", ALL),
        ("nonsense\n", ALL),
    ],
)
def test_the_quota_of_the_container_counts(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert available_cpus(tmp_path / "cpu.max") == cpus


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "none") == ALL
