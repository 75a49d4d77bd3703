"""The README's manifests work as they are printed."""

from __future__ import annotations

import re

from hack.lab.install import build_cities, upload
from hack.lab.kube import REPOSITORY, wait_for
from tests.e2e.scene import Scene


def test_the_manifests_of_the_readme_train_and_serve(scene: Scene) -> None:
    """The block is applied verbatim; the only preparation is the demo's data."""
    upload(scene.kube, {"demo/cities.parquet": build_cities()})
    manifests = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert manifests
    for manifest in manifests:
        scene.kube.kubectl("apply", "--namespace", scene.namespace, "-f", "-", stdin=manifest)
    assert wait_for("towns to serve", lambda: scene.status("towns").get("phase") == "Healthy", 90)
