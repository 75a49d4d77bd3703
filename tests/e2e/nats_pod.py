"""A real NATS server with JetStream as a pod of the cluster, reached by a port-forward.

The program is this machine's own, carried into a pod of the worker's image, so that no other image is needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hack.lab.install import port_forward
from hack.lab.kube import Kube, Object, images
from tests.nats_server import program
from tests.streams import CONSUMER

SERVER = "nats"
_RECEIVE = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, open('/data/nats-server', 'wb'))"
_AWAIT = """
import time, urllib.error, urllib.request
for _ in range(150):
    try:
        urllib.request.urlopen("http://127.0.0.1:8222/healthz", timeout=1)
        break
    except OSError:
        time.sleep(0.2)
"""
_RUN = (
    "until [ -f /data/complete ]; do sleep 0.2; done; chmod +x /data/nats-server; "
    "exec /data/nats-server --jetstream --store_dir /data/streams --port 4222 --http_port 8222"
)


def build_server() -> tuple[Object, ...]:
    """Return the server's pod and its Service."""
    labels = {"app": SERVER}
    ports = [{"name": "client", "port": 4222}, {"name": "monitoring", "port": 8222}]
    container = {
        "name": SERVER,
        "image": images()["worker"],
        "command": ["sh", "-c", _RUN],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": SERVER, "labels": labels},
        "spec": {
            "automountServiceAccountToken": False,
            "securityContext": security,
            "containers": [container],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVER},
        "spec": {"selector": labels, "ports": ports},
    }
    return pod, service


def build_ingestion(namespace: str, streams: str, **changes: Any) -> Object:
    """Return spec.ingestion for `tests.streams.Streams` of that name on the server of a namespace."""
    host = f"{SERVER}.{namespace}"
    return {
        "nats": {"url": f"nats://{host}:4222", "monitoringUrl": f"http://{host}:8222"},
        "stream": f"{streams}-in",
        "output": {"subject": f"{streams}.out"},
        "deadLetterSubject": f"{streams}.dead",
        "consumer": CONSUMER,
        "ackWaitSeconds": 5,
        **changes,
    }


@contextmanager
def run_server(kube: Kube, namespace: str) -> Iterator[int]:
    """Run the server in a namespace; yields a port on this machine that leads to it."""
    kube.apply(namespace, *build_server())
    place = ["--namespace", namespace]
    kube.kubectl("wait", "--for=condition=Ready", f"pod/{SERVER}", *place, "--timeout=60s")
    inside = [shutil.which("kubectl") or "kubectl", "exec", *place, "--stdin", SERVER, "--"]
    environment = {**os.environ, "KUBECONFIG": str(kube.kubeconfig)}
    with Path(program()).open("rb") as binary:
        subprocess.run([*inside, "python3", "-c", _RECEIVE], stdin=binary, check=True, env=environment, timeout=180)
    kube.kubectl("exec", *place, SERVER, "--", "touch", "/data/complete")
    kube.kubectl("exec", *place, SERVER, "--", "python3", "-c", _AWAIT)
    with port_forward(kube, namespace, f"service/{SERVER}", 4222) as port:
        yield port
