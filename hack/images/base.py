"""The base image where there is no registry: the distribution's own Python, under the name that the Containerfile uses.

Called by build.py. Packages come from this machine's package mirror, are unpacked and never run, and what a container
has no use for is left out.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path

from hack.cluster.binaries import digest
from hack.cluster.process import run
from hack.cluster.progress import Steps
from hack.images.buildah import Buildah

NAME = "docker.io/library/python:3.11-slim-bookworm"
SUITE = "bookworm"
PACKAGES = (
    "base-files",
    "base-passwd",
    "bash",
    "ca-certificates",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "libc-bin",
    "libpython3-stdlib",
    "libstdc++6",
    "netbase",
    "python3-minimal",
    "sed",
    "tzdata",
)
UNUSED = ("./usr/share/doc/", "./usr/share/man/", "./usr/share/locale/", "./usr/share/perl5/", "./usr/share/lintian/")
CERTIFICATES = "./usr/share/ca-certificates/"
# What these packages' install scripts would have written.
COPIES = {
    "./usr/share/base-passwd/passwd.master": "./etc/passwd",
    "./usr/share/base-passwd/group.master": "./etc/group",
}
BUNDLE = "./etc/ssl/certs/ca-certificates.crt"
# Raised when trim() changes what it keeps.
TRIMMING = "1"
RECIPE_LABEL = "dev.shoal.recipe"


def recipe() -> str:
    """Hash what the base image is made from."""
    return digest(text.encode() for text in (SUITE, *PACKAGES, *UNUSED, *COPIES, *COPIES.values(), TRIMMING))


def trim(source: tarfile.TarFile, target: tarfile.TarFile) -> None:
    """Copy a root file system, without what is unused, with the files that install scripts would have made."""
    bundle = b""
    for member in source:
        if member.name.startswith(UNUSED) or member.isdev():
            continue
        content = source.extractfile(member) if member.isreg() else None
        data = content.read() if content else b""
        if member.name.startswith(CERTIFICATES) and member.name.endswith(".crt"):
            bundle += data
        add(target, member, data)
        if member.name in COPIES:
            add_file(target, COPIES[member.name], data)
    add_file(target, BUNDLE, bundle)


def add(target: tarfile.TarFile, member: tarfile.TarInfo, data: bytes) -> None:
    """Copy one entry, without its time."""
    member.mtime = 0
    target.addfile(member, io.BytesIO(data) if member.isreg() else None)


def add_file(target: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file that the packages do not carry."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    target.addfile(info, io.BytesIO(data))


def prepare(buildah: Buildah, steps: Steps) -> None:
    """Make the base image unless one of this recipe is there."""
    if buildah.label(NAME, RECIPE_LABEL) == recipe():
        return
    with (
        steps.step(f"making the base image {NAME} from the distribution's packages"),
        tempfile.TemporaryDirectory() as scratch,
    ):
        whole, trimmed = Path(scratch, "whole.tar"), Path(scratch, "trimmed.tar")
        options = ["--quiet", "--variant=extract", f"--include={','.join(PACKAGES)}"]
        run(["mmdebstrap", *options, SUITE, whole], env={"SOURCE_DATE_EPOCH": "0"})
        with tarfile.open(whole) as source, tarfile.open(trimmed, "w") as target:
            trim(source, target)
        container = buildah.run("from", "scratch").strip()
        buildah.run("add", "--quiet", container, trimmed, "/")
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        buildah.run("config", "--env", path, "--cmd", "python3", "--label", f"{RECIPE_LABEL}={recipe()}", container)
        buildah.run("commit", "--quiet", "--rm", container, NAME)
