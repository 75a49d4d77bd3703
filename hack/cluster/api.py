"""Asks the API server small questions without the cost of starting kubectl. Called by node.py while it waits."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable
from typing import Any

from hack.cluster import layout as names
from hack.cluster.layout import Layout

TIMEOUT_SECONDS = 2.0

Condition = Callable[[], bool]


def get(layout: Layout, path: str) -> tuple[int, bytes]:
    """Return the status and the body of a path; status 0 where nobody answers."""
    try:
        context = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
        context.load_cert_chain(layout.pki / "admin.crt", layout.pki / "admin.key")
        connection = http.client.HTTPSConnection(
            names.NODE_ADDRESS, names.API_PORT, timeout=TIMEOUT_SECONDS, context=context
        )
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return 0, b""


def ready(layout: Layout) -> bool:
    """Say whether the API server calls itself ready."""
    return get(layout, "/readyz")[0] == 200


def condition(document: dict[str, Any], kind: str) -> bool:
    """Say whether a Kubernetes object has a condition that is true."""
    conditions = document.get("status", {}).get("conditions", [])
    return any(entry["type"] == kind and entry["status"] == "True" for entry in conditions)


def node_ready(layout: Layout) -> bool:
    """Say whether our node is ready to take pods."""
    status, body = get(layout, f"/api/v1/nodes/{names.NODE_NAME}")
    return status == 200 and condition(json.loads(body), "Ready")
