"""The own node: a complete Kubernetes node of ordinary programs, without Docker and without systemd. Called by cli.py.

Every start first removes what an earlier one left, however that ended; a healthy node of the same plan is left alone.
"""

from __future__ import annotations

import os

from hack.cluster import addons, api, binaries, boot, leftovers, storage, system_images
from hack.cluster.layout import PROGRAMS, Layout
from hack.cluster.process import ClusterError, run
from hack.cluster.progress import Steps


def running(layout: Layout) -> frozenset[str]:
    """Name the node's programs that run."""
    return frozenset(leftovers.marked_processes(layout).values()) & PROGRAMS


def healthy(layout: Layout, stamp: str) -> bool:
    """Say whether the whole node runs, from the same plan, and answers."""
    file = layout.state / "stamp"
    if not file.exists() or file.read_text() != stamp or running(layout) != PROGRAMS:
        return False
    return api.ready(layout) and api.node_ready(layout)


def require_root() -> None:
    """Refuse early what needs the rights of root."""
    if os.geteuid() != 0:
        raise ClusterError("the local node needs root; install Docker and kind, or use CLUSTER=current, to do without")


def up(layout: Layout, steps: Steps) -> None:
    """Bring the node and its add-ons up; where they are, only check them."""
    require_root()
    with steps.step("checking the tools"):
        run([layout.repository / "hack" / "toolchain.sh"])
    built = binaries.build_all(layout, steps)
    images = system_images.names(built)
    plan = boot.plan(layout, built, images)
    if healthy(layout, plan.stamp()):
        steps.say("the node is up")
    else:
        with steps.step("removing what an earlier node left"):
            leftovers.remove(layout)
        boot.Boot(layout, steps, built, images, plan).run()
        (layout.state / "stamp").write_text(plan.stamp())
    storage.prepare(layout, steps)
    addons.install(addons.for_node(layout, images), steps)
    steps.say(f"the cluster is up; export KUBECONFIG={layout.kubeconfig}")


def down(layout: Layout, steps: Steps) -> None:
    """Remove the node; images, keys and logs stay in the cache for the next one."""
    require_root()
    with steps.step("removing the node"):
        leftovers.remove(layout)
    rest = leftovers.find(layout).lines()
    if rest:
        raise ClusterError("the node is gone, but these are left:\n" + "\n".join(rest))
    steps.say("nothing of the node is left")


def kubeconfig(layout: Layout) -> str:
    """Return the administrator's kubeconfig."""
    if not layout.kubeconfig.exists():
        raise ClusterError("there is no local cluster; `make cluster-up` makes one")
    return str(layout.kubeconfig)


def status(layout: Layout) -> str:
    """Name the programs that run and the readiness of the node."""
    found = running(layout)
    if not found:
        return "the local node does not run"
    missing = PROGRAMS - found
    state = "ready" if api.node_ready(layout) else "not ready"
    lines = [f"the local node is {state}; KUBECONFIG={layout.kubeconfig}", f"running: {', '.join(sorted(found))}"]
    return "\n".join([*lines, *([f"missing: {', '.join(sorted(missing))}"] if missing else [])])
