"""The command line of the images: build them, load them into the cluster, print their names. Called by make."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from hack.cluster.cli import choose, locked
from hack.cluster.layout import default_layout
from hack.cluster.process import ClusterError
from hack.cluster.progress import Steps
from hack.images import build


def parser() -> argparse.ArgumentParser:
    """Describe the verbs."""
    root = argparse.ArgumentParser(prog="python3 hack/images", description="the operator's and the worker's images")
    root.add_argument("--cluster", default=os.environ.get("CLUSTER") or "auto", help="as of python3 hack/cluster")
    root.add_argument("--only", choices=sorted(build.IMAGES), action="append", help="one image instead of all")
    root.add_argument("verb", choices=["build", "load", "names"], help="load builds what is missing first")
    return root


def main(arguments: Sequence[str]) -> int:
    """Carry out one verb; the exit status is 0 on success, 1 with the reason on stderr."""
    options = parser().parse_args(arguments)
    layout, steps = default_layout(), Steps()
    try:
        wanted = options.only or sorted(build.IMAGES)
        images = [build.image(layout, short) for short in wanted]
        if options.verb != "names":
            on = {"node": build.on_node, "kind": build.on_kind, "current": build.on_current}
            with locked(layout, steps, "images"):
                on[choose(options.cluster)](layout, steps, images, load=options.verb == "load")
            file = layout.images_file
            known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
            file.write_text(json.dumps({**known, **{image.short: image.name for image in images}}, indent=2) + "\n")
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for image in images:
        print(image.name)
    return 0
