"""`make bench-scaling`: drives a deployment up and down on the cluster; writes docs/benchmarks-scaling.md.

A run that is cut (Ctrl-C, an error) keeps what it found and removes what it made.
"""

from __future__ import annotations

import argparse
import sys
import time
import uuid
from typing import Any

from rich.console import Console

from hack.lab.install import install_chart, prepare_namespace, upload
from hack.lab.kube import Kube, kubeconfig
from tests.bench.machine import stamp
from tests.bench_rollouts.stage import build_data
from tests.bench_scaling import page
from tests.bench_scaling.drives import drive_calls, drive_stream
from tests.bench_scaling.plan import PLAN, QUICK, Stage
from tests.e2e.scene import Scene

DRIVES = ("Service", "Gateway", "stream")
_PATH = "bench/scaling.parquet"


def main() -> int:
    """Run the drives asked for."""
    parser = argparse.ArgumentParser(prog="make bench-scaling ARGS=", description=__doc__)
    parser.add_argument("--only", action="append", choices=DRIVES, help="only this; repeatable")
    parser.add_argument("--quick", action="store_true", help="once up and down; writes no page")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160)
    kube = Kube(kubeconfig())
    install_chart(kube)
    upload(kube, {_PATH: build_data()})
    found: dict[str, Any] = {}
    began = time.monotonic()
    try:
        for name in arguments.only or DRIVES:
            console.print(f"{time.monotonic() - began:5.0f} s  {name}: driving", highlight=False)
            found[name] = _drive(kube, name, QUICK if arguments.quick else PLAN)
            if not arguments.quick:
                page.write({name: {**stamp(), "figures": found[name]}})
    except KeyboardInterrupt:
        console.print("cut short")
    for table in page.tables(found):
        console.print(table.rich())
    return 0


def _drive(kube: Kube, name: str, stages: tuple[Stage, ...]) -> dict[str, Any]:
    """Run one drive in a namespace of its own, and delete it in the end."""
    scene = Scene(kube, f"bench-{uuid.uuid4().hex[:8]}")
    prepare_namespace(kube, scene.namespace)
    try:
        scene.apply_model(path=_PATH)
        scene.await_version(1)
        return drive_stream(scene, stages) if name == "stream" else drive_calls(scene, name, stages)
    finally:
        kube.kubectl("delete", "namespace", scene.namespace, "--wait=false")


if __name__ == "__main__":
    sys.exit(main())
