"""The node's network: a bridge, a namespace with one leg on it, and the machine's routes to pods and services.

Called by node.py. There is no default route inside the node, so nothing in the cluster reaches beyond this machine, and
the machine's own settings stay as they were.
"""

from __future__ import annotations

import ipaddress
import json

from hack.cluster import layout as names
from hack.cluster.layout import Layout
from hack.cluster.process import ClusterError, run

ROUTED = (names.POD_SUBNET, names.SERVICE_SUBNET)


def conflicts(routes: list[dict[str, object]]) -> list[str]:
    """List the machine's routes that overlap ours but are not ours (`ip -json route`'s entries)."""
    ours = [ipaddress.ip_network(subnet) for subnet in (names.NODE_SUBNET, *ROUTED)]
    found = []
    for route in routes:
        destination, device = str(route.get("dst", "default")), str(route.get("dev", ""))
        if destination == "default" or device == names.BRIDGE:
            continue
        network = ipaddress.ip_network(destination, strict=False)
        if network.version == 4 and any(network.overlaps(subnet) for subnet in ours):
            found.append(f"{destination} via {device}")
    return found


def check(routes_json: str) -> None:
    """Refuse to shadow a network that the machine already reaches."""
    found = conflicts(json.loads(routes_json or "[]"))
    if found:
        wanted = ", ".join((names.NODE_SUBNET, *ROUTED))
        raise ClusterError(f"the node's networks {wanted} overlap routes of this machine: {', '.join(found)}")


def in_network(layout: Layout, *command: str) -> list[str]:
    """Prefix a command to run in the node's network."""
    return ["nsenter", f"--net={layout.network_namespace}", *command]


def prepare(layout: Layout) -> None:
    """Make the bridge, the link pair and the routes; the namespace file is there and nothing else is."""
    check(run(["ip", "-json", "route"]))
    ip = ["ip"]
    inside = in_network(layout, "ip")
    run([*ip, "link", "add", names.BRIDGE, "type", "bridge"])
    run([*ip, "address", "add", f"{names.HOST_ADDRESS}/{names.NODE_PREFIX}", "dev", names.BRIDGE])
    run([*ip, "link", "set", names.BRIDGE, "up"])
    peer = ["peer", "name", "eth0", "netns", str(layout.network_namespace)]
    run([*ip, "link", "add", names.HOST_LINK, "type", "veth", *peer])
    run([*ip, "link", "set", names.HOST_LINK, "master", names.BRIDGE, "up"])
    run([*inside, "link", "set", "lo", "up"])
    run([*inside, "address", "add", f"{names.NODE_ADDRESS}/{names.NODE_PREFIX}", "dev", "eth0"])
    run([*inside, "link", "set", "eth0", "up"])
    # A service address must be routable before kube-proxy's rules can rewrite it; no neighbour ever answers for it.
    run([*inside, "route", "add", names.SERVICE_SUBNET, "dev", "eth0"])
    run(in_network(layout, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
    for subnet in ROUTED:
        run([*ip, "route", "add", subnet, "via", names.NODE_ADDRESS])
