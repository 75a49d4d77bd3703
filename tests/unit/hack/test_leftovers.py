"""Leftovers of a node: told from everything else on the machine by mark, place and name."""

from pathlib import Path

import pytest

from hack.cluster import leftovers
from hack.cluster.layout import Layout
from hack.cluster.leftovers import Leftovers, mounts_below, program_of

STATE = "/cache/cluster"


def environment(**values: str) -> bytes:
    return b"\0".join(f"{name}={value}".encode() for name, value in values.items()) + b"\0"


@pytest.mark.parametrize(
    ("values", "program"),
    [
        ({"SHOAL_CLUSTER": STATE, "SHOAL_PROGRAM": "etcd"}, "etcd"),
        ({"PATH": "/bin", "SHOAL_CLUSTER": STATE}, "?"),
        ({"SHOAL_CLUSTER": "/elsewhere", "SHOAL_PROGRAM": "etcd"}, None),
        ({"SHOAL_CLUSTER": STATE + "2", "SHOAL_PROGRAM": "etcd"}, None),
        ({"PATH": "/bin"}, None),
        ({}, None),
    ],
    ids=["ours", "ours, unnamed", "another cache", "a longer name", "unmarked", "empty"],
)
def test_a_process_is_ours_only_by_the_mark_of_this_cluster(values: dict[str, str], program: str | None) -> None:
    assert program_of(environment(**values), STATE) == program


def test_processes_that_vanish_or_are_not_ours_are_skipped(tmp_path: Path) -> None:
    layout = Layout(cache=tmp_path / "cache", repository=tmp_path)
    for pid, content in (("10", environment(SHOAL_CLUSTER=str(layout.state), SHOAL_PROGRAM="kubelet")), ("11", b"")):
        (tmp_path / "proc" / pid).mkdir(parents=True)
        (tmp_path / "proc" / pid / "environ").write_bytes(content)
    (tmp_path / "proc" / "12").mkdir()
    (tmp_path / "proc" / "self").mkdir()
    assert leftovers.marked_processes(layout, tmp_path / "proc") == {10: "kubelet"}


def test_mounts_are_listed_deepest_first_and_only_below_the_folder() -> None:
    mountinfo = "\n".join(
        f"{number} 1 0:1 / {point} rw - tmpfs x rw"
        for number, point in enumerate(("/", STATE + "/namespaces", STATE + "/namespaces/net", STATE + "-other", "/c"))
    )
    assert mounts_below(mountinfo, STATE) == (STATE + "/namespaces/net", STATE + "/namespaces")


def test_mount_points_with_spaces_are_read() -> None:
    assert mounts_below("1 0 0:1 / /a\\040b/c rw - x x rw", "/a b") == ("/a b/c",)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (("cgroup.controllers", "shoal/"), [""]),
        (("cpu/shoal/", "memory/shoal/", "pids/"), ["cpu", "memory", "pids"]),
    ],
    ids=["version 2", "version 1"],
)
def test_control_group_roots_of_both_versions(tmp_path: Path, make: tuple[str, ...], expected: list[str]) -> None:
    for name in make:
        path = tmp_path / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.touch()
    assert leftovers.hierarchies(tmp_path) == [tmp_path / name for name in expected]


def test_control_groups_are_ours_only_by_our_name(tmp_path: Path) -> None:
    (tmp_path / "cpu" / "shoal").mkdir(parents=True)
    (tmp_path / "memory" / "kubepods").mkdir(parents=True)
    assert leftovers.our_cgroups(leftovers.hierarchies(tmp_path)) == [tmp_path / "cpu" / "shoal"]


def test_every_leftover_is_named_on_a_line() -> None:
    found = Leftovers(((7, "etcd"),), ("/m",), ("shoal0",), ("10.96.0.0/16 dev shoal0",), ("/sys/fs/cgroup/cpu/shoal",))
    assert found.lines() == [
        "process 7 (etcd)",
        "mount /m",
        "link shoal0",
        "route 10.96.0.0/16 dev shoal0",
        "cgroup /sys/fs/cgroup/cpu/shoal",
    ]
    assert Leftovers().lines() == []
