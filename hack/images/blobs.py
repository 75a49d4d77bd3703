"""Packs an image's folder of blobs into an archive that leaves out what the receiver holds. Called by build.py.

A change of our sources makes one small layer; the large ones below it are neither copied nor unpacked again.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The receiver takes the image's name from here.
NAME = "io.containerd.image.name"
KINDS = ("config", "layers", "manifests")


def path(folder: Path, digest: str) -> Path:
    """Return the file of a blob.

    >>> path(Path("layout"), "sha256:ab")
    PosixPath('layout/blobs/sha256/ab')
    """
    algorithm, _, value = digest.partition(":")
    return folder / "blobs" / algorithm / value


def referenced(folder: Path, document: dict[str, Any]) -> Iterator[str]:
    """List the digests that an index or a manifest needs, itself left out."""
    for kind in KINDS:
        entries = document.get(kind, [])
        for entry in entries if isinstance(entries, list) else [entries]:
            yield entry["digest"]
            if kind == "manifests":
                yield from referenced(folder, json.loads(path(folder, entry["digest"]).read_text()))


def forget_unreferenced(folder: Path, wanted: frozenset[str]) -> None:
    """Delete the blobs of images that are no longer exported."""
    for file in (folder / "blobs").glob("*/*"):
        if f"{file.parent.name}:{file.name}" not in wanted:
            file.unlink()


def pack(folder: Path, name: str, held: frozenset[str], archive: Path) -> None:
    """Write the archive; the small documents always go in, since the receiver reads them first."""
    index = json.loads((folder / "index.json").read_text())
    for entry in index["manifests"]:
        entry["annotations"] = {**entry.get("annotations", {}), NAME: name}
    wanted = frozenset(referenced(folder, index))
    forget_unreferenced(folder, wanted)
    manifests = {entry["digest"] for entry in index["manifests"]}
    with tarfile.open(archive, "w") as tar:
        for file, content in (
            ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
            ("index.json", json.dumps(index).encode()),
        ):
            info = tarfile.TarInfo(file)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for digest in sorted(wanted):
            if digest in manifests or digest not in held:
                tar.add(path(folder, digest), str(path(Path(), digest)))
