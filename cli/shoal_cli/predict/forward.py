"""A port of this machine that leads to a port of a pod, through the API server; needs no kubectl.

Used by `predict`. Invariant: it listens on the loopback alone, and nothing of it is left once it is closed.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

from shoal_cli.errors import ShoalError
from shoal_cli.kube import ForbiddenError, Kube

_CHUNK = 1 << 16


@contextmanager
def forward(kube: Kube, pod: str, namespace: str, port: int) -> Iterator[str]:
    """Yield an address of this machine that leads to the pod's port, for as long as the context lasts."""
    remote = _connect(kube, pod, namespace, port)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        listener.settimeout(30)
        Thread(target=_carry, args=(listener, remote), daemon=True).start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            with suppress(OSError):
                remote.shutdown(socket.SHUT_RDWR)
            remote.close()


def _connect(kube: Kube, pod: str, namespace: str, port: int) -> Any:
    from kubernetes.client.exceptions import ApiException
    from kubernetes.stream import portforward

    try:
        found = portforward(kube.core.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
        return found.socket(port)
    except ApiException as error:
        if "403" in str(error) or "orbidden" in str(error):
            raise ForbiddenError(
                f"you may not get and create pods/portforward in namespace {namespace}",
                field=f"pods/{pod}",
                value=403,
                remedy="Ask for a Role that grants both (docs/cli.md, Rights), or give --address",
            ) from None
        text = str(error.reason or error).replace("\n", " ")[:200]
        raise ShoalError(
            f"no port-forward to it: {text}", field=f"pods/{pod}", remedy="Try again, or give --address"
        ) from None


def _carry(listener: socket.socket, remote: Any) -> None:
    """Carry bytes both ways between the first caller and the pod."""
    try:
        local, _ = listener.accept()
    except OSError:
        return
    with local:
        back = Thread(target=_pump, args=(remote, local), daemon=True)
        back.start()
        _pump(local, remote)
        back.join(1)


def _pump(source: Any, sink: Any) -> None:
    with suppress(OSError):
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
