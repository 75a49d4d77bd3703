"""What a bare cluster lacks for Shoal: DNS, metrics, Gateway API with Envoy, an S3 server.

Called by node.py and kind.py. The charts and manifests are their makers' own; only image names and probe times are
ours. Installed once per cluster and again when an input changes.
"""

from __future__ import annotations

import concurrent.futures
import json
import secrets
import shutil
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster import layout as names
from hack.cluster.binaries import digest, module_folder
from hack.cluster.layout import Layout
from hack.cluster.process import run
from hack.cluster.progress import Steps
from hack.cluster.system_images import SystemImages

ENVOY_GATEWAY = "v1.9.1"
METRICS_SERVER = "v0.9.0"
METRICS_SERVER_CHART = "3.13.0"
VERSITYGW_IMAGE = "docker.io/versity/versitygw:v1.8.0"
MANIFESTS = Path(__file__).resolve().parent / "manifests"
READY_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart to install: where it comes from and our values."""

    release: str
    namespace: str
    source: tuple[str, ...]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Addons:
    """Everything to install into one cluster, and the clients that do it."""

    kubectl: tuple[str, ...]
    helm: tuple[str, ...]
    charts: tuple[Chart, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    deployments: tuple[tuple[str, str], ...]
    stamp: Path

    def fingerprint(self) -> str:
        """Hash what is to be installed."""
        charts = [json.dumps([chart.source, chart.values], sort_keys=True) for chart in self.charts]
        return digest(text.encode() for text in (*charts, *self.before, *self.after))


def render(name: str, **values: str) -> str:
    """Fill a manifest's placeholders; a forgotten one is an error."""
    return string.Template((MANIFESTS / name).read_text()).substitute(values)


