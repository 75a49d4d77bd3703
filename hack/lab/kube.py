"""A handle on the cluster for people's scripts: kubectl for what a user would type, plain GETs for what is polled.

Used by the demo and the end-to-end tests, never by the product.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from kubernetes import client, config

Object = dict[str, Any]
Found = TypeVar("Found")

CACHE = Path(os.environ.get("SHOAL_CACHE") or Path.home() / ".cache" / "shoal")
REPOSITORY = Path(__file__).resolve().parents[2]

_CUSTOM = "/apis/shoal.dev/v1alpha1/namespaces/{namespace}/{plural}"
_PATHS = {
    "pods": "/api/v1/namespaces/{namespace}/pods",
    "services": "/api/v1/namespaces/{namespace}/services",
    "events": "/api/v1/namespaces/{namespace}/events",
    "deployments": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "jobs": "/apis/batch/v1/namespaces/{namespace}/jobs",
    "poddisruptionbudgets": "/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
    "grpcroutes": "/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/grpcroutes",
    "gateways": "/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/gateways",
    "leases": "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
}


class DeadlineMissedError(AssertionError):
    """A condition did not come true before its deadline."""


@dataclass(frozen=True)
class Kube:
    """One cluster, by its kubeconfig."""

    kubeconfig: Path

    @cached_property
    def _api(self) -> client.ApiClient:
        api: client.ApiClient = config.new_client_from_config(str(self.kubeconfig))  # type: ignore[no-untyped-call]
        return api

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 120) -> str:
        """Run kubectl and return what it printed; its error output is in the exception."""
        done = subprocess.run(
            ["kubectl", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout if check else done.stdout + done.stderr

    def apply(self, namespace: str, *objects: Object) -> None:
        """Apply objects as a user would."""
        # As JSON, which leaves nothing to guess: kubectl reads a bare y as true.
        documents = "\n---\n".join(json.dumps(each) for each in objects)
        self.kubectl("apply", "--namespace", namespace, "--filename", "-", stdin=documents)

    def get(self, plural: str, namespace: str, name: str, *, missing_ok: bool = False) -> Object | None:
        """Return one object; None where it is missing and that is allowed."""
        path = _PATHS.get(plural, _CUSTOM).format(namespace=namespace, plural=plural)
        return self._read(f"{path}/{name}", missing_ok=missing_ok)

    def find(self, plural: str, namespace: str, selector: str = "") -> list[Object]:
        """Return the objects of a namespace, by label selector."""
        path = _PATHS.get(plural, _CUSTOM).format(namespace=namespace, plural=plural)
        answer = self._read(path, query=[("labelSelector", selector)] if selector else []) or {}
        return list(answer.get("items", []))

    def get_secret(self, namespace: str, name: str) -> Object:
        """Return a Secret, its values in base64."""
        return self._read(f"/api/v1/namespaces/{namespace}/secrets/{name}") or {}

    def gateway_service(self, namespace: str, gateway: str) -> tuple[str, str]:
        """Return namespace and name of the Service that Envoy Gateway made for a Gateway; waits for it."""
        labels = f"gateway.envoyproxy.io/owning-gateway-name={gateway}"
        selector = f"{labels},gateway.envoyproxy.io/owning-gateway-namespace={namespace}"
        proxies = "envoy-gateway-system"
        found = wait_for(f"the proxy of Gateway {gateway}", lambda: self.find("services", proxies, selector), 60)
        return proxies, found[0]["metadata"]["name"]

    def _read(
        self, path: str, *, query: list[tuple[str, str]] | None = None, missing_ok: bool = False
    ) -> Object | None:
        request = self._api.param_serialize(
            "GET",
            path,
            query_params=query or [],
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        response = self._api.call_api(*request, _request_timeout=10)
        body = response.read()  # type: ignore[no-untyped-call]
        if response.status == 404 and missing_ok:
            return None
        if response.status >= 300:
            raise RuntimeError(f"GET {path}: {response.status} {body[:300]!r}")
        result: Object = json.loads(body)
        return result


def kubeconfig() -> Path:
    """Return the path of the cluster's kubeconfig, as `make kubeconfig` prints it."""
    printed = subprocess.run(
        ["python3", str(REPOSITORY / "hack" / "cluster"), "kubeconfig"], capture_output=True, text=True, check=True
    )
    return Path(printed.stdout.strip().splitlines()[-1])


def images() -> dict[str, str]:
    """Return the names of the built images: operator and worker."""
    named: dict[str, str] = json.loads((CACHE / "images.json").read_text())
    return named


def wait_for(what: str, look: Callable[[], Found | None], seconds: float, every: float = 0.5) -> Found:
    """Look until there is something to see and return it; DeadlineMissedError names what was awaited in vain."""
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            raise DeadlineMissedError(f"not within {seconds:g} s: {what}")
        time.sleep(every)


def condition(thing: Object | None, type_: str) -> Object:
    """Return a condition of an object's status; empty where there is none."""
    for each in ((thing or {}).get("status") or {}).get("conditions", []):
        if each["type"] == type_:
            return dict(each)
    return {}
