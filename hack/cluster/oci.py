"""Packs files into an OCI image archive, without a builder and without a registry. Called by binaries.py's users.

Reproducible: the same files give the same bytes; nothing of the clock or of the machine's users gets in.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
SEARCH_PATH = "PATH=/usr/local/bin:/usr/bin:/bin"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Image:
    """One image of an archive: its name and how it starts."""

    name: str
    entrypoint: tuple[str, ...]
    user: str = "65532:65532"


@dataclass(frozen=True, slots=True)
class Layer:
    """Files and links by their absolute place in the image."""

    files: Mapping[str, Path]
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, int] = field(default_factory=dict)


def pack_layer(layer: Layer) -> bytes:
    """Pack a layer as an uncompressed tar: compressing costs more than the disk that it saves."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for place, mode in sorted(layer.folders.items()):
            info = tarfile.TarInfo(place.lstrip("/"))
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
        for place, source in sorted(layer.files.items()):
            info = tarfile.TarInfo(place.lstrip("/"))
            info.size, info.mode = source.stat().st_size, 0o755
            with source.open("rb") as content:
                tar.addfile(info, content)
        for place, target in sorted(layer.links.items()):
            info = tarfile.TarInfo(place.lstrip("/"))
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return buffer.getvalue()


def descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    """Describe a blob as a manifest does."""
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


def write_archive(target: Path, layer: Layer, images: tuple[Image, ...], machine: str) -> None:
    """Write one archive holding images that share one layer."""
    packed = pack_layer(layer)
    layer_descriptor = descriptor(LAYER, packed)
    platform = {"architecture": ARCHITECTURES.get(machine, machine), "os": "linux"}
    blobs, entries = [packed], []
    for image in images:
        settings = {"Env": [SEARCH_PATH], "Entrypoint": list(image.entrypoint), "User": image.user, "WorkingDir": "/"}
        config = {
            **platform,
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [layer_descriptor["digest"]]},
            "history": [{"created_by": "hack/cluster/oci.py"}],
        }
        config_blob = json.dumps(config, sort_keys=True).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, config_blob),
            "layers": [layer_descriptor],
        }
        manifest_blob = json.dumps(manifest, sort_keys=True).encode()
        annotations = {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name}
        entries.append({**descriptor(MANIFEST, manifest_blob), "platform": platform, "annotations": annotations})
        blobs += [config_blob, manifest_blob]
    index = {"schemaVersion": 2, "manifests": entries}
    partial = target.with_suffix(".partial")
    with tarfile.open(partial, "w") as archive:
        members = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
        members.update({f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}": blob for blob in blobs})
        for name, blob in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(blob), 0o644
            archive.addfile(info, io.BytesIO(blob))
    partial.rename(target)