def envoy_gateway_values(images: SystemImages | None) -> dict[str, Any]:
    """Our values for Envoy Gateway: our own images where there is no registry, and a quick readiness."""
    gateway = {"readinessProbe": {"httpGet": {"path": "/readyz", "port": 8081}, "periodSeconds": 1}}
    if images is None:
        return {"deployment": {"envoyGateway": gateway}}
    provider = {"type": "Kubernetes", "kubernetes": {"shutdownManager": {"image": images.envoy_gateway}}}
    return {
        "global": {"images": {"envoyGateway": {"image": images.envoy_gateway, "pullPolicy": "IfNotPresent"}}},
        "deployment": {"envoyGateway": {**gateway, "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}}}},
        "config": {"envoyGateway": {"provider": provider}},
        # Places Envoys by zones, which a single node lacks; it only slows pods down.
        "topologyInjector": {"enabled": False},
    }


def metrics_server_values(images: SystemImages | None) -> dict[str, Any]:
    """Our values for metrics-server: fresh figures, and kubelet certificates that a local authority signed."""
    arguments = ["--kubelet-insecure-tls", "--metric-resolution=10s", "--kubelet-request-timeout=5s"]
    values: dict[str, Any] = {
        # The resolution is among the chart's default arguments; the later one wins.
        "args": arguments,
        "readinessProbe": {"initialDelaySeconds": 0, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
    }
    if images is not None:
        repository, _, tag = images.metrics_server.rpartition(":")
        values["image"] = {"repository": repository, "tag": tag}
    return values


def filled_chart(layout: Layout) -> Path:
    """Copy Envoy Gateway's chart out of its module and fill the two blanks that its makers fill at a release."""
    target = layout.cache / "charts" / f"gateway-helm-{ENVOY_GATEWAY}"
    if not target.exists():
        source = module_folder("github.com/envoyproxy/gateway", ENVOY_GATEWAY) / "charts" / "gateway-helm"
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        # Go's module cache is read-only; its modes must not come along.
        shutil.copytree(source, partial, copy_function=shutil.copyfile)
        for folder in (partial, *(path for path in partial.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        blanks = {
            "GatewayImage": f"docker.io/envoyproxy/gateway:{ENVOY_GATEWAY}",
            "GatewayImagePullPolicy": "IfNotPresent",
        }
        template = string.Template((partial / "values.tmpl.yaml").read_text())
        (partial / "values.yaml").write_text(template.safe_substitute(blanks))
        partial.rename(target)
    return target


def metrics_server_chart(layout: Layout) -> Path:
    """Return metrics-server's chart out of its module."""
    target = layout.cache / "charts" / f"metrics-server-{METRICS_SERVER}"
    if not target.exists():
        source = module_folder("sigs.k8s.io/metrics-server", METRICS_SERVER) / "charts" / "metrics-server"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)
    return target


def credentials(layout: Layout) -> dict[str, str]:
    """Return the S3 server's root credentials, drawn once per machine."""
    file = layout.state / "credentials.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        drawn = {"access_key": f"shoal{secrets.token_hex(6)}", "secret_key": secrets.token_hex(20)}
        file.write_text(json.dumps(drawn))
        file.chmod(0o600)
    loaded: dict[str, str] = json.loads(file.read_text())
    return loaded


def gateway_class(image: str | None) -> str:
    """Render the Gateway class, with an image of Envoy where there is no registry."""
    return render("gateway-class.yaml", envoy_image=f"\n          image: {image}" if image else "")


def for_node(layout: Layout, images: SystemImages) -> Addons:
    """The add-ons of the own node: from the modules' charts, by our own kubectl and helm."""
    gateway = Chart("eg", "envoy-gateway-system", (str(filled_chart(layout)),), envoy_gateway_values(images))
    metrics = Chart(
        "metrics-server", "kube-system", (str(metrics_server_chart(layout)),), metrics_server_values(images)
    )
    return Addons(
        kubectl=(str(layout.bin / "kubectl"), "--kubeconfig", str(layout.kubeconfig)),
        helm=(str(layout.bin / "helm"), "--kubeconfig", str(layout.kubeconfig)),
        charts=(gateway, metrics),
        before=(
            render("coredns.yaml", node_image=images.node, dns_address=names.DNS_ADDRESS),
            render("s3.yaml", versitygw_image=images.versitygw, **credentials(layout)),
        ),
        after=(gateway_class(images.envoy),),
        deployments=(
            ("kube-system", "coredns"),
            ("s3", "s3"),
            ("envoy-gateway-system", "envoy-gateway"),
            ("kube-system", "metrics-server"),
        ),
        stamp=layout.state / "addons",
    )


def for_kind(layout: Layout, kubeconfig: Path) -> Addons:
    """The add-ons of a kind cluster: released charts and images."""
    gateway_source = ("oci://docker.io/envoyproxy/gateway-helm", "--version", ENVOY_GATEWAY)
    repository = "https://kubernetes-sigs.github.io/metrics-server/"
    metrics_source = ("metrics-server", "--repo", repository, "--version", METRICS_SERVER_CHART)
    return Addons(
        kubectl=("kubectl", "--kubeconfig", str(kubeconfig)),
        helm=("helm", "--kubeconfig", str(kubeconfig)),
        charts=(
            Chart("eg", "envoy-gateway-system", gateway_source, envoy_gateway_values(None)),
            Chart("metrics-server", "kube-system", metrics_source, metrics_server_values(None)),
        ),
        before=(render("s3.yaml", versitygw_image=VERSITYGW_IMAGE, **credentials(layout)),),
        after=(gateway_class(None),),
        deployments=(
            ("s3", "s3"),
            ("envoy-gateway-system", "envoy-gateway"),
            ("kube-system", "metrics-server"),
        ),
        stamp=layout.cache / "kind.addons",
    )


def install_chart(addons: Addons, chart: Chart, steps: Steps) -> None:
    """Install or upgrade one chart."""
    begun = time.monotonic()
    options = ["--namespace", chart.namespace, "--create-namespace", "--values", "-", "--timeout", "3m"]
    run([*addons.helm, "upgrade", "--install", chart.release, *chart.source, *options], stdin=json.dumps(chart.values))
    steps.say(f"  installed the chart {chart.release} ({time.monotonic() - begun:.1f} s)")


def apply(addons: Addons, documents: tuple[str, ...]) -> None:
    """Apply manifests as their owner, whoever applied them before."""
    options = ["--server-side", "--force-conflicts", "--filename", "-"]
    run([*addons.kubectl, "apply", *options], stdin="\n---\n".join(documents))


def install(addons: Addons, steps: Steps) -> None:
    """Install what has changed since the last time, then wait until all of it is available."""
    wanted = addons.fingerprint()
    if not addons.stamp.exists() or addons.stamp.read_text() != wanted:
        with steps.step("installing DNS, metrics, Envoy Gateway and the S3 server"):
            apply(addons, addons.before)
            with concurrent.futures.ThreadPoolExecutor() as pool:
                for done in [pool.submit(install_chart, addons, chart, steps) for chart in addons.charts]:
                    done.result()
            apply(addons, addons.after)
        addons.stamp.write_text(wanted)
    with steps.step("waiting for the add-ons"):
        for namespace, deployment in addons.deployments:
            options = ["--namespace", namespace, "--for=condition=Available", f"--timeout={READY_SECONDS}s"]
            run([*addons.kubectl, "wait", *options, f"deployment/{deployment}"])
