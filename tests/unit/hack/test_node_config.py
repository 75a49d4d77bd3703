"""What the node's programs are told, and when a node counts as another one."""

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from hack.cluster import boot, network, pki, programs, storage
from hack.cluster import layout as names
from hack.cluster.layout import PROGRAMS, Layout
from hack.cluster.process import ClusterError

LAYOUT = Layout(cache=Path("/cache"), repository=Path("/repository"))
BINARY = Path("/cache/bin/node-1")


def test_every_program_of_the_node_has_a_command() -> None:
    assert set(programs.commands(LAYOUT, BINARY)) == PROGRAMS


def test_commands_that_are_the_node_binary_name_their_program() -> None:
    for name, command in programs.commands(LAYOUT, BINARY).items():
        assert command[:2] == [str(BINARY), name] or name == "containerd"


def test_etcd_listens_in_the_node_only() -> None:
    listening = [word for word in programs.etcd(LAYOUT, BINARY) if word.startswith("--listen")]
    assert listening
    assert all("//127.0.0.1:" in word for word in listening)


def test_configuration_files_parse() -> None:
    files = programs.files(LAYOUT, "/usr/sbin/runc", "/usr/lib/cni", "pause:1")
    kubelet = yaml.safe_load(files[LAYOUT.config / "kubelet.yaml"])
    assert kubelet["cgroupRoot"] == "/shoal"
    assert kubelet["authentication"]["anonymous"]["enabled"] is False
    assert yaml.safe_load(files[LAYOUT.config / "kube-proxy.yaml"])["mode"] == "iptables"
    containerd = tomllib.loads(files[LAYOUT.config / "containerd.toml"])
    assert containerd["plugins"]["io.containerd.grpc.v1.cri"]["sandbox_image"] == "pause:1"
    assert containerd["root"] == "/cache/cluster/containerd"
    cni = json.loads(files[LAYOUT.config / "cni" / "10-pods.conflist"])
    assert cni["plugins"][0]["hairpinMode"] is True


def test_kubeconfigs_name_their_user_and_the_node() -> None:
    config = yaml.safe_load(pki.kubeconfig(Path("/pki"), "admin"))
    assert config["clusters"][0]["cluster"]["server"] == "https://172.30.0.11:6443"
    assert config["users"][0]["user"]["client-key"] == "/pki/admin.key"


def test_the_api_server_answers_to_its_service_address() -> None:
    (server,) = (identity for identity in pki.IDENTITIES if identity.name == "kube-apiserver")
    assert f"IP:{names.API_ADDRESS}" in pki.extensions(server)


def test_a_changed_setting_changes_the_stamp_and_the_order_does_not() -> None:
    plan = boot.Plan({"a": ["x"], "b": ["y"]}, {Path("/f"): "1"})
    assert plan.stamp() == boot.Plan({"b": ["y"], "a": ["x"]}, {Path("/f"): "1"}).stamp()
    assert plan.stamp() != boot.Plan({"a": ["x"], "b": ["z"]}, {Path("/f"): "1"}).stamp()
    assert plan.stamp() != boot.Plan({"a": ["x"], "b": ["y"]}, {Path("/f"): "2"}).stamp()


@pytest.mark.parametrize(
    ("route", "conflicting"),
    [
        ({"dst": "default", "dev": "eth0"}, False),
        ({"dst": "192.0.2.0/24", "dev": "eth0"}, False),
        ({"dst": "10.244.1.0/24", "dev": "shoal0"}, False),
        ({"dst": "10.96.0.0/12", "dev": "tun0"}, True),
        ({"dst": "172.30.0.5", "dev": "docker0"}, True),
    ],
)
def test_networks_that_the_machine_already_reaches_are_refused(route: dict[str, object], conflicting: bool) -> None:
    assert bool(network.conflicts([route])) is conflicting


def test_the_refusal_names_both_networks() -> None:
    with pytest.raises(ClusterError, match=r"10\.96\.0\.0/16.*10\.0\.0\.0/8 via tun0"):
        network.check(json.dumps([{"dst": "10.0.0.0/8", "dev": "tun0"}]))


def test_volumes_whose_claim_is_gone_are_made_anew_and_bound_ones_are_left() -> None:
    volumes = [
        {"metadata": {"name": "a"}, "status": {"phase": "Bound"}},
        {"metadata": {"name": "b"}, "status": {"phase": "Released"}},
        {"metadata": {"name": "c"}, "status": {"phase": "Available"}},
        {"metadata": {"name": "z"}, "status": {"phase": "Released"}},
    ]
    assert storage.to_renew(volumes, ["a", "b", "c", "d"]) == (["b"], ["b", "d"])


def test_obsolete_images_are_only_ours() -> None:
    present = ["docker.io/shoal/node:1", "docker.io/shoal/node:2", "docker.io/other/x:1", "sha256:0"]
    assert boot.obsolete(present, ["docker.io/shoal/node:2"]) == ["docker.io/shoal/node:1"]
