"""The group of the cluster's pods."""

from __future__ import annotations

from pathlib import Path

import pytest

from hack.cluster.cgroups import claim_processors


@pytest.mark.parametrize(
    ("name", "cores", "weight"),
    [("cpu.shares", 2, 2048), ("cpu.shares", 1000, 262_144), ("cpu.weight", 2, 200), ("cpu.weight", 1000, 10_000)],
)
def test_it_weighs_as_much_as_the_machines_cores(tmp_path: Path, name: str, cores: int, weight: int) -> None:
    (tmp_path / name).write_text("1")
    claim_processors(tmp_path, cores)
    assert (tmp_path / name).read_text() == str(weight)


def test_a_hierarchy_without_processors_is_left_alone(tmp_path: Path) -> None:
    claim_processors(tmp_path, 2)
    assert not list(tmp_path.iterdir())
