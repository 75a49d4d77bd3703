"""The argument lists and configuration files of the node's programs.

Pure: text in, text out; node.py writes and starts. One function per program, so that each setting stands beside the
reason for it.
"""

from __future__ import annotations

from pathlib import Path

from hack.cluster import layout as names
from hack.cluster.layout import Layout

ETCD = "http://127.0.0.1:2379"
ETCD_PEER = "http://127.0.0.1:2380"


def etcd(layout: Layout, binary: Path) -> list[str]:
    """The store, in the node's loopback only; its data die with the cluster, so waiting for the disk buys nothing."""
    return [
        str(binary),
        "etcd",
        f"--data-dir={layout.state}/etcd",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        f"--listen-peer-urls={ETCD_PEER}",
        f"--initial-advertise-peer-urls={ETCD_PEER}",
        f"--initial-cluster=default={ETCD_PEER}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver(layout: Layout, binary: Path) -> list[str]:
    """The API server, with the aggregation layer that metrics-server needs."""
    pki = layout.pki
    return [
        str(binary),
        "kube-apiserver",
        f"--etcd-servers={ETCD}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={names.NODE_ADDRESS}",
        f"--secure-port={names.API_PORT}",
        f"--tls-cert-file={pki}/kube-apiserver.crt",
        f"--tls-private-key-file={pki}/kube-apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/admin.crt",
        f"--kubelet-client-key={pki}/admin.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={pki}/service-accounts.pub",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={names.SERVICE_SUBNET}",
        "--authorization-mode=Node,RBAC",
        "--enable-bootstrap-token-auth=false",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--enable-aggregator-routing=true",
        "--allow-privileged=true",
    ]


def controller_manager(layout: Layout, binary: Path) -> list[str]:
    """The controllers; alone on the cluster, so without an election."""
    config = f"{layout.config}/kube-controller-manager.kubeconfig"
    return [
        str(binary),
        "kube-controller-manager",
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--cluster-signing-cert-file={layout.pki}/ca.crt",
        f"--cluster-signing-key-file={layout.pki}/ca.key",
        f"--root-ca-file={layout.pki}/ca.crt",
        f"--service-account-private-key-file={layout.pki}/service-accounts.key",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={names.CLUSTER_SUBNET}",
        f"--service-cluster-ip-range={names.SERVICE_SUBNET}",
    ]


def scheduler(layout: Layout, binary: Path) -> list[str]:
    """The scheduler; alone on the cluster, so without an election."""
    config = f"{layout.config}/kube-scheduler.kubeconfig"
    return [
        str(binary),
        "kube-scheduler",
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
    ]


def kubelet(layout: Layout, binary: Path) -> list[str]:
    """The node agent."""
    return [
        str(binary),
        "kubelet",
        f"--config={layout.config}/kubelet.yaml",
        f"--kubeconfig={layout.config}/kubelet.kubeconfig",
        f"--hostname-override={names.NODE_NAME}",
        f"--node-ip={names.NODE_ADDRESS}",
    ]


def kube_proxy(layout: Layout, binary: Path) -> list[str]:
    """The service proxy."""
    return [str(binary), "kube-proxy", f"--config={layout.config}/kube-proxy.yaml"]


def containerd(layout: Layout) -> list[str]:
    """The container runtime."""
    return ["containerd", "--config", f"{layout.config}/containerd.toml"]


def kubelet_config(layout: Layout) -> str:
    """Settings that let the kubelet run without systemd, on either version of control groups, as a plain root.

    Image clean-up is as good as off: there is no registry to fetch a removed image from again.
    """
    return f"""apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: "{layout.pki}/ca.crt"}}
authorization: {{mode: Webhook}}
tlsCertFile: "{layout.pki}/kubelet.crt"
tlsPrivateKeyFile: "{layout.pki}/kubelet.key"
address: 0.0.0.0
containerRuntimeEndpoint: "unix://{layout.containerd_socket}"
cgroupDriver: cgroupfs
cgroupRoot: "/{names.CGROUP}"
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
maxOpenFiles: 20000
resolvConf: "{layout.config}/resolv.conf"
clusterDNS: ["{names.DNS_ADDRESS}"]
clusterDomain: cluster.local
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {{memory.available: 200Mi, nodefs.available: 1Gi, imagefs.available: 1Gi}}
serializeImagePulls: false
"""


def kube_proxy_config(layout: Layout) -> str:
    """Rules by iptables; the machine's connection tracking limits are not the node's to change."""
    return f"""apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: "{layout.config}/kube-proxy.kubeconfig"}}
clusterCIDR: "{names.CLUSTER_SUBNET}"
mode: iptables
hostnameOverride: {names.NODE_NAME}
conntrack: {{maxPerCore: 0, min: 0}}
"""


def containerd_config(layout: Layout, runc: str, cni: str, pause: str) -> str:
    """Containers on overlayfs by runc, without what an unprivileged root may not set (OOM scores, AppArmor)."""
    unused = [f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "zfs")]
    unused += ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
    unused += ["io.containerd.internal.v1.tracing"]
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{layout.containerd_root}"
state = "{layout.run}/containerd"
oom_score = 0
disabled_plugins = {str(unused).replace("'", '"')}

[grpc]
address = "{layout.containerd_socket}"

[{cri}]
sandbox_image = "{pause}"
disable_apparmor = true
restrict_oom_score_adj = true
disable_hugetlb_controller = true
stream_server_address = "127.0.0.1"
stream_server_port = "0"

[{cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false

[{cri}.cni]
bin_dir = "{cni}"
conf_dir = "{layout.config}/cni"
"""


def cni_config(layout: Layout) -> str:
    """One bridge for the pods, with hairpins so that a pod reaches itself through its service."""
    return f"""{{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
    "ipam": {{"type": "host-local", "dataDir": "{layout.state}/cni/addresses",
             "ranges": [[{{"subnet": "{names.POD_SUBNET}"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}]}}
"""


def commands(layout: Layout, binary: Path) -> dict[str, list[str]]:
    """Every program's argument list by its name."""
    return {
        "containerd": containerd(layout),
        "etcd": etcd(layout, binary),
        "kube-apiserver": apiserver(layout, binary),
        "kube-controller-manager": controller_manager(layout, binary),
        "kube-scheduler": scheduler(layout, binary),
        "kubelet": kubelet(layout, binary),
        "kube-proxy": kube_proxy(layout, binary),
    }


def files(layout: Layout, runc: str, cni: str, pause: str) -> dict[Path, str]:
    """Every configuration file with its text."""
    return {
        layout.config / "kubelet.yaml": kubelet_config(layout),
        layout.config / "kube-proxy.yaml": kube_proxy_config(layout),
        layout.config / "containerd.toml": containerd_config(layout, runc, cni, pause),
        layout.config / "cni" / "10-pods.conflist": cni_config(layout),
        layout.config / "resolv.conf": f"nameserver {names.DNS_ADDRESS}\n",
    }
