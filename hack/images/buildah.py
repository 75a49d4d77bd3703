"""Runs buildah with a store of our own, in a mount view of its own, so that nothing stays mounted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from hack.cluster.process import ClusterError, run

# Nothing is ever pulled, so no image needs to be trusted from afar.
POLICY = {"default": [{"type": "insecureAcceptAnything"}]}


class Buildah:
    """Builds images without a daemon and without a registry; used by build.py."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # What a killed build noted as mounted is not: mounts go with the process that made them.
        shutil.rmtree(folder / "run", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._policy = folder / "policy.json"
        self._policy.write_text(json.dumps(POLICY))

    def command(self, verb: str, *arguments: str | Path) -> list[str]:
        """Return the whole command line of one buildah command."""
        private = ["unshare", "--mount", "--propagation", "private"]
        storage, run_root = self._folder / "storage", self._folder / "run"
        store = ["--root", str(storage), "--runroot", str(run_root), "--storage-driver", "overlay"]
        words: tuple[str | Path, ...] = (*private, "buildah", *store, verb, *arguments)
        return [str(word) for word in words]

    def run(self, verb: str, *arguments: str | Path, log: Path | None = None) -> str:
        """Run one buildah command."""
        return run(self.command(verb, *arguments), log=log)

    def build(self, containerfile: Path, target: str, context: Path, name: str, log: Path) -> None:
        """Build one target; unchanged steps come from the cache."""
        # What a killed build left behind would keep the images under it.
        self.run("rm", "--all")
        options = ["--isolation", "chroot", "--pull-never", "--layers", "--format", "docker", "--quiet"]
        self.run("bud", *options, "--file", containerfile, "--target", target, "--tag", name, context, log=log)

    def export(self, name: str, short: str) -> Path:
        """Write an image into a kept folder of blobs, where only new blobs cost anything; return the folder."""
        folder = self._folder / "layouts" / short
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.json").unlink(missing_ok=True)
        # The weakest compression is faster than writing the layers as they are.
        compression = ["--compression-format", "zstd", "--compression-level", "1"]
        options = ["--quiet", "--format", "oci", "--signature-policy", str(self._policy), *compression]
        self.run("push", *options, name, f"oci:{folder}:{name}")
        return folder

    def names(self) -> list[str]:
        """Return the names of the images in the store."""
        listed: list[dict[str, Any]] = json.loads(self.run("images", "--json") or "[]")
        return [name for entry in listed for name in entry.get("names") or []]

    def label(self, name: str, key: str) -> str | None:
        """Return an image's label, or None without the image or the label."""
        try:
            described: dict[str, Any] = json.loads(self.run("inspect", "--type", "image", name))
        except ClusterError:
            return None
        labels = described.get("OCIv1", {}).get("config", {}).get("Labels") or {}
        value = labels.get(key)
        return str(value) if value is not None else None

    def forget_older(self, name: str) -> None:
        """Remove the other tags of an image's repository, and the steps that only they used."""
        repository = name.rpartition(":")[0]
        older = [other for other in self.names() if other.rpartition(":")[0] == repository and other != name]
        if older:
            self.run("rmi", *older)
            self.run("rmi", "--prune")
